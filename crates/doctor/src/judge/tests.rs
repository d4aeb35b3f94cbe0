//! One row for each culprit, and for set-ups that are as they should be.

use std::net::{IpAddr, SocketAddr};

use crate::firewall::{Fate, Findings, Rule};
use crate::*;

const SERVER: [u8; 4] = [198, 51, 100, 1];

fn to() -> SocketAddr {
    (SERVER, 21).into()
}

fn router(n: u8) -> Hop {
    Hop::Router(Some(IpAddr::from([192, 0, 2, n])))
}

/// A server as it should be: plain and under TLS, both modes.
fn healthy() -> Evidence {
    let mut seen = Evidence {
        url: "ftp://ftp.example/".into(),
        host: "ftp.example".into(),
        port: 21,
        roads: vec![Road { to: to(), reach: Reach::Open, round_trip: Some(0.02), greeting: Greeting::Ready }],
        tls: Tls::Works,
        login: Login::In,
        names_epsv: true,
        local: Some([192, 0, 2, 7].into()),
        seen_as: Some([192, 0, 2, 7].into()),
        idle: Some(Idle::Works(4.0)),
        bulk: Some(Bulk::Works(500_000)),
        resumption_required: Some(false),
        ..Evidence::default()
    };
    for tls in [false, true] {
        for command in [Command::Epsv, Command::Pasv, Command::Port, Command::Eprt] {
            seen.attempts.push(attempt(command, tls, Outcome::Works));
        }
        for port in 50_000..50_006 {
            seen.offers.push(offered(tls, port, Reach::Open));
        }
    }
    seen
}

fn attempt(command: Command, tls: bool, outcome: Outcome) -> Attempt {
    let detail = outcome.cause().to_owned();
    Attempt { command, tls, family: Family::Ipv4, outcome, announced: None, seconds: 0.1, detail }
}

fn offered(tls: bool, port: u16, reach: Reach) -> Offered {
    Offered { command: Command::Epsv, tls, family: Family::Ipv4, port, reach }
}

/// Gives all attempts of one mode this outcome.
fn mode(seen: &mut Evidence, mode: Mode, outcome: &Outcome) {
    for a in seen.attempts.iter_mut().filter(|a| a.command.mode() == mode) {
        a.outcome = outcome.clone();
        a.detail = outcome.cause().to_owned();
    }
    if mode == Mode::Passive {
        let reach = match outcome {
            Outcome::Silent => Reach::Silent,
            Outcome::Reset => Reach::Reset,
            Outcome::Works => Reach::Open,
            _ => {
                seen.offers.clear();
                return;
            }
        };
        seen.offers.iter_mut().for_each(|o| o.reach = reach);
    }
}

fn one(seen: &mut Evidence, command: Command, tls: Option<bool>, outcome: &Outcome) {
    let some = |a: &&mut Attempt| a.command == command && tls.is_none_or(|tls| a.tls == tls);
    seen.attempts.iter_mut().filter(some).for_each(|a| a.outcome = outcome.clone());
}

/// The passive SYN ends behind this many of three routers.
fn ends_behind(seen: &mut Evidence, routers: u8) {
    let control = [router(1), router(2), router(3), Hop::Answer];
    let mut hops: Vec<Hop> = (1..=routers).map(router).collect();
    hops.resize(4, Hop::Silent);
    seen.control_trace = Some(Trace { port: 21, hops: control.to_vec() });
    seen.data_trace = Some(Trace { port: 50_000, hops });
}

/// A portway server's SYN to us ends behind this many of three routers.
fn far_ends_behind(seen: &mut Evidence, routers: u8) {
    ends_behind(seen, routers);
    seen.far_trace = seen.data_trace.take();
}

fn refused(code: u16, text: &str) -> Outcome {
    Outcome::CommandRefused { code, text: text.into() }
}

fn elsewhere(said: [u8; 4], here: Reach) -> Outcome {
    Outcome::OtherAddress(Passive { said: said.into(), there: Reach::Silent, here })
}

fn rules(active: bool, admits_related: bool, has_helper: bool) -> Option<Findings> {
    let fate = |drops: bool| if drops { Fate::Dropped(Rule::default()) } else { Fate::Passes };
    Some(Findings { active: fate(active), passive: fate(!active), admits_related, has_helper })
}

type Row = (&'static str, fn(&mut Evidence), Option<Culprit>, Usable);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("all is well", |_| {}, None, Usable::Usable),
    ("no TLS there", |s| { s.tls = Tls::NotOffered; s.attempts.retain(|a| !a.tls); s.offers.retain(|o| !o.tls); }, None, Usable::Usable),
    ("PORT refused by the server's own choice", |s| mode(s, Mode::Active, &refused(502, "Active mode is off.")), None, Usable::OneMode),
    ("PASV refused by the server's own choice", |s| mode(s, Mode::Passive, &refused(550, "Permission denied.")), None, Usable::OneMode),
    ("EPSV unknown to an old server", |s| { s.names_epsv = false; one(s, Command::Epsv, None, &refused(500, "What?")); }, None, Usable::Usable),
    ("one reset of many ports is a stale listener", |s| s.offers.push(offered(true, 50_009, Reach::Reset)), None, Usable::Usable),
    ("a 227 of another host that answers there", |s| one(s, Command::Pasv, None, &Outcome::OtherAddress(Passive { said: [198, 51, 100, 2].into(), there: Reach::Open, here: Reach::Reset })), None, Usable::Usable),
    ("the server ends idle sessions itself", |s| s.idle = Some(Idle::ServerClosed(4.0)), None, Usable::Usable),

    ("no such name", |s| { *s = Evidence { lookup: Lookup::NotFound("no".into()), ..Evidence::default() } }, Some(Culprit::NameNotFound), Usable::Unusable),
    ("nothing listens", |s| down(s, Reach::Reset), Some(Culprit::ServerDown), Usable::Unusable),
    ("it says 500 OOPS at once", |s| { s.roads[0].greeting = Greeting::Busy("500 OOPS: vsftpd: no user".into()); s.attempts.clear(); }, Some(Culprit::ServerDown), Usable::Unusable),
    ("it says nothing", |s| { s.roads[0].greeting = Greeting::Silent; s.attempts.clear(); }, Some(Culprit::ServerDown), Usable::Unusable),
    ("the host is away", |s| down(s, Reach::NoWay(Some([192, 0, 2, 3].into()))), Some(Culprit::ServerDown), Usable::Unusable),
    ("the control port is dropped", |s| down(s, Reach::Silent), Some(Culprit::ServerFiltered), Usable::Unusable),
    ("the control port is rejected", |s| down(s, Reach::Prohibited(Some([192, 0, 2, 3].into()))), Some(Culprit::ServerFiltered), Usable::Unusable),
    ("IPv6 vanishes", |s| s.roads.push(Road { to: "[2001:db8::1]:21".parse().unwrap(), reach: Reach::Silent, round_trip: None, greeting: Greeting::None }), Some(Culprit::Ipv6BlackHole), Usable::OneMode),
    ("data by IPv6 vanishes", |s| s.attempts.push(Attempt { family: Family::Ipv6, ..attempt(Command::Epsv, true, Outcome::Silent) }), Some(Culprit::Ipv6BlackHole), Usable::OneMode),
    ("AUTH is crossed out", |s| { s.tls = Tls::Stripped("the server quotes XXXX".into()); s.attempts.retain(|a| !a.tls); }, Some(Culprit::AlgStripsAuthTls), Usable::OneMode),
    ("the handshake is cut", |s| { s.tls = Tls::Cut("reset".into()); s.attempts.retain(|a| !a.tls); s.offers.retain(|o| !o.tls); }, Some(Culprit::TlsCut), Usable::OneMode),
    ("the handshake is cut and TLS is demanded", |s| { s.tls = Tls::Cut("reset".into()); s.login = Login::NeedsTls("530".into()); s.attempts.clear(); s.offers.clear(); }, Some(Culprit::TlsCut), Usable::Unusable),
    ("TLS demanded and AUTH refused", |s| { s.tls = Tls::NotOffered; s.login = Login::NeedsTls("530".into()); s.attempts.clear(); }, Some(Culprit::AlgStripsAuthTls), Usable::Unusable),
    ("TLS demanded and not tried", |s| { s.tls = Tls::NotTried; s.login = Login::NeedsTls("530".into()); s.attempts.clear(); }, Some(Culprit::TlsRequired), Usable::Unusable),
    ("wrong password", |s| { s.login = Login::Refused("530".into()); s.attempts.clear(); }, Some(Culprit::LoginRefused), Usable::Unusable),

    ("the server's gate drops", |s| { mode(s, Mode::Passive, &Outcome::Silent); ends_behind(s, 3); }, Some(Culprit::ServerFirewallBlocksPassive), Usable::OneMode),
    ("a reset to every passive port", |s| mode(s, Mode::Passive, &Outcome::Reset), Some(Culprit::ServerFirewallBlocksPassive), Usable::OneMode),
    ("the client's gate drops passive", |s| { mode(s, Mode::Passive, &Outcome::Silent); ends_behind(s, 1); }, Some(Culprit::ClientFirewallBlocksPassive), Usable::OneMode),
    ("this machine drops passive", |s| { mode(s, Mode::Passive, &Outcome::Silent); s.local_rules = rules(false, true, false); }, Some(Culprit::ClientFirewallBlocksPassive), Usable::OneMode),
    ("a hole of ours lets active through", |s| { mode(s, Mode::Active, &Outcome::NobodyCame); s.punch = Some(true); }, Some(Culprit::ClientFirewallBlocksActive), Usable::OneMode),
    ("nobody came, nothing else is known", |s| mode(s, Mode::Active, &Outcome::NobodyCame), Some(Culprit::ClientFirewallBlocksActive), Usable::OneMode),
    ("this machine drops active", |s| { mode(s, Mode::Active, &Outcome::NobodyCame); s.local_rules = rules(true, false, false); }, Some(Culprit::ClientFirewallBlocksActive), Usable::OneMode),
    ("this machine awaits a helper", |s| { mode(s, Mode::Active, &Outcome::NobodyCame); s.local_rules = rules(true, true, false); }, Some(Culprit::FtpHelperMissing), Usable::OneMode),
    ("no hole of ours helps", |s| { mode(s, Mode::Active, &Outcome::NobodyCame); s.software = Software::Vsftpd; s.punch = Some(false); }, Some(Culprit::ServerFirewallBlocksActive), Usable::OneMode),
    ("the server's own SYNs end at its router", |s| { mode(s, Mode::Active, &Outcome::NobodyCame); far_ends_behind(s, 1); }, Some(Culprit::ServerFirewallBlocksActive), Usable::OneMode),
    ("the server's SYNs get as far as our router", |s| { mode(s, Mode::Active, &Outcome::NobodyCame); far_ends_behind(s, 3); }, Some(Culprit::ClientFirewallBlocksActive), Usable::OneMode),
    ("port 20 is dead and its neighbours are not", |s| { mode(s, Mode::Active, &Outcome::NobodyCame); s.port_20 = Some((Reach::Silent, Reach::Reset)); }, Some(Culprit::SourcePort20Filtered), Usable::OneMode),
    ("behind NAT, PORT refused", |s| { mode(s, Mode::Active, &refused(500, "Illegal PORT command.")); s.seen_as = None; }, Some(Culprit::ClientNatPrivatePort), Usable::OneMode),
    ("behind NAT, PORT taken and useless", |s| { mode(s, Mode::Active, &Outcome::NobodyCame); s.seen_as = Some([203, 0, 113, 9].into()); }, Some(Culprit::ClientNatPrivatePort), Usable::OneMode),
    ("both sides drop", |s| { mode(s, Mode::Passive, &Outcome::Silent); mode(s, Mode::Active, &Outcome::NobodyCame); ends_behind(s, 3); s.punch = Some(true); }, Some(Culprit::BothFirewallsBlock), Usable::Unusable),
    ("the server's gate drops, and NAT here", |s| { mode(s, Mode::Passive, &Outcome::Silent); mode(s, Mode::Active, &refused(500, "Illegal PORT command.")); ends_behind(s, 3); }, Some(Culprit::BothFirewallsBlock), Usable::Unusable),
    ("227 names a private address", |s| one(s, Command::Pasv, None, &elsewhere([10, 0, 0, 5], Reach::Open)), Some(Culprit::ServerNatPrivateAddress), Usable::OneMode),
    ("227 names an old address", |s| one(s, Command::Pasv, None, &elsewhere([203, 0, 113, 5], Reach::Open)), Some(Culprit::WrongPassiveAddress), Usable::OneMode),
    ("227 is wrong in the clear only", |s| one(s, Command::Pasv, Some(false), &elsewhere([203, 0, 113, 5], Reach::Open)), Some(Culprit::AlgRewrites227), Usable::OneMode),
    ("227 is private in the clear only", |s| one(s, Command::Pasv, Some(false), &elsewhere([10, 0, 0, 5], Reach::Reset)), Some(Culprit::AlgRewrites227), Usable::OneMode),
    ("in the clear it works, under TLS it hangs", |s| { s.attempts.iter_mut().filter(|a| a.tls && a.command.mode() == Mode::Passive).for_each(|a| a.outcome = Outcome::Silent); s.offers.retain(|o| !o.tls); }, Some(Culprit::FtpHelperBlindUnderTls), Usable::OneMode),
    ("active works in the clear only", |s| s.attempts.iter_mut().filter(|a| a.tls && a.command.mode() == Mode::Active).for_each(|a| a.outcome = Outcome::NobodyCame), Some(Culprit::FtpHelperBlindUnderTls), Usable::OneMode),
    ("only who resumes is served", |s| s.resumption_required = Some(true), Some(Culprit::DataTlsResumptionRequired), Usable::Usable),
    ("not even who resumes is served", |s| s.attempts.iter_mut().filter(|a| a.tls).for_each(|a| a.outcome = Outcome::NoTransfer(NoTransfer::NotResumed("522".into()))), Some(Culprit::DataTlsResumptionRequired), Usable::OneMode),
    ("PROT P is refused", |s| s.attempts.iter_mut().filter(|a| a.tls).for_each(|a| a.outcome = Outcome::NoTransfer(NoTransfer::TlsRefused("534".into()))), Some(Culprit::DataTlsRefused), Usable::OneMode),
    ("no port left", |s| mode(s, Mode::Passive, &Outcome::Full { code: 425, text: "No port".into() }), Some(Culprit::PassiveRangeExhausted), Usable::OneMode),
    ("every other port is dropped", |s| s.offers.iter_mut().step_by(2).for_each(|o| o.reach = Reach::Silent), Some(Culprit::PassiveRangePartlyClosed), Usable::OneMode),
    ("EPSV is swallowed", |s| one(s, Command::Epsv, None, &Outcome::CommandLost), Some(Culprit::EpsvBroken), Usable::OneMode),
    ("nothing behind the SYN", |s| { mode(s, Mode::Passive, &Outcome::NoTransfer(NoTransfer::NoOctets)); mode(s, Mode::Active, &Outcome::NoTransfer(NoTransfer::NoOctets)); }, Some(Culprit::SynOnlyFilter), Usable::Unusable),
    ("large files stand still", |s| s.bulk = Some(Bulk::Stalled { after: 0, works_with_mss: Some(1220) }), Some(Culprit::MtuBlackHole), Usable::Unusable),
    ("silence kills the session", |s| s.idle = Some(Idle::Dead(4.0)), Some(Culprit::ControlIdleTimeout), Usable::OneMode),
    ("an old certificate", |s| s.certificate = Some(CertificateFault::Expired("10 days ago".into())), Some(Culprit::CertificateExpired), Usable::OneMode),
    ("another's certificate", |s| s.certificate = Some(CertificateFault::WrongName(vec!["www.example".into()])), Some(Culprit::CertificateWrongName), Usable::OneMode),
    ("a certificate of one's own", |s| s.certificate = Some(CertificateFault::Untrusted("self-signed".into())), Some(Culprit::CertificateUntrusted), Usable::OneMode),
];

fn down(seen: &mut Evidence, reach: Reach) {
    seen.attempts.clear();
    seen.login = Login::NotTried;
    seen.tls = Tls::NotTried;
    seen.roads = vec![Road { to: to(), reach, round_trip: None, greeting: Greeting::None }];
}

#[test]
fn each_culprit_is_named_by_what_it_does_and_nobody_else_is() {
    for (name, change, culprit, usable) in ROWS {
        let mut seen = healthy();
        change(&mut seen);
        let verdict = judge(&seen);
        assert_eq!(verdict.culprit, *culprit, "{name}: {}", verdict.sentence);
        assert_eq!(verdict.usable, *usable, "{name}");
    }
}

#[test]
fn every_culprit_has_a_row_a_sentence_evidence_and_cures_of_known_places() {
    for culprit in Culprit::ALL {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| row.2 == Some(*culprit)).collect();
        assert!(!rows.is_empty(), "{culprit:?} has no row");
        for (name, change, ..) in rows {
            let mut seen = healthy();
            change(&mut seen);
            let verdict = judge(&seen);
            assert!(verdict.sentence.ends_with(['.', ')', ':']) || verdict.sentence.contains(' '), "{name}");
            assert!(!verdict.evidence.is_empty(), "{name} shows nothing");
            assert!(!verdict.cures.is_empty(), "{name} has no cure");
            for cure in &verdict.cures {
                assert!(!cure.text.trim().is_empty() && !cure.text.contains("{public}"), "{name}: {cure:?}");
            }
        }
    }
}

#[test]
fn rules_to_paste_open_what_is_shut_and_holes_of_ours_where_another_table_drops() {
    let texts = |change: fn(&mut Evidence)| {
        let mut seen = healthy();
        change(&mut seen);
        judge(&seen).cures.into_iter().map(|cure| cure.text).collect::<Vec<_>>()
    };
    // Control by IPv6 gets through, data does not: one rule is missing.
    let six = texts(|s| {
        let to = "[2001:db8::1]:21".parse().unwrap();
        s.roads.push(Road { to, ..s.roads[0].clone() });
        s.attempts.push(Attempt { family: Family::Ipv6, ..attempt(Command::Epsv, true, Outcome::Silent) });
    });
    assert!(six[0].contains("ct original ip6 daddr 2001:db8::1 tcp dport <LOW>-<HIGH>"), "{six:?}");
    // A hole alone does not get past this machine's own rule.
    let own = texts(|s| {
        mode(s, Mode::Active, &Outcome::NobodyCame);
        s.local_rules = rules(true, false, false);
    });
    let hole = own.iter().find(|text| text.contains("--pinholes nft")).unwrap();
    let (rule, command) = hole.rsplit_once('\n').unwrap();
    assert!(rule.contains("ct mark and 0x00100000") && rule.contains("hook (input)"), "{hole}");
    assert_eq!(command, "portway ls --mode active --pinholes nft 'ftp://ftp.example/'");
}

#[test]
fn the_json_has_what_was_agreed_on() {
    let mut seen = healthy();
    mode(&mut seen, Mode::Passive, &Outcome::Silent);
    let json = judge(&seen).json(&seen);
    assert_eq!(json["verdict"], "one_mode");
    assert_eq!(json["culprit"], "server_firewall_blocks_passive");
    assert_eq!(json["attempts"][0]["command"], "EPSV");
    assert_eq!(json["attempts"][0]["mode"], "passive");
    assert_eq!(json["attempts"][0]["tls"], "plain");
    assert_eq!(json["attempts"][0]["result"], "blocked");
    for key in ["url", "confidence", "sentence", "evidence", "cures", "seconds"] {
        assert!(!json[key].is_null(), "{key}");
    }
    for cure in json["cures"].as_array().unwrap() {
        for key in ["place", "program", "kind", "text"] {
            assert!(cure[key].is_string(), "{cure}");
        }
    }
}
