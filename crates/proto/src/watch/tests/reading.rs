//! What is read at all, and what is passed on: rules 21 to 33.

use super::*;

#[test]
fn rule_21_what_is_not_ftp_is_closed_and_opens_nothing() {
    for first in [
        "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n",
        "SSH-2.0-x\r\n",
        "\r\n",
        "EHLO x\r\n",
        "\u{16}\u{3}\u{1}\r\n",
        "\0\r\n",
    ] {
        let mut gate = Gate::with(&V4, WatchPolicy { login_first: false, ..WatchPolicy::default() });
        gate.server_line("220 Hello.");
        gate.client(first);
        gate.client_line("PORT 192,0,2,7,19,136");
        gate.server_line("200 Fine.");
        assert!(gate.closed, "{first:?}");
        assert_eq!((gate.opened.len(), gate.server_saw().as_str()), (0, ""), "{first:?}");
    }
    let mut gate = Gate::with(&V4, WatchPolicy::default());
    gate.server_line("SSH-2.0-OpenSSH");
    assert!(gate.closed, "nor is a server of something else let through");
}

#[test]
fn rule_22_malformed_lines_are_refused_whole() {
    let long = [b"NOOP ".as_slice(), &[b'x'; 5000], b"\r\n"].concat();
    for line in [
        b"NO\0OP\r\n".as_slice(),
        b"RETR a\rPORT 192,0,2,7,19,136\r\n",
        b"NOOP\n",
        b"RETR a\r\0b\r\n",
        b"N\xD6\xD6P\r\n",
        b"\xC3\xA9\r\n",
        &long,
    ] {
        let mut gate = Gate::in_session(&V4);
        gate.client(line);
        assert_eq!((gate.last_code().as_str(), gate.server_saw().as_str()), ("500", ""), "{line:?}");
        gate.exchange("NOOP", "200 Alive.");
        assert_eq!(gate.last_code(), "200", "{line:?}");
    }
    let mut gate = Gate::in_session(&V4);
    gate.client(vec![b'x'; 100_000]);
    assert!(gate.closed, "no line end in sight");
}

#[test]
fn rule_23_telnet_commands_are_gone_before_anybody_reads() {
    let mut gate = Gate::in_session(&V4);
    gate.client(b"\xFF\xF4\xFF\xF2PO\xFF\xFB\x01RT 192,0,2,7,19,136\r\n");
    assert_eq!(gate.server_saw(), "PORT 192,0,2,7,19,136\r\n");
    gate.server_line("200 Fine.");
    assert_eq!(gate.opened.len(), 1);
    gate.client(b"RETR \xFF\xFFname\r\n");
    assert!(gate.to_server.ends_with(b"RETR \xFF\xFFname\r\n"), "an octet 255 in a name stays doubled");
}

#[test]
fn rule_24_lines_are_written_anew() {
    for (said, sent) in [
        ("port 192,0,2,7,19,136", "PORT 192,0,2,7,19,136"),
        ("Eprt !1!192.0.2.7!5000!", "EPRT |1|192.0.2.7|5000|"),
        ("list -la  x", "LIST -la  x"),
        ("xPwD", "PWD"),
        ("MODE C", "MODE C"),
        ("STRU R", "STRU R"),
        ("TYPE E N", "TYPE E N"),
        ("X-UNKNOWN", ""),
        ("MAGIC word", "MAGIC word"),
    ] {
        let mut gate = Gate::in_session(&V4);
        gate.client_line(said);
        assert_eq!(gate.server_saw().trim_end(), sent, "{said}");
    }
    let mut gate = Gate::in_session(&V4);
    gate.exchange("PASV", "227 =(198,51,100,1,19,136) \u{1b}[2J");
    assert_eq!(gate.client_saw(), "227 Entering Passive Mode (198,51,100,1,19,136).\r\n");
    gate.to_client.clear();
    gate.exchange("FEAT", "211-Features:\r\n UTF8\r\n227 (198,51,100,1,19,136)\r\n211 End");
    assert_eq!(gate.client_saw(), "211-Features:\r\n UTF8\r\n 227 (198,51,100,1,19,136)\r\n211 End\r\n");
}

#[test]
fn rule_25_after_tls_has_begun_nothing_is_read() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.exchange("AUTH TLS", "234 Go on.");
        assert!(gate.watch.is_opaque());
        gate.exchange(side.active, "200 Fine.");
        gate.exchange(side.passive, side.agreed);
        assert_eq!(gate.opened, []);
        assert!(gate.server_saw().contains(side.active), "the octets pass as they are");
        let mut gate = Gate::in_session(&side);
        gate.exchange("AUTH TLS", "502 No TLS here.");
        assert!(!gate.watch.is_opaque());
        gate.open_passive(&side);
        let refuse = WatchPolicy { auth_tls: AuthTls::Refuse, ..WatchPolicy::default() };
        let mut gate = Gate::with(&side, refuse).log_in();
        gate.client_line("AUTH TLS");
        assert_eq!((gate.last_code().as_str(), gate.server_saw().as_str()), ("534", ""));
    }
}

#[test]
fn rule_26_what_follows_auth_in_clear_is_thrown_away() {
    let mut gate = Gate::in_session(&V4);
    gate.client("AUTH TLS\r\nPORT 192,0,2,7,19,136\r\n");
    gate.server_line("234 Go on.");
    assert_eq!(gate.server_saw(), "AUTH TLS\r\n");
    // If the server wants no TLS, it was no injection: the command waited for its turn.
    let mut gate = Gate::in_session(&V4);
    gate.client("AUTH TLS\r\nNOOP\r\n");
    gate.server_line("502 No TLS here.");
    assert_eq!(gate.server_saw(), "AUTH TLS\r\nNOOP\r\n");
    // A shell that hands it over nevertheless changes nothing.
    let mut gate = Gate::in_session(&V4);
    gate.client_line("AUTH TLS");
    let rulings = gate.watch.on_command(Ok(b"DELE x"), gate.now);
    assert_eq!(rulings, [Ruling::Note(Notice::Injected)]);
}

#[test]
fn rule_27_after_ccc_the_first_announcement_counts() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.exchange("AUTH TLS", "234 Go on.");
        assert_eq!(gate.watch.resume(), []);
        gate.open_passive(&side);
        let forbid = WatchPolicy { ccc: false, ..WatchPolicy::default() };
        let mut gate = Gate::with(&side, forbid).log_in();
        gate.exchange("AUTH TLS", "234 Go on.");
        let rulings = gate.watch.resume();
        assert_eq!(rulings.last(), Some(&Ruling::Close));
    }
}

#[test]
fn rule_32_after_epsv_all_only_epsv_is_let_through() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.exchange("EPSV ALL", "200 Fine.");
        for command in [side.active, "PASV", "LPSV"] {
            gate.to_server.clear();
            gate.client_line(command);
            assert!(gate.last_code().starts_with('5'), "{command}");
            assert_eq!(gate.server_saw(), "", "{command}");
        }
        gate.exchange("EPSV", V6.agreed);
        assert_eq!(gate.opened.len(), 1);
    }
}

#[test]
fn rule_33_the_other_family_gets_522_and_the_one_to_use() {
    for (side, usable) in [(V4, "(1)"), (V6, "(2)")] {
        for command in [
            "EPRT |1|192.0.2.7|5000|",
            "EPRT |2|2001:db8::7|5000|",
            "EPRT |3|x|5000|",
            "EPSV 1",
            "EPSV 2",
            "EPSV 3",
        ] {
            let mut gate = Gate::in_session(&side);
            gate.client_line(command);
            let good = command.contains(&format!(" {}", &usable[1..2]))
                || command.contains(&format!("|{}|", &usable[1..2]));
            if good {
                assert!(gate.server_saw().starts_with(command), "{command}");
            } else {
                assert_eq!(gate.last_code(), "522", "{command}");
                assert!(gate.client_saw().contains(usable), "{command}: {}", gate.client_saw());
                assert_eq!(gate.server_saw(), "", "{command}");
            }
        }
    }
}

#[test]
fn a_refusal_waits_for_its_turn_among_the_answers() {
    let mut gate = Gate::in_session(&V4);
    gate.client("NOOP\r\nPORT 1,2\r\nNOOP\r\n");
    assert_eq!(gate.client_saw(), "", "nothing overtakes the first answer");
    gate.server_line("200 one");
    assert_eq!(gate.last_code(), "501");
    gate.server_line("200 two");
    assert!(gate.client_saw().ends_with("200 two\r\n"));
}

#[test]
fn a_translating_gate_announces_its_own_address_and_port() {
    let mut gate = Gate::in_session(&V4);
    gate.client_line("PASV");
    let reply = crate::RawReply { code: 227, lines: vec![b"(198,51,100,1,19,136)".to_vec()] };
    let rulings = gate.watch.on_reply(&reply, gate.now);
    let Some(Ruling::Open(opening)) = rulings.last() else { panic!("{rulings:?}") };
    let line = opening.line(Some("203.0.113.1:50123".parse().unwrap()));
    assert_eq!(line, b"227 Entering Passive Mode (203,0,113,1,195,203).\r\n");
}
