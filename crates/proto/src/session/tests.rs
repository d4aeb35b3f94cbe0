use std::net::IpAddr;

use super::*;
use crate::{Announced, Code, Mode, Protection, Reply, Representation, Verb};

const V4: &str = "192.0.2.7";
const V6: &str = "2001:db8::7";

fn session(peer: &str) -> ServerSession {
    ServerSession::new(Policy::default(), peer.parse::<IpAddr>().expect("an address"), false)
}

fn logged_in(peer: &str) -> ServerSession {
    let mut session = session(peer);
    assert_eq!(code(&session.line(b"USER ann")), 331);
    assert!(matches!(session.line(b"PASS x"), Action::Verify { .. }));
    assert_eq!(code(&session.verified(Verdict::Accepted("Welcome.".into()))), 230);
    session
}

fn code(action: &Action<'_>) -> u16 {
    match action {
        Action::Reply(reply)
        | Action::Close(reply)
        | Action::StartTls(reply)
        | Action::StopTls(reply)
        | Action::Reinitialize(reply) => reply.code().number(),
        other => panic!("no reply: {other:?}"),
    }
}

fn text(reply: &Reply) -> String {
    let mut out = Vec::new();
    reply.emit(&mut out);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn nothing_but_the_login_is_served_before_the_login() {
    for row in crate::VERBS {
        let mut session = session(V4);
        let line = format!("{} x", row.name);
        let action = session.line(line.as_bytes());
        if row.needs == crate::Phase::LoggedIn && !matches!(row.support, crate::Support::Refused(_)) {
            assert_eq!(code(&action), 530, "{line}");
        }
    }
}

#[test]
fn five_wrong_passwords_end_the_session() {
    let mut session = session(V4);
    for round in 1..=5 {
        session.line(b"USER ann");
        session.line(b"PASS wrong");
        let action = session.verified(Verdict::Rejected);
        assert_eq!(code(&action), if round < 5 { 530 } else { 421 });
        assert_eq!(matches!(action, Action::Close(_)), round == 5);
    }
}

#[test]
fn a_browser_is_sent_away_without_an_echo() {
    for line in ["GET / HTTP/1.1", "POST /<script> HTTP/1.1", "EHLO mail", "SSH-2.0-x"] {
        let action = session(V4).line(line.as_bytes());
        let Action::Close(reply) = action else { panic!("{line}: {action:?}") };
        assert!(!text(&reply).contains("script"));
    }
    assert!(matches!(logged_in(V4).line(b"GET / HTTP/1.1"), Action::Reply(_)));
}

#[test]
fn a_browser_gets_no_further_with_a_method_or_a_line_of_its_making() {
    assert!(matches!(session(V4).line(b"NOOP /x HTTP/1.1"), Action::Close(_)));
    assert!(matches!(session(V4).bad_line("too long"), Action::Close(_)), "the request line");
    let mut session = session(V4);
    session.line(b"NOOP");
    assert!(matches!(session.bad_line("too long"), Action::Reply(_)), "a client of ours may err");
}

#[test]
fn rein_brings_every_setting_back() {
    let mut session = logged_in(V4);
    let fresh = format!("{:?}", logged_in(V4));
    for line in
        ["TYPE I", "MODE Z", "OPTS MODE Z LEVEL 9", "OPTS MLST size;", "OPTS HASH MD5", "EPSV ALL", "REST 5"]
    {
        session.line(line.as_bytes());
    }
    session.rename_from(b"a");
    assert_ne!(format!("{session:?}"), fresh);
    assert!(matches!(session.line(b"REIN"), Action::Reinitialize(_)));
    session.line(b"USER ann");
    session.line(b"PASS x");
    session.verified(Verdict::Accepted("Welcome.".into()));
    assert_eq!(format!("{session:?}"), fresh);
}

#[test]
fn host_takes_what_names_a_host_and_nothing_else() {
    for name in
        ["ftp.example.org", "example.org.", "b\u{fc}cher.example", "192.0.2.7", "[2001:db8::7]", "my_host"]
    {
        assert_eq!(code(&session(V4).line(format!("HOST {name}").as_bytes())), 220, "{name}");
    }
    // RFC 7151 §3.1: an IPv6 address stands in brackets.
    for name in ["2001:db8::7", "[192.0.2.7]", "[]", "a b", "../a", "a..b", ".", "name!"] {
        assert_eq!(code(&session(V4).line(format!("HOST {name}").as_bytes())), 501, "{name}");
    }
}

#[test]
fn a_protocol_nobody_knows_is_answered_by_the_one_that_works_here() {
    for (peer, want) in [(V4, "use (1)"), (V6, "use (2)")] {
        for line in ["EPSV 3", "EPRT |3|192.0.2.7|50000|"] {
            let Action::Reply(reply) = logged_in(peer).line(line.as_bytes()) else { panic!("{line}") };
            assert_eq!(reply.code().number(), 522);
            assert!(text(&reply).contains(want), "RFC 2428 section 2: {reply:?}");
        }
    }
    assert_eq!(code(&session(V4).line(b"EPRT |3|192.0.2.7|50000|")), 530);
}

#[test]
fn a_line_with_a_fault_parts_rnfr_from_rnto() {
    for line in ["RETR", "REST x", "FROB", "NOOP"] {
        let mut session = logged_in(V4);
        session.rename_from(b"a");
        session.line(line.as_bytes());
        assert_eq!(code(&session.line(b"RNTO b")), 503, "{line}");
    }
}

#[test]
fn babble_before_the_login_is_ended() {
    let mut session = session(V4);
    let lines = (0..1000).take_while(|_| matches!(session.line(b"FROB"), Action::Reply(_))).count();
    assert_eq!(lines, 29);
    let mut session = logged_in(V4);
    assert!((0..1000).all(|_| matches!(session.line(b"FROB"), Action::Reply(_))));
}

#[test]
fn a_transfer_needs_a_channel_and_uses_it_up() {
    let mut session = logged_in(V4);
    assert_eq!(code(&session.line(b"RETR f")), 425);
    assert_eq!(session.line(b"EPSV"), Action::Offer(Verb::Epsv));
    let reply =
        session.offered(Verb::Epsv, Announced::new("198.51.100.1:50001".parse().expect("an address")));
    assert_eq!(text(&reply), "229 Entering Extended Passive Mode (|||50001|).\r\n");
    session.line(b"TYPE I");
    session.line(b"REST 7");
    let Action::Transfer(transfer) = session.line(b"RETR f") else { panic!("no transfer") };
    assert_eq!(
        transfer,
        Transfer {
            kind: TransferKind::Retr(b"f"),
            channel: Channel::Passive,
            restart: 7,
            representation: Representation::Image,
            mode: Mode::Stream,
            deflate_level: 6,
            protection: Protection::Clear,
        }
    );
    assert_eq!(code(&session.line(b"RETR f")), 425, "the channel is used up");
}

#[test]
fn the_last_announcement_wins() {
    let mut session = logged_in(V4);
    session.line(b"PASV");
    session.offered(Verb::Pasv, Announced::new("198.51.100.1:50001".parse().expect("an address")));
    assert!(matches!(session.line(b"PORT 192,0,2,7,4,1"), Action::Target(..)));
    assert_eq!(session.channel(), Channel::None, "the passive port is dropped before the 200");
    session.targeted();
    let Action::Transfer(transfer) = session.line(b"LIST") else { panic!("no transfer") };
    assert_eq!(transfer.channel, Channel::Active);
}

#[test]
fn nobody_is_bounced_to_a_third_party() {
    for (line, want) in [
        ("PORT 192,0,2,7,0,22", 501),
        ("PORT 203,0,113,9,4,1", 501),
        ("PORT 127,0,0,1,4,1", 501),
        ("PORT 0,0,0,0,4,1", 501),
        ("EPRT |1|203.0.113.9|1025|", 501),
        ("EPRT |2|2001:db8::7|1025|", 522),
        ("EPRT |2|::ffff:192.0.2.7|1025|", 501),
    ] {
        assert_eq!(code(&logged_in(V4).line(line.as_bytes())), want, "{line}");
    }
    assert_eq!(code(&logged_in(V6).line(b"PORT 192,0,2,7,4,1")), 522);
    assert!(matches!(logged_in(V6).line(b"EPRT |2|2001:db8::7|1025|"), Action::Target(..)));
}

#[test]
fn epsv_all_shuts_out_every_other_way() {
    let mut session = logged_in(V4);
    assert_eq!(code(&session.line(b"EPSV ALL")), 200);
    for line in ["PASV", "PORT 192,0,2,7,4,1", "EPRT |1|192.0.2.7|1025|"] {
        assert_eq!(code(&session.line(line.as_bytes())), 503, "{line}");
    }
    assert_eq!(session.line(b"EPSV"), Action::Offer(Verb::Epsv));
}

#[test]
fn pasv_over_ipv6_names_epsv() {
    let action = logged_in(V6).line(b"PASV");
    let Action::Reply(reply) = action else { panic!("{action:?}") };
    assert!(reply.code().number() == 522 && text(&reply).contains("EPSV"));
    assert_eq!(code(&logged_in(V4).line(b"EPSV 2")), 522);
}

#[test]
fn tls_follows_the_order_of_rfc_4217() {
    let mut session = session(V4);
    assert_eq!(code(&session.line(b"PBSZ 0")), 503);
    assert_eq!(code(&session.line(b"PROT P")), 503);
    assert_eq!(code(&session.line(b"AUTH GSSAPI")), 504);
    assert!(matches!(session.line(b"AUTH TLS"), Action::StartTls(_)));
    session.tls_started();
    assert_eq!(code(&session.line(b"AUTH TLS")), 503);
    assert_eq!(code(&session.line(b"PROT P")), 503, "PBSZ first");
    assert_eq!(code(&session.line(b"PBSZ 0")), 200);
    assert_eq!(code(&session.line(b"PROT S")), 536);
    assert_eq!(code(&session.line(b"PROT P")), 200);
    assert_eq!(session.protection(), Protection::Private);
    session.line(b"USER ann");
    session.line(b"PASS x");
    session.verified(Verdict::Accepted("Welcome.".into()));
    assert_eq!(code(&session.line(b"CCC")), 534, "off by default");
}

#[test]
fn where_tls_is_required_nothing_goes_in_the_clear() {
    let policy = Policy { tls_required: true, ..Policy::default() };
    let mut session = ServerSession::new(policy, V4.parse().expect("an address"), false);
    assert_eq!(code(&session.line(b"USER ann")), 530);
    session.line(b"AUTH TLS");
    session.tls_started();
    session.line(b"USER ann");
    session.line(b"PASS x");
    session.verified(Verdict::Accepted("Welcome.".into()));
    session.line(b"EPSV");
    session.offered(Verb::Epsv, Announced::new("198.51.100.1:50001".parse().expect("an address")));
    assert_eq!(code(&session.line(b"RETR f")), 521);
    session.line(b"PBSZ 0");
    assert_eq!(code(&session.line(b"PROT C")), 534);
}

#[test]
fn a_login_in_the_clear_does_not_survive_auth_tls() {
    let mut session = logged_in(V4);
    session.line(b"AUTH TLS");
    session.tls_started();
    assert_eq!(session.user(), None);
    assert_eq!(code(&session.line(b"LIST")), 530);
}

#[test]
fn rnto_needs_rnfr_right_before_it() {
    let mut session = logged_in(V4);
    assert_eq!(code(&session.line(b"RNTO b")), 503);
    assert_eq!(session.line(b"RNFR a"), Action::RenameFrom(b"a"));
    assert_eq!(session.rename_from(b"a").code(), Code::PENDING);
    assert_eq!(session.line(b"RNTO b"), Action::Rename { from: b"a".to_vec(), to: b"b" });
    session.rename_from(b"a");
    session.line(b"NOOP");
    assert_eq!(code(&session.line(b"RNTO b")), 503);
}

#[test]
fn feat_lists_what_the_table_serves() {
    let mut session = logged_in(V4);
    let Action::Reply(reply) = session.line(b"FEAT") else { panic!("no reply") };
    let text = text(&reply);
    for line in [
        "211-Features:",
        " AUTH TLS",
        " EPRT",
        " EPSV",
        " MDTM",
        " PBSZ",
        " PROT",
        " REST STREAM",
        " SIZE",
        " TVFS",
        " UTF8",
        " MFMT",
        " HASH SHA-256*;SHA-512;SHA-1;MD5;CRC32",
        " MLST type*;size*;modify*;create;perm*;unique*;UNIX.mode*;UNIX.owner;UNIX.group;",
        "211 End",
    ] {
        assert!(text.lines().any(|have| have == line), "{line:?} is not in {text}");
    }
    assert!(!text.contains(" CCC") && !text.contains(" MODE Z") && text.contains(" MODE B"));
    assert_eq!(code(&session.line(b"OPTS MLST size;modify;frob;")), 200);
    assert_eq!(session.facts(), crate::row::MlsxFacts::SIZE | crate::row::MlsxFacts::MODIFY);
    let off = Policy { tls: false, ..Policy::default() };
    let mut plain = ServerSession::new(off, V4.parse().expect("an address"), false);
    let Action::Reply(reply) = plain.line(b"FEAT") else { panic!("no reply") };
    assert!(!self::text(&reply).contains("AUTH"));
}

proptest::proptest! {
    #[test]
    fn no_sequence_of_lines_makes_a_session_panic(lines: Vec<Vec<u8>>, verbs in proptest::collection::vec(0..crate::VERBS.len(), 0..40)) {
        let mut session = logged_in(V4);
        for line in &lines {
            let _ = session.line(line);
        }
        for at in verbs {
            let row = &crate::VERBS[at];
            let line = format!("{} 1", row.name);
            if let Action::Offer(verb) = session.line(line.as_bytes()) {
                session.offered(verb, Announced::new(([192, 0, 2, 1], 50000).into()));
            }
        }
    }
}
