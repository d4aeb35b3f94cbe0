//! Rules that the gate keeps as a program: its life, its limits, its rights.

use std::time::Duration;

use crate::field::{Field, Server, Wall, in_namespaces, until};
use crate::lab::at;
use crate::rules::BOTH;
use crate::words::{SOON, Stage, at_once};

#[test]
fn rule_15_an_unused_hole_dies_after_its_time() {
    in_namespaces(|| {
        let stage = Stage::new(&["--hole-lifetime", "1s"]);
        for family in BOTH {
            let mut d = stage.session(family);
            let to = d.client_port(5000);
            d.client_listens(to);
            d.exchange(&d.active(to), "200 Fine.");
            assert!(until(SOON, || d.holes() == 0));
            assert!(d.server_is_kept_from(to));
            assert!(
                d.field.status().contains(&format!(r#""expired":{}"#, family + 1)),
                "{}",
                d.field.status()
            );
        }
    });
}

#[test]
fn rules_18_and_19_a_killed_gate_leaves_no_hole_and_lets_nobody_by() {
    in_namespaces(|| {
        let mut stage = Stage::new(&[]);
        // The administrator forwards port 21, which he should not: it must not matter.
        crate::lab::nft("insert rule inet admin forward tcp dport 21 accept");
        let mut data = Vec::new();
        for family in BOTH {
            let mut d = stage.session(family);
            let to = d.server_port(5000);
            d.server_listens(to);
            d.exchange(d.passive(), &d.agreed(to));
            let from = at(crate::lab::CLIENT[family], 0);
            data.push(d.field.lab.client.run(move || crate::lab::connect(from, to, SOON).unwrap()));
            d.exchange(d.passive(), &d.agreed(d.server_port(5001)));
            assert_eq!(d.holes(), 1);
        }
        let mut gate = stage.field.gate.take().unwrap();
        gate.kill().unwrap();
        gate.wait().unwrap();
        assert!(
            until(Duration::from_secs(1), || !crate::lab::run("nft list tables").contains("inet portway\n"))
        );
        for family in BOTH {
            let to = at(crate::lab::SERVER[family], 21);
            let refused = at_once("the refusal", || {
                stage.field.lab.client.run(move || std::net::TcpStream::connect(to).unwrap_err())
            });
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        for mut stream in data {
            std::io::Write::write_all(&mut stream, b"running data goes on").unwrap();
        }
        // The next one takes over what is left.
        stage.field = stage.field.gate(&[]);
        let mut d = stage.session(0);
        d.is_alive();
    });
}

#[test]
fn rule_18_a_gate_that_ends_in_order_leaves_nothing() {
    in_namespaces(|| {
        let look = || {
            [
                "nft list ruleset",
                "ip rule",
                "ip -6 rule",
                "ip route show table all",
                "ip -6 route show table 2121",
            ]
            .map(|what| std::process::Command::new("sh").args(["-c", what]).output().unwrap().stdout)
        };
        let mut stage = Stage::new(&[]);
        let mut d = stage.session(0);
        d.exchange("PASV", &d.agreed(d.server_port(5000)));
        let mut gate = stage.field.gate.take().unwrap();
        let pid = rustix::process::Pid::from_child(&gate);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(gate.wait().unwrap().success());
        let after = look().map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(!after.concat().contains("portway"), "{after:?}");
        assert!(!after.concat().contains("2121"), "{after:?}");
        assert!(after[0].contains("table inet admin"));
    });
}

#[test]
fn rule_18_the_next_gate_takes_over_at_once_from_one_that_was_killed() {
    in_namespaces(|| {
        let mut stage = Stage::new(&[]);
        for _ in 0..5 {
            for family in BOTH {
                let mut d = stage.session(family);
                d.exchange(d.passive(), &d.agreed(d.server_port(5000)));
            }
            let mut gate = stage.field.gate.take().unwrap();
            gate.kill().unwrap();
            // Whoever keeps services running starts the next one without a look at what is left.
            stage.field = stage.field.gate(&[]);
            gate.wait().unwrap();
            let d = stage.session(0);
            assert_eq!(d.holes(), 0);
        }
    });
}

#[test]
fn rule_38_one_client_cannot_take_all() {
    in_namespaces(|| {
        let stage = Stage::new(&["--openings-per-second", "1", "--max-sessions-per-address", "2"]);
        for family in BOTH {
            let mut d = stage.session(family);
            let mut opened = 0;
            for n in 0..30 {
                d.client.say(d.passive());
                d.server.hears(d.passive());
                d.server.say(&d.agreed(d.server_port(5000 + n)));
                match &d.client.line().unwrap()[..3] {
                    "425" => break,
                    _ => opened += 1,
                }
            }
            assert!((10..=14).contains(&opened), "{opened}");
            d.is_alive();
            let _second = stage.session(family);
            let to = d.server_port(21);
            let third = d.field.lab.client.run(move || std::net::TcpStream::connect(to).unwrap());
            let mut text = String::new();
            third.set_read_timeout(Some(SOON)).unwrap();
            let _ = std::io::Read::read_to_string(&mut &third, &mut text);
            assert!(text.starts_with("421 "), "{text:?}");
        }
    });
}

#[test]
fn rule_36_a_byte_costs_the_gate_nothing() {
    in_namespaces(|| {
        let field = Field::new(Wall::Strict).gate(&[]).server(Server::Portway);
        let big = std::fs::File::create(field.folder.join("pub/big.bin")).unwrap();
        big.set_len(512 << 20).unwrap();
        let fetch = |name: &str| {
            let before = ticks(&field);
            let url = format!("ftp://{}/{name}", crate::lab::SERVER[0]);
            let words = ["curl", "-sS", "-o", "/dev/null", &url].map(str::to_owned);
            let (output, _) = field.client(&words, Duration::from_secs(60));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            ticks(&field) - before
        };
        let (small, large) = (fetch(crate::field::FILE), fetch("big.bin"));
        println!("CPU of the gate: {small} ticks for 1 MiB, {large} ticks for 512 MiB");
        assert!(large <= small + 3, "{small} ticks for 1 MiB, {large} ticks for 512 MiB");
    });
}

/// CPU time of the gate, in hundredths of a second.
fn ticks(field: &Field) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", field.gate.as_ref().unwrap().id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn rule_39_only_the_helper_of_relay_may_change_the_packet_filter() {
    in_namespaces(|| {
        only_the_helper("relay");
    });
}

#[test]
fn rule_39_relay_without_its_helper_ends_leaves_no_hole_and_lets_nobody_by() {
    in_namespaces(|| {
        without_its_helper("relay");
    });
}

#[test]
fn rule_39_only_the_helper_of_inspect_may_change_the_packet_filter() {
    in_namespaces(|| {
        only_the_helper("inspect");
    });
}

#[test]
fn rule_39_inspection_without_its_helper_ends_leaves_no_hole_and_lets_nobody_by() {
    in_namespaces(|| {
        without_its_helper("inspect");
    });
}

fn only_the_helper(engine: &str) {
    let mut stage = Stage::new(&["--engine", engine]);
    let gate = stage.field.gate.as_ref().unwrap().id();
    // Bit 13 is CAP_NET_RAW, 12 CAP_NET_ADMIN, 10 CAP_NET_BIND_SERVICE.
    let helper = helper_of(gate);
    for (process, rights) in [(gate, "0000000000002400"), (helper, "0000000000001000")] {
        for task in std::fs::read_dir(format!("/proc/{process}/task")).unwrap() {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            for line in ["CapPrm", "CapEff"].map(|set| format!("{set}:\t{rights}")) {
                assert!(status.contains(&line), "{engine}: {line} is not in {status}");
            }
            assert!(status.contains("NoNewPrivs:\t1"), "{status}");
            if std::env::var_os("PORTWAY_LAB_ROOT").is_some() {
                let bounds = "CapBnd:\t".to_owned() + rights;
                assert!(status.contains(&bounds), "nothing is to be regained: {status}");
            }
        }
    }
    // And with that it does all of its work, in both families and both modes.
    for family in BOTH {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.exchange(d.passive(), &d.agreed(to));
        assert!(d.client_reaches(to));
        let to = d.client_port(5001);
        d.client_listens(to);
        d.exchange(&d.active(to), "200 Fine.");
        assert!(d.server_reaches(to));
    }
    stop(stage.field.gate.take().unwrap());
}

fn without_its_helper(engine: &str) {
    let mut stage = Stage::new(&["--engine", engine]);
    crate::lab::nft("insert rule inet admin forward tcp dport 21 accept");
    for family in BOTH {
        let mut d = stage.session(family);
        d.exchange(d.passive(), &d.agreed(d.server_port(5000)));
        assert_eq!(d.holes(), 1);
    }
    let mut gate = stage.field.gate.take().unwrap();
    let helper = rustix::process::Pid::from_raw(helper_of(gate.id()).cast_signed()).unwrap();
    rustix::process::kill_process(helper, rustix::process::Signal::KILL).unwrap();
    let gone = || !crate::lab::run("nft list tables").contains("inet portway\n");
    assert!(until(SOON, gone), "{}", crate::lab::run("nft list tables"));
    assert!(until(SOON, || matches!(gate.try_wait(), Ok(Some(_)))), "the gate goes on for nothing");
    assert!(!gate.wait().unwrap().success());
    assert!(stage.field.log().contains("helper"), "{}", stage.field.log());
    for family in BOTH {
        let to = at(crate::lab::SERVER[family], 21);
        let refused = at_once("the refusal", || {
            stage.field.lab.client.run(move || std::net::TcpStream::connect(to).unwrap_err())
        });
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

/// The one process that a gate has started and that still runs.
pub(crate) fn helper_of(gate: u32) -> u32 {
    let all = std::fs::read_to_string(format!("/proc/{gate}/task/{gate}/children")).unwrap();
    all.trim().parse().unwrap_or_else(|_| panic!("not one helper: {all:?}"))
}

/// Ends a gate in order.
fn stop(mut gate: std::process::Child) {
    let pid = rustix::process::Pid::from_child(&gate);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(gate.wait().unwrap().success());
}

#[test]
fn rule_40_idle_control_connections_are_kept_alive() {
    in_namespaces(|| {
        let stage = Stage::new(&[]);
        let _d = stage.session(0);
        let look = || crate::lab::run("ss -tno state established sport = :21 or dport = :21");
        // Another timer is shown while an acknowledgement is on its way.
        let both = || look().matches("timer:(keepalive").count() == 2;
        assert!(until(SOON, both), "towards both sides: {}", look());
    });
}

#[test]
fn auth_tls_is_refused_with_the_reason_where_policy_says_so() {
    in_namespaces(|| {
        let stage = Stage::new(&["--auth-tls", "refuse"]);
        for family in BOTH {
            let mut d = stage.session(family);
            d.client.say("AUTH TLS");
            d.client.hears("534");
            d.is_alive();
        }
    });
}

#[test]
fn settings_come_from_a_file_and_what_cannot_be_done_is_refused_at_the_start() {
    in_namespaces(|| {
        let file = std::env::temp_dir().join(format!("gate-{}.toml", std::process::id()));
        std::fs::write(&file, "auth_tls = \"refuse\"\nhole_lifetime = \"3s\"\ndeny_ports = [5000]\nproxy_protocol = [\"192.0.2.0/24\"]\n")
            .unwrap();
        let stage = Stage::new(&["--config", file.to_str().unwrap()]);
        let mut d = stage.session(0);
        d.client.say("AUTH TLS");
        d.client.hears("534");
        d.client.say(&d.active(d.client_port(5000)));
        d.client.hears("501");
        for (flags, words) in [
            (&["--auth-tls", "bridge", "--ca-dir", "/nowhere"][..], "portway proxy ca"),
            (&["--engine", "inspect", "--auth-tls", "bridge"], "--engine relay"),
            (&["--upstream-ca", "ca.pem"], "--auth-tls bridge"),
            (&["--mid-stream", "pass"], "--engine inspect"),
            (&["--engine", "inspect", "--proxy-protocol", "10.0.0.1"], "--engine relay"),
            (&["--hole-lifetime", "61s"], "1s to 60s"),
            (&["--agent", "127.0.0.1:0", "--agent-dir", "/nowhere"], "portway gate enroll"),
        ] {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_portway"))
                .args(["gate", "run", "--status-socket", "/proc/none"])
                .args(flags)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success());
            assert!(said.contains(words), "{flags:?}: {said}");
        }
        std::fs::remove_file(file).unwrap();
    });
}

/// Prints how long it takes; asserts nothing about time. Run it alone, with `--release` for figures that count.
#[test]
fn the_way_through_the_gate_is_measured() {
    in_namespaces(|| {
        let stage = Stage::new(&["--openings-per-second", "0"]);
        for family in BOTH {
            let mut d = stage.session(family);
            for (what, command) in [("NOOP", "NOOP"), ("an announcement", d.passive())] {
                let reply =
                    if what == "NOOP" { "200 Fine.".to_owned() } else { d.agreed(d.server_port(5000)) };
                let mut took: Vec<_> = (0..500)
                    .map(|_| {
                        let start = std::time::Instant::now();
                        d.exchange(command, &reply);
                        start.elapsed()
                    })
                    .collect();
                took.sort_unstable();
                println!("IPv{} {what}: p50 {:?}, p99 {:?}", 4 + 2 * family, took[250], took[495]);
            }
        }
    });
}
