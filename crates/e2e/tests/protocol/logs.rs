//! What an operator can read afterwards.

use anyhow::{Context, Result, ensure};
use portway_e2e::{Control, PATIENCE, Subject, TlsOptions, Tree, bytes};
use serde_json::Value;

use crate::subject;

/// Waits for an event of this kind that satisfies `wanted`.
fn event(subject: &Subject, kind: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    subject.log.wait_for(&format!("a {kind} that fits"), PATIENCE, |line| {
        let value: Value = serde_json::from_str(line).ok()?;
        (value.get("event")? == kind && wanted(&value)).then_some(value)
    })
}

fn field<'a>(event: &'a Value, name: &str) -> Result<&'a Value> {
    event.get(name).with_context(|| format!("no {name} in {event}"))
}

#[test]
fn a_login_is_logged_with_its_result_and_never_with_the_password() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = Control::connect(subject.port()?)?;
    control.expect("USER alice", 331)?;
    control.expect("PASS not-the-secret", 530)?;
    let failed =
        event(&subject, "login", |event| event.get("result").is_some_and(|result| result == "failed"))?;
    ensure!(field(&failed, "user")? == "alice" && field(&failed, "peer")? == "127.0.0.1", "{failed}");
    subject.private_session(TlsOptions::default())?;
    let done = event(&subject, "login", |event| event.get("result").is_some_and(|result| result == "ok"))?;
    ensure!(field(&done, "tls")? == "1.3", "{done}");
    let all = subject.log.so_far().join("\n");
    ensure!(!all.contains("not-the-secret") && !all.contains("wonder land"), "a password is in the log");
    Ok(())
}

#[test]
fn a_transfer_is_logged_with_who_what_how_much_and_how() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("folder/file", bytes(1, 12_345))?;
    let mut control = subject.session()?;
    control.fetch("RETR folder/file")?;
    control.store("STOR up", &bytes(2, 777))?;
    let (mut private, _) = subject.private_session(TlsOptions::default())?;
    private.fetch("RETR folder/file")?;
    for (verb, tls, path, octets, direction) in [
        ("RETR", false, "/folder/file", 12_345, "out"),
        ("STOR", false, "/up", 777, "in"),
        ("RETR", true, "/folder/file", 12_345, "out"),
    ] {
        let line = event(&subject, "transfer", |event| {
            event.get("verb").is_some_and(|it| it == verb) && event.get("tls").is_some_and(|it| *it == tls)
        })?;
        for (name, wanted) in [
            ("user", Value::from("alice")),
            ("peer", Value::from("127.0.0.1")),
            ("path", Value::from(path)),
            ("bytes", Value::from(octets)),
            ("direction", Value::from(direction)),
            ("mode", Value::from("EPSV")),
            ("result", Value::from("complete")),
            ("code", Value::from(226)),
        ] {
            ensure!(*field(&line, name)? == wanted, "{name} in {line}");
        }
        ensure!(
            field(&line, "seconds")?.as_f64().is_some_and(|seconds| (0.0..60.0).contains(&seconds)),
            "{line}"
        );
        ensure!(field(&line, "time")?.as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }
    Ok(())
}

#[test]
fn a_data_connection_that_fails_is_logged_with_its_cause() -> Result<()> {
    let subject = subject(&["--data-timeout", "1s"])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    control.epsv()?;
    let mut reply = control.say("RETR file")?;
    if reply.code == 150 {
        reply = control.reply()?;
    }
    ensure!(reply.code == 425, "«{reply}»");
    let failed = event(&subject, "data_failed", |event| {
        event.get("cause").is_some_and(|cause| cause == "nobody_came")
    })?;
    ensure!(field(&failed, "mode")? == "EPSV", "{failed}");
    ensure!(
        field(&failed, "announced")?.as_str().is_some_and(|address| address.starts_with("127.0.0.1:")),
        "{failed}"
    );

    // Active, to a port where nobody listens.
    let listener = control.eprt()?;
    drop(listener);
    let mut reply = control.say("RETR file")?;
    if reply.code == 150 {
        reply = control.reply()?;
    }
    ensure!(reply.code == 425, "«{reply}»");
    let failed =
        event(&subject, "data_failed", |event| event.get("mode").is_some_and(|mode| mode == "EPRT"))?;
    ensure!(field(&failed, "cause")?.as_str().is_some_and(|cause| !cause.is_empty()), "{failed}");
    ensure!(field(&failed, "detail")?.as_str().is_some_and(|detail| !detail.is_empty()), "{failed}");
    Ok(())
}

#[test]
fn a_broken_upload_is_logged_as_failed_with_what_arrived() -> Result<()> {
    let subject = subject(&[])?;
    let (mut control, _) = subject.private_session(TlsOptions::default())?;
    let mut data = control.begin("STOR half")?;
    std::io::Write::write_all(&mut data, &bytes(1, 5000))?;
    data.cut()?;
    control.reply()?;
    let line =
        event(&subject, "transfer", |event| event.get("result").is_some_and(|result| result == "failed"))?;
    ensure!(field(&line, "cause")? == "truncated", "{line}");
    Ok(())
}

#[test]
fn names_cannot_forge_log_lines() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    let evil = b"x\r\0{\"event\":\"login\",\"user\":\"root\"}\x1B[2J";
    control.store([b"STOR ", &evil[..]].concat(), b"x")?;
    event(&subject, "transfer", |event| event.get("verb").is_some_and(|verb| verb == "STOR"))?;
    for line in subject.log.so_far() {
        ensure!(serde_json::from_str::<Value>(&line).is_ok(), "not JSON: {line}");
        ensure!(!line.contains('\x1B'), "an escape in {line:?}");
    }
    ensure!(!subject.log.objects().iter().any(|event| event.get("user").is_some_and(|user| user == "root")));
    Ok(())
}

#[test]
fn the_xferlog_has_one_line_for_each_file() -> Result<()> {
    let folder = Tree::new()?;
    let path = folder.at("xferlog");
    let subject = subject(&["--xferlog", &path.display().to_string()])?;
    subject.tree.write("down", bytes(1, 4321))?;
    let mut control = subject.session()?;
    control.fetch("NLST")?;
    control.fetch("RETR down")?;
    control.store("STOR up", &bytes(2, 1234))?;
    let lines = portway_e2e::until("two lines are there", PATIENCE, || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Ok((lines.len() >= 2).then_some(lines))
    })?;
    ensure!(lines.len() == 2, "{lines:?}");
    for (line, size, name, direction) in [(&lines[0], "4321", "/down", "o"), (&lines[1], "1234", "/up", "i")]
    {
        // xferlog(5): five words of time, then seconds, host, size, name, type, action, direction, access, user, …
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.len() == 18, "{line}");
        ensure!(words[6] == "127.0.0.1" && words[7] == size && words[8].ends_with(name), "{line}");
        ensure!(
            words[11] == direction && words[12] == "r" && words[13] == "alice" && words[17] == "c",
            "{line}"
        );
    }
    Ok(())
}
