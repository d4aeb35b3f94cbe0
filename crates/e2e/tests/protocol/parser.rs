//! Octets that no client should send.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Result, ensure};
use portway_e2e::{Control, PATIENCE};

use crate::subject;

// Case 36.
#[test]
fn a_line_without_end_is_cut_off_with_bounded_memory() -> Result<()> {
    let mut subject = subject(&[])?;
    for login in [false, true] {
        let mut control = if login { subject.session()? } else { Control::connect(subject.port()?)? };
        let piece = vec![b'A'; 1 << 20];
        // 64 MiB, or as much as it takes.
        let sent = (0..64).take_while(|_| control.send(&piece).is_ok()).count();
        let said = control.ended()?;
        ensure!(
            sent < 64 || said.starts_with(b"500") || said.starts_with(b"421"),
            "{sent} MiB were swallowed"
        );
    }
    ensure!(subject.alive()?);
    subject.session()?.expect("NOOP", 200)?;
    Ok(())
}

// Case 36: long but ended lines are answered, and the session lives or ends with a reply.
#[test]
fn lines_of_every_length_get_an_answer() -> Result<()> {
    let subject = subject(&[])?;
    for length in [100, 512, 1000, 4000, 4096, 4097, 10_000] {
        let mut control = subject.session()?;
        let reply = control.say(format!("SIZE {}", "x".repeat(length)))?;
        ensure!((400..600).contains(&reply.code), "{length}: «{reply}»");
        if length < 4000 {
            control.expect("NOOP", 200)?;
        }
    }
    Ok(())
}

// Case 36.
#[test]
fn odd_octets_in_commands_get_one_reply_each() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    for line in [
        &b"SIZE a\0b"[..],
        b"SIZE \xFF\xFFdoubled",
        b"SIZE \xFF\xF1with a Telnet NOP inside",
        b"SIZE \xFF\xFB\x01with WILL ECHO inside",
        b"SIZE \xC3\x28 no UTF-8",
        b"SIZE bare\rCR",
        b"SIZE \x1B[31mred",
        b"",
        b" ",
        b" NOOP",
        b"\0",
        b"NO OP",
        b"noop argument",
        b"\xFF\xFF\xFF\xFF",
        b"SIZE",
        b"SIZE ",
    ] {
        let reply = control.say(line)?;
        ensure!((200..600).contains(&reply.code), "{}: «{reply}»", line.escape_ascii());
        let octets = reply.lines.concat();
        ensure!(!octets.iter().any(|octet| b"\r\n\0".contains(octet)), "a line end in «{reply}»");
        let next = control.say("NOOP")?;
        ensure!(next.code == 200, "after {}: «{next}»", line.escape_ascii());
    }
    // A bare LF ends a line, for old clients' sake.
    control.send("NOOP\nNOOP\n")?;
    control.expect_reply(200)?;
    control.expect_reply(200)?;
    Ok(())
}

// Case 36: a name that looks like a reply stays a name.
#[test]
fn names_cannot_forge_replies() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    let evil = b"x\r\0\n226 Transfer complete.\r\0\n230 Welcome";
    let evil: Vec<u8> = evil.iter().copied().filter(|octet| *octet != b'\n').collect();
    for verb in ["CWD", "MKD", "DELE", "RNFR", "SIZE", "MLST", "STAT"] {
        let reply = control.say([verb.as_bytes(), b" ", &evil].concat())?;
        for line in &reply.lines {
            ensure!(!line.starts_with(b"226") && !line.starts_with(b"230"), "{verb}: «{reply}»");
            ensure!(!line.contains(&b'\r'), "{verb}: «{reply}»");
        }
        control.expect("NOOP", 200)?;
    }
    // A folder that is called so, too.
    subject.tree.folder("a\r\n230 Welcome\r\n")?;
    let names = control.fetch("MLSD")?;
    let lines: Vec<&[u8]> = names.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()).collect();
    ensure!(lines.iter().all(|line| line.contains(&b'=')), "MLSD: {}", names.escape_ascii());
    control.expect("NOOP", 200)?;
    Ok(())
}

// Case 36: quotes in 257 are doubled (RFC 959 Appendix II).
#[test]
fn quotes_in_a_folders_name_are_doubled_in_257() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    let made = control.expect("MKD say \"hi\"", 257)?;
    ensure!(made.text().contains("\"/say \"\"hi\"\"\""), "«{made}»");
    control.expect("CWD say \"hi\"", 250)?;
    let here = control.expect("PWD", 257)?;
    ensure!(here.text().contains("\"/say \"\"hi\"\"\""), "«{here}»");
    Ok(())
}

// Case 36: names of any octet go there and back: IAC doubled, CR as CR NUL (RFC 2640 §3.1).
#[test]
fn names_of_any_octet_are_carried_both_ways() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    let names: [&[u8]; 14] = [
        b"two words",
        b"  blanks before",
        b"blanks behind  ",
        b"-rf",
        b"*?[x]",
        b"\"quoted\" and 'quoted'",
        b"back\\slash",
        b"%2e%2e%2f",
        "größe ☃".as_bytes(),
        b"latin \xE9",
        b"\xFF\xFF\xF4",
        b"cr\rinside",
        b"\x01\x1B\x7F",
        b"~",
    ];
    for name in names {
        let spelled: Vec<u8> = name
            .iter()
            .flat_map(|octet| match octet {
                0xFF => vec![0xFF, 0xFF],
                b'\r' => vec![b'\r', 0],
                other => vec![*other],
            })
            .collect();
        let shown = name.escape_ascii();
        control.store([b"STOR ", spelled.as_slice()].concat(), name)?;
        ensure!(subject.tree.names()? == [name.to_vec()], "{shown} made {:?}", subject.tree.names()?);
        ensure!(control.fetch([b"RETR ", spelled.as_slice()].concat())? == name, "{shown}");
        let listed = control.fetch("NLST")?;
        ensure!(
            listed.windows(name.len()).any(|at| at == name) || name.contains(&b'\r'),
            "NLST: {}",
            listed.escape_ascii()
        );
        control.expect([b"RNFR ", spelled.as_slice()].concat(), 350)?;
        control.expect("RNTO plain", 250)?;
        control.expect("DELE plain", 250)?;
    }
    Ok(())
}

// Case 37.
#[test]
fn a_flood_of_commands_is_answered_in_full_and_held_back() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    const COUNT: usize = 100_000;
    let mut writer = control.channel().socket().try_clone()?;
    // The writer blocks when the server does not read on: that is the back-pressure.
    let flood = std::thread::spawn(move || writer.write_all(&b"NOOP\r\n".repeat(COUNT)));
    for i in 0..COUNT {
        let reply = control.reply()?;
        ensure!(reply.code == 200, "reply {i}: «{reply}»");
    }
    flood.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    control.expect("PWD", 257)?;
    Ok(())
}

// Case 37: a client that floods and reads nothing is held back by its own full pipe.
#[test]
fn a_client_that_reads_no_replies_is_not_served_from_memory() -> Result<()> {
    let subject = subject(&[])?;
    let control = subject.session()?;
    let mut socket = control.channel().socket().try_clone()?;
    socket.set_write_timeout(Some(Duration::from_millis(300)))?;
    let line = b"FEAT\r\n".repeat(1000);
    let mut sent = 0_usize;
    while sent < 64 << 20 {
        match socket.write(&line) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    ensure!(sent < 64 << 20, "64 MiB of commands were taken without one reply read");
    subject.session()?.expect("NOOP", 200)?;
    Ok(())
}

// Case 37: nobody logs in by guessing verbs.
#[test]
fn a_thousand_unknown_commands_before_login_end_the_connection() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = Control::connect(subject.port()?)?;
    // It may close in the middle of them.
    let _ = control.send(b"XYZZY\r\n".repeat(1000));
    let said = control.ended()?;
    let replies = said.split(|octet| *octet == b'\n').count();
    ensure!(replies < 1000, "{replies} replies");
    subject.session()?.expect("NOOP", 200)?;
    Ok(())
}

// Case 32.
#[test]
fn http_on_the_control_port_is_closed_and_nothing_is_reflected() -> Result<()> {
    let subject = subject(&[])?;
    for request in [
        "GET /<script>alert(1)</script> HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\nUSER alice\r\nPASS x\r\n",
        "HEAD / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
    ] {
        let mut control = Control::connect(subject.port()?)?;
        // It may close before all of it is sent.
        let _ = control.send(request);
        let said = control.ended()?;
        let said = String::from_utf8_lossy(&said);
        ensure!(!said.contains("script") && !said.contains("331"), "{request:?} was answered {said:?}");
    }
    Ok(())
}

// Case 39: who exists is not told.
#[test]
fn replies_to_wrong_logins_are_the_same_for_everybody() -> Result<()> {
    let subject = subject(&[])?;
    let mut replies = Vec::new();
    for user in [subject.account().0, "nobody-of-that-name"] {
        let mut control = Control::connect(subject.port()?)?;
        let asked = control.say(format!("USER {user}"))?;
        let denied = control.say("PASS wrong")?;
        ensure!(denied.code == 530, "«{denied}»");
        replies.push((asked.text().replace(user, "NAME"), denied.text().replace(user, "NAME")));
    }
    ensure!(replies.first() == replies.last(), "{replies:?}");
    Ok(())
}

// Case 39.
#[test]
fn wrong_logins_are_slowed_down_across_sessions_and_then_cut_off() -> Result<()> {
    let subject = subject(&[])?;
    let begun = std::time::Instant::now();
    let mut tries = 0;
    'sessions: for _ in 0..3 {
        let mut control = Control::connect(subject.port()?)?;
        for _ in 0..2 {
            control.expect("USER alice", 331)?;
            let Ok(reply) = control.say("PASS wrong") else { break };
            ensure!(matches!(reply.code, 530 | 421), "«{reply}»");
            tries += 1;
            if tries == 4 {
                break 'sessions;
            }
        }
    }
    ensure!(begun.elapsed() > Duration::from_secs(1), "{tries} guesses in {:?}", begun.elapsed());
    ensure!(begun.elapsed() < PATIENCE);
    Ok(())
}

// Case 41.
#[test]
fn scanners_that_reset_before_the_greeting_leave_nothing_behind() -> Result<()> {
    let mut subject = subject(&[])?;
    subject.session()?;
    let pid = subject.pids().first().copied().unwrap_or_default();
    let count = || Ok::<_, anyhow::Error>(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count());
    let before = count()?;
    for i in 0..1000 {
        let control = Control::raw(subject.port()?, None)?;
        if i % 2 == 0 {
            socket2::SockRef::from(control.channel().socket()).set_linger(Some(Duration::ZERO))?;
        }
        control.hang_up();
    }
    portway_e2e::until(
        "the descriptors are closed",
        PATIENCE,
        || Ok((count()? <= before + 2).then_some(())),
    )?;
    ensure!(subject.alive()?);
    let mut room = [0; 3];
    let mut control = Control::raw(subject.port()?, None)?.channel().socket().try_clone()?;
    control.read_exact(&mut room)?;
    ensure!(&room == b"220");
    Ok(())
}
