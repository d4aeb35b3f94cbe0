//! Rule 37: what the log has of every hole, in one line over its life.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use serde_json::Value;

use crate::field::{in_namespaces, until};
use crate::lab::{self, CLIENT, OTHER_CLIENT, at};
use crate::rules::BOTH;
use crate::words::{SOON, Stage, at_once};

/// The lines about holes to this port, as they are in the log.
fn lines(stage: &Stage, port: u16) -> Vec<Value> {
    let lines = stage.field.log();
    let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let to = format!(":{port}");
    all.filter(|line| line["event"] == "hole" && line["to"].as_str().unwrap().ends_with(&to)).collect()
}

fn the_line(stage: &Stage, port: u16) -> Value {
    assert!(until(SOON, || lines(stage, port).len() == 1), "{}", stage.field.log());
    lines(stage, port).remove(0)
}

const OCTETS: u64 = 1 << 20;

#[test]
fn rule_37_each_hole_has_one_line_over_its_life_with_everything() {
    in_namespaces(|| {
        let stage = Stage::new(&["--log-format", "json", "--hole-lifetime", "2s", "--deny-port", "5999"]);
        for family in BOTH {
            let port = |n: u16| 5000 + 100 * u16::try_from(family).unwrap() + n;
            let mut d = stage.session(family);
            // Used: a file of 1 MiB from the server to the client.
            let to = d.server_port(port(1));
            let serving = d.field.lab.server.run(move || {
                let listener = TcpListener::bind(to).unwrap();
                std::thread::spawn(move || {
                    let mut stream = listener.accept().unwrap().0;
                    stream.write_all(&vec![7; OCTETS as usize]).unwrap();
                })
            });
            d.exchange(d.passive(), &d.agreed(to));
            let from = at(CLIENT[family], 0);
            let port_used = d.field.lab.client.run(move || {
                let mut stream = lab::connect(from, to, SOON).unwrap();
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).unwrap();
                assert_eq!(rest.len() as u64 + 5, OCTETS);
                stream.shutdown(Shutdown::Both).unwrap();
                stream.local_addr().unwrap().port()
            });
            serving.join().unwrap();
            // The next announcement ends the one before; this one expires, the third is closed, the fourth refused.
            d.exchange(d.passive(), &d.agreed(d.server_port(port(2))));
            let used = the_line(&stage, port(1));
            for (key, value) in [
                ("result", "used".into()),
                ("user", "ann".into()),
                ("by", "relay".into()),
                ("from", CLIENT[family].into()),
                ("from_port", port_used.into()),
                ("to", to.to_string().into()),
                ("within", 2.0.into()),
            ] as [(&str, Value); 7]
            {
                assert_eq!(used[key], value, "{key}: {used}");
            }
            let (there, back) = (used["bytes_there"].as_u64().unwrap(), used["bytes_back"].as_u64().unwrap());
            // Headers count, and so does what is sent twice.
            assert!((OCTETS..OCTETS + OCTETS / 4).contains(&back), "{used}");
            assert!(there < OCTETS / 10, "{used}");
            assert!(
                used["seconds"].as_f64().unwrap() < 5.0 && used["session"].as_u64().unwrap() > 0,
                "{used}"
            );
            assert_eq!(the_line(&stage, port(2))["result"], "expired");
            d.exchange(d.passive(), &d.agreed(d.server_port(port(3))));
            d.exchange("QUIT", "221 Bye.");
            assert_eq!(the_line(&stage, port(3))["result"], "closed");
        }
    });
}

#[test]
fn rule_17_beyond_the_limit_of_one_client_the_answer_is_425() {
    in_namespaces(|| {
        at_the_limit("--max-holes-per-pair", true);
    });
}

#[test]
fn rule_17_beyond_the_limit_of_all_the_answer_is_425() {
    in_namespaces(|| at_the_limit("--max-holes", false));
}

/// With a limit of two: the third gets the reason, at once, and it is in the log.
fn at_the_limit(limit: &str, each_client: bool) {
    let stage = Stage::new(&["--log-format", "json", limit, "2"]);
    for family in BOTH {
        let mut sessions: Vec<_> = (0..2)
            .map(|n| {
                let mut d = stage.session(family);
                d.exchange(d.passive(), &d.agreed(d.server_port(5000 + n)));
                d
            })
            .collect();
        let mut third = stage.session(family);
        at_once("the refusal", || {
            third.client.say(third.passive());
            third.server.hears(third.passive());
            third.server.say(&third.agreed(third.server_port(5002)));
            let why = third.client.hears("425");
            assert!(why.contains("2 holes are open"), "{why}");
        });
        third.is_alive();
        assert!(until(SOON, || lines(&stage, 5002).len() == family + 1), "{}", stage.field.log());
        assert!(lines(&stage, 5002).iter().all(|line| line["result"] == "refused"));
        let mut other = stage.session_from(family, OTHER_CLIENT[family]);
        other.client.say(other.passive());
        other.server.hears(other.passive());
        other.server.say(&other.agreed(other.server_port(5003)));
        // One host may have all of an IPv6 network.
        other.client.hears(if each_client && family == 0 { "22" } else { "425" });
        for d in &mut sessions {
            d.exchange("QUIT", "221 Bye.");
        }
        other.exchange("QUIT", "221 Bye.");
        assert!(until(SOON, || third.holes() == 0), "{}", stage.field.status());
    }
}

#[test]
fn rule_38_whoever_fails_to_log_in_too_often_is_turned_away_for_a_while() {
    in_namespaces(|| {
        let stage = Stage::new(&["--failed-logins-per-minute", "6"]);
        for family in BOTH {
            let mut d = stage.connect(family);
            d.server.say("220 Hello.");
            d.client.hears("220");
            let mut failed = 0;
            loop {
                d.client.say("USER ann");
                if d.client_was_cut_off() {
                    break;
                }
                d.server.hears("USER");
                d.server.say("331 Password?");
                d.client.hears("331");
                d.client.say("PASS wrong");
                d.server.hears("PASS");
                d.server.say("530 No.");
                d.client.hears("530");
                failed += 1;
                assert!(failed < 20, "never cut off");
            }
            assert!((6..=8).contains(&failed), "{failed}");
            // Not even a connection, and no server is bothered.
            let to = d.server_port(21);
            let from = at(CLIENT[family], 0);
            let mut again = d.field.lab.client.run(move || crate::words::dial(from, to));
            let mut text = String::new();
            again.set_read_timeout(Some(SOON)).unwrap();
            let _ = again.read_to_string(&mut text);
            assert!(text.starts_with("421 ") && text.contains("failed logins"), "{text:?}");
            if family == 0 {
                let _other = stage.session_from(family, OTHER_CLIENT[family]);
            }
            let status = stage.field.status();
            assert!(status.contains("\"failed_logins\":"), "{status}");
        }
        assert!(until(Duration::from_secs(5), || stage.field.log().contains("login_refused")));
    });
}
