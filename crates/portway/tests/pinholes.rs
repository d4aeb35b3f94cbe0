//! `serve`: who asks for what takes rights gets it, or a reason.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PORTWAY: &str = env!("CARGO_BIN_EXE_portway");

/// How a server without any capability ends that is started with these flags, and what it says.
fn without_capabilities(flags: &[&str]) -> (Option<i32>, String) {
    // Root keeps its capabilities unless they are taken away; others have none.
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
    }
    let mut server = command
        .args(["--", PORTWAY, "serve"])
        .arg(std::env::temp_dir())
        .args(["--listen", "127.0.0.1:0", "--tls", "off"])
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("setpriv is installed");
    let end = Instant::now() + Duration::from_secs(10);
    while server.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            server.kill().unwrap();
        }
        std::thread::yield_now();
    }
    let output = server.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_server_that_can_open_no_pinholes_does_not_start_and_says_what_is_missing() {
    let socket = std::env::temp_dir().join(format!("no-helper-{}", std::process::id())).display().to_string();
    let (code, words) = without_capabilities(&["--pinholes", &format!("nft:{socket}")]);
    assert_eq!(code, Some(2), "{words}");
    for word in ["portway-holed", "CAP_NET_ADMIN", "--pinholes none", &socket] {
        assert!(words.contains(word), "{word} is not in: {words}");
    }
}

#[test]
fn a_server_that_may_not_connect_from_port_20_does_not_start_and_says_what_is_missing() {
    let (code, words) = without_capabilities(&["--active-source-port", "20"]);
    assert_eq!(code, Some(2), "{words}");
    for word in ["--active-source-port 20", "CAP_NET_BIND_SERVICE"] {
        assert!(words.contains(word), "{word} is not in: {words}");
    }
}

#[test]
fn an_unknown_kind_of_pinhole_is_refused_with_the_kinds_that_exist() {
    let output = Command::new(PORTWAY).args(["serve", "--pinholes", "iptables"]).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("none") && words.contains("nft"), "{words}");
}
