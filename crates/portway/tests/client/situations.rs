//! The situations in which other clients wait for one to five minutes, or give up: the file arrives in any mode that can
//! work, or the cause is named, within five seconds.

use std::time::Duration;

use crate::lab::{GATE, SERVER, in_namespaces, nft};
use crate::stage::{Ended, Server, Stage, wall};

const LIMIT: Duration = Duration::from_secs(5);
const PLAIN: &[&str] = &["--tls", "off"];
/// Our own server, asked in clear and under TLS, by IPv4 and by IPv6.
const OURS: [(&str, &[&str]); 4] = [
    (SERVER[0], PLAIN),
    (SERVER[1], PLAIN),
    (SERVER[0], &["--tls", "required"]),
    (SERVER[1], &["--tls", "required"]),
];
/// No connection of the client's but those to the control port passes.
const DROPPED: &str = "iifname cli tcp dport != 21 drop";
const RESET: &str = "iifname cli tcp dport != 21 reject with tcp reset";
const PROHIBITED: &str = "iifname cli tcp dport != 21 reject with icmpx type admin-prohibited";
/// No connection of the server's passes.
const NOT_IN: &str = "iifname srv ct state new drop";

fn works(what: &str, ended: &Ended, ways: &[&str]) {
    println!("{what}: {:?} after {:.2} s", ended.way(), ended.took.as_secs_f64());
    assert_eq!(ended.code, Some(0), "{what}: {ended:#?}");
    assert!(ended.took < LIMIT, "{what}: {:?}", ended.took);
    let way = ended.way().unwrap_or_default();
    assert!(ways.contains(&way), "{what}: came by {way}");
}

/// `says` are parts of what the user is told; `blame` is whose side it is.
fn fails(what: &str, ended: &Ended, blame: &str, says: &[&str]) {
    let (message, remedy, blamed) = ended.failure();
    println!("{what}: after {:.2} s\n  {message}\n  {remedy}", ended.took.as_secs_f64());
    assert_eq!(ended.code, Some(7), "{what}: {ended:#?}");
    assert!(ended.took < LIMIT, "{what}: {:?}", ended.took);
    assert_eq!(blamed, blame, "{what}: {message}; {remedy}");
    let told = format!("{message}\n{remedy}");
    for part in says {
        assert!(told.contains(part), "{what}: {part:?} is not in\n{told}");
    }
}

#[test]
fn a_passive_range_that_is_dropped_costs_two_seconds_and_the_file_comes_actively() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        wall(DROPPED);
        for (host, flags) in OURS {
            let ended = stage.get(host, &[flags, &["--no-memory"]].concat());
            works(&format!("dropped, {host} {flags:?}"), &ended, &["PORT", "EPRT"]);
            let ended = stage.get(host, &[flags, &["--no-memory", "--mode", "passive"]].concat());
            let what = format!("dropped and passive forced, {host} {flags:?}");
            fails(
                &what,
                &ended,
                "their-network",
                &["no answer within", "firewall at the server", "passive range"],
            );
        }
    });
}

#[test]
fn a_passive_range_that_is_rejected_costs_next_to_nothing() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        for (name, rule, says) in [("reset", RESET, "refused"), ("prohibited", PROHIBITED, "unreachable")] {
            wall(rule);
            for (host, flags) in OURS {
                let ended = stage.get(host, &[flags, &["--no-memory"]].concat());
                works(&format!("{name}, {host} {flags:?}"), &ended, &["PORT", "EPRT"]);
                assert!(ended.took < Duration::from_secs(2), "{name}: {:?}", ended.took);
                let forced = stage.get(host, &[flags, &["--no-memory", "--mode", "passive"]].concat());
                let blame = if name == "reset" { "their-network" } else { "network" };
                fails(
                    &format!("{name} and passive forced, {host}"),
                    &forced,
                    blame,
                    &[says, "passive ports"],
                );
            }
        }
    });
}

#[test]
fn a_client_firewall_in_the_way_of_forced_active_mode_is_named_and_auto_passes_it() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        // The client's own machine filters, which a user forgets first.
        stage.lab.client.run(|| {
            nft("table inet own { chain input { type filter hook input priority filter; policy drop;
                         iif lo accept
                         ct state established,related accept
                         meta l4proto { icmp, ipv6-icmp } accept
                     }; }");
        });
        for (host, flags) in OURS {
            let ended = stage.get(host, &[flags, &["--no-memory", "--mode", "active"]].concat());
            let what = format!("active forced, {host} {flags:?}");
            fails(&what, &ended, "our-network", &["within 2.0 s", "on this side", "passive mode"]);
            let ended = stage.get(host, &[flags, &["--no-memory"]].concat());
            works(&format!("the same in mode auto, {host} {flags:?}"), &ended, &["EPSV"]);
            assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
        }
    });
}

#[test]
fn a_private_address_in_227_behind_address_translation_is_not_believed() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Vsftpd(
            "pasv_address=10.9.9.9\npasv_min_port=40000\npasv_max_port=40020\ncmds_denied=EPSV,EPRT",
        ));
        nft("table inet nat { chain pre { type nat hook prerouting priority dstnat;
                 iifname cli ip daddr 10.71.1.1 tcp dport { 21, 40000-40020 } dnat ip to 10.71.2.2
             }; }");
        let ended = stage.get(GATE[0], &["--tls", "off", "--no-memory"]);
        works("10.9.9.9 behind NAT", &ended, &["PASV"]);
        assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
        let announced = ended.events.iter().find(|event| event["by"] == "PASV").unwrap();
        assert!(announced["addr"].as_str().unwrap().starts_with("10.9.9.9:"), "{announced}");
        assert!(announced["instead"].as_str().unwrap().starts_with("10.71.1.1:"), "{announced}");
    });
}

#[test]
fn the_address_0_0_0_0_in_227_is_not_believed() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Vsftpd("pasv_address=0.0.0.0\ncmds_denied=EPSV,EPRT"));
        let ended = stage.get(SERVER[0], &["--tls", "off", "--no-memory"]);
        works("0.0.0.0", &ended, &["PASV"]);
        assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
    });
}

#[test]
fn a_server_that_refuses_passive_mode_sends_the_file_actively_at_once() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Vsftpd("pasv_enable=NO"));
        let ended = stage.get(SERVER[0], &["--tls", "off", "--no-memory"]);
        works("passive refused", &ended, &["PORT"]);
        assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
        wall(NOT_IN);
        let ended = stage.get(SERVER[0], &["--tls", "off", "--no-memory"]);
        let says = ["EPSV", "PASV", "550 Permission denied", "PORT", "refuses passive mode", "on this side"];
        fails("passive refused and active blocked", &ended, "our-network", &says);
        assert!(!ended.failure().1.contains("use passive mode"), "{:?}", ended.failure());
        let ended = stage.get(SERVER[0], &["--tls", "off", "--no-memory", "--mode", "passive"]);
        fails("passive refused and forced", &ended, "server", &["550 Permission denied", "active"]);
    });
}

#[test]
fn where_every_mode_is_blocked_both_sides_are_named_in_time() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        for (name, rule) in [("dropped", DROPPED), ("reset", RESET), ("prohibited", PROHIBITED)] {
            wall(&format!("{rule}\n{NOT_IN}"));
            for (host, flags) in OURS {
                let ended = stage.get(host, &[flags, &["--no-memory"]].concat());
                let says = ["EPSV", "passive ports", "active mode failed as well", "on this side"];
                let blame = if name == "prohibited" { "network" } else { "their-network" };
                fails(&format!("{name} and active blocked, {host} {flags:?}"), &ended, blame, &says);
            }
        }
    });
}
