//! Peers that stop in the middle.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portway_e2e::{Control, PATIENCE, Subject, until};

use crate::subject;

// Case 13.
#[test]
fn an_upload_that_brings_nothing_is_ended_and_the_session_lives() -> Result<()> {
    let subject = subject(&["--data-timeout", "1s"])?;
    let mut control = subject.session()?;
    let mut data = control.begin("STOR slow")?;
    data.write_all(b"x")?;
    let begun = Instant::now();
    let reply = control.reply()?;
    ensure!(matches!(reply.code, 421 | 425 | 426 | 451), "«{reply}»");
    ensure!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
    ensure!(!subject.tree.has("slow"), "a part is visible");
    control.expect("NOOP", 200)?;
    Ok(())
}

// Case 13: passive, and nobody comes.
#[test]
fn a_data_connection_that_nobody_makes_gets_425_at_the_limit() -> Result<()> {
    let subject = subject(&["--data-timeout", "1s"])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    control.epsv()?;
    let begun = Instant::now();
    let mut reply = control.say("RETR file")?;
    if reply.code == 150 {
        reply = control.reply()?;
    }
    ensure!(reply.code == 425, "«{reply}»");
    ensure!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
    ensure!(control.fetch("RETR file")? == b"contents");
    Ok(())
}

fn resident(subject: &Subject) -> Result<u64> {
    let mut sum = 0;
    for pid in subject.pids() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).context("no VmRSS")?;
        sum += line.split_whitespace().nth(1).context("no number")?.parse::<u64>()?;
    }
    Ok(sum)
}

// Case 14.
#[test]
fn a_client_that_never_reads_costs_little_and_is_ended() -> Result<()> {
    let subject = subject(&["--data-timeout", "2s"])?;
    subject.tree.sparse("large", 1 << 30)?;
    let mut sessions = Vec::new();
    let before = resident(&subject)?;
    for _ in 0..8 {
        let mut control = subject.session()?;
        let data = control.begin("RETR large")?;
        sessions.push((control, data));
    }
    for (control, _) in &mut sessions {
        let reply = control.reply()?;
        ensure!(matches!(reply.code, 425 | 426), "«{reply}»");
        control.expect("NOOP", 200)?;
    }
    let grown = resident(&subject)?.saturating_sub(before);
    ensure!(grown < 40 << 10, "eight sessions took {grown} KiB");
    Ok(())
}

// Case 20: a transfer longer than the idle limit; the client paces it by its own clock.
#[test]
fn the_idle_timer_does_not_run_while_data_flows() -> Result<()> {
    let subject = subject(&["--idle-timeout", "1s"])?;
    let mut control = subject.session()?;
    let mut data = control.begin("STOR long")?;
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < Duration::from_millis(2500) {
        data.write_all(b"x")?;
        sent += 1;
        std::thread::park_timeout(Duration::from_millis(50));
    }
    data.finish()?;
    control.end()?;
    control.expect("NOOP", 200)?;
    ensure!(subject.tree.read("long")?.len() == sent);
    // And with nothing going on it does run.
    let begun = Instant::now();
    control.expect_reply(421)?;
    control.ended()?;
    ensure!(begun.elapsed() < Duration::from_secs(5));
    Ok(())
}

// Case 20: the kernel's list of sockets shows which timer runs on the control connection: 2 is keep-alive.
#[test]
fn the_control_connection_is_kept_alive_during_transfers() -> Result<()> {
    let subject = subject(&[])?;
    let control = subject.session()?;
    let (server, client) = (subject.port()?.port(), control.channel().socket().local_addr()?.port());
    // Another timer shows for as long as the last reply is not acknowledged.
    until("the keep-alive timer is the next to run", PATIENCE, || {
        let table = std::fs::read_to_string("/proc/net/tcp")?;
        let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| {
            let ends = |column: usize, port: u16| {
                row.get(column).is_some_and(|end| end.ends_with(&format!(":{port:04X}")))
            };
            ends(1, server) && ends(2, client)
        });
        let timer = row
            .context("the connection is not in /proc/net/tcp")?
            .get(5)
            .copied()
            .unwrap_or_default()
            .to_owned();
        Ok(timer.starts_with("02:").then_some(()))
    })
}

// Case 19.
#[test]
fn a_transfer_stops_soon_after_its_control_connection_is_gone() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.sparse("large", 1 << 30)?;
    let mut control = subject.session()?;
    let mut data = control.begin("RETR large")?;
    let mut room = vec![0; 1 << 16];
    data.read_exact(&mut room)?;
    control.hang_up();
    let begun = Instant::now();
    // What is in the buffers may still come; a whole gibibyte may not.
    let mut rest = 0;
    while let Ok(n @ 1..) = data.read(&mut room) {
        rest += n;
        std::thread::park_timeout(Duration::from_millis(1));
    }
    ensure!(rest < 900 << 20, "{rest} octets more came");
    ensure!(begun.elapsed() < Duration::from_secs(10), "it ended after {:?}", begun.elapsed());
    Ok(())
}

// Case 19, upload: what arrived is not shown as the file.
// Case 19: in clear the end of a program that was killed looks like the end of its file, and its data connection
// mostly ends first. A machine under load may come between the two ends once.
#[test]
fn an_upload_whose_client_is_killed_is_not_stored() -> Result<()> {
    let subject = subject(&[])?;
    let names: Vec<String> = (0..6).map(|n| format!("cut{n}")).collect();
    let killed = |name: &str| -> Result<()> {
        let mut control = subject.session()?;
        let mut data = control.begin(format!("STOR {name}"))?;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            data.write_all(&[b'x'; 1000])?;
            // A slow line.
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(data);
        control.hang_up();
        Ok(())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = names.iter().map(|name| scope.spawn(|| killed(name))).collect();
        running.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a panic"))?)
    })?;
    let mut ended = 0;
    subject.log.wait_for("the sessions' ends", PATIENCE, |line| {
        ended += usize::from(line.contains("session_closed"));
        (ended == names.len()).then_some(())
    })?;
    let stored: Vec<_> = names.iter().filter(|name| subject.tree.has(name)).collect();
    ensure!(stored.len() <= 1, "stored though cut: {stored:?}");
    Ok(())
}

#[test]
fn an_upload_whose_control_connection_dies_is_not_stored() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    let mut data = control.begin("STOR half")?;
    data.write_all(&[b'x'; 10_000])?;
    control.hang_up();
    // The server ends the data connection; the client may notice by a reset.
    let mut rest = Vec::new();
    let _ = data.read_to_end(&mut rest);
    drop(data);
    let mut again: Control = subject.session()?;
    ensure!(!subject.tree.has("half"));
    ensure!(!again.fetch("NLST")?.windows(4).any(|name| name == b"half"));
    Ok(())
}
