//! TLS on either channel, and what must not get past it.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use portway_e2e::clients::{Openssl, Site};
use portway_e2e::{
    Cell, Control, Family, Mode, Options, PATIENCE, Security, Subject, Tls, TlsOptions, Tree, bytes,
};

use crate::subject;

// Case 26.
#[test]
fn a_command_behind_auth_tls_in_the_same_segment_never_runs() -> Result<()> {
    let subject = subject(&[])?;
    for smuggled in ["NOOP", "USER alice", "MKD smuggled"] {
        let mut control = Control::connect(subject.port()?)?;
        control.send(format!("AUTH TLS\r\n{smuggled}\r\n"))?;
        let tls = Tls::new(&subject.certificate, TlsOptions::default())?;
        let first = control.reply()?;
        ensure!(matches!(first.code, 234 | 421 | 500..=504), "«{first}»");
        // If the handshake goes through at all, nothing of the clear text is answered inside.
        if first.code == 234 && control.shake(&tls).is_ok() {
            ensure!(!control.answers_within(Duration::from_millis(500))?, "{smuggled} ran inside TLS");
        }
    }
    ensure!(!subject.tree.has("smuggled"));
    Ok(())
}

// Case 26: garbage in place of a ClientHello.
#[test]
fn garbage_in_place_of_a_handshake_closes_the_connection() -> Result<()> {
    let subject = subject(&[])?;
    for garbage in [
        &b"NOOP\r\nNOOP\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 4096],
        &[0xFF; 4096],
        b"\x16\x03\x01\xFF\xFF",
    ] {
        let mut control = Control::connect(subject.port()?)?;
        control.expect("AUTH TLS", 234)?;
        control.send(garbage)?;
        socket2::SockRef::from(control.channel().socket()).shutdown(std::net::Shutdown::Write)?;
        let said = control.ended()?;
        ensure!(!said.windows(4).any(|at| at == b"200 "), "{}", said.escape_ascii());
    }
    subject.session()?.expect("NOOP", 200)?;
    Ok(())
}

// Case 28.
#[test]
fn slow_handshakes_do_not_keep_others_from_logging_in() -> Result<()> {
    let subject = subject(&[])?;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut control = Control::connect(subject.port()?)?;
        control.expect("AUTH TLS", 234)?;
        control.send(b"\x16\x03\x01\x02\x00\x01")?;
        slow.push(control);
    }
    let begun = Instant::now();
    let (mut control, _) = subject.private_session(TlsOptions::default())?;
    control.expect("NOOP", 200)?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "a login took {:?}", begun.elapsed());
    Ok(())
}

// Case 32.
#[test]
fn a_foreign_alpn_is_refused_and_ftp_or_none_is_taken() -> Result<()> {
    let subject = subject(&[])?;
    for (alpn, taken) in [("http/1.1", false), ("h2", false), ("ftp", true)] {
        let options = TlsOptions { alpn: vec![alpn.as_bytes().to_vec()], ..TlsOptions::default() };
        let tls = Tls::new(&subject.certificate, options)?;
        let mut control = Control::connect(subject.port()?)?;
        control.expect("AUTH TLS", 234)?;
        let shaken = control.shake(&tls);
        ensure!(shaken.is_ok() == taken, "{alpn}: {shaken:?}");
        if let Err(why) = shaken {
            ensure!(format!("{why:#}").contains("NoApplicationProtocol"), "{alpn}: {why:#}");
        }
    }
    subject.private_session(TlsOptions::default())?.0.expect("NOOP", 200)?;
    Ok(())
}

// Case 33.
#[test]
fn where_tls_is_required_nothing_goes_in_clear() -> Result<()> {
    let subject = subject(&["--tls", "required"])?;
    subject.tree.write("file", "contents")?;
    let mut control = Control::connect(subject.port()?)?;
    let reply = control.say("USER alice")?;
    let reply = if reply.code == 331 { control.say("PASS wonder land")? } else { reply };
    ensure!((500..600).contains(&reply.code), "a login in clear: «{reply}»");

    let (mut control, _) = subject.private_session(TlsOptions::default())?;
    let clear = control.say("PROT C")?;
    if clear.code == 200 {
        let reply = control.say("EPSV")?;
        let reply = if reply.code == 229 { control.say("RETR file")? } else { reply };
        ensure!((500..600).contains(&reply.code), "data in clear: «{reply}»");
    }
    control.expect("PROT P", 200)?;
    ensure!(control.fetch("RETR file")? == b"contents");
    Ok(())
}

// Case 33.
#[test]
fn security_commands_out_of_order_are_refused() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = Control::connect(subject.port()?)?;
    for line in ["PBSZ 0", "PROT P", "CCC"] {
        let reply = control.say(line)?;
        ensure!((500..600).contains(&reply.code), "{line} in clear: «{reply}»");
    }
    for line in ["AUTH", "AUTH KERBEROS_V4", "AUTH TLS-P-NOT"] {
        let reply = control.say(line)?;
        ensure!((500..600).contains(&reply.code), "{line}: «{reply}»");
    }
    let tls = Tls::new(&subject.certificate, TlsOptions::default())?;
    control.expect("AUTH TLS", 234)?;
    control.shake(&tls)?;
    for line in ["AUTH TLS", "PROT P", "PROT S", "CCC"] {
        let reply = control.say(line)?;
        ensure!((500..600).contains(&reply.code), "{line} without PBSZ or login: «{reply}»");
    }
    control.expect("PBSZ 0", 200)?;
    let safe = control.say("PROT S")?;
    ensure!((500..600).contains(&safe.code), "«{safe}»");
    control.expect("PROT P", 200)?;
    control.login(subject.account())?;
    let reply = control.say("CCC")?;
    ensure!((500..600).contains(&reply.code), "«{reply}»");
    Ok(())
}

// A login and its rights must not survive a change of identity in the middle. RFC 4217 §4.
#[test]
fn auth_tls_after_a_login_in_clear_keeps_no_stale_promises() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    let tls = Tls::new(&subject.certificate, TlsOptions::default())?;
    let reply = control.say("AUTH TLS")?;
    if reply.code == 234 {
        control.shake(&tls)?;
        // Whether the login holds is the server's choice; that it answers in order is not.
        let reply = control.say("PWD")?;
        ensure!(matches!(reply.code, 257 | 530), "«{reply}»");
    } else {
        ensure!((500..600).contains(&reply.code), "«{reply}»");
        control.expect("NOOP", 200)?;
    }
    Ok(())
}

// A client that says PROT P and then talks clear text on the data port.
#[test]
fn clear_text_on_a_private_data_connection_is_not_stored() -> Result<()> {
    let subject = subject(&["--data-timeout", "2s"])?;
    let (mut control, _) = subject.private_session(TlsOptions::default())?;
    let to = control.epsv()?;
    let mut data = std::net::TcpStream::connect(to)?;
    control.send("STOR file\r\n")?;
    data.write_all(b"clear text that is no TLS record at all")?;
    data.set_read_timeout(Some(PATIENCE))?;
    // It may have been reset by now.
    let _ = data.shutdown(std::net::Shutdown::Write);
    let mut got = Vec::new();
    // An alert or a reset.
    let _ = data.read_to_end(&mut got);
    let reply = control.final_reply()?;
    ensure!(matches!(reply.code, 425 | 426 | 522), "«{reply}»");
    ensure!(!subject.tree.has("file"));
    control.expect("NOOP", 200)?;
    Ok(())
}

// Case 34.
#[test]
fn old_versions_and_weak_ciphers_are_refused_and_openssl_is_welcome() -> Result<()> {
    let subject = subject(&[])?;
    let home = Tree::new()?;
    let cell = Cell { mode: Mode::Passive, family: Family::V4, security: Security::Explicit };
    let site = Site { subject: &subject, cell, home: home.path() };
    for (flags, welcome) in [
        (&["-tls1_3"][..], true),
        (&["-tls1_2"], true),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], false),
        (&["-tls1", "-cipher", "ALL:@SECLEVEL=0"], false),
        (&["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], false),
    ] {
        let finished = Openssl::talk(&site, flags, b"FEAT\nQUIT\n")?;
        let greeted = finished.text().contains("221 ") && finished.text().contains("211 End");
        ensure!(greeted == welcome, "{flags:?}: {finished}");
    }
    Ok(())
}

// The data connection of a session in clear after a session under TLS, and the other way round.
#[test]
fn prot_c_and_prot_p_can_alternate() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", bytes(1, 5000))?;
    let (mut control, tls) = subject.private_session(TlsOptions::default())?;
    for _ in 0..3 {
        control.expect("PROT C", 200)?;
        control.data_tls(None);
        ensure!(control.fetch("RETR file")? == bytes(1, 5000));
        control.expect("PROT P", 200)?;
        control.data_tls(Some(tls.clone()));
        ensure!(control.fetch("RETR file")? == bytes(1, 5000));
    }
    Ok(())
}

// Implicit TLS: the greeting comes inside, and a client in clear gets nothing.
#[test]
fn the_implicit_port_says_nothing_in_clear() -> Result<()> {
    let subject = Subject::start(&Options { implicit: Some(Family::V4.loopback()), ..Options::default() })?;
    subject.tree.write("file", bytes(1, 5000))?;
    let address = subject.address(Family::V4, Security::Implicit)?;
    let tls = Tls::new(&subject.certificate, TlsOptions::default())?;
    let mut control = Control::implicit(address, &tls)?;
    control.login(subject.account())?;
    control.data_tls(Some(tls));
    ensure!(control.fetch("RETR file")? == bytes(1, 5000));

    let mut clear = Control::raw(address, None)?;
    ensure!(!clear.answers_within(Duration::from_millis(300))?, "it greeted in clear");
    clear.send("USER alice\r\n")?;
    let said = clear.ended()?;
    ensure!(!said.windows(3).any(|at| at == b"331"), "{}", said.escape_ascii());
    Ok(())
}
