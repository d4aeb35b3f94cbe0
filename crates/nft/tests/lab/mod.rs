//! Client, firewall and server in network namespaces that the test makes itself, without root.
#![allow(unsafe_code, clippy::unwrap_used)]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Set inside of the namespaces.
const INSIDE: &str = "PORTWAY_LAB_INSIDE";

/// Whether this process is in namespaces that [`in_namespaces`] has made.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs `body` in user and network namespaces of its own: starts the test that it stands in once more inside of them.
///
/// Panics where neither user namespaces nor root are to be had: the kernel's behaviour is what is tested.
pub(crate) fn in_namespaces<F: FnOnce()>(body: F) {
    if is_inside() {
        return body();
    }
    let possible = |flags: &[&str]| {
        Command::new("unshare")
            .args(flags)
            .arg("true")
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    let ways: [&[&str]; 2] = [&["--user", "--map-root-user", "--net"], &["--net"]];
    let way = ways.into_iter().find(|way| possible(way)).expect("unshare, and user namespaces or root");
    once_more::<F>(Command::new("unshare").args(way));
}

/// Starts the test in which the closure `F` stands, by a command that leads into namespaces.
pub(crate) fn once_more<F>(way: &mut Command) {
    // As in `binary::module::test::{{closure}}`.
    let path = std::any::type_name::<F>().split("::{{closure}}").next().unwrap_or_default();
    let (_, test) = path.split_once("::").expect("a closure in a test");
    let output = way
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned()).concat();
    print!("{text}");
    assert!(output.status.success(), "{test} failed inside its namespaces");
    assert!(text.contains("1 passed"), "{test} did not run inside its namespaces");
}

/// A program that is killed when this is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so, for at most `patience`.
pub(crate) fn until(patience: Duration, mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        if so() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    so()
}

/// Runs a program and gives what it wrote; panics if it failed.
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output =
        Command::new(words.next().unwrap()).args(words).output().unwrap_or_else(|e| panic!("{line}: {e}"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Loads rules with `nft -f -`, as an administrator does.
pub(crate) fn nft(rules: &str) {
    let mut nft =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft is installed");
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{rules}");
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own; sockets made there stay there.
pub(crate) struct Host {
    jobs: mpsc::Sender<Job>,
    thread: u32,
}

impl Host {
    pub(crate) fn new() -> Self {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (ready, thread) = mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: only the network namespace of this thread changes; it shares no memory that depends on it.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
            ready.send(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()).unwrap();
            for job in todo {
                job();
            }
        });
        Self { jobs, thread: thread.recv().unwrap() }
    }

    /// The thread, by which other namespaces name this one.
    pub(crate) fn thread(&self) -> u32 {
        self.thread
    }

    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.jobs
            .send(Box::new(move || {
                let _ = done.send(job());
            }))
            .unwrap();
        result.recv().expect("the job on the host panicked")
    }
}

pub(crate) const CLIENT: [&str; 2] = ["10.71.1.2", "fd71:1::2"];
pub(crate) const OTHER_CLIENT: [&str; 2] = ["10.71.1.3", "fd71:1::3"];
pub(crate) const SERVER: [&str; 2] = ["10.71.2.2", "fd71:2::2"];
/// The firewall's own addresses: towards the client, towards the server.
pub(crate) const GATE: [&str; 2] = ["10.71.1.1", "fd71:1::1"];

/// New IPv6 addresses are of use at once: nobody else has them (RFC 4862 §5.4).
fn without_waiting() {
    for scope in ["all", "default"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/accept_dad"), "0").unwrap();
    }
}

/// Whether each link of this thread's namespace has a link-local address that may be used. The kernel makes it when it
/// sees the carrier, and until then asks for no neighbour of a packet that it forwards (RFC 4861 §7.2.2): the first one by
/// IPv6 would wait for a second.
fn all_carry() -> bool {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap();
    let (links, addresses) = (read("dev"), read("if_inet6"));
    // Address, number, prefix, scope (20 is the link's), flags (40 is tentative), name.
    let own = |link: &str| {
        addresses.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[5] == link && words[3] == "20" && u32::from_str_radix(words[4], 16).unwrap() & 0x40 == 0
        })
    };
    let mut links = links.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    links.all(|link| link == "lo" || own(link))
}

/// Client and server on two links of this thread's namespace, which forwards between them.
pub(crate) struct Lab {
    pub(crate) client: Host,
    pub(crate) server: Host,
}

impl Lab {
    pub(crate) fn new() -> Self {
        // Outside, these links and what a test does to the packet filter would be the machine's own.
        assert!(is_inside(), "a lab is made by `in_namespaces` alone");
        let lab = Self { client: Host::new(), server: Host::new() };
        run("ip link set lo up");
        for here in [&lab.client, &lab.server].map(Some).into_iter().chain([None]) {
            here.map_or_else(without_waiting, |host| host.run(without_waiting));
        }
        for (host, link, net) in [(&lab.client, "cli", 1), (&lab.server, "srv", 2)] {
            // If both ends of a cable happen to have one number, the kernel takes a second to see the carrier.
            let number = 10 + net;
            run(&format!("ip link add {link} index {number} type veth peer name eth0 netns {}", host.thread));
            run(&format!("ip addr add 10.71.{net}.1/24 dev {link}"));
            run(&format!("ip addr add fd71:{net}::1/64 dev {link} nodad"));
            run(&format!("ip link set {link} up"));
            host.run(move || {
                run("ip link set lo up");
                for last in [2, 3] {
                    run(&format!("ip addr add 10.71.{net}.{last}/24 dev eth0"));
                    run(&format!("ip addr add fd71:{net}::{last}/64 dev eth0 nodad"));
                }
                run("ip link set eth0 up");
                run(&format!("ip route add default via 10.71.{net}.1"));
                run(&format!("ip -6 route add default via fd71:{net}::1"));
            });
        }
        for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{path}"), "1").unwrap();
        }
        let settled = || all_carry() && lab.client.run(all_carry) && lab.server.run(all_carry);
        assert!(until(Duration::from_secs(10), settled), "a link does not come up");
        lab
    }

    /// Whether a connection from the client's `from` reaches a listener on `to` of the server.
    pub(crate) fn reaches(&self, from: &str, to: SocketAddr) -> bool {
        self.client_connects(from, 0, to).is_some()
    }

    pub(crate) fn client_connects(&self, from: &str, port: u16, to: SocketAddr) -> Option<TcpStream> {
        let from = SocketAddr::new(from.parse().unwrap(), port);
        self.client.run(move || connect(from, to, Duration::from_secs(8)).ok())
    }

    /// Listens on the server, and greets everybody who comes.
    pub(crate) fn listen(&self, at: SocketAddr) {
        self.server.run(move || greet(at));
    }
}

/// Listens in this namespace, and greets everybody who comes.
pub(crate) fn greet(at: SocketAddr) {
    let listener = TcpListener::bind(at).unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(b"hello");
            open.push(stream);
        }
    });
}

/// Connects from an address of choice and reads the greeting.
pub(crate) fn connect(from: SocketAddr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Also bounds connect() on Linux.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
    bind(&socket, &from)?;
    connect(&socket, &to)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(patience))?;
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting)?;
    Ok(stream)
}

pub(crate) fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port)
}

/// A firewall that lets nothing new through but what carries our mark, and says so at once.
pub(crate) fn strict(mark: u32) {
    nft(&format!(
        "table inet admin {{
            chain forward {{
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                ct mark and {mark:#x} == {mark:#x} accept
                meta l4proto {{ icmp, ipv6-icmp }} accept
                meta l4proto tcp reject with tcp reset
            }}
            chain input {{
                type filter hook input priority filter; policy drop;
                iif lo accept
                ct state established,related accept
                ct mark and {mark:#x} == {mark:#x} accept
                meta l4proto {{ icmp, ipv6-icmp }} accept
                meta l4proto tcp reject with tcp reset
            }}
        }}"
    ));
}

/// Files of this host that nobody outside sees; gone with this value.
pub(crate) struct Scratch {
    pub(crate) folder: PathBuf,
}

impl Scratch {
    /// Puts a copy in place of each folder, and empty ones in place of `/run` and `/var/log`.
    pub(crate) fn over(folders: &[&str]) -> Self {
        // SAFETY: the mounts of this thread alone change, and of what it starts; its memory does not depend on them.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.unwrap();
        run("mount --make-rprivate /");
        let copies = std::env::temp_dir().join(format!("portway-firewalls-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&copies);
        std::fs::create_dir_all(&copies).unwrap();
        for (n, folder) in folders.iter().enumerate() {
            let copy = copies.join(n.to_string()).display().to_string();
            run(&format!("cp -r {folder} {copy}"));
            run(&format!("mount --bind {copy} {folder}"));
        }
        for empty in ["/run", "/var/log"] {
            run(&format!("mount -t tmpfs none {empty}"));
        }
        Self { folder: copies }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Puts what is printed where it says, and runs what it says.
pub(crate) fn paste_into_ufw(text: &str) {
    let mut file = None;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("# Into ") {
            file = Some(path.split(',').next().unwrap().to_owned());
        } else if line.starts_with("# Then") {
            file = None;
        } else if line.starts_with('#') {
        } else if let Some(path) = &file {
            let rules = std::fs::read_to_string(path).unwrap();
            let (before, commit) = rules.rsplit_once("COMMIT").unwrap();
            std::fs::write(path, format!("{before}{line}\nCOMMIT{commit}")).unwrap();
        } else {
            run(line);
        }
    }
}
