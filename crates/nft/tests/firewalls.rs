//! What we tell administrators of ufw and firewalld to do does what we say, with the real packages: in network and
//! mount namespaces of their own, with copies of their configuration.
#![allow(clippy::unwrap_used)]

mod lab;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::{CLIENT, GATE, Lab, OTHER_CLIENT, SERVER, Scratch, at, in_namespaces, paste_into_ufw, run};
use portway_nft::paste::{Firewall, Rules};
use portway_nft::{Elements as _, Filter, Key, Layout};

const TEN: Duration = Duration::from_secs(10);
/// What is dropped in silence is waited for so long.
const SILENCE: Duration = Duration::from_millis(400);
/// A service that takes longer to start does not start.
const START: Duration = Duration::from_secs(30);

fn rules(firewall: Firewall, layout: &Layout) -> String {
    Rules { firewall, layout, control: &[21], ports: 5000..=5009 }.to_string()
}

/// Whether the programs are there; CI installs them.
fn installed(programs: &[&str]) -> bool {
    let missing = |program: &&str| {
        !["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(program).is_file())
    };
    let Some(missing) = programs.iter().find(|program| missing(program)) else { return true };
    assert!(std::env::var_os("CI").is_none(), "CI installs {missing}");
    eprintln!("NOT RUN: {missing} is not installed");
    false
}

/// A service of this test; killed with this value.
struct Service(Child);

impl Service {
    fn start(program: &str, words: &[&str]) -> Self {
        let child = Command::new(program).args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap())
    }

    fn is_there_when(&mut self, ready: impl Fn() -> bool) {
        let end = Instant::now() + START;
        while !ready() {
            assert!(self.0.try_wait().unwrap().is_none(), "it has ended");
            assert!(Instant::now() < end, "it does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn reaches(lab: &Lab, from: &str, to: SocketAddr, patience: Duration) -> bool {
    let from = at(from, 0);
    lab.client.run(move || lab::connect(from, to, patience).is_ok())
}

/// Control is open, a passive port is shut until a hole is there for this client, and then it serves once.
fn data_needs_a_hole(lab: &Lab, filter: &mut Filter, hosts: [&str; 2], port: u16) {
    for family in [0, 1] {
        let data = at(hosts[family], port);
        assert!(!reaches(lab, CLIENT[family], data, SILENCE), "without a hole");
        filter.add(&Key::new(CLIENT[family].parse().unwrap(), data), TEN).unwrap();
        assert!(!reaches(lab, OTHER_CLIENT[family], data, SILENCE), "the hole of another");
        assert!(reaches(lab, CLIENT[family], data, TEN), "with a hole");
        assert!(!reaches(lab, CLIENT[family], data, SILENCE), "only once");
    }
}

/// Listens on this host's control port and a passive port.
fn listen_here() {
    for own in GATE {
        lab::greet(at(own, 21));
        lab::greet(at(own, 5000));
    }
}

#[test]
fn beside_ufw_a_server_needs_no_open_range_and_a_gate_opens_what_it_forwards() {
    if !installed(&["ufw", "iptables", "ip6tables"]) {
        return;
    }
    in_namespaces(|| {
        let _scratch = Scratch::over(&["/etc/ufw"]);
        let lab = Lab::new();
        let layout = Layout::default();
        run("ufw --force enable");
        // ufw turns forwarding off unless /etc/ufw/sysctl.conf says otherwise.
        for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{path}"), "1").unwrap();
        }
        listen_here();
        for family in [0, 1] {
            assert!(!reaches(&lab, CLIENT[family], at(GATE[family], 21), SILENCE), "ufw is at work");
        }
        paste_into_ufw(&rules(Firewall::Ufw, &layout));
        for family in [0, 1] {
            assert!(reaches(&lab, CLIENT[family], at(GATE[family], 21), TEN), "the control channel is open");
        }
        let mut filter = Filter::install(&layout).unwrap();
        data_needs_a_hole(&lab, &mut filter, GATE, 5000);
        // Also between networks, and after ufw has loaded its rules anew.
        for server in SERVER {
            lab.listen(at(server, 5001));
        }
        data_needs_a_hole(&lab, &mut filter, SERVER, 5001);
        run("ufw reload");
        data_needs_a_hole(&lab, &mut filter, GATE, 5000);
        run("ufw --force disable");
    });
}

#[test]
fn beside_firewalld_the_guard_keeps_the_range_shut_that_its_zone_has_opened() {
    if !installed(&["firewalld", "firewall-cmd", "dbus-daemon"]) {
        return;
    }
    in_namespaces(|| {
        let scratch = Scratch::over(&["/etc/firewalld"]);
        let lab = Lab::new();
        let layout = Layout { guard: Some(5000..=5009), ..Layout::default() };
        std::fs::create_dir_all("/run/dbus").unwrap();
        // Debian's own bus changes its user, and there may be only one here.
        let config = scratch.folder.join("bus.conf");
        std::fs::write(
            &config,
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"
              \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">
             <busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
             <policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/>
             <allow user=\"*\"/></policy></busconfig>",
        )
        .unwrap();
        let file = format!("--config-file={}", config.display());
        let mut bus = Service::start("dbus-daemon", &[&file, "--nofork", "--nopidfile"]);
        bus.is_there_when(|| Path::new("/run/dbus/system_bus_socket").exists());
        let mut firewalld = Service::start("firewalld", &["--nofork", "--nopid"]);
        let state = || Command::new("firewall-cmd").arg("--state").output().unwrap();
        firewalld.is_there_when(|| state().status.success());
        listen_here();
        for family in [0, 1] {
            assert!(!reaches(&lab, CLIENT[family], at(GATE[family], 21), SILENCE), "firewalld is at work");
        }
        for line in rules(Firewall::Firewalld, &layout).lines().filter(|line| !line.starts_with('#')) {
            run(line);
        }
        for family in [0, 1] {
            assert!(reaches(&lab, CLIENT[family], at(GATE[family], 21), TEN), "the control channel is open");
        }
        let mut filter = Filter::install(&layout).unwrap();
        data_needs_a_hole(&lab, &mut filter, GATE, 5000);
        run("firewall-cmd --reload");
        data_needs_a_hole(&lab, &mut filter, GATE, 5000);
        // A guarded range stays shut when nobody is there to open it.
        drop(filter);
        for family in [0, 1] {
            assert!(!reaches(&lab, CLIENT[family], at(GATE[family], 5000), SILENCE), "shut without us, too");
        }
    });
}
