//! The helper as a process, asked by hand and by the broker's seam, in namespaces of its own.
#![allow(clippy::unwrap_used)]

#[path = "../../nft/tests/lab/mod.rs"]
mod lab;

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lab::{CLIENT, GATE, Lab, SERVER, at, in_namespaces, run, strict, until};
use portway_nft::wire::{ANSWER, Answer, Ask, Outcome, REQUEST, Request};
use portway_nft::{DEFAULT_MARK, End, Key, Remote, RemoteError, Translation, Want};
use portway_pinhole::{HelperPinholes, NftOptions, PinholeError, Pinholes as _, StartError, Way, nft};
use portway_proto::{Announced, Expected};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};

/// A running helper; killed with this value.
struct Helper {
    process: Child,
    path: PathBuf,
    log: mpsc::Receiver<String>,
}

impl Helper {
    fn start(test: &str, options: &[&str]) -> Self {
        let path = std::env::temp_dir().join(format!("holed-{test}-{}.sock", std::process::id()));
        Self::start_at(path, options)
    }

    fn start_at(path: PathBuf, options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_portway-holed"))
            .arg("--socket")
            .arg(&path)
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = mpsc::channel();
        let stderr = process.stderr.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
        });
        let helper = Self { process, path, log };
        helper.says("ready");
        helper
    }

    /// Waits for a line of the log that contains `word`.
    fn says(&self, word: &str) -> String {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("the log never said {word:?}"));
            if line.contains(word) {
                return line;
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A client by hand.
struct Line(OwnedFd);

impl Line {
    fn to(path: &Path) -> Self {
        let line = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        connect(&line, &SocketAddrUnix::new(path).unwrap()).unwrap();
        Self(line)
    }

    fn ask(&self, ask: Ask) -> Option<Outcome> {
        send(&self.0, &Request { tag: 7, ask }.emit(), SendFlags::NOSIGNAL).ok()?;
        self.answer()
    }

    fn answer(&self) -> Option<Outcome> {
        let mut record = [0; ANSWER];
        let (_, length) = recv(&self.0, &mut record[..], RecvFlags::empty()).ok()?;
        Answer::parse(&record[..length]).map(|answer| answer.result)
    }

    fn open(&self, from: &str, to: std::net::SocketAddr, seconds: u64) -> Option<Outcome> {
        let key = Key::new(from.parse().unwrap(), to);
        self.ask(Ask::Open(Want { key, within: Duration::from_secs(seconds) }))
    }
}

fn expected(from: &str, to: std::net::SocketAddr) -> Expected {
    Expected::new(from.parse().unwrap(), Announced::new(to).vet(to.ip()).unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn the_helper_opens_for_the_broker_and_logs_how_each_hole_ended() {
    in_namespaces(|| {
        let lab = Lab::new();
        strict(DEFAULT_MARK);
        let helper = Helper::start("opens", &[]);
        let options = NftOptions { socket: helper.path.clone(), ..NftOptions::default() };
        let started = nft(&options).unwrap();
        assert_eq!(started.way, Way::Helper);
        runtime().block_on(async {
            for family in [0, 1] {
                let to = at(GATE[family], 5000);
                lab::greet(to);
                assert!(!lab.reaches(CLIENT[family], to));
                let hole = started.pinholes.open(expected(CLIENT[family], to)).unwrap().await.unwrap();
                assert!(lab.reaches(CLIENT[family], to));
                assert!(!lab.reaches(CLIENT[family], to));
                started.pinholes.close(hole.id).await;
                let line = helper.says("result=\"used\"");
                assert!(line.contains(CLIENT[family]) && line.contains("5000"), "{line}");
                let hole = started.pinholes.open(expected(CLIENT[family], to)).unwrap().await.unwrap();
                started.pinholes.close(hole.id).await;
                helper.says("result=\"closed unused\"");
                assert!(!lab.reaches(CLIENT[family], to));
            }
            let elsewhere = expected(CLIENT[0], at(SERVER[0], 5000));
            let error = started.pinholes.open(elsewhere).unwrap().await.unwrap_err();
            assert!(matches!(error, PinholeError::Denied { .. }), "{error}");
            assert!(helper.says("refused").contains("neither end is this host"));
            let mixed = expected(CLIENT[1], at(GATE[0], 5000));
            let error = started.pinholes.open(mixed).unwrap().await.unwrap_err();
            assert!(matches!(error, PinholeError::Denied { .. }), "{error}");
            let ourselves = expected("127.0.0.1", at("127.0.0.1", 5000));
            assert!(started.pinholes.open(ourselves).is_none(), "nobody filters loopback");
        });
    });
}

#[test]
fn what_the_rules_forbid_is_refused_whoever_asks() {
    in_namespaces(|| {
        let _lab = Lab::new();
        let helper = Helper::start("rules", &["--per-pair", "2", "--deny-port", "7777", "--longest", "30"]);
        for family in [0, 1] {
            let line = Line::to(&helper.path);
            let (own, client) = (GATE[family], CLIENT[family]);
            let [loopback, multicast, unspecified] =
                [["127.0.0.1", "224.0.0.1", "0.0.0.0"], ["::1", "ff02::1", "::"]][family];
            for (name, from, to, seconds) in [
                ("rule 12: port 22", client, at(own, 22), 10),
                ("rule 12: database", client, at(own, 3306), 10),
                ("rule 12: denied by option", client, at(own, 7777), 10),
                ("rule 15: no lifetime", client, at(own, 5000), 0),
                ("rule 15: too long", client, at(own, 5000), 31),
                ("rule 11: loopback", client, at(loopback, 5000), 10),
                ("rule 11: from loopback", loopback, at(own, 5000), 10),
                ("rule 11: multicast", client, at(multicast, 5000), 10),
                ("rule 11: unspecified source", unspecified, at(own, 5000), 10),
                ("not ours", client, at(SERVER[family], 5000), 10),
            ] {
                let outcome = line.open(from, to, seconds);
                assert!(matches!(outcome, Some(Outcome::Refused(_))), "{name}: {outcome:?}");
            }
            assert!(matches!(line.open(client, at(own, 5000), 30), Some(Outcome::Opened(_))));
            assert!(matches!(line.open(client, at(own, 5001), 30), Some(Outcome::Opened(_))));
            assert_eq!(line.open(client, at(own, 5002), 30), Some(Outcome::Full(2)), "rules 17 and 38");
            assert!(
                matches!(line.open(SERVER[family], at(own, 5002), 30), Some(Outcome::Opened(_))),
                "others are served"
            );
        }
    });
}

#[test]
fn a_gates_own_helper_checks_again_translates_nowhere_forbidden_and_serves_nobody_else() {
    in_namespaces(|| {
        let _lab = Lab::new();
        lab::nft(
            "table inet portway_gate {
                map dnat4 { type ipv4_addr . ipv4_addr . inet_service : ipv4_addr . inet_service; flags timeout; }
                map dnat6 { type ipv6_addr . ipv6_addr . inet_service : ipv6_addr . inet_service; flags timeout; }
            }",
        );
        let (mut process, mut gate) = gates_helper(env!("CARGO_PKG_VERSION")).unwrap();
        for family in [0, 1] {
            let key = |to| Key::new(CLIENT[family].parse().unwrap(), to);
            let ten = Duration::from_secs(10);
            let own = gate.open(&Want { key: key(at(GATE[family], 5000)), within: ten });
            assert!(matches!(own, Err(RemoteError::Refused(_))), "{own:?}");
            let hole = gate.open(&Want { key: key(at(SERVER[family], 5000)), within: ten }).unwrap();
            assert_eq!(gate.close(hole).unwrap(), Some(End::Closed));
            assert_eq!(gate.close(hole).unwrap(), None);
            let public = key(at(GATE[family], 6000));
            for (to, why) in [
                (at(GATE[family], 5000), "the gate itself"),
                (at(SERVER[family], 22), "below 1024"),
                (at(SERVER[family], 3306), "denied"),
            ] {
                let refused = gate.translate(&Translation::To { key: public, into: to }, ten).unwrap_err();
                assert!(refused.to_string().contains(why), "{refused}");
            }
            let good = Translation::To { key: public, into: at(SERVER[family], 5000) };
            gate.translate(&good, ten).unwrap();
            let again = gate.translate(&good, ten).unwrap_err();
            assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
            gate.restore(&good).unwrap();
            // A hole that runs out is told of once.
            gate.open(&Want { key: key(at(SERVER[family], 5000)), within: Duration::from_secs(1) }).unwrap();
            let mut told = Vec::new();
            assert!(until(Duration::from_secs(5), || {
                told.extend(gate.ended().unwrap());
                !told.is_empty()
            }));
            assert_eq!(told.iter().map(|(_, how)| *how).collect::<Vec<_>>(), [End::Expired]);
            assert_eq!(gate.ended().unwrap(), []);
        }
        gate.leave().unwrap();
        assert!(!run("nft list tables").contains("portway_gate"));
        drop(gate);
        assert!(process.wait().unwrap().success(), "it ends with its gate");
        let gone = || !run("nft list tables").contains("portway");
        assert!(until(Duration::from_secs(5), gone), "the kernel removes the table");

        // What a gate may ask is nobody else's.
        let helper = Helper::start("others", &[]);
        let line = Line::to(&helper.path);
        assert_eq!(line.ask(Ask::Leave), None, "the connection is closed");
        helper.says("only the gate");
        drop(helper);
        let error = gates_helper("0.0.0-other").unwrap_err();
        assert!(error.to_string().contains("version"), "{error}");
    });
}

/// A helper as a gate starts it.
fn gates_helper(version: &str) -> std::io::Result<(Child, Remote)> {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let process = Command::new(env!("CARGO_BIN_EXE_portway-holed"))
        .args(["--gate", version, "--reach", "forward"])
        .stdin(Stdio::from(theirs))
        .spawn()?;
    Ok((process, Remote::over(ours)?))
}

#[test]
fn a_gate_never_opens_to_itself() {
    in_namespaces(|| {
        let _lab = Lab::new();
        let helper = Helper::start("gate", &["--reach", "forward"]);
        let line = Line::to(&helper.path);
        for family in [0, 1] {
            let own = line.open(CLIENT[family], at(GATE[family], 5000), 10);
            assert!(matches!(own, Some(Outcome::Refused(_))), "{own:?}");
            let through = line.open(CLIENT[family], at(SERVER[family], 5000), 10);
            assert!(matches!(through, Some(Outcome::Opened(_))), "{through:?}");
        }
    });
}

#[test]
fn a_client_that_is_gone_leaves_no_hole_and_cannot_close_those_of_others() {
    in_namespaces(|| {
        let _lab = Lab::new();
        let helper = Helper::start("gone", &[]);
        let (first, second) = (Line::to(&helper.path), Line::to(&helper.path));
        let Some(Outcome::Opened(id)) = first.open(CLIENT[0], at(GATE[0], 5000), 10) else { panic!() };
        second.ask(Ask::Close(id));
        assert!(run("nft list table inet portway").contains("5000"));
        drop(first);
        helper.says("closed unused");
        assert!(!run("nft list table inet portway").contains("5000"));
    });
}

#[test]
fn strangers_and_nonsense_are_shown_the_door() {
    in_namespaces(|| {
        let helper = Helper::start("door", &["--allow", "4711"]);
        assert!(matches!(Line::to(&helper.path).answer(), Some(Outcome::Refused(_))), "we are not user 4711");
        let error = HelperPinholes::connect(&helper.path).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        drop(helper);

        let helper = Helper::start("nonsense", &[]);
        for nonsense in [&b"x"[..], &[0; REQUEST], &[0; REQUEST + 1], &[b'P'; 4000]] {
            let line = Line::to(&helper.path);
            send(&line.0, nonsense, SendFlags::NOSIGNAL).unwrap();
            assert_eq!(line.answer(), None, "the connection is closed");
            helper.says("no request");
        }
        assert_eq!(
            Line::to(&helper.path).ask(Ask::Close(1)),
            Some(Outcome::Closed(None)),
            "others are still served"
        );
    });
}

#[test]
fn a_killed_helper_leaves_nothing_and_the_next_one_serves_the_same_broker() {
    in_namespaces(|| {
        let _lab = Lab::new();
        let mut helper = Helper::start("killed", &[]);
        let broker = HelperPinholes::connect(&helper.path).unwrap();
        runtime().block_on(async {
            let to = at(GATE[0], 5000);
            let old = broker.open(expected(CLIENT[0], to)).unwrap().await.unwrap();
            helper.process.kill().unwrap();
            helper.process.wait().unwrap();
            assert!(
                until(Duration::from_secs(5), || !run("nft list tables").contains("portway")),
                "the kernel removes the table"
            );
            let error = broker.open(expected(CLIENT[0], to)).unwrap().await.unwrap_err();
            assert!(matches!(error, PinholeError::Unreachable(_)), "{error}");
            let next = Helper::start_at(helper.path.clone(), &[]);
            let new = broker.open(expected(CLIENT[0], to)).unwrap().await.unwrap();
            broker.close(old.id).await;
            assert!(run("nft list table inet portway").contains("5000"), "an old number closes no new hole");
            broker.close(new.id).await;
            next.says("closed unused");
        });
    });
}

#[test]
fn guarded_ports_are_shut_again_when_somebody_flushes_the_ruleset() {
    in_namespaces(|| {
        let lab = Lab::new();
        let helper = Helper::start("guarded", &["--guard", "5000-5009"]);
        let to = at(GATE[0], 5000);
        lab::greet(to);
        for _ in 0..3 {
            run("nft flush ruleset");
            helper.says("restored");
            let refused = lab.client.run(move || std::net::TcpStream::connect(to).unwrap_err());
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        let line = Line::to(&helper.path);
        assert!(matches!(line.open(CLIENT[0], to, 10), Some(Outcome::Opened(_))));
        assert!(lab.reaches(CLIENT[0], to));
    });
}

#[test]
fn told_to_end_it_closes_and_logs_what_is_open() {
    in_namespaces(|| {
        let _lab = Lab::new();
        let mut helper = Helper::start("end", &[]);
        let line = Line::to(&helper.path);
        line.open(CLIENT[0], at(GATE[0], 5000), 10);
        run(&format!("kill -TERM {}", helper.process.id()));
        helper.says("closed unused");
        assert!(helper.process.wait().unwrap().success());
        assert!(!run("nft list tables").contains("portway"));
        assert!(!helper.path.exists());
    });
}

#[test]
fn a_second_helper_leaves_the_first_alone() {
    in_namespaces(|| {
        let first = Helper::start("first", &[]);
        let elsewhere = first.path.with_extension("second");
        for (path, why) in [(&first.path, "another helper"), (&elsewhere, "another process")] {
            let mut second = Command::new(env!("CARGO_BIN_EXE_portway-holed"));
            let second = second.arg("--socket").arg(path).output().unwrap();
            assert!(!second.status.success());
            assert!(String::from_utf8_lossy(&second.stderr).contains(why), "{second:?}");
        }
        assert!(!elsewhere.exists());
        assert_eq!(Line::to(&first.path).ask(Ask::Close(1)), Some(Outcome::Closed(None)));
    });
}

#[test]
fn it_keeps_no_capability_but_one() {
    in_namespaces(|| {
        let helper = Helper::start("caps", &[]);
        let status = std::fs::read_to_string(format!("/proc/{}/status", helper.process.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), 1 << 12, "{set}");
        }
        assert_eq!((field("CapInh"), field("CapAmb")), ("0".repeat(16), "0".repeat(16)));
        assert_eq!(field("NoNewPrivs"), "1");
    });
}

#[test]
fn without_helper_and_without_capability_the_start_says_what_to_do() {
    let options = NftOptions { socket: "/nonexistent/holed.sock".into(), ..NftOptions::default() };
    in_namespaces(|| {
        let direct = nft(&options).unwrap();
        assert_eq!(direct.way, Way::Direct, "with the capability we do it ourselves");
        drop(direct);
        let none = rustix::thread::CapabilitySet::empty();
        let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets).unwrap();
        let error = nft(&options).unwrap_err();
        assert!(matches!(error, StartError::NoWay { .. }));
        let text = error.to_string();
        for word in ["/nonexistent/holed.sock", "CAP_NET_ADMIN", "--pinholes none"] {
            assert!(text.contains(word), "{text}");
        }
    });
}

/// Prints how long it takes; asserts nothing about time.
#[test]
fn opening_through_the_helper_is_measured() {
    in_namespaces(|| {
        let _lab = Lab::new();
        let helper = Helper::start("speed", &[]);
        let broker = HelperPinholes::connect(&helper.path).unwrap();
        runtime().block_on(async {
            let mut took = Vec::new();
            for port in 50_000..52_000 {
                let start = Instant::now();
                let hole = broker.open(expected(CLIENT[0], at(GATE[0], port))).unwrap().await.unwrap();
                took.push(start.elapsed());
                broker.close(hole.id).await;
            }
            took.sort_unstable();
            println!("open: p50 {:?}, p99 {:?}", took[took.len() / 2], took[took.len() * 99 / 100]);
        });
    });
}
