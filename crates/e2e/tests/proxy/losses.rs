//! Servers that go away, and clients that never come.

use std::io::{Read, Write};
use std::net::TcpListener;

use portway_e2e::Proxy;

use crate::world::{ANN, Scripted, at, forward, reverse, server, through};

#[test]
fn a_lost_server_is_told_at_once_and_the_client_may_open_another() {
    let ((mut one, _), (two, file)) = (server(), server());
    let proxy = forward(&[]);
    // Idle.
    let mut control = through(&proxy, one.port().unwrap());
    one.crash().unwrap();
    control.expect_reply(421).unwrap();
    control.expect("PWD", 530).unwrap();
    control.expect(format!("OPEN {}", two.port().unwrap()), 220).unwrap();
    control.login(ANN).unwrap();
    assert_eq!(control.fetch("RETR f").unwrap(), file);
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_file_makes_no_whole_file() {
    let (mut one, _) = server();
    one.tree.sparse("large", 1 << 32).unwrap();
    let proxy = forward(&[]);
    let mut control = through(&proxy, one.port().unwrap());
    let mut data = control.begin("RETR large").unwrap();
    data.read_exact(&mut [0; 1000]).unwrap();
    one.crash().unwrap();
    let mut rest = Vec::new();
    let end = data.socket().try_clone().unwrap().take(1 << 32).read_to_end(&mut rest);
    assert!(end.is_err(), "a reset, not an end of file");
    let reply = control.reply().unwrap();
    assert!(matches!(reply.code, 421 | 425 | 426), "{reply}");
}

#[test]
fn a_server_that_closes_in_answer_to_a_command_is_lost_and_the_session_goes_on() {
    let rude = Scripted::start(&[("PWD", "BYE"), ("CWD", "421 Shutting down")]);
    let (good, file) = server();
    let proxy = forward(&[]);
    for line in ["PWD", "CWD x"] {
        let mut control = through(&proxy, rude.at);
        control.expect(line, 421).unwrap();
        control.login((&at(good.port().unwrap()), ANN.1)).unwrap();
        assert_eq!(control.fetch("RETR f").unwrap(), file);
    }
}

#[test]
fn a_server_without_a_data_connection_is_425_and_the_session_goes_on() {
    let deaf = Scripted::start(&[
        ("EPSV", "500 What?"),
        ("PASV", "500 What?"),
        ("EPRT", "500 What?"),
        ("PORT", "500 What?"),
    ]);
    let proxy = forward(&[]);
    let mut control = through(&proxy, deaf.at);
    control.epsv().unwrap();
    let reply = control.expect("RETR f", 425).unwrap();
    assert!(reply.to_string().contains("EPSV"), "{reply}");
    control.expect("NOOP", 200).unwrap();
    assert!(deaf.heard().iter().all(|line| !line.starts_with("RETR")));
}

#[test]
fn a_client_that_never_opens_its_data_connection_gets_425_and_no_empty_file_is_made() {
    let (server, _) = server();
    let proxy = reverse(&server, &["--data-timeout", "1s"]);
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    control.epsv().unwrap();
    control.expect("STOR up", 150).unwrap();
    control.expect_reply(425).unwrap();
    control.expect("NOOP", 200).unwrap();
    assert!(!server.tree.has("up"), "nothing was uploaded");
    control.epsv().unwrap();
    control.expect("RETR f", 150).unwrap();
    control.expect_reply(425).unwrap();
    control.expect("NOOP", 200).unwrap();
}

#[test]
fn a_reply_that_never_ends_by_the_book_is_passed_on_when_the_server_has_paused() {
    let odd = Scripted::start(&[("STAT", "211-All is well\r\n212 and that was it")]);
    let proxy = forward(&[]);
    let mut control = through(&proxy, odd.at);
    let said = control.expect("STAT", 212).unwrap().to_string();
    assert!(said.contains("All is well"), "{said}");
    control.expect("NOOP", 200).unwrap();
}

/// The beginning of a small file is told together with its end; whatever takes longer is told at once.
#[test]
fn who_waits_for_the_end_of_a_download_is_told_of_its_beginning() {
    // The data connection stays open, or the final reply does not come.
    for closes in [false, true] {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = format!("229 Here (|||{}|)", door.local_addr().unwrap().port());
        let rows = vec![("EPSV", &*way.leak()), ("RETR", "150 Here it comes"), ("ABOR", "226 Aborted")];
        let slow = Scripted::start(rows.leak());
        let proxy = Proxy::start(&["--reverse", &format!("ftp://{}", slow.at)]).unwrap();
        let mut control = proxy.connect().unwrap();
        control.login(ANN).unwrap();
        let to = control.epsv().unwrap();
        let mut data = control.join(to).unwrap();
        control.send("RETR f\r\n").unwrap();
        let (mut served, _) = door.accept().unwrap();
        served.write_all(b"some").unwrap();
        let served = (!closes).then_some(served);
        control.expect_reply(150).unwrap();
        let mut some = [0; 4];
        data.read_exact(&mut some).unwrap();
        assert_eq!(&some, b"some");
        control.expect("NOOP", 200).unwrap();
        drop(served);
    }
}
