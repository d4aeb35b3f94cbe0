//! Which cures fit a culprit.

use super::rules::{self, Hook, Match};
use super::servers::{self, Setting};
use super::{Cure, Facts, Kind, Place, Program, clients};
use crate::{Culprit, Evidence, Family, Greeting, Login, Mode, Outcome, Software, Tls};

/// The cures for a culprit, best first.
pub(crate) fn of(culprit: Culprit, seen: &Evidence) -> Vec<Cure> {
    let facts = Facts::new(seen);
    let mut out = Vec::new();
    match culprit {
        Culprit::ServerFirewallBlocksPassive
        | Culprit::BothFirewallsBlock
        | Culprit::PassiveRangePartlyClosed => {
            open_passive(&facts, &mut out);
            if culprit == Culprit::PassiveRangePartlyClosed {
                out.extend(servers::settings(&facts, Setting::PassiveRange));
            }
            if facts.works(Mode::Active) {
                out.extend(clients::active());
            }
        }
        Culprit::ClientFirewallBlocksPassive => {
            let high = Match::to(facts.server, "1024-65535");
            out.extend(gate(Place::ClientFirewall, &facts));
            out.extend(rules::accept(Place::ClientFirewall, &[Hook::Forward, Hook::Output], &high));
            out.extend(rules::accept(Place::Client, &[Hook::Output], &high));
            if facts.works(Mode::Active) {
                out.extend(clients::active());
            }
        }
        Culprit::ClientFirewallBlocksActive | Culprit::FtpHelperMissing => {
            let_active_in(culprit, &facts, &mut out);
        }
        Culprit::ServerFirewallBlocksActive => {
            let high = Match::to(facts.client, "1024-65535");
            out.extend(rules::accept(Place::ServerFirewall, &[Hook::Forward, Hook::Output], &high));
            out.extend(rules::accept(Place::Server, &[Hook::Output], &high));
            if facts.works(Mode::Passive) {
                out.push(clients::portway("--mode passive"));
                out.extend(clients::passive());
            }
        }
        Culprit::SourcePort20Filtered => {
            out.extend(rules::port_20(Place::ServerFirewall));
            out.extend(rules::port_20(Place::ClientFirewall));
            out.extend(servers::settings(&facts, Setting::OtherSourcePort));
            if facts.works(Mode::Passive) {
                out.push(clients::portway("--mode passive"));
                out.extend(clients::passive());
            }
        }
        Culprit::ClientNatPrivatePort => {
            out.push(clients::portway("--mode passive"));
            out.extend(clients::passive());
            out.extend(clients::public_address(facts.client));
            out.extend(rules::helper(Place::ClientNat, facts.control));
        }
        Culprit::ServerNatPrivateAddress => {
            out.extend(servers::settings(&facts, Setting::PassiveAddress));
            out.extend(rules::forward_passive(&facts));
            out.extend(servers::settings(&facts, Setting::PassiveRange));
            out.extend(clients::peer_address(&facts));
        }
        Culprit::WrongPassiveAddress => {
            out.extend(servers::settings(&facts, Setting::PassiveAddress));
            out.extend(clients::peer_address(&facts));
        }
        Culprit::AlgRewrites227 => {
            if seen.tls == Tls::Works {
                out.push(clients::portway("--tls required"));
            }
            // Whose box it is cannot be seen from here; not to ask it is sure.
            out.extend(clients::not_pasv(&facts));
            out.extend(rules::no_helper(Place::ServerFirewall));
            out.extend(rules::no_helper(Place::ClientFirewall));
            out.extend(rules::no_helper(Place::ServerNat));
        }
        Culprit::EpsvBroken => {
            out.extend(clients::not_epsv());
        }
        Culprit::FtpHelperBlindUnderTls => announce_under_tls(&facts, &mut out),
        Culprit::DataTlsResumptionRequired => {
            out.extend(servers::settings(&facts, Setting::NoResumption));
        }
        Culprit::DataTlsRefused => {
            out.extend(servers::settings(&facts, Setting::DataTls));
            out.extend(clients::no_tls());
        }
        Culprit::PassiveRangeExhausted => {
            out.push(pooled());
            out.extend(servers::settings(&facts, Setting::PassiveRange));
            out.extend(rules::open_range(Place::ServerFirewall));
            if facts.works(Mode::Active) {
                out.extend(clients::active());
            }
        }
        Culprit::SynOnlyFilter => {
            out.extend(rules::established(Place::ServerFirewall));
            out.extend(rules::established(Place::ClientFirewall));
        }
        Culprit::MtuBlackHole => out.extend(rules::mss(&facts)),
        Culprit::ControlIdleTimeout => out.extend(rules::idle(&facts)),
        Culprit::Ipv6BlackHole => by_ipv6(&facts, &mut out),
        Culprit::AlgStripsAuthTls => {
            out.extend(implicit_tls(seen));
            out.extend(rules::no_inspection());
        }
        Culprit::TlsCut => {
            if !seen.implicit_tls {
                out.extend(implicit_tls(seen));
            }
            out.extend(rules::no_tls_inspection(&facts));
            if facts.works(Mode::Passive) || facts.works(Mode::Active) {
                out.push(clients::portway("--tls off"));
            }
        }
        Culprit::TlsRequired => out.extend(clients::tls()),
        Culprit::LoginRefused => match &seen.login {
            Login::Refused(said) if said.contains("OOPS") => out.extend(servers::oops(said)),
            _ => out.extend(clients::login(seen)),
        },
        Culprit::CertificateExpired | Culprit::CertificateWrongName | Culprit::CertificateUntrusted => {
            out.extend(servers::settings(&facts, Setting::Certificate));
            out.extend(clients::certificate(culprit, seen));
        }
        Culprit::ServerDown => start(&facts, &mut out),
        Culprit::ServerFiltered => {
            let control = Match::to(facts.server, facts.control.to_string());
            // A firewall that does not know the control port does not know the data ports either.
            let both = Match::to(facts.server, format!("{},<LOW>-<HIGH>", facts.control));
            out.extend(rules::accept(Place::ServerFirewall, &[Hook::Forward, Hook::Input], &both));
            out.extend(rules::everywhere(Place::Server, &facts.control.to_string()));
            out.extend(rules::accept(Place::ClientFirewall, &[Hook::Forward, Hook::Output], &control));
        }
        Culprit::NameNotFound => {
            let line = format!("echo '<PUBLIC ADDRESS> {}' >> /etc/hosts", seen.host);
            out.push(Cure::new(Place::Dns, Program::Kernel, Kind::Command, line.clone()));
            out.push(Cure::new(Place::Client, Program::Kernel, Kind::Command, line));
        }
    }
    out
}

/// The client's firewall keeps the server's connections out.
fn let_active_in(culprit: Culprit, facts: &Facts<'_>, out: &mut Vec<Cure>) {
    let seen = facts.seen;
    if facts.works(Mode::Passive) {
        out.push(clients::portway("--mode passive"));
    }
    let place = if here(seen) { Place::Client } else { Place::ClientFirewall };
    if place == Place::ClientFirewall {
        out.extend(gate(place, facts));
    }
    if culprit == Culprit::FtpHelperMissing {
        out.extend(rules::helper(place, facts.control));
    }
    let high = Match::from(facts.server, "1024-65535");
    out.extend(rules::accept(place, &[Hook::Forward, Hook::Input], &high));
    if culprit != Culprit::FtpHelperMissing && seen.tls != Tls::Works {
        out.extend(rules::helper(place, facts.control));
    }
    if place == Place::Client {
        out.push(clients::pinholes(seen));
    }
    if facts.works(Mode::Passive) {
        out.extend(clients::passive());
    }
}

/// Somebody opened what he could read. Which side's helper it is shows in the mode that works in the clear and not under TLS.
fn announce_under_tls(facts: &Facts<'_>, out: &mut Vec<Cure>) {
    let seen = facts.seen;
    let lost = |mode: Mode| {
        let of = |tls: bool| seen.attempts.iter().filter(move |a| a.tls == tls && a.command.mode() == mode);
        of(false).any(|a| a.outcome == Outcome::Works) && !of(true).any(|a| a.outcome == Outcome::Works)
    };
    let passive_works = seen
        .attempts
        .iter()
        .any(|a| a.tls && a.command.mode() == Mode::Passive && a.outcome == Outcome::Works);
    if passive_works {
        out.push(clients::portway("--mode passive"));
        out.extend(clients::passive());
    }
    if lost(Mode::Passive) {
        out.push(agent());
        open_passive(facts, out);
    }
    if lost(Mode::Active) && !passive_works {
        let high = Match::from(facts.server, "1024-65535");
        out.extend(rules::accept(Place::ClientFirewall, &[Hook::Forward, Hook::Input], &high));
    }
    out.extend(clients::no_tls());
}

/// IPv6 leads nowhere, or its rules lack the data ports.
fn by_ipv6(facts: &Facts<'_>, out: &mut Vec<Cure>) {
    let seen = facts.seen;
    let six = |road: &&crate::Road| Family::of(road.to.ip()) == Family::Ipv6;
    let six: Vec<&crate::Road> = seen.roads.iter().filter(six).collect();
    let control = six.iter().any(|road| road.greeting == Greeting::Ready);
    // Where the control channel gets through, one rule is missing; else it may be anything on the way.
    let ports = if control { "<LOW>-<HIGH>".to_owned() } else { format!("{},<LOW>-<HIGH>", seen.port) };
    let what = Match::to(six.first().map(|road| road.to.ip()), ports);
    let open = rules::accept(Place::ServerFirewall, &[Hook::Forward, Hook::Input], &what);
    let (before, behind) = if control { (open, Vec::new()) } else { (Vec::new(), open) };
    out.extend(before);
    out.extend(clients::only_v4(facts));
    out.extend(behind);
}

/// The server does not answer, or says why it cannot serve.
fn start(facts: &Facts<'_>, out: &mut Vec<Cure>) {
    let seen = facts.seen;
    let silent = |road: &crate::Road| road.greeting == Greeting::Silent;
    let oops = seen.roads.iter().find_map(|road| match &road.greeting {
        Greeting::Busy(said) if said.contains("OOPS") => Some(servers::oops(said)),
        _ => None,
    });
    if seen.roads.iter().any(silent) {
        out.extend(implicit_tls(seen));
        out.extend(rules::established(Place::ServerFirewall));
        out.extend(rules::established(Place::ClientFirewall));
    }
    out.extend(oops.unwrap_or_else(|| servers::start(seen.software)));
}

/// This machine's own rules are at fault.
fn here(seen: &Evidence) -> bool {
    let dropped = |fate: &crate::firewall::Fate| matches!(fate, crate::firewall::Fate::Dropped(_));
    seen.local_rules.as_ref().is_some_and(|rules| dropped(&rules.active) || dropped(&rules.passive))
}

/// The smart firewall reads plain control channels, so it helps where there is no TLS.
fn gate(place: Place, facts: &Facts<'_>) -> Option<Cure> {
    (facts.seen.tls != Tls::Works).then(|| {
        let port = if facts.control == 21 { String::new() } else { format!(" --port {}", facts.control) };
        Cure::new(
            place,
            Program::PortwayGate,
            Kind::Command,
            format!("{}\nportway gate run{port}", rules::admit_mark(&[Hook::Forward])),
        )
    })
}

/// TLS from the first octet on, where nobody can meddle with AUTH.
fn implicit_tls(seen: &Evidence) -> Vec<Cure> {
    let url = format!("ftps://{}:990/", seen.host);
    [Program::Portway, Program::Curl, Program::Lftp]
        .map(|program| Cure::new(Place::Client, program, Kind::Option, url.clone()))
        .into()
}

fn agent() -> Cure {
    Cure::new(
        Place::Server,
        Program::PortwayServe,
        Kind::Option,
        "--pinholes agent:<ADDRESS OF THE GATE>:8021 --agent-dir <DIRECTORY FROM portway gate enroll>",
    )
}

/// Any number of sessions share one port.
fn pooled() -> Cure {
    Cure::new(Place::Server, Program::PortwayServe, Kind::Settings, "passive_ports = \"<LOW>-<LOW>\"")
}

/// Passive ports must get to the server.
fn open_passive(facts: &Facts<'_>, out: &mut Vec<Cure>) {
    out.extend(gate(Place::ServerFirewall, facts));
    out.extend(rules::open_range(Place::ServerFirewall));
    if facts.seen.software == Software::Portway {
        // For the firewall of the server's own machine.
        let text =
            format!("{}\nportway serve <ITS OTHER FLAGS> --pinholes nft", rules::admit_mark(&[Hook::Input]));
        out.push(Cure::new(Place::Server, Program::PortwayServe, Kind::Command, text));
    }
    out.extend(rules::everywhere(Place::Server, "<LOW>-<HIGH>"));
    out.extend(servers::settings(facts, Setting::PassiveRange));
}
