//! A gate that ends TLS on both sides (`gate run --auth-tls bridge`): whose data connections it takes, and what its
//! book says about the sessions that it has handed over.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_e2e::{Certificate, Control, Lines, PATIENCE, Tls, TlsOptions, Tree, binary, bytes};
use socket2::{Domain, Socket, Type};

use crate::lab::{CLIENT, Lab, OTHER_CLIENT, Running, SERVER, at, in_namespaces, nft};

const BOTH: [usize; 2] = [0, 1];

/// A strict firewall with a bridging gate, and our server behind it.
struct Field {
    lab: Lab,
    home: Arc<Tree>,
    _running: [Running; 2],
    _lines: [Lines; 2],
}

fn field(flags: &[&str]) -> Field {
    let lab = Lab::new();
    nft("table inet admin {
        chain forward {
            type filter hook forward priority filter; policy drop;
            ct state established accept
            ct mark and 0x00100000 == 0x00100000 accept
            meta l4proto { icmp, ipv6-icmp } accept
        }
        chain input {
            type filter hook input priority filter; policy drop;
            iif lo accept
            ct state established,related accept
            socket transparent 1 meta mark and 0x00200000 == 0x00200000 accept
            meta l4proto { icmp, ipv6-icmp } accept
        }
    }");
    let home = Arc::new(Tree::new().unwrap());
    home.write("srv/f", bytes(5, 200_000)).unwrap();
    let certificate = Certificate::with_names("server", &SERVER).unwrap();
    let (shown, folder) = (certificate.clone(), Arc::clone(&home));
    let (server, serves) = lab.server.run(move || {
        let mut command = Command::new(binary().unwrap());
        command.arg("serve").arg(folder.at("srv")).args(["--user", "ann:pw", "--tls", "required"]);
        command.args(["--listen", "10.71.2.2:21", "--listen", "[fd71:2::2]:21", "--cert"]);
        command.arg(shown.chain()).arg("--key").arg(shown.key()).env("HOME", folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = Lines::follow(child.stdout.take().unwrap());
        (Running(child), lines)
    });
    serves
        .wait_for("the server listens", PATIENCE, |line| line.contains("[fd71:2::2]:21").then_some(()))
        .unwrap();
    let ca = home.path().join("ca").display().to_string();
    let made = Command::new(binary().unwrap()).args(["proxy", "ca", &ca]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut command = Command::new(binary().unwrap());
    command.args(["gate", "run", "--auth-tls", "bridge", "--ca-dir", &ca, "--upstream-ca"]);
    command.arg(certificate.authority()).arg("--status-socket").arg(home.path().join("gate.sock"));
    let mut gate = command.args(flags).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = Lines::follow(gate.stdout.take().unwrap());
    let gate = Running(gate);
    lines.wait_for("the gate is ready", PATIENCE, |line| line.contains("ready").then_some(())).unwrap();
    Field { lab, home, _running: [gate, server], _lines: [lines, serves] }
}

impl Field {
    /// A user who trusts the bridge's authority.
    fn user(&self) -> Tls {
        Tls::trusting(&self.home.path().join("ca/proxy-ca.pem"), TlsOptions::default()).unwrap()
    }

    /// What the gate says of itself.
    fn status(&self) -> String {
        let mut command = Command::new(binary().unwrap());
        command.args(["gate", "status", "--json", "--status-socket"]);
        let output = command.arg(self.home.path().join("gate.sock")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits for a word in the status.
    fn says(&self, word: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.status().contains(word) {
            assert!(Instant::now() < end, "{word} is not in {}", self.status());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A session through the bridge, logged in.
fn log_in(family: usize, tls: &Tls) -> Control {
    let mut control = Control::connect_from(ip(CLIENT[family]), at(SERVER[family], 21)).unwrap();
    control.secure(tls).unwrap();
    control.login(("ann", "pw")).unwrap();
    control
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A connection, or none if it was reset at once or nobody answers.
fn connect_from(source: IpAddr, to: SocketAddr) -> Option<TcpStream> {
    connect_within(Duration::from_secs(1), source, to)
}

fn connect_within(limit: Duration, source: IpAddr, to: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect_timeout(&to.into(), limit).ok()?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    Some(stream)
}

/// What somebody gets who has made a data connection; with the tickets of `tls`, if he has any.
fn thief(family: usize, source: &str, to: SocketAddr, tls: Option<Tls>) -> std::thread::JoinHandle<Vec<u8>> {
    let stream = connect_from(ip(source), to);
    let server = ip(SERVER[family]);
    let (reads, has_begun) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut got = Vec::new();
        // Whatever ends it, what counts is what he got.
        match (stream, tls) {
            (Some(stream), Some(tls)) => {
                let mut stream = tls.wrap(server, stream).unwrap();
                let _ = stream.conn.write_tls(&mut stream.sock);
                let _ = reads.send(());
                let _ = stream.read_to_end(&mut got);
            }
            (Some(mut stream), None) => {
                let _ = reads.send(());
                let _ = stream.read_to_end(&mut got);
            }
            (None, _) => {
                let _ = reads.send(());
            }
        }
        got
    });
    // Thieves come first.
    has_begun.recv().unwrap();
    thread
}

/// Tries everybody who is not the owner of a data connection; he is served all the same.
fn thieves_get_nothing(family: usize, owner: &Tls, strangers: &[(&'static str, Option<Tls>)]) {
    let mut control = log_in(family, owner);
    assert_eq!(control.fetch("RETR f").unwrap(), bytes(5, 200_000), "he shows that he resumes");
    for (source, tls) in strangers {
        let to = control.epsv().unwrap();
        let thief = thief(family, source, to, tls.clone());
        let mut own = control.join(to).unwrap();
        control.expect("RETR f", 150).unwrap();
        assert_eq!(own.read_all().unwrap(), bytes(5, 200_000), "{source}");
        drop(own);
        control.end().unwrap();
        let got = thief.join().unwrap();
        assert!(got.is_empty(), "from {source}, tls {}, he got {} octets", tls.is_some(), got.len());
    }
}

#[test]
fn rule_28_another_sessions_data_connection_is_refused_and_the_owner_is_served() {
    in_namespaces(|| {
        let field = field(&["--data-proof", "required"]);
        for family in BOTH {
            let (owner, newcomer, other) = (field.user(), field.user(), field.user());
            field.lab.client.run(move || {
                // A session of his own, with tickets of its own, from the same address.
                let mut his = log_in(family, &other);
                assert_eq!(his.fetch("RETR f").unwrap(), bytes(5, 200_000));
                thieves_get_nothing(
                    family,
                    &owner,
                    &[
                        (OTHER_CLIENT[family], None),
                        (OTHER_CLIENT[family], Some(owner.clone())),
                        (CLIENT[family], None),
                        (CLIENT[family], Some(newcomer)),
                        (CLIENT[family], Some(other)),
                    ],
                );
            });
        }
    });
}

#[test]
fn rule_28_who_has_resumed_once_is_held_to_it_without_any_flag() {
    in_namespaces(|| {
        let field = field(&[]);
        for family in BOTH {
            let (owner, newcomer) = (field.user(), field.user());
            field.lab.client.run(move || {
                let strangers =
                    [(OTHER_CLIENT[family], Some(owner.clone())), (CLIENT[family], Some(newcomer))];
                thieves_get_nothing(family, &owner, &strangers);
            });
        }
    });
}

#[test]
fn rule_28_without_resumption_nothing_is_served_where_it_is_demanded() {
    in_namespaces(|| {
        let field = field(&["--data-proof", "required"]);
        for family in BOTH {
            let (owner, fresh) = (field.user(), field.user());
            field.lab.client.run(move || {
                let mut control = log_in(family, &owner);
                control.data_tls(Some(fresh));
                let to = control.epsv().unwrap();
                let mut data = control.join(to).unwrap();
                control.send("RETR f\r\n").unwrap();
                // The owner may still come, so the bridge goes on waiting for him.
                let octets = data.read_all().unwrap_or_default();
                assert!(octets.is_empty(), "{} octets came", octets.len());
                control.send("ABOR\r\n").unwrap();
                let mut last = control.reply().unwrap();
                while last.code < 200 {
                    last = control.reply().unwrap();
                }
                assert!((400..500).contains(&last.code), "{last}");
            });
        }
    });
}

#[test]
fn rules_12_and_38_a_bridged_sessions_refusals_are_in_the_gates_book() {
    in_namespaces(|| {
        let field = field(&["--deny-port", "5000", "--failed-logins-per-minute", "2"]);
        for family in BOTH {
            let user = field.user();
            let client = CLIENT[family];
            field.lab.client.run(move || {
                let mut control = log_in(family, &user);
                let net = family + 1;
                let refused = control.expect(format!("EPRT |{net}|{client}|5000|"), 501).unwrap();
                assert!(refused.to_string().contains("denied"), "{refused}");
                control.expect(format!("EPRT |{net}|{client}|5001|"), 200).unwrap();
                control.expect("QUIT", 221).unwrap();
            });
            field.says("port 5000 is on the list of denied ports");
            let user = field.user();
            field.lab.client.run(move || {
                let mut control = Control::connect_from(ip(client), at(SERVER[family], 21)).unwrap();
                control.secure(&user).unwrap();
                for code in [530, 530, 421] {
                    control.expect("USER ann", 331).unwrap();
                    control.expect("PASS wrong", code).unwrap();
                }
                control.ended().unwrap();
                // And he does not get to the server any more.
                let mut again = Control::raw(at(SERVER[family], 21), Some(ip(client))).unwrap();
                again.expect_reply(421).unwrap();
            });
            field.says("too many failed logins");
        }
        let status = field.status();
        let failed = status.split(r#""failed_logins":"#).nth(1).and_then(|rest| rest.split(',').next());
        assert!(failed.and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n == 6), "{status}");
    });
}

#[test]
fn rule_41_a_balancers_client_is_the_one_whose_data_the_bridge_serves() {
    in_namespaces(|| {
        let field = field(&[
            "--proxy-protocol",
            OTHER_CLIENT[0],
            "--proxy-protocol",
            OTHER_CLIENT[1],
            "--data-proof",
            "required",
        ]);
        for family in BOTH {
            let user = field.user();
            let control = field.lab.client.run(move || {
                let (client, balancer) = (ip(CLIENT[family]), ip(OTHER_CLIENT[family]));
                let mut control = Control::raw(at(SERVER[family], 21), Some(balancer)).unwrap();
                let tcp = if family == 0 { "TCP4" } else { "TCP6" };
                control.send(format!("PROXY {tcp} {client} {} 40000 21\r\n", SERVER[family])).unwrap();
                control.expect_reply(220).unwrap();
                control.secure(&user).unwrap();
                control.login(("ann", "pw")).unwrap();
                // A data connection of the balancer's own address is a stranger's, the client's is served.
                let to = control.epsv().unwrap();
                let balancers = thief(family, OTHER_CLIENT[family], to, Some(user.clone()));
                // A segment may be lost on the way; the next one comes a second later (RFC 6298 §2.1).
                let stream = connect_within(Duration::from_secs(5), client, to).unwrap();
                let mut own = user.wrap(ip(SERVER[family]), stream).unwrap();
                own.conn.write_tls(&mut own.sock).unwrap();
                control.expect("RETR f", 150).unwrap();
                let mut got = Vec::new();
                own.read_to_end(&mut got).unwrap();
                assert_eq!(got, bytes(5, 200_000));
                own.conn.send_close_notify();
                let _ = own.conn.complete_io(&mut own.sock);
                drop(own);
                control.end().unwrap();
                assert!(balancers.join().unwrap().is_empty());
                // PORT with the client's address is his own; with the balancer's it is another's.
                let net = family + 1;
                control.expect(format!("EPRT |{net}|{balancer}|5001|"), 501).unwrap();
                control.expect(format!("EPRT |{net}|{client}|5001|"), 200).unwrap();
                control
            });
            field.says(CLIENT[family]);
            drop(control);
        }
        let status = field.status();
        assert!(!status.contains(OTHER_CLIENT[0]) && !status.contains(OTHER_CLIENT[1]), "{status}");
    });
}
