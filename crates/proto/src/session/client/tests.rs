//! The quirks of servers in the field, as tables of scripted replies.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::{Algorithm, Epsv, ListArg};

mod properties;
mod reading;

fn reply(code: u16, text: &str) -> RawReply {
    RawReply { code, lines: text.split('\n').map(|line| line.as_bytes().to_vec()).collect() }
}

/// A session that has been greeted.
fn greeted() -> ClientSession {
    let mut session = ClientSession::new();
    session.feed(b"220 ready\r\n");
    assert!(
        matches!(session.next_event(), Some(Ok(Event::Answer(answer))) if answer.id == CommandId::GREETING)
    );
    session
}

/// What a dialogue comes to, in short: `RETR 150`, `RETR 226!` (final), `surplus 226`, `stray 500`, with `?`
/// behind a reply that does not fit.
fn told(session: &mut ClientSession) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = session.next_event() {
        told.push(match event.unwrap() {
            Event::Answer(answer) => {
                let verb = answer.verb.map_or("-", Verb::name);
                let last = if answer.last { "!" } else { "" };
                format!("{verb} {}{last}{}", answer.reply.code, if answer.fits { "" } else { "?" })
            }
            Event::Surplus(reply) => format!("surplus {}", reply.code),
            Event::Unsolicited(reply) => format!("stray {}", reply.code),
        });
    }
    told
}

#[test]
fn replies_find_their_commands_whatever_servers_mix_in() {
    let epsv = Command::Epsv(Epsv::Same);
    let get = Command::Retr(b"f");
    #[rustfmt::skip]
    let rows: &[(&str, &[Command<'_>], &str, &[&str])] = &[
        ("by the book", &[epsv, get], "229 (|||5|)\r\n150 go\r\n226 done\r\n",
            &["EPSV 229!", "RETR 150", "RETR 226!"]),
        ("no 150 (quirk 1)", &[get], "226 done\r\n", &["RETR 226!"]),
        ("two 226 (quirk 3)", &[get, epsv], "150 go\r\n226 done\r\n226 really\r\n229 (|||5|)\r\n",
            &["RETR 150", "RETR 226!", "surplus 226", "EPSV 229!"]),
        ("226 then 250, nothing waits (quirk 3)", &[get], "150 go\r\n226 done\r\n250 ok\r\n",
            &["RETR 150", "RETR 226!", "surplus 250"]),
        ("250 ends it (quirk 4)", &[get], "125 go\r\n250 done\r\n", &["RETR 125", "RETR 250!"]),
        ("200 ends it (quirk 4)", &[get], "150 go\r\n200 done\r\n", &["RETR 150", "RETR 200!"]),
        ("NOOP answered at once", &[get, Command::Noop], "150 go\r\n200 zzz\r\n226 done\r\n",
            &["RETR 150", "NOOP 200!", "RETR 226!"]),
        ("NOOP answered behind the 226", &[get, Command::Noop, Command::Noop, epsv],
            "150 go\r\n226 done\r\n200 zzz\r\n200 zzz\r\n229 (|||5|)\r\n",
            &["RETR 150", "RETR 226!", "NOOP 200!", "NOOP 200!", "EPSV 229!"]),
        ("NOOP answered before and behind", &[get, Command::Noop, Command::Noop],
            "150 go\r\n200 zzz\r\n426 cut\r\n200 zzz\r\n",
            &["RETR 150", "NOOP 200!", "RETR 426!", "NOOP 200!"]),
        ("foreign codes inside (quirk 11)", &[Command::Feat], "211-a\r\n123 not the end\r\n\r\n211 End\r\n",
            &["FEAT 211!"]),
        ("an oops between commands (quirk 16)", &[], "500 OOPS: child died\r\n", &["stray 500"]),
        ("oops in answer to PASV (quirk 25)", &[Command::Pasv], "500 OOPS: vsf_sysutil_bind\r\n", &["PASV 500!"]),
        ("421 in the middle (quirk 10)", &[get], "150 go\r\n421 too many connections\r\n",
            &["RETR 150", "RETR 421!"]),
        ("TYPE answered three times (quirk 16)", &[Command::Type(Representation::Image), Command::Size(b"f"), epsv],
            "200 ok\r\n200 ok\r\n200 ok\r\n213 5\r\n229 (|||5|)\r\n",
            &["TYPE 200!", "surplus 200", "surplus 200", "SIZE 213!", "EPSV 229!"]),
        ("a login reply to a port (quirk 60)", &[epsv], "331 password\r\n", &["EPSV 331!?"]),
        ("a port to a transfer (quirk 60)", &[get], "227 (1,2,3,4,5,6)\r\n", &["RETR 227!?"]),
        ("EPSV answered like PASV (quirk 20)", &[epsv], "227 (1,2,3,4,5,6)\r\n", &["EPSV 227!"]),
        ("EPSV answered with some 2xx (quirk 20)", &[epsv], "200 ok\r\n", &["EPSV 200!?"]),
        ("lines end in CRCRLF (quirk 15)", &[get], "150 go\r\r\n226 done\r\r\n", &["RETR 150", "RETR 226!"]),
        ("ABOR takes the second 226", &[get, Command::Abor], "150 go\r\n426 gone\r\n226 aborted\r\n",
            &["RETR 150", "RETR 426!", "ABOR 226!"]),
    ];
    for (name, commands, said, expected) in rows {
        let mut session = greeted();
        for command in *commands {
            session.send(command).unwrap();
        }
        session.feed(said.as_bytes());
        assert_eq!(told(&mut session), *expected, "{name}");
        assert_eq!(session.closing(), name.starts_with("421"), "{name}");
    }
}

#[test]
fn a_greeting_may_say_wait_first_and_may_not_ask_for_a_password() {
    let mut session = ClientSession::new();
    session.feed(b"120 five minutes\r\n220-hello\r\n lots\r\n220 go\r\n");
    assert_eq!(told(&mut session), ["- 120", "- 220!"]);
    let mut session = ClientSession::new();
    session.feed(b"331 password\r\n");
    assert_eq!(told(&mut session), ["- 331!?"], "quirk 60");
    let mut session = ClientSession::new();
    session.feed(b"SSH-2.0-OpenSSH_9.2\r\n");
    let error = session.next_event().unwrap().unwrap_err();
    assert!(error.speaks().unwrap().contains("sftp"), "quirk 27");
}

#[test]
fn a_block_that_ends_with_another_code_is_taken_after_a_pause() {
    let mut session = greeted();
    session.send(&Command::Retr(b"f")).unwrap();
    session.feed(b"150 go\r\n226-stats\r\n250 end\r\n");
    assert_eq!(told(&mut session), ["RETR 150"]);
    assert!(session.has_partial());
    let event = session.next_event_after_pause().unwrap().unwrap();
    assert!(matches!(event, Event::Answer(answer) if answer.last && answer.reply.code == 250), "quirk 12");
}

#[test]
fn no_name_can_smuggle_a_command() {
    for name in [&b"a\r\nDELE b"[..], b"a\nb", b"a\0b"] {
        let mut session = greeted();
        assert_eq!(session.send(&Command::Retr(name)), Err(EmitError::LineBreak));
        assert!(session.take_output().is_empty() && session.outstanding() == 0, "quirk 52");
    }
    let mut session = greeted();
    session.send(&Command::Retr(b"\xff ")).unwrap();
    assert_eq!(session.take_output(), b"RETR \xff\xff \r\n");
}

#[test]
fn settings_are_sent_once_and_again_after_a_refusal() {
    let mut session = greeted();
    assert!(session.needs_type(Representation::Image) && session.needs_type(Representation::Ascii));
    session.send(&Command::Type(Representation::Image)).unwrap();
    assert!(!session.needs_type(Representation::Image));
    session.feed(b"504 no\r\n");
    told(&mut session);
    assert!(session.needs_type(Representation::Image));
    assert!(!session.needs_rest(0) && session.needs_rest(7));
    session.send(&Command::Rest(7)).unwrap();
    session.feed(b"350 ok\r\n");
    told(&mut session);
    assert!(session.needs_rest(0), "quirk 31");
    session.send(&Command::Rest(0)).unwrap();
    session.feed(b"501 no\r\n");
    told(&mut session);
    assert!(!session.needs_rest(0), "quirk 31: a server that rejects REST 0 is not asked again");
}

#[test]
fn nothing_said_in_the_clear_survives_into_tls() {
    let mut session = greeted();
    session.send(&Command::Auth(crate::Mechanism::Tls)).unwrap();
    session.feed(b"234 go\r\n230 logged in\r\n");
    assert!(matches!(session.next_event(), Some(Ok(Event::Answer(answer))) if answer.reply.code == 234));
    assert!(session.tls_started());
    assert_eq!(told(&mut session), Vec::<String>::new());
}

#[test]
fn secrets_do_not_show() {
    assert_eq!(shown(&Command::Pass(b"hunter2")), "PASS ****");
    assert_eq!(shown(&Command::List(ListArg { flags: Some(b"-a"), path: None })), "LIST -a");
    assert_eq!(shown(&Command::Cwd(b"a\x1b[2J")), "CWD a\\x1b[2J");
    assert!(
        !format!("{:?}", Credentials { password: b"hunter2".to_vec(), ..Default::default() })
            .contains("hunter2")
    );
}

#[test]
fn a_login_goes_as_the_server_asks() {
    let credentials =
        Credentials { user: b"u".to_vec(), password: b"p".to_vec(), account: Some(b"a".to_vec()) };
    type Row = (&'static str, &'static [(u16, &'static str)], &'static str);
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("by the book", &[(331, "pass"), (230, "in")], "USER,PASS,in"),
        ("no password needed (quirk 26)", &[(230, "in")], "USER,in"),
        ("232 by certificate", &[(232, "in")], "USER,in"),
        ("password superfluous", &[(331, "pass"), (202, "superfluous")], "USER,PASS,in"),
        ("account after password (quirk 26)", &[(331, "pass"), (332, "acct"), (230, "in")], "USER,PASS,ACCT,in"),
        ("account after user", &[(332, "acct"), (230, "in")], "USER,ACCT,in"),
        ("wrong", &[(331, "pass"), (530, "Login incorrect")], "USER,PASS,refused"),
        ("too many (quirk 8)", &[(331, "pass"), (530, "Sorry, too many users")], "USER,PASS,busy"),
        ("421", &[(421, "closing")], "USER,busy"),
        ("challenge (quirk 26)", &[(331, "Response to otp-md5 95 pixymisas85805 required")], "USER,otp"),
        ("challenge only offered", &[(331, "Response to otp-md5 95 x or password required"), (230, "in")],
            "USER,PASS,in"),
        ("TLS wanted", &[(530, "Non-anonymous sessions must use encryption.")], "USER,tls"),
        ("a proxy's own trouble", &[(530, "The proxy's own TLS with the server failed.")], "USER,proxy"),
        ("TLS wanted, other words", &[(550, "SSL/TLS required on the control channel")], "USER,tls"),
        ("nonsense", &[(331, "pass"), (350, "what")], "USER,PASS,unexpected"),
    ];
    for (name, replies, expected) in rows {
        let mut login = Login::new(credentials.clone());
        let mut path = vec![login.first().verb().unwrap().name().to_owned()];
        for (code, text) in *replies {
            path.push(match login.step(&reply(*code, text)) {
                LoginStep::Send(command) => command.verb().unwrap().name().to_owned(),
                LoginStep::LoggedIn => "in".to_owned(),
                LoginStep::Failed(error) => match error {
                    LoginError::Refused { .. } => "refused",
                    LoginError::Busy { .. } => "busy",
                    LoginError::OneTimePassword { .. } => "otp",
                    LoginError::NeedsTls { .. } => "tls",
                    LoginError::Proxy { .. } => "proxy",
                    _ => "unexpected",
                }
                .to_owned(),
            });
        }
        assert_eq!(path.join(","), *expected, "{name}");
    }
    let mut login = Login::new(Credentials::default());
    let step = login.step(&reply(332, "account"));
    assert!(matches!(step, LoginStep::Failed(LoginError::NeedsAccount { .. })));
}

#[test]
fn a_transfer_is_done_when_its_size_says_so() {
    use DataEnd::{Broken, Clean, Never, Unfinished};
    use Judgement::{Ask, Complete, CompleteByProof, Incomplete, Overlong, Refused};
    #[rustfmt::skip]
    let rows = [
        ("by the book", Some(9), 9, Clean, Some(226), false, Complete),
        ("226 after half a file (quirk 6)", Some(9), 4, Clean, Some(226), false, Incomplete),
        ("false 426 (quirk 7)", Some(9), 9, Clean, Some(426), false, CompleteByProof),
        ("lost 226 (quirk 5)", Some(9), 9, Clean, None, false, CompleteByProof),
        ("no close_notify, size agrees (quirk 42)", Some(9), 9, Unfinished, Some(226), false, CompleteByProof),
        ("no close_notify, size unknown (quirk 42)", None, 9, Unfinished, Some(226), false, Ask),
        ("size unknown", None, 9, Clean, Some(226), false, Complete),
        ("size unknown, reply lost", None, 9, Clean, None, false, Ask),
        ("reset after an empty listing (quirk 35)", None, 0, Broken, Some(226), false, Ask),
        ("no data connection at all", None, 0, Never, Some(226), false, Ask),
        ("reset in the middle", None, 5, Broken, Some(226), false, Incomplete),
        ("offset ignored by the server", Some(9), 14, Clean, Some(226), false, Overlong),
        ("no such file", None, 0, Never, Some(550), false, Refused),
        ("no such file, empty expected", Some(0), 0, Never, Some(550), false, Refused),
        ("refused in the middle of a continuation", Some(9), 4, Never, Some(550), false, Refused),
        ("upload by the book", Some(9), 9, Clean, Some(226), true, Complete),
        ("upload with false 426 (quirk 7)", Some(9), 9, Clean, Some(426), true, Ask),
        ("upload without a reply (quirk 5)", Some(9), 9, Clean, None, true, Ask),
        ("upload refused", Some(9), 0, Never, Some(553), true, Refused),
        ("upload broken", Some(9), 4, Broken, Some(426), true, Ask),
    ];
    for (name, expected, reached, end, reply, upload, judgement) in rows {
        let evidence = Evidence { expected, reached, end, reply, upload };
        assert_eq!(evidence.judge(), judgement, "{name}");
    }
}

proptest! {
    #[test]
    fn a_session_survives_any_octets_and_any_cut(said: Vec<u8>, cut in 1_usize..40) {
        let mut whole = greeted();
        let mut pieces = greeted();
        for session in [&mut whole, &mut pieces] {
            session.send(&Command::Pasv).unwrap();
            session.send(&Command::Retr(b"f")).unwrap();
        }
        whole.feed(&said);
        said.chunks(cut).for_each(|piece| pieces.feed(piece));
        let events = |session: &mut ClientSession| std::iter::from_fn(|| session.next_event()).collect::<Vec<_>>();
        prop_assert_eq!(events(&mut whole), events(&mut pieces));
    }

    #[test]
    fn every_pipelined_command_gets_exactly_one_final_reply(count in 1_usize..40) {
        let mut session = greeted();
        for _ in 0..count {
            session.send(&Command::Epsv(Epsv::Same)).unwrap();
            session.send(&Command::Retr(b"f")).unwrap();
        }
        for _ in 0..count {
            session.feed(b"229 (|||2000|)\r\n150 go\r\n226 ok\r\n");
        }
        let finals = told(&mut session).iter().filter(|line| line.ends_with('!')).count();
        prop_assert_eq!(finals, 2 * count);
        prop_assert_eq!(session.outstanding(), 0);
    }
}
