//! Who may ask, and what is left when somebody ends.

use std::process::Command;
use std::time::Duration;

use portway_nft::wire::{Ask, Outcome, REQUEST};
use portway_pinhole::{HelperPinholes, NftOptions, PinholeError, Pinholes as _, StartError, Way, nft};
use rustix::net::{SendFlags, send};

use crate::lab::{CLIENT, GATE, Lab, at, in_namespaces, run, until};
use crate::process::{Helper, Line, expected, runtime};

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
