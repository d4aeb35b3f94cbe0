//! What an administrator adds to a firewall of his own.
//!
//! In nftables an `accept` ends one base chain, and the next one at the same hook may still drop: our table
//! can mark a connection but cannot overrule a drop elsewhere. So the other firewall has to accept the mark,
//! or, where it cannot match marks, leave the ports to our table, which shuts them (`guard`).

use std::fmt;
use std::ops::RangeInclusive;

use crate::{Layout, TABLE};

/// The firewalls in the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// `/etc/nftables.conf` written by hand.
    Nftables,
    /// iptables and ip6tables, legacy or over nf_tables.
    Iptables,
    /// ufw.
    Ufw,
    /// firewalld.
    Firewalld,
}

impl Firewall {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Nftables, Self::Iptables, Self::Ufw, Self::Firewalld];

    /// Its name, as typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
            Self::Ufw => "ufw",
            Self::Firewalld => "firewalld",
        }
    }

    /// Reads its name.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|firewall| firewall.name().eq_ignore_ascii_case(name))
    }
}

/// Displays as what to paste, with comments. `control` is the port of the control channel, 21 as a rule.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// For which firewall.
    pub firewall: Firewall,
    /// The table as we make it.
    pub layout: &'a Layout,
    /// Ports of the control channel, which are open to everybody.
    pub control: &'a [u16],
    /// The passive or active ports, needed where a range is opened and guarded.
    pub ports: RangeInclusive<u16>,
}

impl fmt::Display for Rules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.firewall {
            Firewall::Nftables => self.nftables(f),
            Firewall::Iptables => self.iptables(f),
            Firewall::Ufw => self.ufw(f),
            Firewall::Firewalld => self.firewalld(f),
        }
    }
}

impl Rules<'_> {
    fn nftables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = self.layout.mark;
        let ports = list(self.control, ", ");
        write!(
            f,
            "\
# One line into each chain of yours that drops (input, forward, output), before it drops:
#     ct mark and {mark:#010x} == {mark:#010x} accept
# Our own table, inet {TABLE}, marks a connection when it comes through a hole; it runs before yours.
#
# A host without a firewall of its own may take this as it is: nothing enters but answers, SSH, FTP control
# and what comes through a hole.
table inet ftp_server {{
    chain input {{
        type filter hook input priority filter; policy drop;
        iif lo accept
        ct state established,related accept
        ct mark and {mark:#010x} == {mark:#010x} accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
        tcp dport {{ 22, {ports} }} ct state new accept
        meta l4proto tcp reject with tcp reset
    }}
}}
"
        )
    }

    fn iptables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = self.layout.mark;
        writeln!(
            f,
            "# Connections that came through a hole carry this mark. Once for each chain that drops:"
        )?;
        for program in ["iptables", "ip6tables"] {
            for chain in ["INPUT", "FORWARD", "OUTPUT"] {
                writeln!(f, "{program} -I {chain} -m connmark --mark {mark:#x}/{mark:#x} -j ACCEPT")?;
            }
        }
        for port in self.control {
            writeln!(f, "iptables -A INPUT -p tcp --dport {port} -j ACCEPT")?;
            writeln!(f, "ip6tables -A INPUT -p tcp --dport {port} -j ACCEPT")?;
        }
        Ok(())
    }

    fn ufw(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = self.layout.mark;
        for (file, prefix) in [("before.rules", "ufw"), ("before6.rules", "ufw6")] {
            writeln!(f, "# Into /etc/ufw/{file}, before its COMMIT:")?;
            for chain in ["input", "forward", "output"] {
                writeln!(f, "-A {prefix}-before-{chain} -m connmark --mark {mark:#x}/{mark:#x} -j ACCEPT")?;
            }
        }
        writeln!(f, "# Then:")?;
        for port in self.control {
            writeln!(f, "ufw allow {port}/tcp")?;
        }
        writeln!(f, "ufw reload")
    }

    fn firewalld(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.ports.start(), self.ports.end());
        writeln!(
            f,
            "\
# firewalld's zones cannot match a mark. So it leaves the data ports to our table, which shuts them
# (start the helper or portway with --guard {first}-{last}): without a hole a connection to them is reset."
        )?;
        for port in self.control {
            writeln!(f, "firewall-cmd --permanent --add-port={port}/tcp")?;
        }
        writeln!(f, "firewall-cmd --permanent --add-port={first}-{last}/tcp\nfirewall-cmd --reload")
    }
}

fn list(ports: &[u16], between: &str) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_firewall_is_told_the_mark_or_the_range() {
        let layout = Layout { mark: 0x40, ..Layout::default() };
        for firewall in Firewall::ALL {
            let text =
                Rules { firewall, layout: &layout, control: &[21, 990], ports: 50000..=50099 }.to_string();
            assert!(
                text.contains("0x40") || text.contains("0x00000040") || text.contains("50000-50099"),
                "{text}"
            );
            assert!(text.contains("990"), "{text}");
            assert_eq!(Firewall::read(firewall.name()), Some(firewall));
        }
    }
}
