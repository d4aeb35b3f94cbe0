//! Connections that stand and do not carry what they should.

use super::Finding;
use crate::Confidence::{Certain, Likely};
use crate::{Bulk, Culprit, Evidence, Idle, Mode, NoTransfer, Outcome};

/// The data connection stands and stays empty.
pub(super) fn no_octets(seen: &Evidence) -> Option<Finding> {
    // Passive: a firewall knows those by their ports. Active mode may well work meanwhile.
    let passive = || seen.attempts.iter().filter(|a| a.command.mode() == Mode::Passive);
    let empty = || passive().filter(|a| matches!(a.outcome, Outcome::NoTransfer(NoTransfer::NoOctets)));
    if passive().any(|a| a.outcome == Outcome::Works) || empty().next().is_none() {
        return None;
    }
    let finding = match seen.bulk {
        Some(Bulk::Stalled { works_with_mss: Some(mss), .. }) => return Some(black_hole(Some(mss), 0)),
        _ => Finding::new(
            Culprit::SynOnlyFilter,
            if empty().count() > 1 { Certain } else { Likely },
            "A filter on the way lets the beginning of data connections pass and drops the rest: the connection \
             stands, and not one octet comes through.",
        ),
    };
    Some(empty().fold(finding, |finding, a| {
        finding.because(format!("{}: connected, then nothing for seconds", a.command.name()))
    }))
}

pub(super) fn bulk(seen: &Evidence) -> Option<Finding> {
    match seen.bulk {
        Some(Bulk::Stalled { after, works_with_mss }) => Some(black_hole(works_with_mss, after)),
        _ => None,
    }
}

fn black_hole(mss: Option<u16>, after: u64) -> Finding {
    let finding = Finding::new(
        Culprit::MtuBlackHole,
        if mss.is_some() { Certain } else { Likely },
        "Large packets vanish on the way, and the ICMP message that should say so is lost, too: small transfers \
         work, large ones stall.",
    )
    .because(format!("a large transfer stood still after {after} octets, small listings came through"));
    match mss {
        Some(mss) => finding.because(format!("with segments of {mss} octets at most it came through")),
        None => finding,
    }
}

pub(super) fn idle(seen: &Evidence) -> Option<Finding> {
    let Some(Idle::Dead(after)) = seen.idle else { return None };
    Some(
        Finding::new(
            Culprit::ControlIdleTimeout,
            Certain,
            format!(
                "A NAT or firewall on the way forgets silent connections: after {after:.0} s of silence the control \
                 connection was dead. Every longer transfer ends without its reply."
            ),
        )
        .because(format!("a session that said nothing for {after:.1} s got no answer any more"))
        .because("sessions that spoke at once did"),
    )
}
