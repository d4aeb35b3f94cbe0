//! Data ports are announced to one client, and others come too.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portway_e2e::{Control, Tls, TlsOptions, bytes};
use socket2::{Domain, Socket, Type};

use crate::subject;

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A connection, or none if the server was so quick to reset it that connecting failed.
fn connect_from(source: IpAddr, to: SocketAddr) -> Result<Option<TcpStream>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    match socket.connect_timeout(&to.into(), Duration::from_secs(5)) {
        Err(why) if why.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
        other => other?,
    }
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(Some(stream))
}

/// What a stranger was given before he was closed or reset.
fn loot(stranger: Option<TcpStream>) -> Vec<u8> {
    let mut got = Vec::new();
    let Some(mut stranger) = stranger else { return got };
    // A reset, or silence until the timeout, is as good as an end.
    let _ = stranger.read_to_end(&mut got);
    got
}

// Case 1.
#[test]
fn a_stranger_who_connects_first_gets_nothing_and_the_owner_is_served() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", bytes(1, 100_000))?;
    let mut control = subject.session()?;
    for _ in 0..5 {
        let to = control.epsv()?;
        let stranger = connect_from(STRANGER, to)?;
        let mut own = control.join(to)?;
        control.expect("RETR file", 150)?;
        ensure!(own.read_all()? == bytes(1, 100_000));
        control.end()?;
        ensure!(loot(stranger).is_empty(), "the stranger got octets");
    }
    Ok(())
}

// Case 1, the other direction: a stranger must not fill a file either.
#[test]
fn a_stranger_cannot_write_into_an_upload() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    let to = control.epsv()?;
    if let Some(mut stranger) = connect_from(STRANGER, to)? {
        // He may be reset before he is done.
        let _ = std::io::Write::write_all(&mut stranger, b"poison");
    }
    let mut own = control.join(to)?;
    control.expect("STOR file", 150)?;
    std::io::Write::write_all(&mut own, b"honest")?;
    own.finish()?;
    control.end()?;
    ensure!(subject.tree.read("file")? == b"honest");
    Ok(())
}

// Case 2: the same address, but without the session's ticket, once the owner has shown that he resumes.
#[test]
fn under_tls_the_same_address_without_the_ticket_gets_nothing_and_the_owner_is_served() -> Result<()> {
    let subject = subject(&["--data-proof", "required"])?;
    subject.tree.write("file", bytes(2, 100_000))?;
    let (mut control, _) = subject.private_session(TlsOptions::default())?;
    ensure!(control.fetch("RETR file")? == bytes(2, 100_000));
    let foreign = Tls::new(&subject.certificate, TlsOptions::default())?;
    for _ in 0..3 {
        let to = control.epsv()?;
        let thief =
            connect_from(Ipv4Addr::LOCALHOST.into(), to)?.context("a client of this address is taken")?;
        let thief = foreign.wrap(Ipv4Addr::LOCALHOST.into(), thief)?;
        let thief = std::thread::spawn(move || {
            let mut thief = thief;
            let mut got = Vec::new();
            // Whatever ends it, what counts is what he got.
            let _ = thief.read_to_end(&mut got);
            got
        });
        let mut own = control.join(to)?;
        control.expect("RETR file", 150)?;
        ensure!(own.read_all()? == bytes(2, 100_000));
        control.end()?;
        let got = thief.join().map_err(|_| anyhow::anyhow!("the thief panicked"))?;
        ensure!(got.is_empty(), "the thief got {} octets", got.len());
    }
    Ok(())
}

// Case 3, scaled to a test machine.
#[test]
fn a_crowd_of_strangers_does_not_keep_the_owner_waiting() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let to = control.epsv()?;
        let crowd: Vec<_> = (0..200).map(|_| connect_from(STRANGER, to)).collect::<Result<_>>()?;
        let begun = Instant::now();
        let mut own = control.join(to)?;
        control.expect("RETR file", 150)?;
        slowest = slowest.max(begun.elapsed());
        ensure!(own.read_all()? == b"contents");
        control.end()?;
        drop(crowd);
    }
    ensure!(slowest < Duration::from_secs(1), "150 came after {slowest:?}");
    Ok(())
}

// Case 8 seen from the other side: two users of one machine, each with his own session.
#[test]
fn a_session_from_another_address_is_served_at_its_own_address() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", "contents")?;
    let mut control = Control::connect_from(STRANGER, subject.port()?)?;
    control.login(subject.account())?;
    ensure!(control.fetch("RETR file")? == b"contents");
    let listener = control.eprt()?;
    control.expect("RETR file", 150)?;
    ensure!(control.take(&listener)?.read_all()? == b"contents");
    control.end()?;
    Ok(())
}
