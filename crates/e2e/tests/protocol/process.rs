//! Starting, reloading and ending.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Result, ensure};
use portway_e2e::{Control, Options, PATIENCE, Subject, bytes, until};

use crate::subject;

// Case 50.
#[test]
fn sigterm_lets_running_transfers_end_and_takes_nobody_new() -> Result<()> {
    let mut subject = subject(&[])?;
    let contents = bytes(1, 32 << 20);
    subject.tree.write("file", &contents)?;
    let mut down = subject.session()?;
    let mut downward = down.begin("RETR file")?;
    let mut head = vec![0; 1 << 16];
    downward.read_exact(&mut head)?;
    let mut up = subject.session()?;
    let mut upward = up.begin("STOR up")?;
    upward.write_all(&contents[..1 << 20])?;
    let address = subject.port()?;
    subject.terminate()?;
    until("no new connection is greeted", PATIENCE, || Ok(Control::connect(address).is_err().then_some(())))?;
    head.extend(downward.read_all()?);
    ensure!(head == contents, "the download broke");
    drop(downward);
    down.end()?;
    upward.write_all(&contents[1 << 20..])?;
    upward.finish()?;
    up.end()?;
    ensure!(subject.ended(PATIENCE)?, "it did not end well");
    ensure!(subject.tree.read("up")? == contents);
    Ok(())
}

// Case 50.
#[test]
fn an_idle_server_ends_at_once_on_sigterm() -> Result<()> {
    let mut subject = subject(&[])?;
    let mut idle = subject.session()?;
    subject.terminate()?;
    let reply = idle.reply()?;
    ensure!(reply.code == 421, "«{reply}»");
    ensure!(subject.ended(Duration::from_secs(10))?);
    Ok(())
}

// Case 50: a reload breaks nothing that runs.
#[test]
fn a_reload_breaks_no_running_transfer() -> Result<()> {
    let subject = subject(&[])?;
    let contents = bytes(1, 4 << 20);
    subject.tree.write("file", &contents)?;
    let mut running = Vec::new();
    for _ in 0..20 {
        let mut control = subject.session()?;
        let data = control.begin("RETR file")?;
        running.push((control, data));
    }
    for _ in 0..3 {
        subject.reload()?;
    }
    for (control, data) in &mut running {
        ensure!(data.read_all()? == contents);
        control.end()?;
    }
    subject.session()?.expect("NOOP", 200)?;
    Ok(())
}

// The README's first command: no account, no certificate, no configuration.
#[test]
fn without_any_flag_it_serves_anonymous_readers_with_tls_of_its_own() -> Result<()> {
    let options = Options {
        users: Vec::new(),
        tls: false,
        flags: vec!["--tls".to_owned(), "on".to_owned()],
        ..Options::default()
    };
    let subject = Subject::start(&options)?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    ensure!(control.fetch("RETR file")? == b"contents");
    let feat = control.expect("FEAT", 211)?;
    ensure!(feat.text().contains("AUTH TLS"), "«{feat}»");
    control.expect("AUTH TLS", 234)?;
    Ok(())
}

// A user without a password gets one, and it is printed, once, on standard output.
#[test]
fn a_generated_password_is_printed_and_works() -> Result<()> {
    let options = Options {
        users: Vec::new(),
        flags: vec!["--user".to_owned(), "bob".to_owned()],
        ..Options::default()
    };
    let subject = Subject::start(&options)?;
    let line = subject.summary.wait_for("the line about bob", PATIENCE, |line| {
        (line.contains("bob") && line.contains("password")).then(|| line.to_owned())
    })?;
    let found =
        line.split_whitespace().map(|word| word.trim_matches(|c: char| "(),;\"«»".contains(c))).any(|word| {
            let Ok(address) = subject.port() else { return false };
            word.len() >= 8
                && Control::connect(address).is_ok_and(|mut control| control.login(("bob", word)).is_ok())
        });
    ensure!(found, "no word of «{line}» is the password");
    Ok(())
}

// The summary tells a newcomer what to type.
#[test]
fn the_summary_has_a_line_for_lftp_and_one_for_curl() -> Result<()> {
    let subject = subject(&[])?;
    let text = until("the summary is there", PATIENCE, || {
        let text = subject.summary.so_far().join("\n");
        Ok((text.contains("lftp ") && text.contains("curl ")).then_some(text))
    })?;
    ensure!(text.contains("listening ftp://127.0.0.1:"), "{text}");
    Ok(())
}
