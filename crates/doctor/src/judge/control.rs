//! The control channel: name, connection, TLS, login, certificate.

use super::Finding;
use crate::Confidence::{Certain, Likely, Possible};
use crate::{
    CertificateFault, Culprit, Evidence, Family, Greeting, Login, Lookup, Outcome, Reach, Road, Software, Tls,
};

pub(super) fn name(seen: &Evidence) -> Option<Finding> {
    let host = &seen.host;
    match &seen.lookup {
        Lookup::Found => None,
        Lookup::NotFound(why) => Some(
            Finding::new(Culprit::NameNotFound, Certain, format!("The name {host} has no address."))
                .because(format!("the resolver says: {why}")),
        ),
        Lookup::Silent => Some(
            Finding::new(
                Culprit::NameNotFound,
                Likely,
                format!("The resolver does not answer for the name {host}."),
            )
            .because("no answer to the name lookup"),
        ),
    }
}

/// No control connection by any address.
pub(super) fn reach(seen: &Evidence) -> Option<Finding> {
    if seen.roads.is_empty() || seen.roads.iter().any(|road| road.greeting == Greeting::Ready) {
        return None;
    }
    let finding = if let Some(road) = seen.roads.iter().find(|road| road.reach == Reach::Open) {
        greeted_badly(road)
    } else if let Some(road) = seen.roads.iter().find(|road| road.reach == Reach::Reset) {
        Finding::new(
            Culprit::ServerDown,
            if reset_on_the_way(seen) { Likely } else { Certain },
            format!(
                "Nothing listens on port {} of {}: the server is not running, or runs on another port.",
                seen.port,
                road.to.ip()
            ),
        )
    } else if let Some((road, by)) = prohibited(seen) {
        Finding::new(
            Culprit::ServerFiltered,
            Certain,
            format!("A firewall{by} rejects connections to port {} of {}.", seen.port, road.to.ip()),
        )
    } else if seen.roads.iter().any(|road| matches!(road.reach, Reach::NoWay(_))) {
        Finding::new(
            Culprit::ServerDown,
            Likely,
            format!("{} cannot be reached: the machine is off, or its address is wrong.", seen.host),
        )
    } else {
        Finding::new(
            Culprit::ServerFiltered,
            Likely,
            format!(
                "Port {} of {} does not answer: a firewall drops it, or the machine is off.",
                seen.port, seen.host
            ),
        )
    };
    Some(seen.roads.iter().fold(finding, |finding, road| finding.because(said(road))))
}

/// A reset that comes from nearer than the server can be is a firewall's.
fn reset_on_the_way(seen: &Evidence) -> bool {
    seen.control_trace.as_ref().is_some_and(|trace| trace.routers() == Some(0))
}

fn greeted_badly(road: &Road) -> Finding {
    let at = road.to;
    match &road.greeting {
        Greeting::Busy(text) if text.contains("OOPS") => Finding::new(
            Culprit::ServerDown,
            Certain,
            format!(
                "The server at {at} runs and lets nobody in: its own configuration is at fault. It says: {text}"
            ),
        ),
        Greeting::Busy(text) => Finding::new(
            Culprit::ServerDown,
            Likely,
            format!("The server at {at} takes no sessions now: {text}"),
        ),
        Greeting::Foreign(text) => Finding::new(
            Culprit::ServerDown,
            Certain,
            format!("What answers at {at} is no FTP server; it says {text:?}."),
        ),
        Greeting::Closed => Finding::new(
            Culprit::ServerDown,
            Possible,
            format!("{at} takes the connection and closes it without a word."),
        ),
        _ => Finding::new(
            Culprit::ServerDown,
            Possible,
            format!(
                "{at} takes the connection and says nothing: it wants TLS at once (use ftps://), it hangs, or a \
                 firewall that sees one direction only (asymmetric routes) drops what follows the first packets."
            ),
        ),
    }
}

fn prohibited(seen: &Evidence) -> Option<(&Road, String)> {
    seen.roads.iter().find_map(|road| match road.reach {
        Reach::Prohibited(Some(by)) if by == road.to.ip() => {
            Some((road, format!(" on the server's own machine ({by})")))
        }
        Reach::Prohibited(Some(by)) => Some((road, format!(" at {by}"))),
        Reach::Prohibited(None) => Some((road, String::new())),
        _ => None,
    })
}

fn said(road: &Road) -> String {
    let to = road.to;
    match road.reach {
        Reach::Open => format!("control {to}: connected"),
        Reach::Reset => format!("control {to}: a reset came back"),
        Reach::Silent => format!("control {to}: no answer"),
        Reach::Prohibited(Some(by)) => format!("control {to}: ICMP \"prohibited\" from {by}"),
        Reach::Prohibited(None) => format!("control {to}: ICMP \"prohibited\""),
        Reach::NoWay(Some(by)) => format!("control {to}: ICMP \"unreachable\" from {by}"),
        Reach::NoWay(None) => format!("control {to}: unreachable"),
    }
}

/// TLS is kept from coming about.
pub(super) fn auth(seen: &Evidence) -> Option<Finding> {
    let finding = match &seen.tls {
        Tls::Stripped(why) => Finding::new(
            Culprit::AlgStripsAuthTls,
            if why.contains("echo") || why.contains("quote") { Certain } else { Likely },
            "Somebody between here and the server keeps TLS from being agreed on: AUTH TLS is answered as if \
             something else had been sent. Passwords and files go in the clear.",
        )
        .because(why.clone()),
        Tls::Cut(why) => {
            let finding = Finding::new(
                Culprit::TlsCut,
                Likely,
                "The server agrees on TLS, and then the handshake is cut off or never answered: a box on the way inspects \
                 TLS and cannot follow it behind AUTH, or the server's TLS is too old or broken.",
            )
            .because(format!("the handshake: {why}"));
            match &seen.login {
                Login::NeedsTls(text) => finding.because(format!("without TLS the server says: {text}")),
                _ => finding,
            }
        }
        Tls::NotOffered | Tls::NotTried | Tls::Failed(_) => match &seen.login {
            Login::NeedsTls(text) => {
                let finding = match &seen.tls {
                    Tls::Failed(why) => Finding::new(
                        Culprit::TlsRequired,
                        Certain,
                        format!("The server lets nobody in without TLS, and TLS does not come about: {why}"),
                    ),
                    Tls::NotOffered => Finding::new(
                        Culprit::AlgStripsAuthTls,
                        Likely,
                        "The server lets nobody in without TLS, and AUTH TLS is refused all the same: \
                         somebody in between answers for it.",
                    ),
                    _ => {
                        Finding::new(Culprit::TlsRequired, Certain, "The server lets nobody in without TLS.")
                    }
                };
                finding.because(format!("the server says: {text}"))
            }
            _ => return None,
        },
        Tls::Works => return None,
    };
    Some(seen.rewritten.iter().fold(finding, |finding, what| finding.because(what.clone())))
}

pub(super) fn login(seen: &Evidence) -> Option<Finding> {
    match &seen.login {
        Login::Refused(text) => Some(
            Finding::new(
                Culprit::LoginRefused,
                Certain,
                if text.contains("OOPS") {
                    "The server knows the account and cannot let it in: its own configuration is at fault."
                } else {
                    "The server refuses user name or password; the network is not to blame."
                },
            )
            .because(format!("the server says: {text}")),
        ),
        _ => None,
    }
}

/// One address family leads nowhere while the other works.
pub(super) fn one_family(seen: &Evidence) -> Option<Finding> {
    let six = |road: &&Road| Family::of(road.to.ip()) == Family::Ipv6;
    let (v6, v4): (Vec<&Road>, Vec<&Road>) = seen.roads.iter().partition(six);
    if !v4.iter().any(|road| road.greeting == Greeting::Ready) {
        return None;
    }
    let dead = v6.iter().find(|road| {
        matches!(road.reach, Reach::Silent | Reach::NoWay(Some(_)) | Reach::Prohibited(Some(_)))
            || road.reach == Reach::Open && matches!(road.greeting, Greeting::Silent)
    });
    if let Some(road) = dead.filter(|_| !v6.iter().any(|road| road.greeting == Greeting::Ready)) {
        let finding = Finding::new(
            Culprit::Ipv6BlackHole,
            if road.reach == Reach::Silent { Certain } else { Likely },
            format!(
                "{} has an IPv6 address, and connections to it vanish; IPv4 works. Clients that try IPv6 first wait.",
                seen.host
            ),
        );
        return Some(seen.roads.iter().fold(finding, |finding, road| finding.because(said(road))));
    }
    // Control works by both; data only by IPv4.
    let of = |family: Family| {
        let attempts = seen.attempts.iter().filter(move |a| a.family == family);
        attempts.filter(|a| a.command.mode() == crate::Mode::Passive)
    };
    let works = of(Family::Ipv4).any(|a| a.outcome == Outcome::Works);
    let fails = of(Family::Ipv6).next().is_some()
        && of(Family::Ipv6).all(|a| a.outcome.no_connection() || stuck(&a.outcome));
    (works && fails).then(|| {
        Finding::new(
            Culprit::Ipv6BlackHole,
            Likely,
            "The control channel works by IPv4 and IPv6, data connections by IPv4 only.",
        )
        .because("every passive data connection by IPv6 failed, by IPv4 one came about")
    })
}

fn stuck(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NoTransfer(crate::NoTransfer::NoOctets | crate::NoTransfer::Stalled(_)))
}

pub(super) fn certificate(seen: &Evidence) -> Option<Finding> {
    match seen.certificate.as_ref()? {
        CertificateFault::Expired(when) => Some(
            Finding::new(
                Culprit::CertificateExpired,
                Certain,
                format!("The server's certificate is out of date ({when}); clients refuse it."),
            )
            .because(format!("the certificate: {when}")),
        ),
        CertificateFault::WrongName(names) => Some(
            Finding::new(
                Culprit::CertificateWrongName,
                Certain,
                format!(
                    "The server's certificate is for {}, not for {}; clients refuse it.",
                    if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") },
                    seen.host
                ),
            )
            .because(format!("names in the certificate: {}", names.join(", "))),
        ),
        CertificateFault::Untrusted(_) => None,
    }
}

pub(super) fn untrusted(seen: &Evidence) -> Option<Finding> {
    let Some(CertificateFault::Untrusted(why)) = &seen.certificate else { return None };
    let whose = if seen.software == Software::Unknown { "The server" } else { seen.software.name() };
    Some(
        Finding::new(
            Culprit::CertificateUntrusted,
            Certain,
            format!("{whose} shows a certificate that nobody this machine trusts has signed."),
        )
        .because(why.clone()),
    )
}
