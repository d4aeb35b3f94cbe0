//! A gate on the very host whose servers and clients it watches over (`--engine inspect --this-host`).

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::field::{FILE, Field, Server, Wall, in_namespaces, ready, until};
use crate::lab::{CLIENT, GATE, OTHER_CLIENT, SERVER, at, connect, nft};
use crate::rules::BOTH;
use crate::words::{End, SOON};

const LONG: Duration = Duration::from_secs(15);
const NEVER: Duration = Duration::from_millis(300);
/// Where servers see this host.
const NEAR_SERVER: [&str; 2] = ["10.71.2.1", "fd71:2::1"];

/// A host that lets nothing in or out but answers and what the gate marks.
fn field() -> Field {
    let field = Field::new(Wall::Strict);
    nft("add rule inet admin input ct mark and 0x00100000 == 0x00100000 accept
         table inet outwards {
            chain output {
                type filter hook output priority filter; policy drop;
                oif lo accept
                ct state established,related accept
                ct mark and 0x00100000 == 0x00100000 accept
                meta l4proto { icmp, ipv6-icmp } accept
            }
         }");
    field.gate(&["--engine", "inspect", "--this-host", "--log-format", "json"])
}

fn url(host: &str) -> String {
    if host.contains(':') { format!("ftp://[{host}]/{FILE}") } else { format!("ftp://{host}/{FILE}") }
}

fn whole(field: &Field) -> bool {
    let want = std::fs::read(field.folder.join("pub").join(FILE)).unwrap();
    std::fs::read(field.folder.join("got")).is_ok_and(|got| got == want)
}

#[test]
fn a_server_of_the_gates_own_host_is_reached_in_every_mode_through_holes() {
    in_namespaces(|| {
        let field = field();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portway"));
        command.arg("serve").arg(field.folder.join("pub")).args(["--anonymous", "--tls", "off"]);
        for own in GATE {
            command.args(["--listen", &at(own, 21).to_string()]);
        }
        command.env("XDG_STATE_HOME", field.folder.join("state")).stderr(Stdio::null());
        let mut server = ready(command.stdout(Stdio::piped()).spawn().unwrap(), "stop ");
        for host in GATE {
            for mode in ["--ftp-pasv", "-P-"] {
                let words = ["curl", "-sS", "-g", mode, "-o", "got", &url(host)].map(str::to_owned);
                let (output, _) = field.client(&words, LONG);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && whole(&field), "{host} {mode}: {said} {}", field.log());
                std::fs::remove_file(field.folder.join("got")).unwrap();
            }
        }
        assert!(until(LONG, || field.status().contains(r#""used":4"#)), "{}", field.status());
        server.kill().unwrap();
        server.wait().unwrap();
    });
}

#[test]
fn a_client_of_the_gates_own_host_works_in_every_mode_through_holes() {
    in_namespaces(|| {
        let field = field().server(Server::Portway);
        for host in SERVER {
            for mode in ["--ftp-pasv", "-P-"] {
                let words = ["-sS", "-g", "-m", "15", mode, "-o", "got", &url(host)];
                let output = Command::new("curl").args(words).current_dir(&field.folder).output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && whole(&field), "{host} {mode}: {said} {}", field.log());
                std::fs::remove_file(field.folder.join("got")).unwrap();
            }
        }
        assert!(until(LONG, || field.status().contains(r#""used":4"#)), "{}", field.status());
    });
}

#[test]
fn a_server_of_the_gates_own_host_opens_nothing_that_it_should_not() {
    in_namespaces(|| {
        let field = field();
        for family in BOTH {
            let listener = TcpListener::bind(at(GATE[family], 21)).unwrap();
            let (from, to) = (at(CLIENT[family], 0), at(GATE[family], 21));
            let client = field.lab.client.run(move || crate::words::dial(from, to));
            let server = crate::inspect::answering(listener.accept().unwrap().0);
            let (mut client, mut server) = (End::new(client), End::new(server));
            server.say("220 Hello.");
            client.hears("220");
            client.say("USER ann");
            server.hears("USER ann");
            server.say("230 In.");
            client.hears("230");
            // Rule 12: a port of a service; rule 10 and 11: another address of this host.
            client.say("EPSV");
            server.hears("EPSV");
            server.say("229 Here (|||22|)");
            client.hears("425");
            let here = at(GATE[family], 5000);
            crate::lab::greet(here);
            let from =
                |name: &'static str| field.lab.client.run(move || connect(at(name, 0), here, NEVER).is_ok());
            assert!(!from(CLIENT[family]), "nothing is open that was not announced");
            client.say("EPSV");
            server.hears("EPSV");
            server.say("229 Here (|||5000|)");
            client.hears("229");
            assert!(!from(OTHER_CLIENT[family]), "rule 13: the hole of another");
            assert!(from(CLIENT[family]));
            assert!(!from(CLIENT[family]), "rule 14: it serves once");
            // Rule 10: the client's announcement of this host's other address.
            let other = NEAR_SERVER[family];
            client.say(&format!("EPRT |{}|{other}|5001|", family + 1));
            client.hears("501");
            // Rule 21: what is not FTP is cut off, and both sides are told.
            let from = at(CLIENT[family], 0);
            let client = field.lab.client.run(move || crate::words::dial(from, to));
            let (mut client, mut server) = (End::new(client), End::new(listener.accept().unwrap().0));
            server.say("220 Hello.");
            client.hears("220");
            client.say("POST / HTTP/1.1");
            while client.line().is_some() {}
            while server.line().is_some() {}
        }
    });
}

#[test]
fn without_its_gate_a_host_refuses_control_connections_at_once() {
    in_namespaces(|| {
        let mut field = field();
        let mut gate = field.gate.take().unwrap();
        gate.kill().unwrap();
        gate.wait().unwrap();
        assert!(until(SOON, || !crate::lab::run("nft list tables").contains("inet portway\n")));
        for family in BOTH {
            let _listener = TcpListener::bind(at(GATE[family], 21)).unwrap();
            let to = at(GATE[family], 21);
            let error = field.lab.client.run(move || TcpStream::connect_timeout(&to, SOON).unwrap_err());
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
    });
}
