//! Which rule of a ruleset drops a packet.

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
