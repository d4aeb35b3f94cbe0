use super::*;
use crate::event::*;
use std::io::Write;
use std::sync::mpsc;

const LONG: Duration = Duration::from_secs(30);

/// A sink that can be read back, and that can be held shut to play a slow disk.
#[derive(Clone, Default)]
struct Paper {
    written: Arc<Mutex<Vec<u8>>>,
    gate: Arc<Mutex<()>>,
}

impl Write for Paper {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        drop(self.gate.lock().unwrap());
        assert!(octets.ends_with(b"\n"), "a line reaches the sink in one write");
        self.written.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn lines(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        String::from_utf8(written.clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

fn notice(detail: &str) -> Notice {
    Notice { what: "test", detail: detail.into() }
}

/// One event of each kind, and what the text format makes of it.
fn samples() -> Vec<(Event, &'static str)> {
    let (session, peer) = (12, "192.0.2.7".parse().unwrap());
    let address = "[2001:db8::1]:2121".parse().unwrap();
    let half = Seconds(Duration::from_micros(500_000));
    vec![
        (Start { version: "0.1.0", root: "/srv".into() }.into(), r#"start version=0.1.0 root="/srv""#),
        (Listening { what: "ftp", address }.into(), "listening what=ftp address=[2001:db8::1]:2121"),
        (
            SessionOpened { session, peer, port: 50_000, local: address, implicit_tls: false }.into(),
            "session_opened session=12 peer=192.0.2.7 port=50000 local=[2001:db8::1]:2121 implicit_tls=no",
        ),
        (
            SessionClosed {
                session,
                peer,
                user: None,
                reason: "quit",
                seconds: half,
                bytes_in: 1,
                bytes_out: 2,
            }
            .into(),
            "session_closed session=12 peer=192.0.2.7 reason=quit seconds=0.5 bytes_in=1 bytes_out=2",
        ),
        (
            Login {
                session,
                peer,
                user: "ann".into(),
                result: LoginResult::Ok,
                tls: Some("1.3"),
                reason: None,
            }
            .into(),
            r#"login session=12 peer=192.0.2.7 user="ann" ok tls=1.3"#,
        ),
        (
            Transfer {
                session,
                peer,
                user: "ann".into(),
                anonymous: false,
                verb: "RETR",
                path: "/a \"b\"\n".into(),
                direction: Direction::Out,
                bytes: 1024,
                seconds: half,
                mode: "EPSV",
                port: 2000,
                tls: true,
                resumed: Some(true),
                ascii: false,
                compressed: false,
                restart_offset: 0,
                result: TransferResult::Failed,
                code: 426,
                cause: Some("reset"),
            }
            .into(),
            r#"transfer session=12 peer=192.0.2.7 user="ann" anonymous=no verb=RETR path="/a \"b\"\n" direction=out bytes=1024 seconds=0.5 mode=EPSV port=2000 tls=yes resumed=yes ascii=no compressed=no restart_offset=0 failed code=426 cause=reset"#,
        ),
        (
            DataFailed {
                session,
                peer,
                mode: "PASV",
                announced: Some(address),
                cause: "nobody_came",
                detail: "x".into(),
            }
            .into(),
            r#"data_failed session=12 peer=192.0.2.7 mode=PASV announced=[2001:db8::1]:2121 cause=nobody_came detail="x""#,
        ),
        (
            Refused { session: None, peer, what: "session", why: "too_many_sessions" }.into(),
            "refused peer=192.0.2.7 what=session why=too_many_sessions",
        ),
        (
            Hole {
                id: 3,
                session,
                by: "relay".into(),
                user: Some("ann".into()),
                from: peer,
                from_port: Some(50_000),
                to: address,
                announced: None,
                within: Seconds(Duration::from_secs(10)),
                result: "used",
                seconds: half,
                bytes_there: Some(1),
                bytes_back: Some(2),
                detail: None,
            }
            .into(),
            concat!(
                r#"hole id=3 session=12 by=relay user="ann" from=192.0.2.7 from_port=50000 to=[2001:db8::1]:2121 "#,
                "within=10 used seconds=0.5 bytes_there=1 bytes_back=2"
            ),
        ),
        (
            TlsFailed { session, peer, channel: "data", detail: "bad record".into() }.into(),
            r#"tls_failed session=12 peer=192.0.2.7 channel=data detail="bad record""#,
        ),
        (
            UpstreamOpened { session, server: address, host: "h".into(), from: address, tls: None }.into(),
            "upstream_opened session=12 server=[2001:db8::1]:2121 host=h from=[2001:db8::1]:2121",
        ),
        (
            UpstreamFailed { session, host: "h".into(), server: None, cause: "lost", detail: "x".into() }
                .into(),
            r#"upstream_failed session=12 host=h cause=lost detail="x""#,
        ),
        (
            Relayed {
                session,
                server: address,
                verb: "STOR",
                path: "/a".into(),
                bytes: 7,
                seconds: half,
                mode: "EPSV",
                tls: true,
                resumed: Some(true),
                code: 226,
            }
            .into(),
            r#"relayed session=12 server=[2001:db8::1]:2121 verb=STOR path="/a" bytes=7 seconds=0.5 mode=EPSV tls=yes resumed=yes code=226"#,
        ),
        (
            Warning { what: "accept", detail: "no files left".into() }.into(),
            r#"warning what=accept detail="no files left""#,
        ),
        (notice("hello").into(), r#"notice what=test detail="hello""#),
    ]
}

#[test]
fn every_kind_of_event_has_its_text_line() {
    let time = std::time::UNIX_EPOCH + Duration::from_millis(1_793_787_308_250);
    for (event, expected) in samples() {
        assert_eq!(LogFormat::Text.line(time, &event), format!("2026-11-04T10:15:08Z {expected}"));
    }
}

#[test]
fn every_kind_of_event_is_one_json_object_with_time_and_name_and_the_same_fields() {
    let time = std::time::UNIX_EPOCH + Duration::from_millis(1_793_787_308_250);
    for (event, text) in samples() {
        let line = LogFormat::Json.line(time, &event);
        assert!(!line.contains('\n'), "{line}");
        let object: serde_json::Map<_, _> = serde_json::from_str(&line).unwrap();
        assert_eq!(object["time"], "2026-11-04T10:15:08.250Z");
        assert!(text.starts_with(object["event"].as_str().unwrap()), "{line}");
        for (key, value) in
            object.iter().filter(|(key, _)| !["time", "event", "result"].contains(&key.as_str()))
        {
            assert_eq!(text.contains(&format!("{key}=")), !value.is_null(), "{key} of {line}");
        }
    }
}

#[test]
fn a_path_cannot_forge_a_second_line_in_either_format() {
    let forged =
        "/x\n2026-11-04T10:15:08Z login session=1 peer=192.0.2.1 user=\"root\" ok\r\u{2028}\u{1b}[2K";
    for format in [LogFormat::Text, LogFormat::Json] {
        let paper = Paper::default();
        let log = Log::new(format, Sink::writer(paper.clone())).unwrap();
        log.record(notice(forged));
        assert!(log.flush(LONG));
        let lines = paper.lines();
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains(['\r', '\u{2028}', '\u{1b}']), "{lines:?}");
    }
}

#[test]
fn lines_come_out_in_order_and_all_of_them_after_a_flush() {
    let paper = Paper::default();
    let log = Log::new(LogFormat::Text, Sink::writer(paper.clone())).unwrap();
    for n in 0..1000 {
        log.record(notice(&format!("no {n:04}")));
    }
    assert!(log.flush(LONG));
    let lines = paper.lines();
    assert_eq!(lines.len(), 1000);
    assert!(lines.iter().enumerate().all(|(n, line)| line.ends_with(&format!("\"no {n:04}\""))));
}

#[test]
fn dropping_the_last_handle_writes_what_is_queued() {
    let paper = Paper::default();
    let log = Log::new(LogFormat::Text, Sink::writer(paper.clone())).unwrap();
    let other = log.clone();
    log.record(notice("one"));
    drop(log);
    other.record(notice("two"));
    drop(other);
    assert_eq!(paper.lines().len(), 2);
}

#[test]
fn a_stuck_sink_holds_nobody_up_and_warnings_outlive_ordinary_lines() {
    let paper = Paper::default();
    let writer = Writer::new(LogFormat::Text, Sink::writer(paper.clone()), None);
    let log = Log::start(writer, 10).unwrap();
    let stuck = paper.gate.lock().unwrap();
    log.record(Warning { what: "early", detail: "w".into() });
    for n in 0..500 {
        log.record(notice(&format!("{n}")));
    }
    assert!(!log.flush(Duration::from_millis(1)), "nothing can be written now");
    drop(stuck);
    assert!(log.flush(LONG));
    log.record(notice("the last"));
    assert!(log.flush(LONG));
    let lines = paper.lines();
    assert!(lines.len() <= 14, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("what=early")), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("log_lines_dropped") && line.contains("lines dropped")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.contains("\"499\"")), "the newest are kept: {lines:?}");
    assert_eq!(log.meter().read().sessions_opened, 0);
}

#[test]
fn dropped_lines_are_counted_exactly() {
    let paper = Paper::default();
    let writer = Writer::new(LogFormat::Text, Sink::writer(paper.clone()), None);
    let log = Log::start(writer, 4).unwrap();
    let stuck = paper.gate.lock().unwrap();
    for n in 0..100 {
        log.record(notice(&format!("{n}")));
    }
    drop(stuck);
    assert!(log.flush(LONG));
    let lines = paper.lines();
    let told: usize = lines
        .iter()
        .filter(|line| line.contains("log_lines_dropped"))
        .filter_map(|line| line.split('"').nth(1)?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    let written = lines.iter().filter(|line| line.contains("notice")).count();
    assert_eq!(told + written, 100, "{lines:?}");
}

#[test]
fn a_sink_that_fails_stops_neither_the_log_nor_the_program() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::new(LogFormat::Json, Sink::writer(Full)).unwrap();
    log.record(notice("lost"));
    assert!(log.flush(LONG));
}

#[test]
fn files_are_opened_anew_after_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let xferlog = folder.path().join("xferlog");
    let log =
        Log::with_xferlog(LogFormat::Text, Sink::file(&path).unwrap(), Xferlog::open(&xferlog).unwrap())
            .unwrap();
    log.record(notice("before"));
    assert!(log.flush(LONG));
    std::fs::rename(&path, &old).unwrap();
    log.record(notice("between"));
    log.reopen();
    for (event, _) in samples() {
        log.record(event);
    }
    assert!(log.flush(LONG));
    let read = |path| std::fs::read_to_string(path).unwrap();
    assert!(read(&old).contains("before") && read(&old).contains("between"));
    assert_eq!(read(&path).lines().count(), samples().len());
    assert_eq!(read(&xferlog).lines().count(), 1, "the one file transfer among the samples");
}

#[test]
fn the_meter_counts_what_the_log_records() {
    let log = Log::new(LogFormat::Text, Sink::writer(Paper::default())).unwrap();
    for (event, _) in samples() {
        log.record(event);
    }
    let counted = log.meter().read();
    assert_eq!((counted.sessions_opened, counted.sessions_closed), (1, 1));
    assert_eq!((counted.logins_ok, counted.logins_failed), (1, 0));
    assert_eq!((counted.transfers_complete, counted.transfers_failed, counted.bytes_out), (0, 1, 1024));
    assert_eq!(counted.data_failures.get("nobody_came"), Some(&1));
    assert_eq!(counted.refusals.get("too_many_sessions"), Some(&1));
    assert_eq!(counted.tls_failures, 1);
}

#[test]
fn recording_from_many_threads_loses_nothing() {
    let paper = Paper::default();
    let log = Log::new(LogFormat::Json, Sink::writer(paper.clone())).unwrap();
    let (done, all_done) = mpsc::channel();
    for thread in 0..4 {
        let (log, done) = (log.clone(), done.clone());
        thread::spawn(move || {
            for n in 0..500 {
                log.record(notice(&format!("{thread}/{n}")));
            }
            done.send(()).unwrap();
        });
    }
    for _ in 0..4 {
        all_done.recv_timeout(LONG).unwrap();
    }
    assert!(log.flush(LONG));
    assert_eq!(paper.lines().len(), 2000);
}
