//! The data channel: what is announced, and how it is encrypted.

use std::net::IpAddr;

use super::Finding;
use super::modes::{refused_as_foreign, sets};
use crate::Confidence::{Certain, Likely, Possible};
use crate::{Attempt, Command, Culprit, Evidence, Mode, NoTransfer, Offered, Outcome, Passive, Reach, Tls};

pub(super) fn exhausted(seen: &Evidence) -> Option<Finding> {
    let passive = || seen.attempts.iter().filter(|a| a.command.mode() == Mode::Passive);
    if passive().any(|a| a.outcome == Outcome::Works) {
        return None;
    }
    let (code, text) = passive().find_map(|a| match &a.outcome {
        Outcome::Full { code, text } => Some((code, text)),
        _ => None,
    })?;
    Some(
        Finding::new(
            Culprit::PassiveRangeExhausted,
            Certain,
            "The server has no passive port left: its range is too small for its sessions.",
        )
        .because(format!("to PASV or EPSV the server says: {code} {text}")),
    )
}

/// TLS on the data channel, where the connection itself is no problem.
pub(super) fn data_tls(seen: &Evidence) -> Option<Finding> {
    let tls = || seen.attempts.iter().filter(|a| a.tls);
    if tls().any(|a| a.outcome == Outcome::Works) {
        return None;
    }
    let not_resumed = tls().find_map(|a| match &a.outcome {
        Outcome::NoTransfer(NoTransfer::NotResumed(text)) => Some(text),
        _ => None,
    });
    if let Some(text) = not_resumed {
        return Some(
            Finding::new(
                Culprit::DataTlsResumptionRequired,
                Certain,
                "The server wants each data connection to resume the TLS session of its control connection, \
                 and does not accept the one that it was shown.",
            )
            .because(format!("the server says: {text}")),
        );
    }
    let refused = tls().find_map(|a| match &a.outcome {
        Outcome::NoTransfer(NoTransfer::TlsRefused(text)) => Some(text),
        _ => None,
    })?;
    Some(
        Finding::new(
            Culprit::DataTlsRefused,
            Certain,
            "The server encrypts the control channel and refuses TLS on the data channel.",
        )
        .because(format!("TLS on the data channel: {refused}")),
    )
}

/// In the clear it works, under TLS the same does not: somebody on the way reads the control channel.
pub(super) fn helper_blind(seen: &Evidence) -> Option<Finding> {
    if seen.tls != Tls::Works {
        return None;
    }
    for mode in [Mode::Passive, Mode::Active] {
        let of = |tls: bool| seen.attempts.iter().filter(move |a| a.tls == tls && a.command.mode() == mode);
        let clear: Vec<&Attempt> = of(false).filter(|a| a.outcome == Outcome::Works).collect();
        let hidden: Vec<&Attempt> =
            of(true).filter(|a| a.outcome.no_connection() || refused_as_foreign(a)).collect();
        if of(true).any(|a| a.outcome == Outcome::Works) || clear.is_empty() || hidden.is_empty() {
            continue;
        }
        // With a range that is partly open, one of each may be chance.
        let offers = |tls: bool| seen.offers.iter().filter(move |o| o.tls == tls);
        if mode == Mode::Passive
            && (offers(true).any(|o| o.reach == Reach::Open) || offers(false).any(|o| shut(o.reach)))
        {
            continue;
        }
        let word = if mode == Mode::Passive { "passive" } else { "active" };
        return Some(
            Finding::new(
                Culprit::FtpHelperBlindUnderTls,
                if hidden.len() > 1 || clear.len() > 1 { Certain } else { Likely },
                "A firewall or NAT on the way reads the control channel and opens the announced ports; under TLS \
                 it can read nothing, so every data connection is blocked.",
            )
            .because(format!("{word} mode in the clear works ({})", names(&clear)))
            .because(format!(
                "{word} mode under TLS does not ({}): {}",
                names(&hidden),
                hidden.first().map(|a| a.detail.as_str()).unwrap_or_default()
            )),
        );
    }
    None
}

fn names(attempts: &[&Attempt]) -> String {
    attempts.iter().map(|a| a.command.name()).collect::<Vec<_>>().join(", ")
}

fn shut(reach: Reach) -> bool {
    reach != Reach::Open
}

/// 227 names another host, or another port than the server's.
pub(super) fn announced_elsewhere(seen: &Evidence) -> Option<Finding> {
    let pasv = |tls: bool| {
        let attempts = seen.attempts.iter().filter(move |a| a.tls == tls && a.command == Command::Pasv);
        attempts.map(|a| &a.outcome).next()
    };
    let epsv_works = |tls: bool| {
        let mut attempts = seen.attempts.iter().filter(|a| a.tls == tls && a.command == Command::Epsv);
        attempts.any(|a| a.outcome == Outcome::Works)
    };
    let elsewhere = |outcome: Option<&Outcome>| match outcome {
        Some(Outcome::OtherAddress(passive)) if passive.there != Reach::Open => Some(*passive),
        _ => None,
    };
    let (clear, hidden) = (pasv(false), pasv(true));
    // TLS hides the reply from whoever rewrites it.
    if hidden == Some(&Outcome::Works)
        && let Some(bad) = clear.filter(|outcome| **outcome != Outcome::Works)
        && (elsewhere(Some(bad)).is_some() || epsv_works(false) && bad.no_connection())
        && !mixed(seen, Command::Pasv)
    {
        let what = match elsewhere(Some(bad)) {
            Some(passive) => {
                format!("227 in the clear names {}; under TLS it names the server", passive.said)
            }
            None => "the port in a 227 in the clear is not open; under TLS, and by EPSV, it is".to_owned(),
        };
        return Some(
            Finding::new(
                Culprit::AlgRewrites227,
                Certain,
                "Somebody between here and the server rewrites the reply to PASV, and gets it wrong.",
            )
            .because(what),
        );
    }
    let (passive, tls) = match (elsewhere(hidden), elsewhere(clear)) {
        (Some(passive), _) => (passive, true),
        (None, Some(passive)) => (passive, false),
        (None, None) => return rewritten_port(seen, clear.or(hidden), epsv_works(clear.is_none())),
    };
    let Passive { said, there, here } = passive;
    let finding = if is_private(said) || said.is_unspecified() {
        Finding::new(
            Culprit::ServerNatPrivateAddress,
            Certain,
            format!(
                "The server is behind NAT and does not know its public address: its 227 names {said}, which is \
                 private. Clients that believe it hang."
            ),
        )
    } else {
        // In the clear only, and EPSV elsewhere: a rewriter is as good an explanation.
        let alike = !tls && here != Reach::Open && epsv_works(false);
        if alike {
            return Some(
                Finding::new(
                    Culprit::AlgRewrites227,
                    Likely,
                    format!("The 227 names {said} and a port that leads nowhere, while EPSV works: it is rewritten on the way."),
                )
                .because(format!("port of the 227 at {said}: {}; at the server: {}", word(there), word(here))),
            );
        }
        Finding::new(
            Culprit::WrongPassiveAddress,
            if tls { Certain } else { Likely },
            format!("The server's 227 names {said}, and that is not where its passive ports are."),
        )
    };
    Some(finding.because(format!(
        "the announced port at {said}: {}; the same port at the server's address: {}",
        word(there),
        word(here)
    )))
}

/// The address of the 227 is right and its port is not, while EPSV works.
fn rewritten_port(seen: &Evidence, pasv: Option<&Outcome>, epsv_works: bool) -> Option<Finding> {
    let dead = matches!(pasv, Some(Outcome::Silent | Outcome::Reset | Outcome::Prohibited(_)));
    let epsv_shut = seen.offers.iter().any(|o| o.command == Command::Epsv && shut(o.reach));
    let pasv_open = seen.offers.iter().any(|o| o.command == Command::Pasv && o.reach == Reach::Open);
    (dead && epsv_works && !epsv_shut && !pasv_open).then(|| {
        Finding::new(
            Culprit::AlgRewrites227,
            Likely,
            "Ports announced by 229 are open and those announced by 227 are not: the 227 is rewritten on the way.",
        )
        .because("EPSV works, PASV does not")
    })
}

fn word(reach: Reach) -> &'static str {
    match reach {
        Reach::Open => "open",
        Reach::Reset => "refused",
        Reach::Silent => "no answer",
        Reach::Prohibited(_) => "rejected",
        Reach::NoWay(_) => "unreachable",
    }
}

/// Private (RFC 1918, RFC 6598, RFC 4193), loopback and link-local addresses.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || a == 100 && (64..128).contains(&b)
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// Whether ports offered by one command are both open and shut.
fn mixed(seen: &Evidence, command: Command) -> bool {
    let of = || seen.offers.iter().filter(|o| o.command == command);
    of().any(|o| o.reach == Reach::Open) && of().any(|o| shut(o.reach))
}

/// PASV works and EPSV does not.
pub(super) fn one_command(seen: &Evidence) -> Option<Finding> {
    if mixed(seen, Command::Epsv) || mixed(seen, Command::Pasv) {
        return None;
    }
    for set in sets(seen) {
        let of = |command: Command| set.iter().filter(move |a| a.command == command);
        let pasv_works = of(Command::Pasv).any(|a| works_or_could(&a.outcome));
        let broken = of(Command::Epsv).find(|a| match &a.outcome {
            Outcome::CommandRefused { code, .. } => seen.names_epsv && *code >= 500,
            Outcome::CommandLost | Outcome::NoTransfer(_) => true,
            outcome => outcome.no_connection(),
        });
        if let Some(epsv) = broken.filter(|_| pasv_works) {
            return Some(
                Finding::new(
                    Culprit::EpsvBroken,
                    Certain,
                    "EPSV fails and PASV works: a firewall or NAT on the way knows only the older command.",
                )
                .because(format!("EPSV: {}", epsv.detail))
                .because("PASV: a listing came through"),
            );
        }
    }
    None
}

fn works_or_could(outcome: &Outcome) -> bool {
    *outcome == Outcome::Works
        || matches!(outcome, Outcome::OtherAddress(passive) if passive.there == Reach::Open)
}

pub(super) fn partly_closed(seen: &Evidence) -> Option<Finding> {
    let open: Vec<&Offered> = seen.offers.iter().filter(|o| o.reach == Reach::Open).collect();
    // A reset may be a listener that was gone already; several are not.
    let closed: Vec<&Offered> = seen.offers.iter().filter(|o| shut(o.reach)).collect();
    let resets = closed.iter().all(|o| o.reach == Reach::Reset);
    let family = |offers: &[&Offered]| offers.first().map(|o| o.family);
    if open.is_empty() || closed.is_empty() || resets && closed.len() < 3 {
        return None;
    }
    // One family open and the other shut is another matter.
    if family(&open) != family(&closed)
        && open.iter().all(|o| Some(o.family) == family(&open))
        && closed.iter().all(|o| Some(o.family) == family(&closed))
    {
        return None;
    }
    let ports = |offers: &[&Offered]| {
        let mut ports: Vec<u16> = offers.iter().map(|o| o.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
    };
    Some(
        Finding::new(
            Culprit::PassiveRangePartlyClosed,
            if closed.len() > 1 { Certain } else { Likely },
            "The firewall before the server lets a part of its passive range in, and drops the rest: transfers \
             hang by chance.",
        )
        .because(format!("open: {}", ports(&open)))
        .because(format!("not open: {}", ports(&closed))),
    )
}

pub(super) fn resumption(seen: &Evidence) -> Option<Finding> {
    (seen.resumption_required == Some(true)).then(|| {
        Finding::new(
            Culprit::DataTlsResumptionRequired,
            if seen.attempts.iter().any(|a| a.tls && a.outcome == Outcome::Works) {
                Certain
            } else {
                Possible
            },
            "The server demands that each data connection resumes the TLS session of its control connection. \
             portway does; clients that do not (Python ftplib, Net::FTP, Commons Net and others) fail here.",
        )
        .because("a data connection that resumed was served, one that did not was refused")
    })
}
