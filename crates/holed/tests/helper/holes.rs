//! What the helper opens, and for whom.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portway_nft::wire::{Ask, Outcome};
use portway_nft::{DEFAULT_MARK, End, Key, Remote, RemoteError, Translation, Want};
use portway_pinhole::{HelperPinholes, NftOptions, PinholeError, Pinholes as _, Way, nft};
use rustix::net::{AddressFamily, SocketType};

use crate::lab::{self, CLIENT, GATE, Lab, SERVER, at, in_namespaces, run, strict, until};
use crate::process::{Helper, Line, expected, runtime};

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
