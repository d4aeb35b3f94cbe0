//! What the hostile get: strangers, clients and servers.

use std::io::Read;
use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use portway_e2e::{Control, Proxy, until};

use crate::world::{ANN, Scripted, logged, reverse, server, through};

#[test]
fn a_stranger_gets_no_data_connection_and_the_owner_is_still_served() {
    let (server, file) = server();
    let proxy = reverse(&server, &[]);
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    let to = control.epsv().unwrap();
    let stranger: IpAddr = "127.0.0.9".parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::new(stranger, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    control.send("RETR f\r\n").unwrap();
    control.expect_reply(150).unwrap();
    let mut nothing = Vec::new();
    let mut thief = std::net::TcpStream::from(socket);
    thief.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = thief.read_to_end(&mut nothing);
    assert!(nothing.is_empty(), "the stranger got {} octets", nothing.len());
    let mut data = control.join(to).unwrap();
    assert_eq!(data.read_all().unwrap(), file);
    control.end().unwrap();
}

#[test]
fn a_client_cannot_send_the_proxy_elsewhere_by_port() {
    let (server, _) = server();
    let proxy = reverse(&server, &[]);
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    for line in [
        "PORT 127,0,0,9,200,1",
        "PORT 10,0,0,1,200,1",
        "PORT 127,0,0,1,0,22",
        "PORT 127,0,0,1,256,1",
        "EPRT |1|127.0.0.9|50000|",
        "EPRT |1|127.0.0.1|22|",
    ] {
        control.expect(line, 501).unwrap();
    }
    control.expect("EPRT |2|::1|50000|", 522).unwrap();
    control.expect("RETR f", 425).unwrap();
    let own = proxy.port().unwrap().port();
    control.expect(format!("PORT 127,0,0,1,{},{}", own / 256, own % 256), 501).unwrap();
}

#[test]
fn a_server_cannot_send_the_proxy_elsewhere_by_its_227() {
    // It names another host, where somebody listens at that very port.
    let trap = TcpListener::bind("127.0.0.9:0").unwrap();
    let port = trap.local_addr().unwrap().port();
    let reply: &'static str =
        Box::leak(format!("227 Here (127,0,0,9,{},{})", port / 256, port % 256).into_boxed_str());
    let rows: &'static [(&str, &str)] =
        Box::leak(vec![("EPSV", "500 No"), ("PASV", reply), ("EPRT", "500 No"), ("PORT", "500 No")].into());
    let hostile = Scripted::start(rows);
    let proxy = Proxy::start(&["--reverse", &format!("ftp://{}", hostile.at)]).unwrap();
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    control.epsv().unwrap();
    control.expect("RETR f", 425).unwrap();
    trap.set_nonblocking(true).unwrap();
    assert!(trap.accept().is_err(), "nobody came to the trap");
    // Nor to a privileged port of its own.
    let low = Scripted::start(&[
        ("EPSV", "229 Here (|||22|)"),
        ("PASV", "227 Here (127,0,0,1,0,22)"),
        ("EPRT", "500 No"),
        ("PORT", "500 No"),
    ]);
    let proxy = Proxy::start(&["--reverse", &format!("ftp://{}", low.at)]).unwrap();
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    control.epsv().unwrap();
    control.expect("RETR f", 425).unwrap();
}

#[test]
fn nothing_but_whole_commands_reaches_the_server() {
    let listening = Scripted::start(&[("SITE", "200 Ok"), ("CWD", "250 Ok")]);
    let proxy = crate::world::forward(&[]);
    let mut control = through(&proxy, listening.at);
    // Bare CR, NUL and over-long lines are refused here; what is behind them is not run.
    let first = control.say(b"CWD a\rDELE b").unwrap().code;
    assert!(first >= 500, "{first}");
    let second = control.say(b"CWD a\0b").unwrap().code;
    assert!(second == 250 || second >= 500, "{second}");
    let named = control.expect(b"CWD a\r\0b", 501).unwrap().to_string();
    assert!(named.contains("do not pass the proxy"), "{named}");
    let long = [&b"CWD "[..], &[b'a'; 9000]].concat();
    let third = control.say(long).unwrap().code;
    assert!(third >= 500, "{third}");
    control.expect("CWD a", 250).unwrap();
    for line in listening.heard() {
        assert!(!line.starts_with("DELE") && !line.contains('\r') && !line.contains('\0'), "{line:?}");
        assert!(line.len() < 5000);
    }
    // The login is no way in, either.
    let mut login = proxy.connect().unwrap();
    let code = login.say(format!("USER a\rDELE b@{}", listening.at)).unwrap().code;
    assert!(code >= 500, "{code}");
}

#[test]
fn a_server_cannot_smuggle_replies() {
    // The middle of a multi-line reply looks like replies of its own.
    let sly = Scripted::start(&[
        ("CWD", "250-Hello\r\n227 Entering (127,0,0,1,0,22)\r\n250x\r\n530 Out\r\n250 Done"),
        ("PWD", "227 Entering Passive Mode (127,0,0,1,0,22)"),
    ]);
    let proxy = crate::world::forward(&[]);
    let mut control = through(&proxy, sly.at);
    let reply = control.expect("CWD x", 250).unwrap();
    let lines: Vec<String> =
        reply.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    assert!(lines[1..lines.len() - 1].iter().all(|line| line.starts_with(' ')), "{lines:?}");
    // A reply that no command can have: the server is given up.
    control.expect("PWD", 421).unwrap();
    logged(&proxy, &["upstream_failed", "lost"]);
}

#[test]
fn a_server_that_talks_without_end_is_left() {
    let endless: &'static str = format!("{}213 5", "100 Wait\r\n".repeat(5000)).leak();
    let patient: &'static str = format!("{}213 5", "100 Wait\r\n".repeat(50)).leak();
    let rows = vec![("SIZE", patient), ("MDTM", endless)].leak();
    let proxy = crate::world::forward(&[]);
    let mut control = through(&proxy, Scripted::start(rows).at);
    control.expect("SIZE f", 213).unwrap();
    control.expect("MDTM f", 421).unwrap();
}

/// Long listings by STAT pass as they come; nothing else may be long.
#[test]
fn a_long_reply_passes_in_parts_and_one_that_is_long_without_need_does_not() {
    let lines: Vec<String> = (0..9000).map(|row| format!(" -rw-r--r-- {row} {}", "x".repeat(60))).collect();
    let long: &'static str = format!("213-Status\r\n{}\r\n213 End", lines.join("\r\n")).leak();
    let features: &'static str = long.replace("213", "211").leak();
    let sly: &'static str = long.replace("213", "227").leak();
    let rows = vec![("STAT", long), ("FEAT", features), ("SITE", sly)].leak();
    let proxy = crate::world::forward(&[]);
    let server = Scripted::start(rows);
    let mut control = through(&proxy, server.at);
    for _ in 0..2 {
        let said = control.expect("STAT -l .", 213).unwrap();
        assert_eq!(said.lines.len(), lines.len() + 2);
        assert!(said.lines.iter().skip(1).zip(&lines).all(|(line, sent)| line == sent.as_bytes()));
    }
    for line in ["FEAT", "SITE LONG"] {
        let mut control = through(&proxy, server.at);
        let said = control.expect(line, 421).unwrap().to_string();
        assert!(said.contains("longer than"), "{said}");
        assert!(!said.contains("227"), "{said}");
    }
    control.expect("NOOP", 200).unwrap();
}

#[test]
fn commands_behind_auth_tls_are_never_run() {
    let (server, _) = server();
    let proxy = reverse(&server, &[]);
    let mut control = proxy.connect().unwrap();
    control.send("AUTH TLS\r\nUSER alice\r\n").unwrap();
    control.expect_reply(234).unwrap();
    control.ended().unwrap();
    assert!(server.log.so_far().iter().all(|line| !line.contains("session_opened")), "nobody came");
}

#[test]
fn a_browser_is_not_talked_to() {
    let (server, _) = server();
    let proxy = reverse(&server, &[]);
    let mut control = proxy.connect().unwrap();
    control.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nUSER alice\r\n").unwrap();
    let said = String::from_utf8(control.ended().unwrap()).unwrap();
    assert!(!said.contains("331") && !said.contains("HTTP"), "{said}");
}

#[test]
fn a_flood_is_limited_and_others_are_served() {
    let (server, file) = server();
    let proxy = reverse(&server, &["--max-sessions-per-address", "3"]);
    let place = proxy.port().unwrap();
    let held: Vec<Control> = (0..3).map(|_| proxy.connect().unwrap()).collect();
    let mut refused = Control::raw(place, None).unwrap();
    refused.expect_reply(421).unwrap();
    let other: IpAddr = "127.0.0.7".parse().unwrap();
    let mut control = Control::connect_from(other, place).unwrap();
    control.login(ANN).unwrap();
    assert_eq!(control.fetch("RETR f").unwrap(), file);
    drop(held);
    until("a place is free again", portway_e2e::PATIENCE, || Ok(proxy.connect().ok())).unwrap();
}

#[test]
fn who_does_not_log_in_and_who_guesses_is_sent_away() {
    let (server, _) = server();
    let proxy = reverse(&server, &[]);
    let mut control = proxy.connect().unwrap();
    for _ in 0..4 {
        control.expect("USER alice", 331).unwrap();
        control.expect("PASS wrong", 530).unwrap();
    }
    control.expect("USER alice", 331).unwrap();
    control.expect("PASS wrong", 421).unwrap();
    control.ended().unwrap();
}

#[test]
fn a_client_that_goes_from_server_to_server_has_no_heap_of_connections() {
    // It greets everybody and answers no goodbye.
    let server = Scripted::start(&[("QUIT", "")]);
    let proxy = crate::world::forward(&[]);
    let before = descriptors(&proxy);
    let mut control = proxy.connect().unwrap();
    for _ in 0..400 {
        control.expect(format!("OPEN {}", server.at), 220).unwrap();
        control.login(ANN).unwrap();
    }
    let open = descriptors(&proxy) - before;
    assert!(open < 300, "{open} connections for one client");
    drop(control);
    until("all of them are closed", portway_e2e::PATIENCE, || {
        Ok((descriptors(&proxy) <= before).then_some(()))
    })
    .unwrap();
}

#[test]
fn who_never_logs_in_makes_the_proxy_call_few_servers() {
    let server = Scripted::start(&[]);
    let proxy = Proxy::start(&["--reverse", &format!("ftp://{}", server.at)]).unwrap();
    let mut control = proxy.connect().unwrap();
    for _ in 0..15 {
        control.expect("USER alice", 331).unwrap();
    }
    control.login(ANN).unwrap();
    // Now it may begin anew.
    let again =
        (0..100).take_while(|_| control.say("USER alice").is_ok_and(|reply| reply.code == 331)).count();
    assert_eq!(again, 20);
    control.ended().unwrap();
}

fn descriptors(proxy: &Proxy) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap().count()
}

#[test]
fn an_account_that_the_server_has_not_asked_for_is_no_login() {
    // As Pure-FTPd and portway answer it, at any time.
    let server = Scripted::start(&[("ACCT", "202 Superfluous")]);
    let url = format!("ftp://{}", server.at);
    let proxy = Proxy::start(&["--reverse", &url, "--max-sessions-per-user", "1"]).unwrap();
    let mut stranger = proxy.connect().unwrap();
    stranger.expect("USER alice", 331).unwrap();
    stranger.expect("ACCT x", 202).unwrap();
    // Her place is free, and nobody reads in the log that she was here.
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    stranger.expect("EPSV", 530).unwrap();
    stranger.expect("QUIT", 221).unwrap();
    logged(&proxy, &["session_closed", "\"session\":1"]);
    let good = |line: &&String| line.contains("\"event\":\"login\"") && line.contains("\"ok\"");
    assert_eq!(proxy.log.so_far().iter().filter(good).count(), 1);
    // Who is asked for one is in with it.
    let server = Scripted::start(&[("PASS", "332 Account"), ("ACCT", "230 In"), ("PWD", "257 \"/\"")]);
    let proxy = Proxy::start(&["--reverse", &format!("ftp://{}", server.at)]).unwrap();
    let mut control = proxy.connect().unwrap();
    control.expect("USER alice", 331).unwrap();
    control.expect("PASS x", 332).unwrap();
    control.expect("ACCT x", 230).unwrap();
    control.expect("PWD", 257).unwrap();
    logged(&proxy, &["\"login\"", "\"ok\""]);
}

#[test]
fn a_name_with_control_characters_is_nobodys() {
    // Pure-FTPd would take it for `guest_1`, whom rules and limits are about.
    let (server, _) = server();
    let proxy = reverse(&server, &[]);
    let mut control = proxy.connect().unwrap();
    for name in [&b"guest\x011"[..], b"guest\t1", b"guest\x7f1"] {
        control.expect([b"USER ", name].concat(), 501).unwrap();
    }
    control.login(ANN).unwrap();
}

#[test]
fn who_guesses_passwords_locks_nobody_else_out_of_the_server() {
    // A server that counts failures by address takes all of them for the proxy's: portway's lets nobody in after 20.
    let server = Scripted::start(&[("PASS", "530 No"), ("PROXY", "")]);
    let url = format!("ftp://{}", server.at);
    let proxy = Proxy::start(&["--reverse", &url]).unwrap();
    let guesser: IpAddr = "127.0.0.66".parse().unwrap();
    let mut guessing: Vec<Control> =
        (0..30).map(|_| Control::connect_from(guesser, proxy.port().unwrap()).unwrap()).collect();
    for control in &mut guessing {
        control.send("USER alice\r\nPASS wrong\r\n").unwrap();
    }
    for control in &mut guessing {
        control.expect_reply(331).unwrap();
        let code = control.reply().unwrap().code;
        assert!(matches!(code, 421 | 530), "{code}");
    }
    assert_eq!(server.heard().iter().filter(|line| line.starts_with("PASS")).count(), 10);
    logged(&proxy, &["refused", "login", "throttled", "127.0.0.66"]);
    // Nobody else is stopped.
    let mut control = proxy.connect().unwrap();
    control.expect("USER alice", 331).unwrap();
    control.expect("PASS other", 530).unwrap();
    // A server that is told whose connection it is counts by itself.
    let told = Proxy::start(&["--reverse", &url, "--upstream-proxy-header", "v1"]).unwrap();
    for _ in 0..12 {
        let mut control = told.connect().unwrap();
        control.expect("USER alice", 331).unwrap();
        control.expect("PASS wrong", 530).unwrap();
    }
}
