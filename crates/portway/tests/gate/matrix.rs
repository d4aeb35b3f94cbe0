//! Real clients and servers through the gate, in every mode and for both families.

use std::time::Duration;

use crate::field::{FILE, Field, Server, Wall, in_namespaces, until};
use crate::lab::SERVER;

/// What a user is promised for each cell; a busy machine gets three tries, since the promise is about the gate.
const PROMISE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Mode {
    Active,
    Passive,
}

fn curl(url: &str, mode: Mode, to: &str) -> Vec<String> {
    let mut words = vec!["curl", "-sS", "-g", "-o", to];
    if let Mode::Active = mode {
        words.extend(["--ftp-port", "-"]);
    }
    words.push(url);
    words.into_iter().map(str::to_owned).collect()
}

fn lftp(url: &str, mode: Mode, to: &str) -> Vec<String> {
    let passive = if let Mode::Active = mode { "off" } else { "on" };
    let script = format!(
        "set ftp:passive-mode {passive}; set ftp:prefer-epsv no; set net:max-retries 1; set ftp:ssl-allow no; \
         get1 {url} -o {to}"
    );
    ["lftp", "-c", &script].map(str::to_owned).into()
}

fn every_cell(server: Server, wall: Wall) {
    let field = Field::new(wall).gate(&[]).server(server);
    every_mode(&field, &format!("{wall:?} {server:?}"), SERVER);
}

/// Fetches in both modes, by both clients, from both addresses, and looks at what the gate says afterwards.
pub(crate) fn every_mode(field: &Field, name_of_it: &str, addresses: [&str; 2]) {
    let want = std::fs::read(field.folder.join("pub").join(FILE)).unwrap();
    for (family, address) in addresses.iter().enumerate() {
        let url =
            if family == 0 { format!("ftp://{address}/{FILE}") } else { format!("ftp://[{address}]/{FILE}") };
        for mode in [Mode::Active, Mode::Passive] {
            for (name, client) in [("curl", curl as fn(&str, Mode, &str) -> _), ("lftp", lftp)] {
                let cell = format!("{name} {mode:?} {name_of_it} {address}");
                let mut took = Duration::MAX;
                for attempt in 0..3 {
                    let to = format!("got-{name}-{family}-{mode:?}-{attempt}");
                    let (output, time) = field.client(&client(&url, mode, &to), Duration::from_secs(20));
                    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(output.status.success(), "{cell}: {:?} {errors} {time:?}", output.status);
                    assert_eq!(std::fs::read(field.folder.join(&to)).unwrap(), want, "{cell}");
                    took = took.min(time);
                    if took < PROMISE {
                        break;
                    }
                }
                println!("{cell}: {took:?}");
                assert!(took < PROMISE, "{cell} took {took:?}");
            }
        }
    }
    let status = field.status();
    assert!(status.lines().any(|line| line.contains(r#""kind":"gate""#)), "{status}");
    assert!(!status.contains(r#""kind":"refused""#), "nothing was refused: {status}");
    assert!(!status.contains(r#""kind":"hole""#), "no hole is left: {status}");
    let logged = || field.log().contains("by=relay") || field.log().contains("by=inspect");
    assert!(until(Duration::from_secs(5), logged), "each hole is in the log: {}", field.log());
}

#[test]
fn every_cell_works_with_portway_behind_a_strict_firewall() {
    in_namespaces(|| {
        every_cell(Server::Portway, Wall::Strict);
    });
}

#[test]
fn every_cell_works_with_vsftpd_behind_a_strict_firewall() {
    in_namespaces(|| {
        every_cell(Server::of_others(), Wall::Strict);
    });
}

#[test]
fn every_cell_works_with_a_firewall_at_the_client() {
    in_namespaces(|| {
        every_cell(Server::of_others(), Wall::ClientSide);
    });
}

#[test]
fn every_cell_works_with_a_firewall_at_the_server() {
    in_namespaces(|| {
        every_cell(Server::of_others(), Wall::ServerSide);
    });
}
