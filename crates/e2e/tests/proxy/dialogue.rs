//! What a client may do in the middle of things, as without the proxy.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use portway_e2e::{Kind, PATIENCE, Proxy, bytes, until};

use crate::world::{ANN, Scripted, forward, of, reverse, server, through};

fn session(proxy: &Proxy) -> portway_e2e::Control {
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    control
}

#[test]
fn an_aborted_download_leaves_the_session_usable() {
    for kind in [Kind::Portway, Kind::Vsftpd] {
        let (server, file) = of(kind);
        server.tree.sparse("large", 1 << 32).unwrap();
        let proxy = reverse(&server, &[]);
        let mut control = session(&proxy);
        for _ in 0..2 {
            let mut data = control.begin("RETR large").unwrap();
            let mut some = [0; 1000];
            data.read_exact(&mut some).unwrap();
            control.send("ABOR\r\n").unwrap();
            control.expect_reply(426).unwrap();
            control.expect_reply(226).unwrap();
            control.expect("NOOP", 200).unwrap();
            assert_eq!(control.fetch("RETR f").unwrap(), file, "{kind:?}");
        }
    }
}

#[test]
fn an_aborted_upload_is_not_complete_on_the_server() {
    let (server, file) = server();
    let proxy = reverse(&server, &[]);
    let mut control = session(&proxy);
    let mut data = control.begin("STOR up").unwrap();
    data.write_all(&file).unwrap();
    control.send("ABOR\r\n").unwrap();
    control.expect_reply(426).unwrap();
    control.expect_reply(226).unwrap();
    control.expect("NOOP", 200).unwrap();
    assert!(!server.tree.has("up"), "what was cut short has no name");
}

#[test]
fn a_killed_client_leaves_no_half_file_that_looks_whole() {
    let (server, file) = server();
    let proxy = reverse(&server, &[]);
    let mut control = session(&proxy);
    let mut data = control.begin("STOR up").unwrap();
    data.write_all(&file).unwrap();
    drop(data);
    control.hang_up();
    crate::world::logged(&proxy, &["session_closed"]);
    assert!(!server.tree.has("up"));
}

#[test]
fn transfers_are_resumed_both_ways() {
    for kind in [Kind::Portway, Kind::Vsftpd] {
        let (server, file) = of(kind);
        let proxy = reverse(&server, &[]);
        let mut control = session(&proxy);
        control.expect("REST 400000", 350).unwrap();
        assert_eq!(control.fetch("RETR f").unwrap(), &file[400_000..], "{kind:?}");
        assert_eq!(control.fetch("RETR f").unwrap(), file, "the offset counts once");
        control.store("STOR up", &file[..300_000]).unwrap();
        control.store("APPE up", &file[300_000..]).unwrap();
        assert_eq!(server.tree.read("up").unwrap(), file, "{kind:?}");
    }
}

#[test]
fn an_offset_does_not_outlive_the_transfer_that_it_was_for() {
    for kind in [Kind::Portway, Kind::Vsftpd] {
        let (server, file) = of(kind);
        let proxy = reverse(&server, &[]);
        let mut control = session(&proxy);
        control.expect("REST 400000", 350).unwrap();
        // The proxy refuses it, and the server hears nothing of it.
        control.expect("RETR f", 425).unwrap();
        assert_eq!(control.fetch("RETR f").unwrap(), file, "{kind:?}");
        control.expect("REST 400000", 350).unwrap();
        control.expect("STOR up", 425).unwrap();
        control.store("STOR up", &file).unwrap();
        assert_eq!(server.tree.read("up").unwrap(), file, "{kind:?}");
    }
}

#[test]
fn ascii_passes_as_it_is() {
    let (server, _) = server();
    server.tree.write("text", "one\ntwo\n").unwrap();
    let proxy = reverse(&server, &[]);
    let mut control = session(&proxy);
    control.expect("TYPE A", 200).unwrap();
    assert_eq!(control.fetch("RETR text").unwrap(), b"one\r\ntwo\r\n");
    control.store("STOR up", b"a\r\nb\r\n").unwrap();
    assert_eq!(server.tree.read("up").unwrap(), b"a\nb\n");
}

#[test]
fn status_and_noop_are_answered_while_a_transfer_runs() {
    let (server, _) = server();
    server.tree.sparse("large", 1 << 30).unwrap();
    let proxy = reverse(&server, &[]);
    let mut control = session(&proxy);
    let mut data = control.begin("RETR large").unwrap();
    data.read_exact(&mut [0; 100_000]).unwrap();
    let status = control.expect("STAT", 211).unwrap().to_string();
    assert!(status.contains("octets have been transferred"), "{status}");
    control.expect("NOOP", 200).unwrap();
    data.reset().unwrap();
    let reply = control.reply().unwrap();
    assert_eq!(reply.code, 426, "{reply}");
    control.expect("NOOP", 200).unwrap();
}

#[test]
fn replies_come_in_the_order_of_pipelined_commands() {
    let (server, _) = server();
    let proxy = reverse(&server, &[]);
    let mut control = session(&proxy);
    control.send("PWD\r\nSIZE f\r\nTYPE I\r\nNOOP\r\nSIZE missing\r\nSYST\r\n").unwrap();
    let codes: Vec<u16> = (0..6).map(|_| control.reply().unwrap().code).collect();
    assert_eq!(codes, [257, 213, 200, 200, 550, 215]);
}

#[test]
fn a_refused_transfer_and_an_empty_file_and_a_listing_are_what_they_are() {
    for kind in [Kind::Portway, Kind::Vsftpd] {
        let (server, _) = of(kind);
        server.tree.write("empty", "").unwrap();
        let proxy = reverse(&server, &[]);
        let mut control = session(&proxy);
        let to = control.epsv().unwrap();
        let data = control.join(to).unwrap();
        control.expect("RETR missing", 550).unwrap();
        drop(data);
        assert_eq!(control.fetch("RETR empty").unwrap(), b"");
        control.store("STOR nothing", b"").unwrap();
        assert_eq!(server.tree.read("nothing").unwrap(), b"");
        let names = String::from_utf8(control.fetch("NLST").unwrap()).unwrap();
        assert!(names.contains("empty\r\n") && names.contains("nothing\r\n"), "{kind:?}: {names}");
        let listing = String::from_utf8(control.fetch("LIST").unwrap()).unwrap();
        assert!(listing.contains("500000"), "{listing}");
    }
}

#[test]
fn a_slow_client_slows_the_server_and_costs_no_memory() {
    let (server, _) = server();
    server.tree.sparse("large", 3 << 30).unwrap();
    let proxy = crate::world::forward(&[]);
    let mut control = through(&proxy, server.port().unwrap());
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/statm", proxy.pid())).unwrap();
        status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = resident();
    let mut data = control.begin("RETR large").unwrap();
    data.read_exact(&mut [0; 1000]).unwrap();
    // All buffers on the way fill up; then nothing moves until somebody reads.
    let mut last = String::new();
    portway_e2e::until("the transfer stands still", portway_e2e::PATIENCE, || {
        let status = control.expect("STAT", 211)?.to_string();
        let line = status.lines().find(|line| line.contains("octets")).unwrap_or_default().to_owned();
        let same = line == last;
        last = line;
        Ok(same.then_some(()))
    })
    .unwrap();
    assert!(resident() < before + (16 << 20), "{} KiB more", (resident() - before) >> 10);
    control.send("ABOR\r\n").unwrap();
    control.expect_reply(426).unwrap();
}

#[test]
fn names_of_any_octets_survive() {
    let (server, _) = server();
    let proxy = reverse(&server, &[]);
    let mut control = session(&proxy);
    let file = bytes(3, 1000);
    for name in [&b"a b  c"[..], b" lead", "\u{fc}\u{df}".as_bytes(), b"\xfc\x80", b"-l", b"\"quoted\""] {
        control.store([b"STOR ", name].concat(), &file).unwrap();
        assert_eq!(server.tree.read(name).unwrap(), file, "{name:?}");
        assert_eq!(control.fetch([b"RETR ", name].concat()).unwrap(), file);
    }
}

#[test]
fn the_server_is_asked_for_a_data_connection_while_the_client_opens_its_own() {
    let server =
        Scripted::start(&[("EPRT", "200 Ok"), ("SIZE", "213 1"), ("REST", "350 Ok"), ("RETR", "550 No")]);
    let proxy = forward(&["--upstream-mode", "active"]);
    let mut control = through(&proxy, server.at);
    let asked = || server.heard().iter().filter(|line| line.starts_with("EPRT")).count();
    control.epsv().unwrap();
    until("the server is asked before the transfer", PATIENCE, || Ok((asked() == 1).then_some(()))).unwrap();
    // What comes in between is no reason to ask again, nor is a client that changes its mind.
    control.expect("SIZE f", 213).unwrap();
    let to = control.epsv().unwrap();
    let _data = control.join(to).unwrap();
    control.expect("REST 1", 350).unwrap();
    control.expect("RETR f", 550).unwrap();
    let heard = server.heard();
    assert!(heard.ends_with(&["REST 1".to_owned(), "RETR f".to_owned()]), "{heard:?}");
    assert_eq!(asked(), 1, "{heard:?}");
    control.epsv().unwrap();
    until("the next is asked for", PATIENCE, || Ok((asked() == 2).then_some(()))).unwrap();
}

/// `nc -N` closes its side behind its last line, and still reads.
#[test]
fn who_closes_its_side_behind_the_last_command_still_gets_every_reply() {
    let (server, _) = server();
    let (in_front, to_any) = (reverse(&server, &[]), forward(&[]));
    let goal = server.port().unwrap();
    for (to, user) in [
        (goal, ANN.0.to_owned()),
        (in_front.port().unwrap(), ANN.0.to_owned()),
        (to_any.port().unwrap(), format!("{}@{goal}", ANN.0)),
    ] {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = format!("USER {user}\r\nPASS {}\r\nPWD\r\nMKD made\r\nRMD made\r\nNOOP\r\n", ANN.1);
        stream.write_all(lines.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let codes: Vec<&str> = said.lines().filter_map(|line| line.get(..3)).collect();
        assert_eq!(codes, ["220", "331", "230", "257", "257", "250", "200"], "{said}");
    }
}

/// Whoever is gone altogether looks the same at first, and is given up.
#[test]
fn a_server_that_never_answers_is_left_some_time_after_the_client() {
    let mute = Scripted::start(&[("PWD", "")]);
    let proxy = Proxy::start(&["--reverse", &format!("ftp://{}", mute.at)]).unwrap();
    let mut control = session(&proxy);
    control.send("PWD\r\n").unwrap();
    control.hang_up();
    crate::world::logged(&proxy, &["session_closed", "peer_closed"]);
}

/// Clients that see their data connection end first (basic-ftp among them) never hear of the 550.
#[test]
fn a_refused_transfer_is_answered_before_its_data_connection_ends() {
    for kind in [Kind::Portway, Kind::Vsftpd] {
        let (server, _) = of(kind);
        let proxy = reverse(&server, &[]);
        for line in ["RETR none", "STOR no/such"] {
            let mut control = session(&proxy);
            for round in 0..20 {
                let to = control.epsv().unwrap();
                let mut data = control.join(to).unwrap();
                control.send(format!("{line}\r\n")).unwrap();
                // Reset or closed, it carries nothing.
                let _ = data.read_all();
                let socket = control.channel().socket();
                socket.set_nonblocking(true).unwrap();
                let answered = socket.peek(&mut [0; 3]);
                socket.set_nonblocking(false).unwrap();
                assert!(matches!(answered, Ok(3)), "{kind:?}, {line}, round {round}: {answered:?}");
                assert!(control.reply().unwrap().code >= 550);
            }
        }
    }
}
