//! `portway lab run doctor`: every fault is what it is called.
//!
//! Needs user namespaces or root, `ip`, `nft`, iptables, lftp, curl, openssl, vsftpd, ProFTPD and Pure-FTPd (unpacked ones
//! below `FTP_TEST_ROOTS` will do); says so loudly where they are missing.
#![allow(clippy::unwrap_used)]

use std::process::Command;

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
