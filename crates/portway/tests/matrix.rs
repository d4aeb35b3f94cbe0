//! The whole table: {active, passive} x {plain, FTPS} x {IPv4, IPv6} in every arrangement of firewalls, fetched by lftp and
//! by our own client from our own server and from vsftpd; the kernel's helper beside it for comparison.
//!
//! `portway lab run all --client all --server all` shows the same to everybody.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// What a user is promised. The promise is about firewalls, so a busy machine gets some tries.
const PROMISE: f64 = 1.0;
const TRIES: usize = 4;

/// Runs one scenario with one cure, for these clients and servers.
fn run(scenario: &str, cure: &str, jobs: &str, clients: &[&str], servers: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portway"));
    command.args(["lab", "run", scenario, "--json", "--limit", "5s", "--cure", cure, "--jobs", jobs]);
    command.args(clients.iter().flat_map(|client| ["--client", client]));
    command.args(servers.iter().flat_map(|server| ["--server", server]));
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.is_empty(), "{words}");
    let text = String::from_utf8(output.stdout).unwrap();
    if matches!(cure, "portway" | "inspect") {
        assert!(output.status.success(), "{scenario}: a promise is broken:\n{text}");
    }
    let cells: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cells.len(), 2 * 2 * 2 * clients.len() * servers.len(), "every cell is tried");
    for cell in &cells {
        assert!(["works", "blocked", "refused"].contains(&cell["result"].as_str().unwrap()), "{cell}");
    }
    cells
}

const CLIENTS: [&str; 2] = ["lftp", "portway"];
const SERVERS: [&str; 2] = ["portway", "vsftpd"];

/// Runs a scenario; `excused` says which cells need not work with portway. With the helper, plain transfers work wherever
/// `helped` says so, and encrypted ones do not where `needed` says that the firewall must be opened.
fn promise(
    scenario: &str,
    needed: impl Fn(&str) -> bool,
    excused: impl Fn(&str, &str, bool, &str) -> bool,
    helped: impl Fn(&str) -> bool,
) {
    for client in CLIENTS {
        for server in SERVERS {
            let mut best: BTreeMap<String, f64> = BTreeMap::new();
            for _ in 0..TRIES {
                for cell in run(scenario, "portway", "2", &[client], &[server]) {
                    let (mode, tls) = (cell["mode"].as_str().unwrap(), cell["tls"].as_bool().unwrap());
                    if excused(client, server, tls, mode) {
                        continue;
                    }
                    assert_eq!(cell["result"], "works", "{cell}");
                    let name = format!("{mode} tls={tls} {} {client} from {server}", cell["family"]);
                    let seconds = cell["seconds"].as_f64().unwrap();
                    best.entry(name).and_modify(|best| *best = best.min(seconds)).or_insert(seconds);
                }
                if best.values().all(|seconds| *seconds < PROMISE) {
                    break;
                }
            }
            let slow: Vec<_> = best.iter().filter(|(_, seconds)| **seconds >= PROMISE).collect();
            assert!(slow.is_empty(), "{scenario}: {slow:?}");
            println!("{scenario}: {best:?}");
        }
    }
    for cell in run(scenario, "kernel-helper", "8", &CLIENTS, &SERVERS) {
        let (mode, tls) = (cell["mode"].as_str().unwrap(), cell["tls"].as_bool().unwrap());
        if !tls && helped(mode) {
            assert_eq!(cell["result"], "works", "{cell}");
        }
        if tls && needed(mode) {
            assert_ne!(cell["result"], "works", "the helper reads no ciphertext: {cell}");
        }
    }
}

/// Runs a scenario with gates that hold packets: everything works but what has to be bridged.
fn inspected(scenario: &str, needed: impl Fn(&str) -> bool) {
    for cell in run(scenario, "inspect", "2", &CLIENTS, &SERVERS) {
        let unreadable = cell["tls"] == true && cell["server"] == "vsftpd";
        if !(unreadable && needed(cell["mode"].as_str().unwrap())) {
            assert_eq!(cell["result"], "works", "{cell}");
        }
    }
}

#[test]
fn every_cell_works_through_a_strict_firewall_that_ends_no_connection() {
    inspected("strict", |_| true);
}

#[test]
fn every_cell_works_through_one_sided_firewalls_that_end_no_connection() {
    inspected("client-side", |mode| mode == "active");
    inspected("server-side", |mode| mode == "passive");
}

#[test]
fn every_cell_works_through_firewalls_on_both_sides_that_end_no_connection() {
    inspected("both", |_| true);
}

#[test]
fn every_cell_works_where_addresses_are_translated_and_no_connection_is_ended() {
    inspected("snat", |_| true);
    inspected("dnat", |_| true);
}

#[test]
fn every_cell_works_within_a_second_through_a_strict_firewall() {
    promise("strict", |_| true, |_, _, _, _| false, |_| true);
}

#[test]
fn every_cell_works_within_a_second_through_a_firewall_at_the_client() {
    let needed = |mode: &str| mode == "active";
    promise("client-side", needed, |_, _, _, _| false, |_| true);
}

#[test]
fn every_cell_works_within_a_second_through_a_firewall_at_the_server() {
    let needed = |mode: &str| mode == "passive";
    promise("server-side", needed, |_, _, _, _| false, |_| true);
}

#[test]
fn every_cell_works_within_a_second_through_firewalls_on_both_sides() {
    promise("both", |_| true, |_, _, _, _| false, |_| true);
}

#[test]
fn every_cell_works_within_a_second_where_the_client_is_translated() {
    promise("snat", |_| true, |_, _, _, _| false, |_| true);
}

#[test]
fn every_cell_works_within_a_second_where_the_server_is_translated() {
    promise("dnat", |_| true, |_, _, _, _| false, |_| true);
}

#[test]
fn our_client_opens_the_firewall_of_its_own_machine_within_a_second() {
    let needed = |mode: &str| mode == "active";
    promise("client-host", needed, |client, _, _, mode| needed(mode) && client != "portway", |_| true);
}

#[test]
fn our_server_opens_the_firewall_of_its_own_machine_within_a_second() {
    promise("server-host", |_| true, |_, server, _, _| server != "portway", |_| true);
}
