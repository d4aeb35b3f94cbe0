//! What worked before is begun with the next time, for a while and on the same network.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{SERVER, in_namespaces, run};
use crate::stage::{Server, Stage, wall};

const DROPPED: &str = "iifname cli tcp dport != 21 drop";
const NOT_IN: &str = "iifname srv ct state new drop";
const SOON: Duration = Duration::from_secs(1);

fn file(stage: &Stage) -> PathBuf {
    stage.folder.join("home/cache/portway/modes.json")
}

/// Lets every fact in the cache file become so much older.
fn age(stage: &Stage, seconds: u64) {
    let mut facts: Value = serde_json::from_slice(&std::fs::read(file(stage)).unwrap()).unwrap();
    for fact in facts.as_object_mut().unwrap().values_mut() {
        let learnt = fact["learnt"].as_u64().unwrap();
        fact["learnt"] = (learnt - seconds).into();
    }
    std::fs::write(file(stage), facts.to_string()).unwrap();
}

#[test]
fn the_second_run_begins_with_what_worked_until_that_is_a_week_old() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        wall(DROPPED);
        for (family, host) in SERVER.into_iter().enumerate() {
            let first = stage.get(host, &["--tls", "off"]);
            assert_eq!(first.code, Some(0), "{first:#?}");
            let active = ["PORT", "EPRT"][family];
            let tried: &[&str] = if family == 0 { &["EPSV", "PASV", "PORT"] } else { &["EPSV", "EPRT"] };
            assert_eq!(first.tried(), tried);
            let second = stage.get(host, &["--tls", "off"]);
            assert_eq!(second.tried(), [active], "{second:#?}");
            assert!(second.took < SOON, "{:?}", second.took);
            let forgetful = stage.get(host, &["--tls", "off", "--no-memory"]);
            assert_eq!(forgetful.tried(), tried);
        }
        let known = std::fs::read_to_string(file(&stage)).unwrap();
        assert!(known.contains("no answer within"), "why the others lost is remembered: {known}");
        age(&stage, 8 * 24 * 3600);
        assert_eq!(stage.get(SERVER[0], &["--tls", "off"]).tried(), ["EPSV", "PASV", "PORT"]);
    });
}

#[test]
fn a_memory_that_has_become_wrong_costs_two_seconds_once_in_either_direction() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        for (rule, first, then) in [
            (DROPPED, vec!["EPSV", "PASV", "PORT"], vec!["PORT"]),
            // What worked is silent now: that session is given up, and the next one goes the other way.
            (NOT_IN, vec!["PORT", "EPSV"], vec!["EPSV"]),
            // Of the active ways the one that did not fail lately.
            (DROPPED, vec!["EPSV", "EPRT"], vec!["EPRT"]),
        ] {
            wall(rule);
            let ended = stage.get(SERVER[0], &["--tls", "off"]);
            assert_eq!(ended.code, Some(0), "{rule}: {ended:#?}");
            assert!(ended.took < Duration::from_secs(5), "{rule}: {:?}", ended.took);
            assert_eq!(ended.tried(), first, "{rule}");
            let again = stage.get(SERVER[0], &["--tls", "off"]);
            assert_eq!((again.code, again.tried()), (Some(0), then), "{rule}");
            assert!(again.took < SOON, "{rule}: {:?}", again.took);
        }
    });
}

#[test]
fn on_another_network_nothing_is_taken_for_granted() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        wall(DROPPED);
        let at_home = stage.get(SERVER[0], &["--tls", "off"]);
        assert_eq!(at_home.tried(), ["EPSV", "PASV", "PORT"]);
        // Another router with the very addresses of the first, as in half of all homes.
        run("ip link set cli down");
        run("ip link set cli address 02:00:00:00:00:77");
        run("ip link set cli up");
        wall(NOT_IN);
        stage.lab.client.run(|| run("ip neigh flush all"));
        let elsewhere = stage.get(SERVER[0], &["--tls", "off"]);
        assert_eq!(elsewhere.tried(), ["EPSV"], "{elsewhere:#?}");
        // Another address of ours.
        stage.lab.client.run(|| {
            run("ip addr flush dev eth0");
            run("ip addr add 10.71.9.2/24 dev eth0");
            run("ip route add 10.71.1.1 dev eth0");
            run("ip route add default via 10.71.1.1 src 10.71.9.2");
        });
        run("ip addr add 10.71.9.1/24 dev cli");
        let third = stage.get(SERVER[0], &["--tls", "off"]);
        assert_eq!((third.code, third.tried()), (Some(0), vec!["EPSV"]), "{third:#?}");
        let facts: Value = serde_json::from_slice(&std::fs::read(file(&stage)).unwrap()).unwrap();
        assert_eq!(facts.as_object().unwrap().len(), 3, "one fact per network: {facts:#}");
    });
}
