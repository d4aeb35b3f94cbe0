//! How many, and how long.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use portway_e2e::{Control, Options, PATIENCE, Subject, until};

use crate::subject;

// Case 40.
#[test]
fn sessions_above_the_limit_get_421_and_the_others_go_on() -> Result<()> {
    let subject = subject(&["--max-sessions", "3"])?;
    let mut sessions = (0..3).map(|_| subject.session()).collect::<Result<Vec<_>>>()?;
    for _ in 0..50 {
        let mut control = Control::raw(subject.port()?, None)?;
        let begun = Instant::now();
        control.expect_reply(421)?;
        control.ended()?;
        ensure!(begun.elapsed() < Duration::from_secs(2));
    }
    for control in &mut sessions {
        control.expect("NOOP", 200)?;
    }
    sessions.pop();
    until("a place is free", PATIENCE, || Ok(subject.session().ok()))?;
    Ok(())
}

// Case 40.
#[test]
fn one_address_cannot_take_all_places() -> Result<()> {
    let subject = subject(&["--max-sessions-per-address", "2"])?;
    let _sessions = (0..2).map(|_| subject.session()).collect::<Result<Vec<_>>>()?;
    let mut third = Control::raw(subject.port()?, None)?;
    third.expect_reply(421)?;
    let mut other = Control::connect_from("127.0.0.2".parse()?, subject.port()?)?;
    other.login(subject.account())?;
    Ok(())
}

// RFC 1123 §4.1.3.2.
#[test]
fn an_idle_session_ends_with_421() -> Result<()> {
    let subject = subject(&["--idle-timeout", "1s"])?;
    let mut control = subject.session()?;
    let begun = Instant::now();
    control.expect_reply(421)?;
    control.ended()?;
    ensure!(begun.elapsed() >= Duration::from_millis(900), "after {:?}", begun.elapsed());
    ensure!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
    Ok(())
}

// Case 27, as far as it can be waited for: the limit of a handshake that never comes is 60 s, and no flag
// changes it.
#[test]
fn a_connection_that_never_logs_in_ends_no_later_than_an_idle_one() -> Result<()> {
    let subject = subject(&["--idle-timeout", "1s"])?;
    for line in ["", "USER alice\r\n"] {
        let mut control = Control::connect(subject.port()?)?;
        control.send(line)?;
        let begun = Instant::now();
        control.ended()?;
        ensure!(begun.elapsed() < Duration::from_secs(10), "after {line:?} it took {:?}", begun.elapsed());
    }
    Ok(())
}

// Case 49.
#[test]
fn a_server_without_descriptors_left_recovers() -> Result<()> {
    let mut subject = Subject::start(&Options { descriptors: Some(60), ..Options::default() })?;
    let mut crowd = Vec::new();
    for _ in 0..120 {
        // Some are accepted, some wait in the kernel's queue, some are closed at once.
        crowd.push(Control::raw(subject.port()?, None)?);
    }
    ensure!(subject.alive()?);
    drop(crowd);
    let mut control = until("somebody can log in again", PATIENCE, || Ok(subject.session().ok()))?;
    subject.tree.write("file", "contents")?;
    ensure!(control.fetch("RETR file")? == b"contents");
    Ok(())
}

#[test]
fn read_only_refuses_every_change() -> Result<()> {
    let subject = subject(&["--read-only"])?;
    subject.tree.write("file", "contents")?;
    subject.tree.folder("folder")?;
    let mut control = subject.session()?;
    for line in [
        "STOR new",
        "APPE file",
        "STOU",
        "DELE file",
        "MKD made",
        "RMD folder",
        "RNFR file",
        "MFMT 20200101000000 file",
        "SITE CHMOD 600 file",
        "MDTM 20200101000000 file",
        "RMDA folder",
    ] {
        let to = control.epsv()?;
        let data = control.join(to)?;
        let mut reply = control.say(line)?;
        if reply.code == 350 {
            reply = control.say("RNTO other")?;
        }
        ensure!((500..600).contains(&reply.code), "{line}: «{reply}»");
        drop(data);
    }
    ensure!(control.fetch("RETR file")? == b"contents");
    ensure!(subject.tree.names()?.len() == 2);
    Ok(())
}

#[test]
fn anonymous_may_read_and_nothing_else() -> Result<()> {
    let options = Options { users: Vec::new(), ..Options::default() };
    let subject = Subject::start(&options)?;
    subject.tree.write("file", "contents")?;
    for user in ["anonymous", "ftp"] {
        let mut control = Control::connect(subject.port()?)?;
        control.login((user, "guest@example.org"))?;
        ensure!(control.fetch("RETR file")? == b"contents");
        let reply = control.say("DELE file")?;
        ensure!((500..600).contains(&reply.code), "«{reply}»");
        let to = control.epsv()?;
        let data = control.join(to)?;
        let reply = control.say("STOR new")?;
        drop(data);
        ensure!((500..600).contains(&reply.code), "«{reply}»");
    }
    // With accounts, anonymous is not let in unless that is asked for.
    let closed = crate::subject(&[])?;
    let mut control = Control::connect(closed.port()?)?;
    let reply = control.say("USER anonymous")?;
    let reply = if reply.code == 331 { control.say("PASS guest@")? } else { reply };
    ensure!(reply.code == 530, "«{reply}»");
    Ok(())
}
