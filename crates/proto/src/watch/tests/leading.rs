//! Where a hole leads and how long it lives: rules 10 to 20.

use super::*;

#[test]
fn rule_10_an_announcement_names_its_own_sender() {
    for line in ["PORT 203,0,113,9,19,136", "EPRT |1|203.0.113.9|5000|", "PORT 198,51,100,1,19,136"] {
        let mut gate = Gate::in_session(&V4);
        gate.client_line(line);
        assert_eq!(gate.last_code(), "501", "{line}");
        assert!(matches!(gate.notes.last(), Some(Notice::Refused(Refused::ForeignHost { .. }))), "{line}");
        assert_eq!(gate.server_saw(), "");
    }
    let mut gate = Gate::in_session(&V6);
    gate.client_line(&format!("EPRT |2|{}|5000|", V6.other));
    assert_eq!(gate.last_code(), "501");
    let mut gate = Gate::in_session(&V4);
    gate.exchange("PASV", "227 (203,0,113,9,19,136)");
    assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "425"));
    // Behind a translating gate each side may know itself by another address.
    let policy = WatchPolicy {
        client_is_also: ["10.0.0.7".parse().unwrap()].into(),
        server_is_also: ["10.1.0.1".parse().unwrap()].into(),
        ..WatchPolicy::default()
    };
    let mut gate = Gate::with(&V4, policy).log_in();
    gate.exchange("PORT 10,0,0,7,19,136", "200 Fine.");
    gate.exchange("PASV", "227 (10,1,0,1,19,136)");
    let targets: Vec<_> = gate.opened.iter().map(|want| want.to().to_string()).collect();
    assert_eq!(targets, ["192.0.2.7:5000", "198.51.100.1:5000"]);
    assert!(gate.client_saw().contains("198,51,100,1,19,136"), "{}", gate.client_saw());
}

#[test]
fn rule_11_no_hole_leads_to_the_gate_or_to_no_host() {
    for side in BOTH {
        for own in [side.client, side.server] {
            let policy = WatchPolicy { own: [own.parse().unwrap()].into(), ..WatchPolicy::default() };
            let mut gate = Gate::with(&side, policy).log_in();
            gate.exchange(side.active, "200 Fine.");
            gate.exchange(side.passive, side.agreed);
            assert!(gate.opened.iter().all(|want| want.to().ip().to_string() != own), "{own}");
        }
    }
    for (client, line) in [
        ("127.0.0.1", "PORT 127,0,0,1,19,136"),
        ("::1", "EPRT |2|::1|5000|"),
        ("192.0.2.7", "PORT 0,0,0,0,19,136"),
        ("192.0.2.7", "PORT 255,255,255,255,19,136"),
        ("192.0.2.7", "PORT 224,0,0,1,19,136"),
        ("2001:db8::7", "EPRT |2|ff02::1|5000|"),
        ("2001:db8::7", "EPRT |2|::|5000|"),
    ] {
        let mut gate = Gate::with(&Side { client, server: client, ..V4 }, WatchPolicy::default()).log_in();
        gate.exchange(line, "200 Fine.");
        assert_eq!(gate.opened, [], "{line}");
    }
}

#[test]
fn rule_12_no_hole_leads_to_a_service() {
    for port in [1, 20, 21, 22, 1023, 2049, 3306, 5432, 6000] {
        for side in BOTH {
            let mut gate = Gate::in_session(&side);
            gate.client_line(
                &side
                    .active
                    .replace("5000", &port.to_string())
                    .replace("19,136", &format!("{},{}", port / 256, port % 256)),
            );
            assert_eq!((gate.last_code().as_str(), gate.server_saw().as_str()), ("501", ""), "{port}");
            let agreed = side.agreed.replace("5000", &port.to_string());
            let agreed = agreed.replace("19,136", &format!("{},{}", port / 256, port % 256));
            gate.exchange(side.passive, &agreed);
            assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "425"), "{port}");
        }
    }
}

#[test]
fn rule_13_a_hole_names_both_ends_and_the_port() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.exchange(side.active, "200 Fine.");
        gate.open_passive(&side);
        let ends: Vec<_> =
            gate.opened.iter().map(|w| (w.from.to_string(), w.to().ip().to_string())).collect();
        let (client, server) = (side.client.to_owned(), side.server.to_owned());
        assert_eq!(ends, [(server.clone(), client.clone()), (client, server)]);
        assert!(gate.opened.iter().all(|want| want.to().port() == 5000));
        assert!(gate.opened.iter().all(|want| want.within == Duration::from_secs(10)));
    }
}

#[test]
fn rules_14_and_16_one_announcement_opens_once_however_often_it_is_said() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.open_passive(&side);
        gate.server_line(side.agreed);
        gate.server_line(side.agreed);
        assert_eq!(gate.opened.len(), 1);
        let mut gate = Gate::in_session(&side);
        gate.exchange(side.active, "200 Fine.");
        gate.server_line("200 Fine.");
        assert_eq!(gate.opened.len(), 1);
    }
}

#[test]
fn rule_15_a_hole_ends_with_what_it_was_for() {
    for side in BOTH {
        for (name, command, reply) in [
            ("the next announcement", side.passive, "425 No."),
            ("the next active one", side.active, "425 No."),
            ("ABOR", "ABOR", ""),
            ("REIN", "REIN", ""),
            ("QUIT", "QUIT", ""),
            ("QUIT with an argument", "QUIT now", "221 Bye."),
        ] {
            let mut gate = Gate::in_session(&side);
            gate.open_passive(&side);
            gate.client_line(command);
            if !reply.is_empty() {
                gate.server_line(reply);
            }
            assert_eq!(gate.shut, 1, "{name}");
        }
        let mut gate = Gate::in_session(&side);
        gate.open_passive(&side);
        let rulings = gate.watch.on_end();
        assert_eq!(rulings, [Ruling::Shut, Ruling::Close], "FIN or RST of the control connection");
        assert_eq!(gate.watch.on_end(), [], "once");
        let mut gate = Gate::in_session(&side);
        gate.open_passive(&side);
        gate.now += Duration::from_secs(11);
        gate.client_line("QUIT");
        assert_eq!(gate.shut, 0, "it has died by itself");
    }
}

#[test]
fn rule_15_a_pipelined_quit_does_not_shut_the_hole_of_a_transfer_before_it() {
    let mut gate = Gate::in_session(&V4);
    gate.client("PASV\r\nRETR x\r\nQUIT\r\n");
    gate.server_line(V4.agreed);
    assert_eq!((gate.opened.len(), gate.shut), (1, 0));
    gate.server("150 Here.\r\n226 Done.\r\n");
    assert_eq!(gate.shut, 0);
    gate.server_line("221 Bye.");
    assert_eq!(gate.shut, 1);
}

#[test]
fn rule_17_one_hole_at_a_time_and_a_full_filter_says_425() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        for _ in 0..3 {
            gate.open_passive(&side);
        }
        assert_eq!(gate.shut, 2, "each opening but the first shut the one before");
        gate.hole_fails = true;
        gate.exchange(side.passive, side.agreed);
        assert!(gate.client_saw().lines().last().unwrap().starts_with("425 "));
        assert!(gate.client_saw().contains("the set is full"));
    }
}

#[test]
fn rule_20_nothing_opens_before_the_login() {
    for side in BOTH {
        let mut gate = Gate::with(&side, WatchPolicy::default());
        gate.server_line("220 Hello.");
        for command in [side.active, side.passive] {
            gate.client_line(command);
            assert_eq!(gate.last_code(), "530", "{command}");
        }
        assert_eq!(gate.server_saw(), "");
        // A pipelined login that fails takes its announcement with it.
        gate.client(format!("USER u\r\nPASS p\r\n{}\r\n", side.passive));
        gate.server(format!("331 Password?\r\n530 No.\r\n{}\r\n", side.agreed));
        assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "530"));
        gate.client(format!("USER u\r\nPASS p\r\n{}\r\n", side.passive));
        gate.server(format!("331 Password?\r\n230 Welcome.\r\n{}\r\n", side.agreed));
        assert_eq!(gate.opened.len(), 1);
        gate.exchange("REIN", "220 Ready.");
        gate.client_line(side.passive);
        assert_eq!(gate.last_code(), "530", "REIN forgets the user");
        let lax = WatchPolicy { login_first: false, ..WatchPolicy::default() };
        let mut gate = Gate::with(&side, lax);
        gate.server_line("220 Hello.");
        gate.open_passive(&side);
    }
}
