//! `portway lab run doctor`: every fault is what it is called, `portway doctor` names it, and the cure it prints mends it.
//!
//! Needs user namespaces or root, `ip`, `nft`, iptables, lftp, curl, openssl, vsftpd, ProFTPD and Pure-FTPd (unpacked ones
//! below `FTP_TEST_ROOTS` will do); says so loudly where they are missing.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PORTWAY: &str = env!("CARGO_BIN_EXE_portway");

/// The rows of the scenarios whose names begin with one of `only`, and what was said about those that went wrong.
fn rows(only: &[&str], more: &[&str]) -> (Vec<Value>, String) {
    let mut lab = Command::new(PORTWAY);
    lab.args(["lab", "run", "doctor", "--json"]).args(more);
    for name in only {
        lab.args(["--only", name]);
    }
    let output = lab.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!rows.is_empty(), "{said}");
    (rows, said)
}

/// Asserts that every one of at least `count` faults is named in time and cured by what was printed.
fn named_and_cured(only: &[&str], count: usize) {
    let (rows, said) = rows(only, &["--explain"]);
    assert!(rows.len() >= count, "{} rows\n{said}", rows.len());
    for row in &rows {
        assert!(row["named"] == true && row["cured"] == true, "{row}\n{said}");
        assert!(row["seconds"].as_f64().unwrap() < 10.0, "{row}");
    }
}

#[test]
fn firewalls_at_the_client_are_named_and_opened() {
    named_and_cured(&["client-drops", "client-rejects", "client-own"], 9);
}

#[test]
fn firewalls_at_the_server_are_named_and_opened() {
    named_and_cured(&["server-drops", "server-rejects", "server-iptables", "both", "control"], 12);
}

#[test]
fn filters_that_are_choosy_and_ranges_that_are_too_small_are_named_and_mended() {
    named_and_cured(&["port-20", "range", "syn"], 4);
}

#[test]
fn translated_and_wrong_addresses_are_named_and_mended() {
    named_and_cured(&["client-nat", "server-nat", "wrong", "nat-forgets"], 9);
}

#[test]
fn what_tls_hides_and_demands_is_named_and_mended() {
    named_and_cured(&["helper", "session", "data-tls", "certificate", "tls-stripped", "tls-cut"], 11);
}

#[test]
fn middleboxes_black_holes_names_and_logins_are_named_and_mended() {
    named_and_cured(&["epsv", "alg", "ipv6", "mtu", "login", "server-down", "name"], 9);
}

#[test]
fn a_healthy_set_up_gives_no_alarm() {
    named_and_cured(&["healthy"], 10);
}

#[test]
fn every_fault_breaks_a_transfer_and_a_cure_written_by_hand_mends_it() {
    let (rows, said) = rows(&[], &["--reference"]);
    assert_eq!(said, "");
    let ill = rows.iter().filter(|row| row["verdict"] != "healthy").count();
    assert!(ill >= 24 && rows.len() - ill >= 10, "{ill} faults of {} rows", rows.len());
    for row in &rows {
        assert_eq!(row["cured"], true, "{row}");
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["cured", "named", "scenario", "seconds", "verdict"]);
    }
}

#[test]
fn an_interrupted_lab_leaves_no_process_behind() {
    for signal in ["INT", "KILL"] {
        let mut lab = Command::new(PORTWAY)
            .args([
                "lab",
                "run",
                "doctor",
                "--reference",
                "--only",
                "client-drops-active-v",
                "--only",
                "wrong-",
            ])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Client, servers and gates have a numbering of processes of their own.
        let mut spaces = Vec::new();
        wait_until("transfers are tried", || {
            spaces = descendants(lab.id()).into_iter().filter_map(space).collect();
            spaces.retain(|one| Some(one) != space(std::process::id()).as_ref());
            spaces.len() >= 6
        });
        let killed = Command::new("kill").args(["-s", signal, &lab.id().to_string()]).status().unwrap();
        assert!(killed.success());
        lab.wait().unwrap();
        wait_until("all are gone", || {
            processes().all(|pid| space(pid).is_none_or(|space| !spaces.contains(&space)))
        });
    }
}

fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::yield_now();
    }
}

fn processes() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The children of a process, and theirs.
fn descendants(of: u32) -> Vec<u32> {
    let parent = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may hold blanks: the state, then the parent.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let mut found = vec![of];
    let mut next = 0;
    while let Some(&one) = found.get(next) {
        found.extend(processes().filter(|pid| parent(pid) == Some(one)));
        next += 1;
    }
    found.split_off(1)
}

/// Which numbering of processes one belongs to.
fn space(pid: u32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
