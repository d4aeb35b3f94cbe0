//! TLS sessions that data connections resume, and what becomes of those that do not.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use portway_e2e::{Certificate, Control, Options, PATIENCE, Subject, Tls, TlsOptions, Tree, bytes, until};

use crate::subject;

// Case 29.
#[test]
fn a_client_that_never_resumes_is_served_and_the_log_says_so() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", bytes(1, 5000))?;
    let (mut control, _) = subject.private_session(TlsOptions { resume: false, ..TlsOptions::default() })?;
    for _ in 0..3 {
        ensure!(control.fetch("RETR file")? == bytes(1, 5000));
    }
    subject.log.wait_for("a transfer that did not resume", PATIENCE, |line| {
        (line.contains("\"event\":\"transfer\"") && line.contains("\"resumed\":false")).then_some(())
    })?;
    Ok(())
}

// Case 29.
#[test]
fn with_proof_required_a_data_connection_that_does_not_resume_is_refused() -> Result<()> {
    let subject = subject(&["--data-proof", "required", "--data-timeout", "3s"])?;
    subject.tree.write("file", bytes(1, 5000))?;
    let (mut control, own) = subject.private_session(TlsOptions::default())?;
    let other = subject.private_session(TlsOptions::default())?.1;
    let fresh = Tls::new(&subject.certificate, TlsOptions { resume: false, ..TlsOptions::default() })?;
    for (name, tls) in [("no ticket", fresh), ("another session's ticket", other)] {
        control.data_tls(Some(tls));
        let to = control.epsv()?;
        let mut data = control.join(to)?;
        control.send("RETR file\r\n")?;
        let got = data.read_all().unwrap_or_default();
        ensure!(got.is_empty(), "{name}: {} octets came", got.len());
        drop(data);
        let reply = control.final_reply()?;
        ensure!(matches!(reply.code, 425 | 426 | 522), "{name}: «{reply}»");
    }
    control.data_tls(Some(own));
    ensure!(control.fetch("RETR file")? == bytes(1, 5000), "the session does not survive");
    subject.log.wait_for("the cause", PATIENCE, |line| line.contains("not_resumed").then_some(()))?;
    Ok(())
}

// Case 29: whoever has resumed once must go on resuming.
#[test]
fn a_client_that_has_resumed_must_go_on_resuming() -> Result<()> {
    let subject = subject(&["--data-timeout", "3s"])?;
    subject.tree.write("file", bytes(1, 5000))?;
    let (mut control, own) = subject.private_session(TlsOptions::default())?;
    ensure!(control.fetch("RETR file")? == bytes(1, 5000));
    control.data_tls(Some(Tls::new(
        &subject.certificate,
        TlsOptions { resume: false, ..TlsOptions::default() },
    )?));
    let to = control.epsv()?;
    let mut data = control.join(to)?;
    control.send("RETR file\r\n")?;
    ensure!(data.read_all().unwrap_or_default().is_empty());
    drop(data);
    let reply = control.final_reply()?;
    ensure!(matches!(reply.code, 425 | 426 | 522), "«{reply}»");
    control.data_tls(Some(own));
    ensure!(control.fetch("RETR file")? == bytes(1, 5000));
    Ok(())
}

// Case 29: Perl's Net::FTP resumes once in hundreds of transfers, by chance of its session cache.
#[test]
fn a_client_that_resumes_now_and_then_is_served_every_time() -> Result<()> {
    let subject = subject(&["--data-timeout", "3s"])?;
    subject.tree.write("file", bytes(1, 5000))?;
    let (mut control, own) = subject.private_session(TlsOptions::default())?;
    let never = Tls::new(&subject.certificate, TlsOptions { resume: false, ..TlsOptions::default() })?;
    for (i, tls) in [&never, &never, &own, &never, &own, &own, &never].into_iter().enumerate() {
        control.data_tls(Some(tls.clone()));
        ensure!(control.fetch("RETR file").with_context(|| format!("transfer {i}"))? == bytes(1, 5000));
    }
    Ok(())
}

// Case 29: `curl --parallel` keeps one ticket store for all its sessions with a server, so that a data
// connection may show the ticket of another session of the same user at the same address.
#[test]
fn sessions_of_one_program_that_share_their_tickets_are_served() -> Result<()> {
    let subject = subject(&["--data-timeout", "3s"])?;
    subject.tree.write("file", bytes(1, 5000))?;
    let tls = Tls::new(&subject.certificate, TlsOptions::default())?;
    let mut sessions: Vec<Control> = Vec::new();
    for round in 0..5 {
        let mut control = Control::connect(subject.port()?)?;
        control.secure(&tls)?;
        control.login(subject.account())?;
        sessions.push(control);
        for (i, control) in sessions.iter_mut().enumerate() {
            let got = control.fetch("RETR file").with_context(|| format!("round {round}, session {i}"))?;
            ensure!(got == bytes(1, 5000));
        }
    }
    Ok(())
}

/// Transfers in a row by a client that uses each ticket once; all but the first must resume.
fn in_a_row(options: TlsOptions, count: u64) -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", bytes(1, 1024))?;
    let (mut control, _) = subject.private_session(options)?;
    for i in 0..count {
        let upload = i % 2 == 1;
        let mut data = control.begin(if upload { "STOR up" } else { "RETR file" })?;
        if upload {
            data.write_all(&bytes(i, 1024))?;
            ensure!(data.resumed()?, "upload {i} did not resume");
            data.finish()?;
        } else {
            let got = data.read_all()?;
            ensure!(got == bytes(1, 1024) && data.resumed()?, "download {i} did not resume");
        }
        control.end()?;
    }
    Ok(())
}

// Case 30.
#[test]
fn five_hundred_transfers_resume_for_a_client_with_one_use_tickets() -> Result<()> {
    in_a_row(TlsOptions::default(), 500)
}

// Case 30, TLS 1.2.
#[test]
fn a_hundred_transfers_resume_under_tls_1_2() -> Result<()> {
    in_a_row(TlsOptions { old: true, ..TlsOptions::default() }, 100)
}

// Case 30: uploads alone bring a client no new tickets (field finding 3: the third upload got 522).
#[test]
fn two_hundred_uploads_in_a_row_resume() -> Result<()> {
    let subject = subject(&["--data-proof", "required"])?;
    let (mut control, _) = subject.private_session(TlsOptions::default())?;
    for i in 0..200 {
        let mut data = control.begin("STOR up").with_context(|| format!("upload {i}"))?;
        data.write_all(&bytes(i, 512))?;
        ensure!(data.resumed()?, "upload {i} did not resume");
        data.finish()?;
        control.end()?;
    }
    Ok(())
}

/// Copies the certificate to where the server reads it, so that a test can change it.
fn with_own_certificate() -> Result<(Tree, Certificate, Subject)> {
    let (folder, certificate) = (Tree::new()?, Certificate::new("first")?);
    std::fs::copy(certificate.chain(), folder.at("cert.pem"))?;
    std::fs::copy(certificate.key(), folder.at("key.pem"))?;
    let (chain, key) =
        (folder.at("cert.pem").display().to_string(), folder.at("key.pem").display().to_string());
    let flags = ["--cert".to_owned(), chain, "--key".to_owned(), key];
    // Its own `--cert` is left out, since `tls` is off for the harness.
    let options = Options { tls: false, flags: flags.into(), ..Options::default() };
    Ok((folder, certificate, Subject::start(&options)?))
}

// Cases 31, 35, 50.
#[test]
fn a_reload_with_garbage_keeps_the_old_certificate_and_running_sessions_resume() -> Result<()> {
    let (folder, certificate, subject) = with_own_certificate()?;
    subject.tree.write("file", bytes(1, 5000))?;
    let login = |trusted: &Certificate| -> Result<Control> {
        let mut control = Control::connect(subject.port()?)?;
        control.secure(&Tls::new(trusted, TlsOptions::default())?)?;
        control.login(subject.account())?;
        Ok(control)
    };
    let mut before = login(&certificate)?;
    ensure!(before.fetch("RETR file")? == bytes(1, 5000));

    folder.write("cert.pem", "-----BEGIN GARBAGE-----\n")?;
    subject.reload()?;
    subject.log.wait_for("a warning about the certificate", PATIENCE, |line| {
        (line.contains("\"event\":\"warning\"") && line.contains("certificate")).then_some(())
    })?;
    login(&certificate)?.expect("NOOP", 200)?;

    let second = Certificate::new("second")?;
    std::fs::copy(second.chain(), folder.at("cert.pem"))?;
    std::fs::copy(second.key(), folder.at("key.pem"))?;
    subject.reload()?;
    until("new sessions see the new certificate", PATIENCE, || Ok(login(&second).ok()))?;
    let mut data = before.begin("RETR file")?;
    ensure!(data.read_all()? == bytes(1, 5000) && data.resumed()?, "the running session no longer resumes");
    before.end()?;
    Ok(())
}
