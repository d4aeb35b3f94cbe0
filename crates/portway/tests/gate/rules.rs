//! The rules of a good gate, each with its number; those of the dialogue alone are tested with `Watch`, too.

use std::time::Duration;

use crate::field::{Field, Server, Wall, inside, until};
use crate::lab::{GATE, OTHER_CLIENT, at};
use crate::words::{SOON, Stage, at_once};

/// Both families, as rule 34 wants it.
const BOTH: [usize; 2] = [0, 1];

macro_rules! rules {
    ($($name:ident $body:expr)*) => {
        $(#[test]
        fn $name() {
            inside(concat!("rules::", stringify!($name)), || {
                let stage = Stage::new(&[]);
                for family in BOTH {
                    let body: fn(&Stage, usize) = $body;
                    body(&stage, family);
                }
            });
        })*
    };
}

rules! {
    rule_01_a_line_is_judged_when_it_is_whole_however_it_was_cut |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        let line = d.active(to);
        d.client_listens(to);
        for octet in format!("{line}\r\n").as_bytes() {
            d.client.send([*octet]);
        }
        assert_eq!(d.server.line().unwrap(), line);
        d.server.send(b"200 ");
        d.server.send(b"Fine.\r");
        d.server.send(b"\n");
        d.client.hears("200");
        assert!(d.server_reaches(to));
    }

    rule_02_an_announcement_comes_after_its_hole |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        assert!(d.client_is_kept_from(to));
        d.client.say(d.passive());
        d.server.hears(d.passive());
        d.server.say(&d.agreed(to));
        d.client.hears("22");
        assert!(d.client_reaches(to));
    }

    rule_03_a_refused_port_opens_nothing |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        d.client_listens(to);
        let line = d.active(to);
        d.client.say(&line);
        d.server.hears(&line);
        d.server.say("500 No.");
        d.client.hears("500");
        assert!(d.server_is_kept_from(to));
        assert_eq!(d.holes(), 0);
    }

    rule_04_a_227_that_nobody_asked_for_opens_nothing |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.server.say(&d.agreed(to));
        d.client.say("NOOP");
        d.server.hears("NOOP");
        d.server.say(&d.agreed(to));
        d.client.hears("425");
        assert!(d.client_is_kept_from(to));
        d.is_alive();
        assert!(d.field.status().contains("nobody asked for"), "{}", d.field.status());
    }

    rule_05_replies_belong_to_commands_in_order |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.client.send(format!("{}{}\r\n", "NOOP\r\n".repeat(31), d.passive()));
        for _ in 0..31 {
            d.server.hears("NOOP");
        }
        d.server.hears(d.passive());
        d.server.send("200 Fine.\r\n".repeat(31));
        d.server.say(&d.agreed(to));
        for _ in 0..31 {
            d.client.hears("200");
        }
        d.client.hears("22");
        assert!(d.client_reaches(to));
    }

    rule_06_a_line_inside_a_reply_opens_nothing |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.client.say(d.passive());
        d.server.hears(d.passive());
        d.server.send(b"500-No.\r\n");
        d.server.send(format!("{}\r\n", d.agreed(to)));
        d.server.send(b"500 No.\r\n");
        d.client.hears("500-");
        d.client.hears(" 22");
        d.client.hears("500 ");
        assert!(d.client_is_kept_from(to));
        assert_eq!(d.holes(), 0);
    }

    rule_07_whoever_speaks_the_other_sides_words_is_cut_off |stage, family| {
        let mut d = stage.session(family);
        let line = d.agreed(d.client_port(5000));
        d.client.say(&line);
        assert_eq!(d.client.line(), None);
        assert_eq!(d.server.line(), None);
        let mut d = stage.session(family);
        let line = d.active(d.server_port(5000));
        d.server.say(&line);
        d.client.hears("421");
        assert_eq!(d.client.line(), None);
    }

    rule_10_a_foreign_address_is_refused_as_a_bounce |stage, family| {
        let mut d = stage.session(family);
        let line = d.active(at(OTHER_CLIENT[family], 5000));
        at_once("the refusal", || {
            d.client.say(&line);
            d.client.hears("501");
        });
        d.is_alive();
        if family == 0 {
            d.client.say("PASV");
            d.server.hears("PASV");
            d.server.say(&d.agreed(at("10.71.2.3", 5000)));
            d.client.hears("425");
        }
        assert_eq!(d.holes(), 0);
    }

    rule_11_no_hole_leads_to_the_gate_or_to_nobody |stage, family| {
        let mut d = stage.session(family);
        let nobody = if family == 0 { ["0.0.0.0", "127.0.0.1", "255.255.255.255"] } else { ["::", "::1", "ff02::1"] };
        for ip in [GATE[family]].into_iter().chain(nobody) {
            d.client.say(&d.active(at(ip, 5000)));
            d.client.hears("501");
        }
        d.is_alive();
    }

    rule_12_ports_of_services_are_refused |stage, family| {
        let mut d = stage.session(family);
        for port in [0, 22, 1023, 2049, 3306, 5432, 6000] {
            d.client.say(&d.active(d.client_port(port)));
            d.client.hears("501");
            d.client.say(d.passive());
            d.server.hears(d.passive());
            d.server.say(&d.agreed(d.server_port(port)));
            d.client.hears("425");
        }
        d.is_alive();
        assert_eq!(d.holes(), 0);
    }

    rule_13_a_hole_is_for_exactly_one_client_and_one_port |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.server_listens(d.server_port(5001));
        d.exchange(d.passive(), &d.agreed(to));
        let other = at(OTHER_CLIENT[family], 0);
        assert!(d.field.lab.client.run(move || {
            crate::lab::connect(other, to, Duration::from_millis(300)).is_err()
        }));
        assert!(d.client_is_kept_from(d.server_port(5001)));
        assert!(d.client_reaches(to));
    }

    rule_14_a_hole_serves_once |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        d.client_listens(to);
        d.exchange(&d.active(to), "200 Fine.");
        assert!(d.server_reaches(to));
        assert!(d.server_is_kept_from(to));
        d.is_alive();
    }

    rule_15_a_hole_ends_with_its_session_and_its_turn |stage, family| {
        let (one, two) = (at(crate::lab::SERVER[family], 5000), at(crate::lab::SERVER[family], 5001));
        for end in ["QUIT", "REIN", "ABOR", "next", "FIN", "RST"] {
            let mut d = stage.session(family);
            d.exchange(d.passive(), &d.agreed(one));
            assert_eq!(d.holes(), 1, "{end}");
            match end {
                "QUIT" | "REIN" | "ABOR" => d.exchange(end, "226 Done."),
                "next" => {
                    d.exchange(d.passive(), &d.agreed(two));
                    assert!(!d.field.status().contains(&one.to_string()));
                    continue;
                }
                "FIN" => d.client.stream.shutdown(std::net::Shutdown::Both).unwrap(),
                _ => {
                    let socket = &d.client.stream;
                    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
                    let spare = d.server.stream.try_clone().unwrap();
                    drop(std::mem::replace(&mut d.client.stream, spare));
                }
            }
            assert!(until(SOON, || d.holes() == 0), "{end}: {}", d.field.status());
        }
    }

    rule_16_a_repeated_announcement_opens_nothing_by_itself |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        d.client_listens(to);
        let line = d.active(to);
        d.exchange(&line, "200 Fine.");
        assert!(d.server_reaches(to));
        d.client.say(&line);
        d.server.hears(&line);
        assert!(d.server_is_kept_from(to), "without the server's consent");
        d.server.say("200 Fine.");
        d.client.hears("200");
        assert!(d.server_reaches(to), "with it");
    }

    rule_20_nothing_opens_before_the_login |stage, family| {
        let mut d = stage.connect(family);
        d.server.say("220 Hello.");
        d.client.hears("220");
        d.client.say(&d.active(d.client_port(5000)));
        d.client.hears("530");
        d.client.say(d.passive());
        d.client.hears("530");
        d.exchange("USER ann", "331 Password?");
    }

    rule_21_what_is_not_ftp_is_cut_off |stage, family| {
        let mut d = stage.connect(family);
        d.server.say("220 Hello.");
        d.client.hears("220");
        let line = d.active(d.client_port(22));
        d.client.send(b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n");
        d.client.stream.set_nodelay(true).unwrap();
        let _ = std::io::Write::write_all(&mut d.client.stream, format!("{line}\r\n").as_bytes());
        assert_eq!(d.server.line(), None, "the server hears nothing of it");
        assert_eq!(d.holes(), 0);
    }

    rule_22_broken_lines_are_refused_whole |stage, family| {
        let mut d = stage.session(family);
        let long = [b"NOOP ".as_slice(), &[b'x'; 5000], b"\r\n"].concat();
        for bad in [&b"NOOP\0x\r\n"[..], b"NO\rOP\r\n", b"NOOP\n", b"NO\xFFOP\r\n", &long] {
            d.client.send(bad);
            d.client.hears("500");
        }
        d.is_alive();
    }

    rule_23_telnet_commands_are_taken_out |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        let line = d.active(to);
        d.client.send([b"\xFF\xF4\xFF\xF2".as_slice(), line.as_bytes(), b"\r\n"].concat());
        assert_eq!(d.server.line().unwrap(), line);
    }

    rule_24_what_was_read_is_what_is_sent |stage, family| {
        let mut d = stage.session(family);
        let line = d.active(d.client_port(5000));
        d.client.say(&line.to_lowercase());
        assert_eq!(d.server.line().unwrap(), line);
    }

    rule_25_nothing_in_ciphertext_opens_anything |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.exchange("AUTH TLS", "234 Go on.");
        let inside = format!("\r\n{}\r\n", d.agreed(to));
        let record = record(23, inside.as_bytes());
        d.client.send(&record);
        assert_eq!(d.server.octets(record.len()), record);
        d.server.send(&record);
        assert_eq!(d.client.octets(record.len()), record);
        assert_eq!(d.holes(), 0);
        assert!(d.client_is_kept_from(to));
        assert!(d.field.status().contains(r#""opaque":true"#));
    }

    rule_26_what_follows_auth_in_clear_is_thrown_away |stage, family| {
        let mut d = stage.session(family);
        d.client.send(b"AUTH TLS\r\nDELE everything\r\n");
        d.server.hears("AUTH");
        d.server.say("234 Go on.");
        d.client.hears("234");
        let hello = record(22, b"hello");
        d.client.send(&hello);
        assert_eq!(d.server.octets(hello.len()), hello, "and nothing before it");
        assert!(d.field.status().contains("thrown away"), "{}", d.field.status());
    }

    rule_27_after_ccc_the_first_pasv_works |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.exchange("AUTH TLS", "234 Go on.");
        let (hello, close) = (record(22, b"hello"), record(21, &[1, 0]));
        d.client.send(&hello);
        d.server.octets(hello.len());
        d.server.send(&hello);
        d.client.octets(hello.len());
        d.client.send([&close[..], d.passive().as_bytes(), b"\r\n"].concat());
        assert_eq!(d.server.octets(close.len()), close);
        d.server.hears(d.passive());
        d.server.send([&close[..], d.agreed(to).as_bytes(), b"\r\n"].concat());
        assert_eq!(d.client.octets(close.len()), close);
        d.client.hears("22");
        assert!(d.client_reaches(to));
        d.is_alive();
    }

    rule_32_after_epsv_all_only_epsv |stage, family| {
        let mut d = stage.session(family);
        d.exchange("EPSV ALL", "200 Fine.");
        d.client.say(&d.active(d.client_port(5000)));
        d.client.hears("503");
        d.exchange("EPSV", "229 Entering Extended Passive Mode (|||5000|)");
    }

    rule_33_the_other_family_gets_522 |stage, family| {
        let mut d = stage.session(family);
        let (line, usable) =
            if family == 0 { ("EPRT |2|fd71:1::2|5000|", "(1)") } else { ("EPRT |1|10.71.1.2|5000|", "(2)") };
        at_once("the refusal", || {
            d.client.say(line);
            assert!(d.client.hears("522").contains(usable));
        });
        d.is_alive();
    }

    rule_37_each_hole_has_one_line_with_everything |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000 + u16::try_from(family).unwrap());
        d.server_listens(to);
        d.exchange(d.passive(), &d.agreed(to));
        assert!(d.client_reaches(to));
        d.exchange("QUIT", "221 Bye.");
        let end = format!("to={to}");
        let mine = |line: &&str| line.contains("what=hole") && line.contains(&end);
        assert!(until(SOON, || d.field.log().lines().filter(mine).count() == 1), "{}", d.field.log());
        let log = d.field.log();
        let line = log.lines().find(mine).unwrap();
        for part in ["session=", "ann", "from=", "within=10s", "used", "lived="] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

#[test]
fn rule_15_an_unused_hole_dies_after_its_time() {
    inside("rules::rule_15_an_unused_hole_dies_after_its_time", || {
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
    inside("rules::rules_18_and_19_a_killed_gate_leaves_no_hole_and_lets_nobody_by", || {
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
    inside("rules::rule_18_a_gate_that_ends_in_order_leaves_nothing", || {
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
fn rule_38_one_client_cannot_take_all() {
    inside("rules::rule_38_one_client_cannot_take_all", || {
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
    inside("rules::rule_36_a_byte_costs_the_gate_nothing", || {
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
fn rule_39_the_gate_keeps_no_capability_that_it_does_not_need() {
    inside("rules::rule_39_the_gate_keeps_no_capability_that_it_does_not_need", || {
        let stage = Stage::new(&[]);
        let pid = stage.field.gate.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        // CAP_NET_ADMIN is bit 12, CAP_NET_BIND_SERVICE bit 10.
        for line in ["CapPrm:\t0000000000001400", "CapEff:\t0000000000001400", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "{status}");
        }
    });
}

#[test]
fn rule_40_idle_control_connections_are_kept_alive() {
    inside("rules::rule_40_idle_control_connections_are_kept_alive", || {
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
    inside("rules::auth_tls_is_refused_with_the_reason_where_policy_says_so", || {
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
    inside("rules::settings_come_from_a_file_and_what_cannot_be_done_is_refused_at_the_start", || {
        let file = std::env::temp_dir().join(format!("gate-{}.toml", std::process::id()));
        std::fs::write(&file, "auth_tls = \"refuse\"\nhole_lifetime = \"3s\"\ndeny_ports = [5000]\n")
            .unwrap();
        let stage = Stage::new(&["--config", file.to_str().unwrap()]);
        let mut d = stage.session(0);
        d.client.say("AUTH TLS");
        d.client.hears("534");
        d.client.say(&d.active(d.client_port(5000)));
        d.client.hears("501");
        for (flags, words) in [
            (&["--auth-tls", "bridge"][..], "ends TLS at the gate"),
            (&["--engine", "inspect"], "not built yet"),
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

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3, high, low], body].concat()
}
