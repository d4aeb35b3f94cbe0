//! What `docs/recipes.md` says of programs' own settings for FTP proxies, at a server on the usual port where the
//! setting has no place for another.

use std::process::{Command, Stdio};

use portway_e2e::{Lines, PATIENCE, Program, Tree, binary, bytes};

use crate::lab::{Running, in_namespaces, run};
use crate::world::{ANN, forward, server};

#[test]
fn ncftp_gets_through_by_each_kind_of_firewall_that_its_template_lists() {
    in_namespaces(|| {
        run("ip link set lo up");
        let (home, file) = (Tree::new().unwrap(), bytes(5, 200_000));
        home.write("srv/f", &file).unwrap();
        let mut command = Command::new(binary().unwrap());
        command.arg("serve").arg(home.at("srv")).args(["--user", "ann:pw", "--tls", "off"]);
        command.args(["--listen", "127.0.0.2:21"]).env("HOME", home.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let summary = Lines::follow(child.stdout.take().unwrap());
        let _server = Running(child);
        summary
            .wait_for("the server listens", PATIENCE, |line| line.contains("127.0.0.2:21").then_some(()))
            .unwrap();
        let open = forward(&["--allow", "127.0.0.2"]);
        let guarded = forward(&["--allow", "127.0.0.2", "--user", "pro:xy"]);
        for kind in 1..=9 {
            let proxy = if matches!(kind, 1 | 8 | 9) { &open } else { &guarded };
            let text = format!(
                "firewall-type={kind}\nfirewall-host=127.0.0.1\nfirewall-port={}\nfirewall-user=pro\n\
                 firewall-password=xy\nfirewall-exception-list=none.invalid\n",
                proxy.port().unwrap().port()
            );
            home.write(".ncftp/firewall", text.as_bytes()).unwrap();
            let ncftp = Program::new("ncftpget", "ncftp").unwrap().folder(home.path());
            let done = ncftp.args(["-V", "-u", "ann", "-p", "pw", "127.0.0.2", ".", "f"]).run().unwrap();
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.success, "type {kind}: {said}");
            assert_eq!(home.read("f").unwrap(), file, "type {kind}");
            std::fs::remove_file(home.at("f")).unwrap();
        }
    });
}

/// FileZilla asks for a screen, so its three kinds are spoken by hand.
#[test]
fn the_dialogues_of_filezillas_kinds_reach_the_server() {
    let (server, file) = server();
    let to = server.port().unwrap();
    for guarded in [false, true] {
        let flags: &[&str] = if guarded { &["--user", "pro:xy"] } else { &[] };
        let proxy = forward(flags);
        for kind in ["USER@HOST", "SITE", "OPEN"] {
            let mut control = proxy.connect().unwrap();
            if guarded {
                control.expect("USER pro", 331).unwrap();
                control.expect("PASS xy", 230).unwrap();
            }
            if kind == "USER@HOST" {
                control.expect(format!("USER {}@{to}", ANN.0), 331).unwrap();
            } else {
                control.expect(format!("{kind} {to}"), 220).unwrap();
                control.expect(format!("USER {}", ANN.0), 331).unwrap();
            }
            control.expect(format!("PASS {}", ANN.1), 230).unwrap();
            control.expect("TYPE I", 200).unwrap();
            assert_eq!(control.fetch("RETR f").unwrap(), file, "{kind}");
        }
    }
}
