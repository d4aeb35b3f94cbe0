//! When an announcement counts: rules 1 to 9.

use super::*;

#[test]
fn rule_01_a_line_is_judged_only_when_it_is_whole() {
    for side in BOTH {
        for cut in [1, 2, 7, usize::MAX] {
            let mut gate = Gate::in_session(&side);
            gate.cut = cut;
            let (head, tail) = side.active.split_at(9);
            gate.client(head);
            assert_eq!(gate.server_saw(), "");
            gate.client(format!("{tail}\r"));
            assert_eq!(gate.server_saw(), "");
            gate.client("\n");
            assert_eq!(gate.server_saw(), format!("{}\r\n", side.active));
            gate.server_line("200 Fine.");
            assert_eq!(gate.opened.len(), 1, "cut by {cut}");
        }
    }
}

#[test]
fn rule_02_nothing_is_announced_before_the_hole_is_open() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.hole_fails = true;
        gate.exchange(side.passive, side.agreed);
        assert_eq!(gate.last_code(), "425", "no port reached the client");
        gate.exchange(side.active, "200 Fine.");
        assert_eq!(gate.last_code(), "425");
        // A transfer sent along with PORT waits, or the server would connect before the hole is there.
        let mut gate = Gate::in_session(&side);
        gate.client(format!("{}\r\nRETR x\r\n", side.active));
        assert!(!gate.server_saw().contains("RETR"));
        gate.server_line("200 Fine.");
        assert_eq!(gate.opened.len(), 1);
        assert!(gate.server_saw().ends_with("RETR x\r\n"));
    }
}

#[test]
fn rule_03_a_hole_to_the_client_needs_the_server_to_agree() {
    for side in BOTH {
        for (reply, opens) in [
            ("200 Fine.", 1),
            ("250 Fine.", 1),
            ("421 Bye.", 0),
            ("425 No.", 0),
            ("500 What?", 0),
            ("501 No.", 0),
            ("530 Who?", 0),
            ("331 Hm.", 0),
        ] {
            let mut gate = Gate::in_session(&side);
            gate.exchange(side.active, reply);
            assert_eq!(gate.opened.len(), opens, "{reply}");
            assert!(gate.client_saw().starts_with(&reply[..3]), "the client hears what the server said");
        }
    }
}

#[test]
fn rule_04_only_the_answer_to_pasv_announces() {
    for side in BOTH {
        for (name, script) in [
            ("nobody asked", vec![]),
            ("an answer to NOOP", vec!["NOOP"]),
            ("an answer to another command first in line", vec!["NOOP", side.passive]),
        ] {
            let mut gate = Gate::in_session(&side);
            script.iter().for_each(|line| gate.client_line(line));
            gate.server_line(side.agreed);
            assert_eq!(gate.opened, [], "{name}");
            assert!(matches!(gate.notes.last(), Some(Notice::Unsolicited(_))), "{name}");
            assert!(!gate.client_saw().contains("5000") && !gate.client_saw().contains("19,136"), "{name}");
        }
    }
    let mut gate = Gate::in_session(&V4);
    gate.exchange("PASV", V6.agreed);
    assert_eq!(gate.opened, [], "229 does not answer PASV");
}

#[test]
fn rule_05_replies_are_matched_to_32_pipelined_commands() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        let mut commands = String::new();
        let mut replies = String::new();
        for at in 0..32 {
            // Every fourth is refused by the gate itself; its answer keeps its place.
            let (command, reply) = match at % 4 {
                0 => ("NOOP", Some("200 noop")),
                1 => (side.passive, Some(side.agreed)),
                2 => ("PORT 1,2,3", None),
                _ => ("RETR x", Some("150 here\r\n226 done")),
            };
            commands.push_str(&format!("{command}\r\n"));
            replies.extend(reply.map(|reply| format!("{reply}\r\n")));
        }
        gate.client(commands);
        gate.server(replies);
        assert_eq!(gate.opened.len(), 8);
        let codes: Vec<_> = gate.client_saw().lines().map(|line| line[..3].to_owned()).collect();
        let expected = ["200", &side.agreed[..3], "501", "150", "226"].repeat(8);
        assert_eq!(codes, expected);
        assert_eq!(gate.watch.awaited(), 0);
    }
}

#[test]
fn rule_06_only_the_last_line_of_a_reply_counts() {
    for side in BOTH {
        for cut in [1, 5, usize::MAX] {
            let mut gate = Gate::in_session(&side);
            gate.cut = cut;
            gate.exchange(side.passive, &format!("500-no\r\n{}\r\n500 end", side.agreed));
            assert_eq!(gate.opened, [], "cut by {cut}");
            assert!(
                !gate.client_saw().contains(&format!("\n{}", &side.agreed[..4])),
                "{}",
                gate.client_saw()
            );
            let code = &side.agreed[..3];
            gate.exchange(side.passive, &format!("{code}-{}\r\n{code} no brackets", &side.agreed[4..]));
            assert_eq!(gate.opened, [], "cut by {cut}");
        }
    }
}

#[test]
fn rule_07_who_speaks_the_words_of_the_other_side_is_thrown_out() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.client_line(side.agreed);
        assert!(gate.closed && gate.opened.is_empty() && gate.to_server.is_empty());
        let mut gate = Gate::in_session(&side);
        gate.server_line(side.active);
        assert!(gate.closed && gate.opened.is_empty());
        assert_eq!(gate.notes, [Notice::WrongSide("server")]);
    }
}

#[test]
fn rules_08_and_09_numbers_are_read_strictly_and_refused_aloud() {
    for line in [
        "PORT 192,0,2,7,0,5000",
        "PORT 192,0,1,263,19,136",
        "PORT 192,0,2,7,256,22",
        "PORT 192,0,2,4294967303,19,136",
        "PORT 192,0,2,7,4,0019",
        "PORT 192,0,2,07,19,136",
        "PORT 192,0,2,7,19",
        "PORT 192,0,2,7,19,136,1",
        "PORT  192,0,2,7,19,136",
        "PORT 192,0,2,7,19,136 ",
        "PORT 192, 0,2,7,19,136",
        "PORT\t192,0,2,7,19,136",
        "PORT +192,0,2,7,19,136",
        "PORT 0xc0,0,2,7,19,136",
        "PORT 192,0,2,7,19,136x",
        "PORT",
        "PORT ",
        "EPRT |1|192.0.2.7|70536|",
        "EPRT |1|192.0.2.7|05000|",
        "EPRT |1|192.0.2.007|5000|",
        "EPRT |1|192.0.2.7|5000",
        "EPRT |1|192.0.2.7|5000| ",
        "EPRT",
    ] {
        let mut gate = Gate::in_session(&V4);
        gate.client_line(line);
        assert!(["500", "501"].contains(&gate.last_code().as_str()), "{line}: {}", gate.client_saw());
        assert_eq!(gate.server_saw(), "", "{line}");
        gate.exchange("NOOP", "200 Alive.");
        assert_eq!(gate.last_code(), "200", "the session lives");
    }
    for text in [
        "227 (198,51,100,1,0,5000)",
        "227 (198,51,99,257,19,136)",
        "227 (198,51,100,1,256,22)",
        "227 (198,51,100,01,19,136)",
        "227 (198,51,100,1,19,136",
        "227 198,51,100,1,19,136",
        "227 ( 198,51,100,1,19,136)",
        "227 (198,51,100,1,19,136) (198,51,100,1,19,137)",
    ] {
        let mut gate = Gate::in_session(&V4);
        gate.exchange("PASV", text);
        assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "425"), "{text}");
    }
    for text in
        ["229 (|||70536|)", "229 (|||5000)", "229 |||5000|", "229 (|1|198.51.100.1|5000|)", "229 (|||0|)"]
    {
        let mut gate = Gate::in_session(&V4);
        gate.exchange("EPSV", text);
        assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "425"), "{text}");
    }
}
