//! What an operator decides about data connections.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use portway_net::ephemeral_range;
use portway_pinhole::{NoFilter, Pinholes};

use crate::{AnnouncePolicy, OwnListeners};

/// Ranges with fewer ports than this are pooled unless told otherwise: with so few, a handful of clients that
/// asked and did not come would lock everybody out.
const FEW: usize = 16;

/// How the broker behaves; the default serves a machine without any filter or translation.
#[derive(Clone)]
pub struct BrokerConfig {
    /// The ports that are announced, and no others. Default [`PassivePorts::Auto`].
    pub ports: PassivePorts,
    /// Whether a port serves one announcement at a time. Default [`Sharing::Auto`].
    pub sharing: Sharing,
    /// What 227 and 229 say. Default: the address and port we listen on.
    pub announce: AnnouncePolicy,
    /// The packet filter to open. Default none.
    pub pinholes: Arc<dyn Pinholes>,
    /// The source port of active connections, usually 20 (RFC 959 §3.2); another one is taken when it is not
    /// to be had. Default `None`: any.
    pub active_source_port: Option<u16>,
    /// What a data connection under TLS must show. Default [`Proof::Auto`].
    pub proof: Proof,
    /// How long a data connection may take to come, or to be made. Default 30 s.
    pub arrive_within: Duration,
    /// Addresses that are never dialled: where this program listens itself. Default empty; shared, so that
    /// listeners may be added later.
    pub own_listeners: OwnListeners,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            ports: PassivePorts::Auto,
            sharing: Sharing::Auto,
            announce: AnnouncePolicy::default(),
            pinholes: Arc::new(NoFilter),
            active_source_port: None,
            proof: Proof::Auto,
            arrive_within: Duration::from_secs(30),
            own_listeners: OwnListeners::default(),
        }
    }
}

/// The ports that may be announced for passive mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PassivePorts {
    /// Outside the range from which the kernel serves outgoing connections, so that the two never compete:
    /// above it if 1,024 ports or more are left there, else below it. Linux by default: 61000 to 65535.
    #[default]
    Auto,
    /// These, both ends included; all of them 1024 or higher.
    Range(RangeInclusive<u16>),
}

impl PassivePorts {
    /// The range meant, on this machine.
    #[must_use]
    pub fn range(&self) -> RangeInclusive<u16> {
        match self {
            Self::Range(range) => range.clone(),
            Self::Auto => outside(&ephemeral_range()),
        }
    }
}

/// The larger part of the unprivileged ports outside `ephemeral`, with a liking for the upper one.
fn outside(ephemeral: &RangeInclusive<u16>) -> RangeInclusive<u16> {
    let above = u16::MAX - ephemeral.end();
    let below = ephemeral.start().saturating_sub(1024);
    if above >= 1024 || (above >= below && above > 0) {
        ephemeral.end() + 1..=u16::MAX
    } else if below > 0 {
        // The lowest of the unprivileged ports are full of services with fixed numbers.
        (if below > 20_000 { 10_000 } else { 1024 })..=ephemeral.start() - 1
    } else {
        49_152..=u16::MAX
    }
}

/// Whether several pending announcements may name one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// [`Self::Pooled`] if the range has fewer than 16 ports, else [`Self::Exclusive`].
    #[default]
    Auto,
    /// One pending announcement per port; a port is closed unless it is announced. When the range is used up
    /// the next one gets 425 at once.
    Exclusive,
    /// Any number of sessions on any number of ports: told apart by client address, and under TLS by the
    /// ticket in the ClientHello. What cannot be told apart is refused.
    Pooled,
}

impl Sharing {
    pub(crate) fn pooled(self, range: &RangeInclusive<u16>) -> bool {
        match self {
            Self::Auto => range.len() < FEW,
            Self::Exclusive => false,
            Self::Pooled => true,
        }
    }
}

/// What a data connection under TLS must show before it is served. Resumption of the control connection's
/// TLS session proves that both have one owner; the tickets of other sessions do not resume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// Whoever resumes from the first data connection on must go on resuming; whoever does not is served by
    /// its address. A client that has used up all its tickets is forgiven, and so is one whose user has other
    /// sessions from the same address, whose tickets it may mix.
    #[default]
    Auto,
    /// Every data connection resumes. Shuts out Python's ftplib, Perl's Net::FTP and others.
    Required,
    /// The address is enough.
    Off,
}

/// Why a configuration cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The end lies before the start.
    #[error("the passive port range {0}-{1} is empty")]
    EmptyRange(u16, u16),
    /// Ports below 1024 belong to services, and peers refuse to connect to them (RFC 2577 §3).
    #[error("the passive port range begins at {0}, below 1024")]
    PrivilegedPorts(u16),
    /// The announced ports would lie outside 1 to 65535.
    #[error("port {port} moved by {offset} is not a port")]
    PortMap {
        /// A port of the range.
        port: u16,
        /// By how much the announcement differs.
        offset: i32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_ports_lie_outside_the_kernels_range() {
        for (name, ephemeral, wanted) in [
            ("Linux", 32768..=60999, 61000..=65535),
            ("up to the top", 32768..=65535, 10000..=32767),
            ("narrow gap above", 32768..=65000, 10000..=32767),
            ("wide", 1024..=65000, 65001..=65535),
            ("low gap", 5000..=65535, 1024..=4999),
            ("all", 1024..=65535, 49152..=65535),
        ] {
            assert_eq!(outside(&ephemeral), wanted, "{name}");
        }
    }

    #[test]
    fn few_ports_are_pooled_unless_told_otherwise() {
        assert!(Sharing::Auto.pooled(&(40000..=40014)));
        assert!(!Sharing::Auto.pooled(&(40000..=40015)));
        assert!(!Sharing::Exclusive.pooled(&(40000..=40000)));
        assert!(Sharing::Pooled.pooled(&(40000..=50000)));
    }
}
