//! Bringing control connections to the gate: rules, packet marks and routes, all in places of our own.
//!
//! The rules are written once at the start by the program `nft`; nothing here is on the way of a packet or of a
//! command. If the gate dies, its rules stay: they find no socket any more and reset every
//! control connection, so that none passes unread. A gate that ends in order takes them away.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use portway_nft::{GATE_TABLE, LocalRoutes};

use crate::GateConfig;

/// Why control connections cannot be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterceptError {
    /// The program is not installed, or not in the path.
    #[error("{program} cannot be run, and it is needed once at the start: {why}")]
    Missing {
        /// `nft`.
        program: &'static str,
        /// What the system says.
        why: io::Error,
    },
    /// The kernel has no netfilter by netlink.
    #[error("no netlink to the packet filter: {0}")]
    Netlink(#[source] io::Error),
    /// The kernel does not route to us what others are to get.
    #[error("routes for control connections: {0}")]
    Routes(#[source] io::Error),
    /// The program did not do as told.
    #[error("{program} says: {words}")]
    Refused {
        /// `nft`.
        program: &'static str,
        /// Its own words.
        words: String,
    },
}

/// Puts rules and routes in place that bring new control connections to our listeners on loopback, in place of
/// whatever an earlier run has left. The helper takes them away again.
///
/// # Errors
/// [`InterceptError`]; have taken away what is there by then.
pub(crate) fn install(config: &GateConfig, listener: [Option<u16>; 2]) -> Result<(), InterceptError> {
    nft(&rules(config, listener))?;
    let routes = LocalRoutes { mark: config.mark, table: config.routing_table };
    routes.add().map_err(InterceptError::Routes)
}

/// The maps of translated data connections, and the chains that follow them.
pub(crate) const TRANSLATE: &str = "\
    map dnat4 { type ipv4_addr . ipv4_addr . inet_service : ipv4_addr . inet_service; flags timeout; size 4096; }
    map dnat6 { type ipv6_addr . ipv6_addr . inet_service : ipv6_addr . inet_service; flags timeout; size 4096; }
    map snat4 { type ipv4_addr . ipv4_addr . inet_service : ipv4_addr; flags timeout; size 4096; }
    map snat6 { type ipv6_addr . ipv6_addr . inet_service : ipv6_addr; flags timeout; size 4096; }
    chain to {
        type nat hook prerouting priority -105; policy accept;
        dnat ip to ip saddr . ip daddr . tcp dport map @dnat4
        dnat ip6 to ip6 saddr . ip6 daddr . tcp dport map @dnat6
    }
    chain from {
        type nat hook postrouting priority 95; policy accept;
        snat ip to ip saddr . ip daddr . tcp dport map @snat4
        snat ip6 to ip6 saddr . ip6 daddr . tcp dport map @snat6
    }
";

/// The rules, as `nft -f` reads them; `listener` are the ports of our listeners for IPv4 and IPv6.
pub(crate) fn rules(config: &GateConfig, listener: [Option<u16>; 2]) -> String {
    let mark = config.mark;
    let ports =
        config.ports.iter().chain(&config.implicit_ports).map(u16::to_string).collect::<Vec<_>>().join(", ");
    let take = format!("meta mark set meta mark or {mark:#x} accept");
    let mut text = format!(
        "table inet {GATE_TABLE}\ndelete table inet {GATE_TABLE}\ntable inet {GATE_TABLE} {{
{TRANSLATE}    chain control {{
        type filter hook prerouting priority -99; policy accept;
        meta l4proto tcp socket transparent 1 {take}
        tcp dport != {{ {ports} }} accept
        iif lo accept
"
    );
    if !config.interfaces.is_empty() {
        let names = config.interfaces.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "        iifname != {{ {names} }} accept");
    }
    text.push_str("        fib daddr type local accept\n");
    for (family, short, address, port) in
        [("ipv4", "ip", "127.0.0.1", listener[0]), ("ipv6", "ip6", "[::1]", listener[1])]
    {
        if let Some(port) = port {
            let _ = writeln!(
                text,
                "        meta nfproto {family} meta l4proto tcp tproxy {short} to {address}:{port} counter {take}"
            );
        }
    }
    text.push_str("        meta l4proto tcp counter reject with tcp reset\n    }\n}\n");
    text
}

/// Hands rules to `nft -f -`.
pub(crate) fn nft(rules: &str) -> Result<(), InterceptError> {
    run("nft", ["-f", "-"], Some(rules))
}

fn run<'a>(
    program: &'static str,
    words: impl IntoIterator<Item = &'a str>,
    input: Option<&str>,
) -> Result<(), InterceptError> {
    let missing = |why| InterceptError::Missing { program, why };
    let mut child = Command::new(program)
        .args(words)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        // A program that ends early says why by its exit.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(InterceptError::Refused { program, words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_name_ports_interfaces_and_end_with_a_reset() {
        let config =
            GateConfig { ports: vec![21, 2121], interfaces: vec!["lan0".into()], ..Default::default() };
        let text = rules(&config, [Some(40001), None]);
        assert!(text.contains("tcp dport != { 21, 2121 } accept"), "{text}");
        assert!(text.contains("iifname != { \"lan0\" } accept"), "{text}");
        assert!(text.contains("tproxy ip to 127.0.0.1:40001"), "{text}");
        assert!(!text.contains("tproxy ip6"), "{text}");
        assert!(text.trim_end().ends_with("reject with tcp reset\n    }\n}"), "{text}");
    }
}
