//! Machines, cables, addresses and routes.
//!
//! ```text
//! client 10.71.1.2 -- 10.71.1.1 gate 10.71.2.1 -- 10.71.2.2 server        IPv6: fd71:1::2 and so on
//! client 10.71.1.2 -- 10.71.1.1 gate 10.71.3.1 -- 10.71.3.2 gate 10.71.2.1 -- 10.71.2.2 server
//! ```

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::error::LabError;
use crate::program::{feed, find};
use crate::scenario::Scenario;
use crate::space::Host;

/// The addresses, IPv4 first.
pub(crate) const SERVER: [&str; 2] = ["10.71.2.2", "fd71:2::2"];
/// The network of the client, to be completed by `.0/24` or `/64`.
pub(crate) const CLIENT_NET: [&str; 2] = ["10.71.1", "fd71:1::"];
/// The network of the server, likewise.
pub(crate) const SERVER_NET: [&str; 2] = ["10.71.2", "fd71:2::"];
/// The gate as the client sees it.
pub(crate) const GATE_AT_CLIENT: [&str; 2] = ["10.71.1.1", "fd71:1::1"];
/// The gate as the server sees it.
pub(crate) const GATE_AT_SERVER: [&str; 2] = ["10.71.2.1", "fd71:2::1"];

/// The first of two gates as the server sees it.
pub(crate) const FAR_GATE_AT_SERVER: &str = "10.71.3.1";

/// The machines, wired up.
pub(crate) struct Network {
    pub(crate) client: Host,
    pub(crate) gates: Vec<Host>,
    pub(crate) server: Host,
}

impl Network {
    /// Wires up the machines of a scenario.
    pub(crate) fn new(scenario: Scenario) -> Result<Self, LabError> {
        let gates = (0..scenario.gates()).map(|_| Host::new()).collect::<Result<Vec<_>, _>>()?;
        let network = Self { client: Host::new()?, gates, server: Host::new()? };
        let hosts: Vec<&Host> =
            std::iter::once(&network.client).chain(&network.gates).chain([&network.server]).collect();
        for host in &hosts {
            host.run(without_waiting)??;
        }
        let last = hosts.len().saturating_sub(2);
        for (index, pair) in hosts.windows(2).enumerate() {
            let [left, right] = pair else { continue };
            // The client's network is 1, the server's 2, and what lies between two gates 3.
            let net = if index == 0 {
                1
            } else if index == last {
                2
            } else {
                3
            };
            let left_name = if index == 0 { "eth0" } else { "srv" };
            let right_name = if index == last { "eth0" } else { "cli" };
            let (left_end, right_end) = if index == 0 { (2, 1) } else { (1, 2) };
            let peer = right.thread();
            // If both ends of a cable happen to have one number, the kernel takes a second to see the carrier.
            let number = 10 + index;
            configure(
                left,
                format!(
                    "link add {left_name} index {number} type veth peer name {right_name} netns {peer}\n"
                ),
            )?;
            configure(left, addresses(left_name, net, left_end))?;
            configure(right, addresses(right_name, net, right_end))?;
        }
        let mut routes = vec![String::new(); hosts.len()];
        if let Some(lines) = routes.first_mut() {
            lines.push_str("route add default via 10.71.1.1\nroute add default via fd71:1::1\n");
        }
        if let Some(lines) = routes.last_mut() {
            lines.push_str("route add default via 10.71.2.1\nroute add default via fd71:2::1\n");
        }
        if let [_, first, second, _] = routes.as_mut_slice() {
            first.push_str("route add 10.71.2.0/24 via 10.71.3.2\nroute add fd71:2::/64 via fd71:3::2\n");
            second.push_str("route add 10.71.1.0/24 via 10.71.3.1\nroute add fd71:1::/64 via fd71:3::1\n");
        }
        for (host, lines) in hosts.into_iter().zip(routes) {
            if !lines.is_empty() {
                configure(host, lines)?;
            }
        }
        for gate in &network.gates {
            gate.run(forward)??;
        }
        settle(std::iter::once(&network.client).chain(&network.gates).chain([&network.server]))?;
        Ok(network)
    }
}

/// Loads a ruleset on a machine; an empty one leaves it without a filter.
pub(crate) fn filter(host: &Host, rules: String) -> Result<(), LabError> {
    if rules.is_empty() {
        return Ok(());
    }
    host.run(move || feed("nft", find("nft")?.args(["-f", "-"]), &rules))?
}

/// How many packets with which a connection begins this machine has dropped.
pub(crate) fn lost(host: &Host) -> Result<u64, LabError> {
    let listing = host.run(|| {
        let output = find("nft")?.args(["list", "counters"]).output().map_err(LabError::system("nft"))?;
        Ok::<_, LabError>(String::from_utf8_lossy(&output.stdout).into_owned())
    })??;
    let mut words = listing.split_whitespace();
    let mut lost = 0_u64;
    while words.any(|word| word == "packets") {
        lost += words.next().and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(lost)
}

fn addresses(link: &str, net: u8, end: u8) -> String {
    let mut lines = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        lines,
        "link set lo up\n\
         addr add 10.71.{net}.{end}/24 dev {link}\n\
         addr add fd71:{net}::{end}/64 dev {link} nodad\n\
         link set {link} up\n"
    );
    lines
}

/// Tells `ip` on a machine.
pub(crate) fn configure(host: &Host, lines: String) -> Result<(), LabError> {
    host.run(move || feed("ip", find("ip")?.args(["-batch", "-"]), &lines))?
}

/// A new IPv6 address is of no use for a second or two while the kernel asks whether somebody else has it
/// (RFC 4862 §5.4); the addresses that it gives to links by itself too.
pub(crate) fn without_waiting() -> Result<(), LabError> {
    for scope in ["all", "default"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/accept_dad"), "0")
            .map_err(LabError::system("IPv6 cannot be set up"))?;
    }
    Ok(())
}

/// How long a cable may take to carry; it takes a millisecond or two.
const CARRIER: Duration = Duration::from_secs(5);

/// Waits until the cables of these machines carry.
///
/// Until then a packet waits for a second: a router asks for the neighbours of others' packets from the link's own address (RFC 4861
/// §7.2.2), the kernel makes that when it sees the carrier, and asks nobody before.
pub(crate) fn settle<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Result<(), LabError> {
    for host in hosts {
        host.run(|| {
            let end = Instant::now() + CARRIER;
            // What does not carry by then shows in what fails.
            while !all_carry() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
        })?;
    }
    Ok(())
}

/// Whether each link of this thread's namespace has a link-local address that may be used.
fn all_carry() -> bool {
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let (links, addresses) = (read("dev"), read("if_inet6"));
    // Address, number, prefix, scope (20 is the link's), flags (40 is tentative), name.
    let own: Vec<&str> = addresses
        .lines()
        .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [_, _, _, "20", flags, name] => {
                u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x40 == 0).then_some(*name)
            }
            _ => None,
        })
        .collect();
    let mut names = links.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.all(|name| name == "lo" || own.contains(&name))
}

/// Makes this machine a router.
pub(crate) fn forward() -> Result<(), LabError> {
    for file in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
        std::fs::write(file, "1").map_err(LabError::system("the gate cannot forward packets"))?;
    }
    Ok(())
}
