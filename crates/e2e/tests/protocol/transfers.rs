//! What else may be said while a transfer runs.

use std::io::{Read, Write};
use std::net::Shutdown;

use anyhow::{Result, ensure};
use portway_e2e::{Control, Subject, TlsOptions, bytes};

use crate::subject;

const LARGE: u64 = 1 << 30;

fn with_large() -> Result<Subject> {
    let subject = subject(&[])?;
    subject.tree.sparse("large", LARGE)?;
    subject.tree.write("file", "contents")?;
    Ok(subject)
}

/// The two replies to ABOR in a transfer, and a session that works. RFC 959 §4.1.3.
fn aborted(control: &mut Control) -> Result<()> {
    let first = control.reply()?;
    ensure!(matches!(first.code, 426 | 226), "«{first}»");
    let second = control.reply()?;
    ensure!(matches!(second.code, 226 | 225), "«{second}»");
    control.expect("NOOP", 200)?;
    ensure!(control.fetch("RETR file")? == b"contents");
    Ok(())
}

// Case 21.
#[test]
fn abor_ends_a_transfer_in_every_spelling() -> Result<()> {
    let subject = with_large()?;
    let mut control = subject.session()?;
    for (name, before, urgent) in [
        ("plain", &b""[..], false),
        ("IAC IP IAC DM in line", b"\xFF\xF4\xFF\xF2", false),
        ("IAC IP, DM urgent", b"\xFF\xF4\xFF\xF2", true),
        ("DM alone, urgent", b"\xFF\xF2", true),
        ("as the Synch of old clients: IAC urgent, DM behind it", b"\xFF\xF4\xFF", true),
    ] {
        let mut data = control.begin("RETR large")?;
        data.read_exact(&mut [0; 4096])?;
        if urgent {
            control.send_urgent(before)?;
        } else {
            control.send(before)?;
        }
        if before.ends_with(b"\xFF") {
            control.send(b"\xF2")?;
        }
        control.send("ABOR\r\n")?;
        aborted(&mut control).map_err(|why| why.context(name))?;
    }
    Ok(())
}

// Case 21, under TLS: there is no urgent data, plain ABOR must do.
#[test]
fn abor_ends_a_transfer_under_tls() -> Result<()> {
    let subject = with_large()?;
    for options in [TlsOptions::default(), TlsOptions { old: true, ..TlsOptions::default() }] {
        let (mut control, _) = subject.private_session(options)?;
        let mut data = control.begin("RETR large")?;
        data.read_exact(&mut [0; 4096])?;
        control.send("ABOR\r\n")?;
        aborted(&mut control)?;
    }
    Ok(())
}

// Case 21, upload: nothing of it is shown.
#[test]
fn abor_ends_an_upload_and_nothing_half_is_shown() -> Result<()> {
    let subject = with_large()?;
    let mut control = subject.session()?;
    let mut data = control.begin("STOR upload")?;
    data.write_all(&bytes(1, 100_000))?;
    control.send("ABOR\r\n")?;
    aborted(&mut control)?;
    ensure!(!subject.tree.has("upload"));
    Ok(())
}

// Case 21.
#[test]
fn abor_without_a_transfer_is_answered_once() -> Result<()> {
    let subject = with_large()?;
    let mut control = subject.session()?;
    for _ in 0..2 {
        let reply = control.say("ABOR")?;
        ensure!(matches!(reply.code, 225 | 226), "«{reply}»");
    }
    control.epsv()?;
    let reply = control.say("ABOR")?;
    ensure!(matches!(reply.code, 225 | 226), "«{reply}»");
    control.expect("NOOP", 200)?;
    ensure!(control.fetch("RETR file")? == b"contents");
    Ok(())
}

// Case 22.
#[test]
fn commands_during_a_transfer_change_nothing_of_it() -> Result<()> {
    let subject = with_large()?;
    subject.tree.folder("elsewhere")?;
    let contents = bytes(3, 3 << 20);
    for line in [
        "USER mallory",
        "REIN",
        "CWD elsewhere",
        "RNFR file",
        "TYPE A",
        "PROT C",
        "AUTH TLS",
        "STOR other",
        "DELE file",
    ] {
        let mut control = subject.session()?;
        let mut data = control.begin("STOR target")?;
        data.write_all(contents.get(..1 << 20).unwrap_or_default())?;
        control.send(format!("{line}\r\n"))?;
        // RFC 959 leaves open whether the reply comes now or after the transfer.
        data.write_all(contents.get(1 << 20..).unwrap_or_default())?;
        data.finish()?;
        let mut codes = Vec::new();
        while !codes.contains(&226) {
            let reply = control.reply()?;
            ensure!(!(400..500).contains(&reply.code), "{line}: «{reply}»");
            codes.push(reply.code);
        }
        ensure!(subject.tree.read("target")? == contents, "{line} changed the transfer");
        ensure!(!subject.tree.has("elsewhere/target"), "{line} moved the transfer");
        std::fs::remove_file(subject.tree.at("target"))?;
        subject.tree.write("file", "contents")?;
    }
    Ok(())
}

// Case 22: RFC 959 §4.1.1.
#[test]
fn quit_during_a_transfer_waits_for_its_end() -> Result<()> {
    let subject = subject(&[])?;
    let contents = bytes(4, 8 << 20);
    subject.tree.write("file", &contents)?;
    let mut control = subject.session()?;
    let mut data = control.begin("RETR file")?;
    control.send("QUIT\r\n")?;
    ensure!(data.read_all()? == contents);
    control.end()?;
    control.expect_reply(221)?;
    control.ended()?;
    Ok(())
}

// Case 37: many commands in one segment are answered in order.
#[test]
fn commands_sent_ahead_are_answered_in_order() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("a/one", "1")?;
    let mut control = Control::connect(subject.port()?)?;
    let (user, password) = subject.account();
    control.send(format!(
        "USER {user}\r\nPASS {password}\r\nTYPE I\r\nCWD a\r\nPWD\r\nSIZE one\r\nNOPE\r\nNOOP\r\n"
    ))?;
    for code in [331, 230, 200, 250, 257, 213, 500, 200] {
        control.expect_reply(code)?;
    }
    Ok(())
}

// Case 37: transfers sent ahead: the next PASV while the last file is on its way.
#[test]
fn a_client_may_send_the_next_transfer_before_the_last_has_ended() -> Result<()> {
    let subject = subject(&[])?;
    for i in 0..20 {
        subject.tree.write(format!("f{i}"), bytes(i, 10_000))?;
    }
    let mut control = subject.session()?;
    for i in 0..20 {
        control.send(format!("EPSV\r\nRETR f{i}\r\n"))?;
    }
    for i in 0..20 {
        let reply = control.expect_reply(229)?;
        let port: u16 = reply.between('(', ')').unwrap_or_default().trim_matches('|').parse()?;
        let mut data = control.join(([127, 0, 0, 1], port).into())?;
        control.expect_reply(150)?;
        ensure!(data.read_all()? == bytes(i, 10_000), "file {i}");
        control.end()?;
    }
    Ok(())
}

// Case 38: offsets.
#[test]
fn restart_offsets_out_of_range_are_refused_and_make_no_giant_file() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", "0123456789")?;
    let mut control = subject.session()?;
    for offset in [
        "-1",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e3",
        "",
        "0x10",
        "1 2",
    ] {
        let reply = control.say(format!("REST {offset}"))?;
        let code = reply.code;
        ensure!(matches!(code, 501 | 554) || (code == 350 && offset.len() > 18), "REST {offset}: «{reply}»");
        if code == 350 {
            let to = control.epsv()?;
            let data = control.join(to)?;
            let reply = control.say("STOR giant")?;
            ensure!((500..600).contains(&reply.code), "REST {offset} and STOR: «{reply}»");
            drop(data);
        }
    }
    // Beyond the end of a file there is nothing to send.
    control.expect("REST 11", 350)?;
    let to = control.epsv()?;
    let data = control.join(to)?;
    let reply = control.say("RETR file")?;
    ensure!(matches!(reply.code, 501 | 550 | 551 | 554), "«{reply}»");
    drop(data);
    // Exactly at the end there are no octets, in order.
    control.expect("REST 10", 350)?;
    ensure!(control.fetch("RETR file")?.is_empty());
    // What is appended leaves no gap.
    control.expect("TYPE I", 200)?;
    for beyond in ["11", "9223372036854775807"] {
        control.expect(format!("REST {beyond}"), 350)?;
        let to = control.epsv()?;
        let data = control.join(to)?;
        // It holds for the next command only, and EPSV was one.
        control.expect(format!("REST {beyond}"), 350)?;
        let reply = control.say("APPE file")?;
        ensure!(matches!(reply.code, 501 | 554), "REST {beyond} and APPE: «{reply}»");
        drop(data);
        ensure!(subject.tree.read("file")? == b"0123456789");
    }
    // And the offset holds for one transfer only.
    control.expect("REST 4", 350)?;
    ensure!(control.fetch("RETR file")? == b"456789");
    ensure!(control.fetch("RETR file")? == b"0123456789");
    ensure!(!subject.tree.has("giant"));
    Ok(())
}

// Case 18.
#[test]
fn the_file_is_there_when_226_arrives() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    for i in 0..50 {
        let contents = bytes(i, 5000);
        control.store("STOR file", &contents)?;
        ensure!(subject.tree.read("file")? == contents, "round {i}");
    }
    Ok(())
}

// Case 17 without TLS: a half-closed connection still gets its file.
#[test]
fn a_client_that_closes_its_sending_side_first_still_gets_its_file() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", bytes(5, 1 << 20))?;
    let mut control = subject.session()?;
    let mut data = control.begin("RETR file")?;
    data.socket().shutdown(Shutdown::Write)?;
    ensure!(data.read_all()? == bytes(5, 1 << 20));
    control.end()?;
    Ok(())
}

// Clients that see their data connection end first (basic-ftp among them) report that, and never hear of the 550.
#[test]
fn a_refused_transfer_is_answered_before_its_data_connection_ends() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    for round in 0..50 {
        let to = control.epsv()?;
        let mut data = control.join(to)?;
        control.send("RETR none\r\n")?;
        // Reset or closed, it carries nothing.
        let _ = data.read_all();
        let socket = control.channel().socket();
        socket.set_nonblocking(true)?;
        let answered = socket.peek(&mut [0; 3]);
        socket.set_nonblocking(false)?;
        ensure!(matches!(answered, Ok(3)), "round {round}: {answered:?}");
        control.expect_reply(550)?;
    }
    Ok(())
}
