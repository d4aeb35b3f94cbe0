//! The other engine as a whole: transfers in every mode, its beginning, its end, its limits.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use super::INSPECT;
use crate::field::{Field, Server, Wall, in_namespaces, until};
use crate::lab::{CLIENT, SERVER, at, nft};
use crate::matrix::every_mode;
use crate::rules::BOTH;
use crate::words::{SOON, Stage, at_once};
use crate::{ftps, nat};

fn every_cell(server: Server, wall: Wall) {
    let field = Field::new(wall).gate(INSPECT).server(server);
    every_mode(&field, &format!("inspect {wall:?} {server:?}"), SERVER);
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

#[test]
fn every_cell_works_where_clients_are_translated() {
    in_namespaces(|| {
        nft(nat::SNAT);
        let field = Field::new(Wall::Strict).gate(INSPECT).server(Server::of_others());
        every_mode(&field, "inspect SNAT", SERVER);
    });
}

#[test]
fn every_cell_works_where_the_server_is_translated() {
    in_namespaces(|| {
        nft(nat::DNAT);
        let field = Field::new(Wall::Strict).gate(INSPECT).server(Server::of_others());
        every_mode(&field, "inspect DNAT", crate::lab::GATE);
    });
}

#[test]
fn ftps_passes_by_announcements_of_the_server() {
    in_namespaces(|| {
        ftps::every_cell(&ftps::field_with(INSPECT));
    });
}

#[test]
fn implicit_ftps_passes_and_clear_text_there_does_not() {
    in_namespaces(|| {
        ftps::implicit(&ftps::field_with(INSPECT));
    });
}

#[test]
fn auth_tls_is_refused_with_the_reason_where_policy_says_so() {
    in_namespaces(|| {
        let stage = Stage::new(&["--engine", "inspect", "--auth-tls", "refuse"]);
        for family in BOTH {
            let mut d = stage.session(family);
            d.client.say("AUTH TLS");
            assert!(d.client.hears("534").contains("lets no TLS through"));
            d.is_alive();
        }
    });
}

#[test]
fn rules_18_and_19_a_killed_gate_leaves_no_hole_and_refuses_at_once() {
    in_namespaces(|| {
        let mut stage = Stage::new(INSPECT);
        // The administrator forwards port 21, which he should not: it must not matter.
        nft("insert rule inet admin forward tcp dport 21 accept");
        let (mut data, mut old) = (Vec::new(), Vec::new());
        for family in BOTH {
            let mut d = stage.session(family);
            let to = d.server_port(5000);
            d.server_listens(to);
            d.exchange(d.passive(), &d.agreed(to));
            let from = at(CLIENT[family], 0);
            data.push(d.field.lab.client.run(move || crate::lab::connect(from, to, SOON).unwrap()));
            d.exchange(d.passive(), &d.agreed(d.server_port(5001)));
            assert_eq!(d.holes(), family + 1);
            old.push((d.client, d.server));
        }
        let mut gate = stage.field.gate.take().unwrap();
        gate.kill().unwrap();
        gate.wait().unwrap();
        let tables = || crate::lab::run("nft list tables");
        assert!(until(Duration::from_secs(1), || !tables().contains("inet portway\n")));
        for family in BOTH {
            let to = at(SERVER[family], 21);
            let refused = at_once("the refusal", || {
                stage.field.lab.client.run(move || TcpStream::connect(to).unwrap_err())
            });
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        for mut stream in data {
            stream.write_all(b"running data goes on").unwrap();
        }
        // Sessions that were there are cut off at their next word.
        at_once("the end", || {
            for (client, _) in &mut old {
                // It may know already, by an acknowledgement of its own.
                let _ = client.stream.write_all(b"NOOP\r\n");
                assert_eq!(client.line(), None);
            }
        });
        // The next one takes over what is left.
        stage.field = stage.field.gate(INSPECT);
        let mut d = stage.session(0);
        d.is_alive();
    });
}

#[test]
fn rule_18_a_gate_that_ends_in_order_leaves_nothing() {
    in_namespaces(|| {
        let mut stage = Stage::new(INSPECT);
        let mut d = stage.session(0);
        d.exchange("PASV", &d.agreed(d.server_port(5000)));
        let mut gate = stage.field.gate.take().unwrap();
        let pid = rustix::process::Pid::from_child(&gate);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(gate.wait().unwrap().success());
        let after = Command::new("nft").args(["list", "ruleset"]).output().unwrap().stdout;
        let after = String::from_utf8_lossy(&after);
        assert!(!after.contains("portway") && after.contains("table inet admin"), "{after}");
    });
}

/// A connection that the client began before there was a gate, and the gate.
fn older(policy: &str) -> (Field, TcpStream, TcpStream) {
    // Connections that the client begins pass this wall without a gate.
    let field = Field::new(Wall::ClientSide);
    let to = at(SERVER[0], 21);
    let listener = field.lab.server.run(move || TcpListener::bind(to).unwrap());
    let client = field.lab.client.run(move || TcpStream::connect(to).unwrap());
    let (server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(SOON)).unwrap();
    }
    (field.gate(&["--engine", "inspect", "--mid-stream", policy]), client, server)
}

#[test]
fn connections_older_than_the_gate_are_reset() {
    in_namespaces(|| {
        let (_field, mut client, _server) = older("reset");
        client.write_all(b"PORT 10,71,1,2,19,136\r\n").unwrap();
        assert!(at_once("the reset", || client.read(&mut [0; 9])).is_err());
    });
}

#[test]
fn connections_older_than_the_gate_pass_unread_where_policy_says_so() {
    in_namespaces(|| {
        let (field, mut client, mut server) = older("pass");
        client.write_all(b"PORT 10,71,1,2,19,136\r\n").unwrap();
        assert!(server.read(&mut [0; 99]).unwrap() > 0);
        server.write_all(b"200 Fine.\r\n").unwrap();
        assert!(client.read(&mut [0; 99]).unwrap() > 0);
        assert!(!field.status().contains(r#""kind":"hole""#));
    });
}

#[test]
fn sessions_over_the_limit_are_refused_at_once() {
    in_namespaces(|| {
        let stage = Stage::new(&["--engine", "inspect", "--max-sessions-per-address", "2"]);
        for family in BOTH {
            let _sessions = [stage.session(family), stage.session(family)];
            let to = at(SERVER[family], 21);
            let refused = at_once("the refusal", || {
                stage.field.lab.client.run(move || TcpStream::connect(to).unwrap_err())
            });
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        assert!(stage.field.status().contains(r#""turned_away":2"#), "{}", stage.field.status());
    });
}
