//! Passive against active mode: whose firewall or NAT it is.

use super::Finding;
use crate::Confidence::{self, Certain, Likely, Possible};
use crate::firewall::Fate;
use crate::{Attempt, Culprit, Evidence, Family, Mode, Outcome, Reach, Software, Where};

/// Attempts that differ in the command only: one family and one protection each, what matters most first.
pub(super) fn sets(seen: &Evidence) -> Vec<Vec<&Attempt>> {
    let mut sets = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        for tls in [true, false] {
            let set: Vec<&Attempt> =
                seen.attempts.iter().filter(|a| a.family == family && a.tls == tls).collect();
            if !set.is_empty() {
                sets.push(set);
            }
        }
    }
    sets
}

/// The server refuses PORT because the address is not the one it sees.
pub(super) fn refused_as_foreign(attempt: &Attempt) -> bool {
    let Outcome::CommandRefused { code, text } = &attempt.outcome else { return false };
    let text = text.to_ascii_lowercase();
    attempt.command.mode() == Mode::Active
        && matches!(code, 500..=504 | 425 | 435)
        && ["illegal", "won't open", "not your", "foreign", "bounce", "address", "only to"]
            .iter()
            .any(|word| text.contains(word))
}

/// How one mode stands in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Untried,
    Works,
    /// The server will not, by its own choice.
    Refused,
    /// Only NAT keeps it from working.
    Nat,
    /// The connection does not come about.
    Broken,
    /// Something else, which other rules look at.
    Other,
}

fn state(set: &[&Attempt], mode: Mode) -> State {
    let of: Vec<&&Attempt> = set.iter().filter(|a| a.command.mode() == mode).collect();
    let any = |test: &dyn Fn(&Attempt) -> bool| of.iter().any(|a| test(a));
    match () {
        () if of.is_empty() => State::Untried,
        () if any(&|a| a.outcome == Outcome::Works) => State::Works,
        () if any(&refused_as_foreign) => State::Nat,
        () if any(&|a| a.outcome.no_connection()) => State::Broken,
        () if of.iter().all(|a| matches!(a.outcome, Outcome::CommandRefused { .. })) => State::Refused,
        () => State::Other,
    }
}

/// The set that decides: the first in which anything failed to come about, else the first.
fn decisive(seen: &Evidence) -> Option<Vec<&Attempt>> {
    let sets = sets(seen);
    let v4_works =
        sets.iter().any(|set| set.iter().any(|a| a.family == Family::Ipv4 && a.outcome == Outcome::Works));
    sets.into_iter().find(|set| !v4_works || set.iter().all(|a| a.family == Family::Ipv4))
}

/// Passive mode does not come about.
pub(super) fn passive_broken(seen: &Evidence) -> Option<Finding> {
    let set = decisive(seen)?;
    let (passive, active) = (state(&set, Mode::Passive), state(&set, Mode::Active));
    if passive != State::Broken {
        return match (passive, active) {
            // Nothing works, and it is not passive mode's fault.
            (State::Refused | State::Untried, State::Broken | State::Nat) => active_broken(seen),
            _ => None,
        };
    }
    let (side, sure, why) = passive_side(seen, &set);
    let active_side = match active {
        State::Broken => Some(active_side(seen)),
        _ => None,
    };
    let finding = match (side, active, active_side.as_ref().map(|(culprit, ..)| *culprit)) {
        (Side::Client, _, _) => Finding::new(
            Culprit::ClientFirewallBlocksPassive,
            sure,
            format!(
                "The client's own firewall does not let connections out to the server's passive ports{}.",
                if active == State::Works { "; active mode works" } else { "" }
            ),
        ),
        (Side::Server, State::Works | State::Refused | State::Untried | State::Other, _)
        | (Side::Server, State::Broken, Some(Culprit::ServerFirewallBlocksActive)) => Finding::new(
            Culprit::ServerFirewallBlocksPassive,
            sure,
            format!(
                "The firewall before the server does not let connections to its passive ports in{}.",
                match active {
                    State::Works => "; active mode works",
                    State::Broken => ", nor the server's own connections out",
                    _ => "",
                }
            ),
        ),
        (Side::Server, State::Nat, _) => Finding::new(
            Culprit::BothFirewallsBlock,
            sure,
            "Neither mode works: the firewall before the server drops its passive ports, and the client's NAT \
             makes active mode impossible.",
        ),
        (Side::Server, State::Broken, _) => Finding::new(
            Culprit::BothFirewallsBlock,
            sure.min(active_side.as_ref().map_or(Possible, |(_, sure, _)| *sure)),
            "Neither mode works: the firewall before the server drops its passive ports, and the client's \
             firewall drops the server's connections.",
        ),
    };
    let finding = why.into_iter().fold(finding, Finding::because);
    let finding = set
        .iter()
        .filter(|a| a.command.mode() == Mode::Passive)
        .fold(finding, |finding, a| finding.because(format!("{}: {}", a.command.name(), a.detail)));
    let more = active_side.map(|(_, _, why)| why).unwrap_or_default();
    Some(more.into_iter().fold(finding, Finding::because))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Who keeps passive mode from coming about.
fn passive_side(seen: &Evidence, set: &[&Attempt]) -> (Side, Confidence, Vec<String>) {
    if let Some(rules) = &seen.local_rules
        && let Fate::Dropped(rule) = &rules.passive
    {
        return (Side::Client, Certain, vec![format!("this machine's own rule drops it: {rule}")]);
    }
    let at = seen.data_trace.as_ref().zip(seen.control_trace.as_ref());
    let at = at.and_then(|(data, control)| Some((data.port, data.ends(control)?)));
    let router = |by: Option<std::net::IpAddr>| by.map_or_else(String::new, |by| format!(" ({by})"));
    match at {
        Some((port, Where::Here)) => {
            let why = format!(
                "a SYN to port {port} does not even leave this machine; one to the control port does"
            );
            (Side::Client, Certain, vec![why])
        }
        Some((port, Where::ClientSide(by))) => {
            let why =
                format!("a SYN to port {port} ends at the first router{}, the client's own", router(by));
            (Side::Client, Certain, vec![why])
        }
        Some((port, Where::ServerSide(by))) => {
            let why = format!(
                "a SYN to port {port} gets as far as the last router{} before the server",
                router(by)
            );
            (Side::Server, Certain, vec![why])
        }
        Some((port, Where::Between(by, at, of))) => {
            let why = format!("a SYN to port {port} ends at router {at} of {of}{}", router(by));
            (if at.saturating_mul(2) <= of { Side::Client } else { Side::Server }, Possible, vec![why])
        }
        None => {
            let by_icmp = set.iter().find_map(|a| match a.outcome {
                Outcome::Prohibited(Some(by)) => Some(by),
                _ => None,
            });
            let why = by_icmp.map(|by| format!("{by} says by ICMP that it rejects")).into_iter().collect();
            (Side::Server, Likely, why)
        }
    }
}

/// Who keeps active mode from coming about.
fn active_side(seen: &Evidence) -> (Culprit, Confidence, Vec<String>) {
    if let Some(rules) = &seen.local_rules
        && let Fate::Dropped(rule) = &rules.active
    {
        let why = format!("this machine's own rule drops it: {rule}");
        if rules.admits_related && !rules.has_helper {
            let more =
                "the rules admit related connections, and no helper is attached that would recognise them";
            return (Culprit::FtpHelperMissing, Certain, vec![why, more.to_owned()]);
        }
        return (Culprit::ClientFirewallBlocksActive, Certain, vec![why]);
    }
    if let Some((Reach::Silent | Reach::Prohibited(_), beside)) = seen.port_20
        && matches!(beside, Reach::Reset | Reach::Open)
    {
        let why = "port 20 of the server does not answer, a closed port beside it does: port 20 is filtered";
        return (Culprit::SourcePort20Filtered, Likely, vec![why.to_owned()]);
    }
    if let Some(told) = told_by_the_server(seen) {
        return told;
    }
    match seen.punch {
        Some(true) => {
            let why = "after a packet of ours to the server's port 20 had opened the way, its connection came: a \
                       firewall on this side admits answers only";
            (Culprit::ClientFirewallBlocksActive, Certain, vec![why.to_owned()])
        }
        // A server that connects from another port than 20 is not helped by the hole.
        Some(false) if matches!(seen.software, Software::Vsftpd | Software::PureFtpd) => {
            let why = "even after a packet of ours to the server's port 20 had opened the way through a firewall on \
                       this side, nothing came";
            let clean = seen.local_rules.as_ref().is_some_and(|rules| rules.active == Fate::Passes);
            let sure = if clean { Likely } else { Possible };
            (Culprit::ServerFirewallBlocksActive, sure, vec![why.to_owned()])
        }
        _ => (Culprit::ClientFirewallBlocksActive, Likely, Vec::new()),
    }
}

/// Where the SYNs of a portway server end that were sent to our port.
fn told_by_the_server(seen: &Evidence) -> Option<(Culprit, Confidence, Vec<String>)> {
    let (far, control) = (seen.far_trace.as_ref()?, seen.control_trace.as_ref()?);
    let at = far.ends(control)?;
    let router = |by: Option<std::net::IpAddr>| by.map_or_else(String::new, |by| format!(" ({by})"));
    Some(match at {
        Where::Here => {
            let why = "the server says that its SYNs do not even leave its machine";
            (Culprit::ServerFirewallBlocksActive, Certain, vec![why.to_owned()])
        }
        // Seen from the server, the first router is the one before the server.
        Where::ClientSide(by) => {
            let why =
                format!("the server says that its SYNs to our port end at its own router{}", router(by));
            (Culprit::ServerFirewallBlocksActive, Certain, vec![why])
        }
        Where::ServerSide(by) => {
            let why = format!("the server says that its SYNs get as far as our own router{}", router(by));
            (Culprit::ClientFirewallBlocksActive, Certain, vec![why])
        }
        Where::Between(by, at, of) => {
            let why =
                format!("the server says that its SYNs to our port end at router {at} of {of}{}", router(by));
            let near = at.saturating_mul(2) > of;
            let whose =
                if near { Culprit::ClientFirewallBlocksActive } else { Culprit::ServerFirewallBlocksActive };
            (whose, Possible, vec![why])
        }
    })
}

/// Active mode does not come about, and passive mode is not what this is about.
pub(super) fn active_broken(seen: &Evidence) -> Option<Finding> {
    let set = decisive(seen)?;
    let passive_works = state(&set, Mode::Passive) == State::Works;
    let but = if passive_works { " Passive mode works." } else { "" };
    let active = || set.iter().filter(|a| a.command.mode() == Mode::Active);
    let finding = match state(&set, Mode::Active) {
        State::Nat => {
            let seen_as = seen.seen_as.map_or_else(String::new, |ip| format!(", the server sees {ip}"));
            let local = seen.local.map_or_else(|| "a private address".to_owned(), |ip| ip.to_string());
            Finding::new(
                Culprit::ClientNatPrivatePort,
                if seen.seen_as.is_some() && seen.seen_as != seen.local { Certain } else { Likely },
                format!(
                    "This machine is behind NAT: PORT announces {local}{seen_as}, and the server refuses an \
                     address that is not its peer's.{but}"
                ),
            )
        }
        State::Broken => {
            if let (Some(local), Some(seen_as)) = (seen.local, seen.seen_as)
                && local != seen_as
                && Family::of(local) == Family::of(seen_as)
            {
                Finding::new(
                    Culprit::ClientNatPrivatePort,
                    Certain,
                    format!(
                        "This machine is behind NAT: PORT announces {local}, the server sees {seen_as} and \
                         cannot connect to the other.{but}"
                    ),
                )
            } else {
                let (culprit, sure, why) = active_side(seen);
                let finding = Finding::new(culprit, sure, format!("{}{but}", who(culprit)));
                why.into_iter().fold(finding, Finding::because)
            }
        }
        _ => return None,
    };
    Some(active().fold(finding, |finding, a| finding.because(format!("{}: {}", a.command.name(), a.detail))))
}

fn who(culprit: Culprit) -> &'static str {
    match culprit {
        Culprit::FtpHelperMissing => {
            "This machine's firewall admits answers only, and the server's data connection is none: nothing reads \
             the announcements on the control channel."
        }
        Culprit::SourcePort20Filtered => {
            "The server's data connections come from port 20, and somebody on the way drops them."
        }
        Culprit::ServerFirewallBlocksActive => {
            "The server's data connection does not reach this side: a firewall at the server does not let it out."
        }
        _ => "The firewall on the client's side drops the server's data connection.",
    }
}
