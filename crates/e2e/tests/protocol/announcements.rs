//! PORT and EPRT: to the control connection's own address, to unprivileged ports, or not at all.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Result, ensure};
use portway_e2e::{Control, Family, Security};

use crate::subject;

// Case 8.
#[test]
fn no_connection_is_made_to_an_address_or_port_that_is_not_the_clients_own() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("secret", "s")?;
    let mut control = subject.session()?;
    let bait = TcpListener::bind("127.0.0.2:0")?;
    let (high, low) = (bait.local_addr()?.port() / 256, bait.local_addr()?.port() % 256);
    let own = subject.port()?.port();
    for line in [
        format!("PORT 127,0,0,2,{high},{low}"),
        format!("EPRT |1|127.0.0.2|{}|", bait.local_addr()?.port()),
        "PORT 127,0,0,1,0,22".to_owned(),
        "PORT 127,0,0,1,3,255".to_owned(),
        "EPRT |1|127.0.0.1|1023|".to_owned(),
        "PORT 127,0,0,1,0,0".to_owned(),
        "PORT 0,0,0,0,200,1".to_owned(),
        "PORT 224,0,0,1,200,1".to_owned(),
        "PORT 255,255,255,255,200,1".to_owned(),
        "PORT 192,0,2,7,200,1".to_owned(),
        "EPRT |2|::1|50000|".to_owned(),
        "EPRT |2|::ffff:127.0.0.2|50000|".to_owned(),
        "EPRT |2|ff02::1|50000|".to_owned(),
        format!("EPRT |1|127.0.0.1|{own}|"),
    ] {
        let reply = control.say(&line)?;
        ensure!((500..600).contains(&reply.code), "{line} was answered «{reply}»");
        // Nothing of it stays: the transfer that follows has no data connection to use.
        let reply = control.say("RETR secret")?;
        ensure!((400..600).contains(&reply.code), "after {line}: «{reply}»");
    }
    bait.set_nonblocking(true)?;
    ensure!(bait.accept().is_err(), "somebody took the bait");
    control.expect("NOOP", 200)?;
    Ok(())
}

// Case 9.
#[test]
fn malformed_announcements_are_refused_and_the_session_lives() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    for (line, code) in [
        ("PORT 127,0,0,1,200", 501),
        ("PORT 127,0,0,1,200,1,1", 501),
        ("PORT 127,0,0,1,256,1", 501),
        ("PORT 127,0,0,1,200,-1", 501),
        ("PORT 127,0,0,1,200, 1", 501),
        ("PORT 127,0,0,383,200,1", 501),
        ("PORT", 501),
        ("EPRT", 501),
        ("EPRT |1|127.0.0.1|500000|", 501),
        ("EPRT |1|127.0.0.1|50000", 501),
        ("EPRT 1|127.0.0.1|50000|", 501),
        ("EPRT |1|::1|50000|", 501),
        ("EPRT |1|127.0.0.1||", 501),
        ("EPRT |||50000|", 501),
        ("EPRT |3|127.0.0.1|50000|", 522),
        ("EPRT |2|fe80::1%lo|50000|", 501),
    ] {
        let reply = control.say(line)?;
        // A family that is known but not this connection's may be refused either way.
        ensure!(reply.code == code || (code == 501 && reply.code == 522), "{line} was answered «{reply}»");
    }
    control.expect("NOOP", 200)?;
    Ok(())
}

// Case 9: RFC 2428 §2 lets the client choose the delimiter.
#[test]
fn any_printable_delimiter_serves_in_eprt() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    for delimiter in ['|', '!', '#', '~'] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        control.expect(format!("EPRT {delimiter}1{delimiter}127.0.0.1{delimiter}{port}{delimiter}"), 200)?;
        control.expect("RETR file", 150)?;
        ensure!(control.take(&listener)?.read_all()? == b"contents");
        control.end()?;
    }
    Ok(())
}

// Case 10.
#[test]
fn after_epsv_all_nothing_but_epsv_announces() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    control.expect("EPSV ALL", 200)?;
    for round in 0..2 {
        for line in ["PASV", "PORT 127,0,0,1,200,1", "EPRT |1|127.0.0.1|50000|"] {
            let reply = control.say(line)?;
            ensure!((500..600).contains(&reply.code), "round {round}: {line} was answered «{reply}»");
        }
        // Also after a transfer that was given up.
        let data = control.begin("RETR file")?;
        drop(data);
        let reply = control.reply()?;
        ensure!(matches!(reply.code, 226 | 426), "«{reply}»");
    }
    ensure!(control.fetch("RETR file")? == b"contents");
    Ok(())
}

// Case 7.
#[test]
fn port_after_pasv_closes_the_passive_listener_and_connects_actively() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    let passive = control.pasv()?;
    let listener = control.eprt()?;
    control.expect("RETR file", 150)?;
    ensure!(control.take(&listener)?.read_all()? == b"contents");
    control.end()?;
    // Whoever still connects to the passive port gets nothing.
    if let Ok(mut late) = control.join(passive) {
        late.socket().set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut room = [0; 16];
        ensure!(!matches!(std::io::Read::read(&mut late, &mut room), Ok(1..)));
    }
    Ok(())
}

// Case 11: nobody answers at the client's port; a full backlog swallows the SYN.
#[test]
fn the_control_channel_answers_while_an_active_connection_goes_nowhere() -> Result<()> {
    let subject = subject(&["--data-timeout", "2s"])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>()?.into())?;
    socket.listen(0)?;
    let hole: TcpListener = socket.into();
    let to = hole.local_addr()?;
    let _fill = crowd(to)?;
    control.expect(format!("EPRT |1|127.0.0.1|{}|", to.port()), 200)?;
    control.send("RETR file\r\n")?;
    control.send("STAT\r\n")?;
    let (mut codes, mut refused) = (Vec::new(), false);
    while !refused {
        let reply = control.reply()?;
        refused = matches!(reply.code, 425 | 426);
        codes.push(reply.code);
    }
    ensure!(codes.last().is_some_and(|code| *code == 425), "{codes:?}");
    control.expect("NOOP", 200)?;
    Ok(())
}

fn crowd(to: std::net::SocketAddr) -> Result<Vec<socket2::Socket>> {
    let mut all = Vec::new();
    for _ in 0..8 {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // EINPROGRESS is the point.
        let _ = socket.connect(&to.into());
        all.push(socket);
    }
    Ok(all)
}

// Case 25.
#[test]
fn pasv_over_ipv6_is_refused_by_a_reply_that_names_epsv() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = Control::connect(subject.address(Family::V6, Security::Plain)?)?;
    control.login(subject.account())?;
    let reply = control.say("PASV")?;
    ensure!((500..600).contains(&reply.code) && reply.text().contains("EPSV"), "«{reply}»");
    let reply = control.say("PORT 127,0,0,1,200,1")?;
    ensure!((500..600).contains(&reply.code), "«{reply}»");
    ensure!(control.epsv()?.port() >= 1024);
    // RFC 2428 §3: 1 asks for IPv4, which this connection cannot give.
    control.expect("EPSV 1", 522)?;
    Ok(())
}
