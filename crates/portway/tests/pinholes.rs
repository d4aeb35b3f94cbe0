//! `serve --pinholes`: who asks for pinholes gets them, or a reason.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PORTWAY: &str = env!("CARGO_BIN_EXE_portway");

#[test]
fn a_server_that_can_open_no_pinholes_does_not_start_and_says_what_is_missing() {
    let socket = std::env::temp_dir().join(format!("no-helper-{}", std::process::id()));
    // Root keeps its capabilities unless they are taken away; others have none.
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
    }
    let mut server = command
        .args(["--", PORTWAY, "serve"])
        .arg(std::env::temp_dir())
        .args(["--listen", "127.0.0.1:0", "--tls", "off", "--pinholes"])
        .arg(format!("nft:{}", socket.display()))
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
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}");
    for word in ["portway-holed", "CAP_NET_ADMIN", "--pinholes none", &socket.display().to_string()] {
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
