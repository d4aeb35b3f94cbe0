//! Every command of the client against servers of others: IPv6, and TLS from the first octet.
#![allow(clippy::unwrap_used)]

#[path = "../../client/tests/support/mod.rs"]
mod support;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Output};

use support::{Kind, Server, Tls, bytes};

/// Runs `portway` in `folder`; fails the test if it fails.
fn portway(what: &str, folder: &Path, words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_portway"))
        .args(words)
        .args(["--insecure", "--no-memory"])
        .env("FTP_USER", "alice")
        .env("FTP_PASSWORD", "wonder")
        .env("HOME", folder)
        .env_remove("ftp_proxy")
        .env_remove("all_proxy")
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {words:?}: {said}");
    output
}

fn every_command(server: &Server, mode: &str) {
    let what = format!("{:?} at {} in {mode} mode", server.kind, server.url(""));
    let here = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| portway(&what, here.path(), &[words, &["--mode", mode]].concat());
    let content = bytes(11, 150_000);
    server.write("down.bin", &content);
    run(&["get", &server.url("down.bin")]);
    assert!(std::fs::read(here.path().join("down.bin")).unwrap() == content, "{what}: get");
    run(&["put", "down.bin", &server.url("up.bin")]);
    assert!(server.read("up.bin") == content, "{what}: put");
    assert!(run(&["cat", &server.url("up.bin")]).stdout == content, "{what}: cat");
    run(&["mkdir", &server.url("sub/deep")]);
    assert!(server.folder.join("sub/deep").is_dir(), "{what}: mkdir");
    run(&["mv", &server.url("up.bin"), "sub/moved.bin"]);
    assert!(server.read("sub/moved.bin") == content, "{what}: mv");
    let list = String::from_utf8(run(&["ls", &server.url("sub/")]).stdout).unwrap();
    assert!(list.contains("moved.bin") && list.contains("deep"), "{what}: ls\n{list}");
    run(&["mirror", &server.url("sub/"), "copy"]);
    assert!(std::fs::read(here.path().join("copy/moved.bin")).unwrap() == content, "{what}: mirror down");
    std::fs::write(here.path().join("copy/new"), b"new").unwrap();
    run(&["mirror", "copy", &server.url("sub/")]);
    assert_eq!(server.read("sub/new"), b"new", "{what}: mirror up");
    run(&["rm", &server.url("down.bin")]);
    run(&["rm", "--recursive", &server.url("sub")]);
    assert_eq!(std::fs::read_dir(&server.folder).unwrap().count(), 0, "{what}: rm");
}

#[test]
fn every_command_works_over_ipv6_in_both_modes() {
    for kind in [Kind::Vsftpd, Kind::Proftpd, Kind::PureFtpd, Kind::Pyftpdlib] {
        let server = Server::start_on(Ipv6Addr::LOCALHOST.into(), kind, Tls::Off, "");
        for mode in ["passive", "active"] {
            every_command(&server, mode);
        }
    }
}

#[test]
fn every_command_works_over_ipv6_under_tls() {
    for kind in [Kind::Vsftpd, Kind::Proftpd, Kind::PureFtpd] {
        let server = Server::start_on(Ipv6Addr::LOCALHOST.into(), kind, Tls::On, "");
        every_command(&server, "passive");
    }
}

#[test]
fn every_command_works_under_implicit_tls_in_both_modes() {
    for kind in [Kind::Vsftpd, Kind::Proftpd] {
        for (ip, mode) in [
            (Ipv4Addr::LOCALHOST.into(), "passive"),
            (Ipv4Addr::LOCALHOST.into(), "active"),
            (Ipv6Addr::LOCALHOST.into(), "passive"),
            (Ipv6Addr::LOCALHOST.into(), "active"),
        ] {
            every_command(&Server::start_on(ip, kind, Tls::Implicit, ""), mode);
        }
    }
}

#[test]
fn whoever_reads_what_is_printed_may_leave_early() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca").display().to_string();
    for words in [
        &["lab", "list"][..],
        &["gate", "rules"],
        &["gate", "enroll", "--agent-dir", &dir],
        &["proxy", "ca", &dir],
        &["config", "example"],
        &["completions", "bash"],
        &["man"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_portway"))
            .args(words)
            .stdout(writer)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{words:?}: {said}");
    }
}
