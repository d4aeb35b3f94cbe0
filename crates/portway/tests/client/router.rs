//! Active mode from behind a router that translates addresses: miniupnpd opens the port that the client asks for.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::{GATE, SERVER, in_namespaces, nft, run};
use crate::stage::{Ended, Server, Stage};

/// A home router: everything out, nothing in, and the server sees one address. Passive ports are blocked.
const RULES: &str = "table inet filter {
    chain forward { type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname cli tcp dport 21 accept
        jump miniupnpd
    }
    chain miniupnpd { }
    chain input { type filter hook input priority 0; policy accept; }
    chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
    chain prerouting_miniupnpd { }
    chain postrouting { type nat hook postrouting priority 100; policy accept;
        oifname srv snat ip to 11.7.2.1
        jump postrouting_miniupnpd
    }
    chain postrouting_miniupnpd { }
}";
/// What the router's daemon is told beside what it speaks.
const CONFIG: &str = "ext_ifname=srv\next_ip=11.7.2.1\nlistening_ip=cli\nhttp_port=0\nsecure_mode=yes\n\
    system_uptime=yes\nuuid=00000000-0000-0000-0000-000000000001\n\
    upnp_table_name=filter\nupnp_nat_table_name=filter\nupnp_forward_chain=miniupnpd\n\
    upnp_nat_chain=prerouting_miniupnpd\nupnp_nat_postrouting_chain=postrouting_miniupnpd\n\
    allow 1024-65535 10.71.1.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n";

/// The router's outer address: a public one, as its daemon opens no ports at others.
fn public(stage: &Stage) {
    run("ip addr add 11.7.2.1/32 dev srv");
    stage.lab.server.run(|| run("ip route add 11.7.2.1/32 via 10.71.2.1"));
    nft(RULES);
}

struct Daemon(Child);

impl Daemon {
    /// Starts it with further lines, and waits until it answers on `port` by UDP.
    fn start(stage: &Stage, more: &str, port: u16) -> Self {
        let folder = &stage.folder;
        let config = folder.join("miniupnpd.conf");
        let lease = format!("lease_file={}\n", folder.join("leases").display());
        std::fs::write(&config, format!("{CONFIG}{lease}{more}")).unwrap();
        let log = std::fs::File::create(folder.join("miniupnpd.log")).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "miniupnpd", "-d", "-f"])
            .arg(&config)
            .arg("-P")
            .arg(folder.join("miniupnpd.pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("setpriv is installed");
        let mut daemon = Self(child);
        let until = Instant::now() + Duration::from_secs(10);
        while !run("ss -Hlun").contains(&format!(":{port} ")) {
            let said = std::fs::read_to_string(folder.join("miniupnpd.log")).unwrap_or_default();
            let ended = daemon.0.try_wait().unwrap();
            assert!(ended.is_none(), "miniupnpd (apt-get install miniupnpd-nftables) ended: {said}");
            assert!(Instant::now() < until, "miniupnpd does not listen: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn notes(ended: &Ended) -> String {
    let texts = ended.events.iter().filter(|event| event["event"] == "note");
    texts.filter_map(|event| event["text"].as_str()).collect::<Vec<_>>().join("\n")
}

fn open_ports() -> usize {
    run("nft list chain inet filter prerouting_miniupnpd").matches("dnat").count()
}

const PLAIN: [&str; 3] = ["--no-memory", "--tls", "off"];
const AUTO: [&str; 2] = ["--active-address", "auto"];

fn arrives(stage: &Stage, what: &str, flags: &[&str], protocol: &str) {
    let tls: &[&str] = if what == "TLS" { &["--no-memory", "--tls", "required"] } else { &PLAIN };
    let ended = stage.get(SERVER[0], &[tls, &AUTO, flags].concat());
    let log = std::fs::read_to_string(stage.folder.join("miniupnpd.log")).unwrap_or_default();
    println!("{what}: {:.2} s; {}", ended.took.as_secs_f64(), notes(&ended));
    assert_eq!(ended.code, Some(0), "{what}: {ended:#?}\n{log}");
    assert_eq!(ended.way(), Some("PORT"), "{what}");
    let notes = notes(&ended);
    assert!(notes.contains(&format!("({protocol})")), "{what}: {notes}");
    assert!(notes.contains(&format!("the router {} leads 11.7.2.1:", GATE[0])), "{what}: {notes}");
    assert_eq!(open_ports(), 0, "{what}: the port was to be given back\n{}", run("nft list ruleset"));
}

#[test]
fn active_mode_works_behind_a_router_that_opens_a_port() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        public(&stage);
        // Without its help no mode works.
        let ended = stage.get(SERVER[0], &PLAIN);
        assert_eq!(ended.code, Some(7), "{ended:#?}");
        {
            let _daemon = Daemon::start(&stage, "enable_natpmp=yes\nenable_upnp=no\n", 5351);
            arrives(&stage, "forced", &["--mode", "active"], "PCP");
            arrives(&stage, "passive first", &[], "PCP");
            let ports = ["--mode", "active", "--active-ports", "40000-40009"];
            arrives(&stage, "a range of ports", &ports, "PCP");
            arrives(&stage, "TLS", &["--mode", "active"], "PCP");
            // An old router: PCP is not heard.
            nft("add rule inet filter input udp dport 5351 @th,64,8 2 drop");
            arrives(&stage, "an older router", &["--mode", "active"], "NAT-PMP");
        }
        let _daemon = Daemon::start(&stage, "enable_natpmp=no\nenable_upnp=yes\n", 1900);
        nft("flush chain inet filter input");
        arrives(&stage, "UPnP", &["--mode", "active"], "UPnP");
    });
}

#[test]
fn a_router_that_opens_nothing_is_named_in_the_failure() {
    in_namespaces(|| {
        let stage = Stage::new(Server::Portway(&["--anonymous"]));
        public(&stage);
        let flags = [&PLAIN[..], &AUTO, &["--mode", "active"]].concat();
        let ended = stage.get(SERVER[0], &flags);
        let (message, ..) = ended.failure();
        assert_eq!(ended.code, Some(7), "{ended:#?}");
        assert!(message.contains(&format!("the router {} opens no port", GATE[0])), "{message}");
        assert!(message.contains("UPnP: no answer"), "{message}");
    });
}
