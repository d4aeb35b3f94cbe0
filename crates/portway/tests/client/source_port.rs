//! Active mode from port 20, for firewalls at clients that let in nothing else.

use crate::lab::{SERVER, in_namespaces};
use crate::stage::{Server, Stage, wall};

/// A rule of old: what comes from port 20 is FTP, and everything else is not.
const STRICT: &str = "iifname srv ct state new tcp sport != 20 drop";

fn ways(stage: &Stage, host: &str, tls: &str) -> (Option<i32>, Vec<String>) {
    let ended = stage.get(host, &["--mode", "active", "--no-memory", "--tls", tls]);
    println!("{host} {tls}: {ended:?}");
    (ended.code, ended.way().into_iter().map(str::to_owned).collect())
}

#[test]
fn a_firewall_that_wants_port_20_lets_the_servers_data_connections_in() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous", "--active-source-port", "20"]));
        wall(STRICT);
        for (host, way) in [(SERVER[0], "PORT"), (SERVER[1], "EPRT")] {
            // The second finds the first one's pair of addresses in TIME_WAIT.
            for tls in ["off", "required", "off", "required"] {
                assert_eq!(ways(&stage, host, tls), (Some(0), vec![way.to_owned()]), "{host} {tls}");
            }
        }
    });
}

#[test]
fn the_same_firewall_stops_a_server_that_comes_from_any_port() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        wall(STRICT);
        assert_eq!(ways(&stage, SERVER[0], "off"), (Some(7), Vec::new()));
    });
}
