//! Which rule of a ruleset drops a packet.
//!
//! A packet is sent through the rules as the kernel would: nftables as `nft -j list ruleset` tells them, iptables as
//! `iptables-save` does. What is not understood makes the answer [`Fate::Unknown`], never a false accusation.

mod iptables;
mod nft;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

/// What this machine's own rules do with what FTP needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The server's connection to an announced port (active mode).
    pub active: Fate,
    /// Our connection to a passive port.
    pub passive: Fate,
    /// The rules let related connections in, so that a helper would do.
    pub admits_related: bool,
    /// A helper for FTP is attached to control connections.
    pub has_helper: bool,
}

/// What becomes of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// The rules could not be read, or are beyond what is understood here.
    #[default]
    Unknown,
    /// It gets through.
    Passes,
    /// This rule drops or rejects it.
    Dropped(Rule),
}

/// A rule, or a chain's policy, as an administrator finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// `nftables` or `iptables`.
    pub program: &'static str,
    /// `inet`, `ip`, `ip6`.
    pub family: String,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The rule as it reads, or `policy drop`.
    pub text: String,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, table {} {}, chain {}: {}",
            self.program, self.family, self.table, self.chain, self.text
        )
    }
}

/// Where a packet meets the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// It is for this machine.
    Input,
    /// It passes through.
    Forward,
    /// This machine sends it.
    Output,
}

/// What connection tracking says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The first of its connection.
    New,
    /// The first of a connection that a helper has announced.
    Related,
    /// Any later one.
    Established,
}

/// The SYN of a TCP connection.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Where it meets the rules.
    pub hook: Hook,
    /// The interface it came in by; empty if it is not known or there is none.
    pub iif: String,
    /// The interface it leaves by.
    pub oif: String,
    /// From.
    pub from: (IpAddr, u16),
    /// To.
    pub to: (IpAddr, u16),
    /// What connection tracking says.
    pub state: State,
    /// The mark of its connection.
    pub connection_mark: u32,
}

/// The rules of a machine, as its programs print them; empty where a program is missing.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// `nft -j list ruleset`.
    pub nft_json: String,
    /// `nft -a list ruleset`: for the wording of a rule.
    pub nft_text: String,
    /// `iptables-save`.
    pub iptables: String,
    /// `ip6tables-save`.
    pub ip6tables: String,
}

impl Ruleset {
    /// What becomes of a packet.
    #[must_use]
    pub fn fate(&self, packet: &Packet) -> Fate {
        let nft = nft::fate(&self.nft_json, &self.nft_text, packet);
        let save = if packet.to.0.is_ipv4() { &self.iptables } else { &self.ip6tables };
        let old = iptables::fate(save, packet);
        match (nft, old) {
            (Fate::Dropped(rule), _) | (_, Fate::Dropped(rule)) => Fate::Dropped(rule),
            (Fate::Unknown, _) | (_, Fate::Unknown) => Fate::Unknown,
            (Fate::Passes, Fate::Passes) => Fate::Passes,
        }
    }

    /// Whether control connections get the kernel's helper for FTP.
    #[must_use]
    pub fn has_helper(&self) -> bool {
        nft::has_helper(&self.nft_json)
            || [&self.iptables, &self.ip6tables].iter().any(|save| save.contains("--helper ftp"))
    }

    /// What these rules, as a client's own, do with what FTP needs.
    #[must_use]
    pub fn findings(&self, client: IpAddr, server: IpAddr, interface: &str) -> Findings {
        // Any high ports will do: rules that name single ones are not made for FTP.
        let inwards = |state: State, source: u16| {
            self.fate(&Packet {
                hook: Hook::Input,
                iif: interface.to_owned(),
                oif: String::new(),
                from: (server, source),
                to: (client, 40_007),
                state,
                connection_mark: 0,
            })
        };
        let outwards = self.fate(&Packet {
            hook: Hook::Output,
            iif: String::new(),
            oif: interface.to_owned(),
            from: (client, 40_009),
            to: (server, 50_011),
            state: State::New,
            connection_mark: 0,
        });
        // From port 20 or from any: servers differ.
        let active = match (inwards(State::New, 20), inwards(State::New, 50_013)) {
            (Fate::Dropped(rule), Fate::Dropped(_)) => Fate::Dropped(rule),
            (Fate::Passes, Fate::Passes) => Fate::Passes,
            (_, Fate::Dropped(rule)) => Fate::Dropped(rule),
            _ => Fate::Unknown,
        };
        Findings {
            active,
            passive: outwards,
            admits_related: inwards(State::Related, 50_013) == Fate::Passes,
            has_helper: self.has_helper(),
        }
    }
}

/// Whether an address is in a network.
fn within(ip: IpAddr, net: IpAddr, len: u8) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    let ((a, of_a), (b, of_b)) = (bits(ip), bits(net));
    let mask = u128::MAX.checked_shl(u32::from(128_u8.saturating_sub(len))).unwrap_or(0);
    of_a == of_b && a & mask == b & mask
}
