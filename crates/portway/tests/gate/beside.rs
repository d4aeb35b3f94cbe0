//! The gate beside a firewall that others have made.

use std::process::Command;
use std::time::Duration;

use crate::field::{FILE, Field, Server, Wall, in_namespaces, until};
use crate::lab::{CLIENT, SERVER, Scratch, at, connect, paste_into_ufw, run};

const LONG: Duration = Duration::from_secs(15);

/// ufw, with the lines that `portway gate rules` prints for a gate.
pub(crate) fn ufw() {
    run("ufw --force enable");
    let output =
        Command::new(env!("CARGO_BIN_EXE_portway")).args(["gate", "rules", "--firewall", "ufw"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    // The line for the control connections that the relay ends stands among the comments, since servers need none.
    let input = text.lines().find(|line| line.contains("-m mark --mark")).unwrap();
    let input = input.trim_start_matches(['#', ' ']).split("  (").next().unwrap();
    for (file, line) in
        [("before.rules", input.to_owned()), ("before6.rules", input.replace("-I ufw-", "-I ufw6-"))]
    {
        paste_into_ufw(&format!("# Into /etc/ufw/{file}, before its COMMIT:\n{line}\n"));
    }
    paste_into_ufw(&text);
    // Unless /etc/ufw/sysctl.conf says otherwise ufw turns forwarding off.
    for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{path}"), "1").unwrap();
    }
}

fn beside_ufw(engine: &str) {
    if !std::path::Path::new("/usr/sbin/ufw").is_file() {
        assert!(std::env::var_os("CI").is_none(), "CI installs ufw");
        println!("NOT RUN: ufw is not installed");
        return;
    }
    let _scratch = Scratch::over(&["/etc/ufw"]);
    let field = Field::new(Wall::Ufw).gate(&["--engine", engine]).server(Server::Portway);
    for family in [0, 1] {
        let to = at(SERVER[family], 5000);
        field.lab.listen(to);
        let from = at(CLIENT[family], 0);
        let open = field.lab.client.run(move || connect(from, to, Duration::from_millis(400)).is_ok());
        assert!(!open, "ufw is at work: nothing is open that was not announced");
        let host = if family == 0 { SERVER[0].to_owned() } else { format!("[{}]", SERVER[1]) };
        for mode in ["--ftp-pasv", "-P-"] {
            let url = format!("ftp://{host}/{FILE}");
            let words = ["curl", "-sS", "-g", mode, "-o", "got", &url].map(str::to_owned);
            let (output, _) = field.client(&words, LONG);
            assert!(output.status.success(), "{mode} {url}: {}", String::from_utf8_lossy(&output.stderr));
            let want = std::fs::read(field.folder.join("pub").join(FILE)).unwrap();
            assert_eq!(std::fs::read(field.folder.join("got")).unwrap(), want);
        }
    }
    assert!(until(LONG, || field.status().contains(r#""used":4"#)), "{}", field.status());
}

#[test]
fn a_relaying_gate_works_beside_ufw_with_the_lines_that_it_prints() {
    in_namespaces(|| beside_ufw("relay"));
}

#[test]
fn an_inspecting_gate_works_beside_ufw_with_the_lines_that_it_prints() {
    in_namespaces(|| {
        beside_ufw("inspect");
    });
}
