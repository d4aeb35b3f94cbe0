//! What a gate lets through, and how much of it.

use std::time::Duration;

use portway_data::Network;
use portway_nft::{Layout, Policy, Reach};
use portway_proto::watch::WatchPolicy;

/// Settings of a gate.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// Ports of control connections. Default 21.
    pub ports: Vec<u16>,
    /// Ports of control connections under TLS from the first octet on (implicit FTPS). They pass unread, so that the
    /// gate knows whose announcements by an agent to believe. Default none; 990 is usual.
    pub implicit_ports: Vec<u16>,
    /// Take over only what comes in by these interfaces. Default empty: by any.
    pub interfaces: Vec<String>,
    /// Balancers whose connections begin with a PROXY header; the client that it names is the session's, also where
    /// announcements are judged and holes opened. The relay alone reads it. Default none: from others it is no FTP.
    pub balancers: Vec<Network>,
    /// The bit of the packet mark that says "this belongs to a socket of the gate". Default [`SOCKET_MARK`].
    pub mark: u32,
    /// The routing table that brings such packets to us. Default [`ROUTING_TABLE`].
    pub routing_table: u32,
    /// What the dialogue may say.
    pub watch: WatchPolicy,
    /// The table of holes.
    pub layout: Layout,
    /// Which holes are admitted.
    pub holes: Policy,
    /// How long the server may take to accept the connection. Default 5 s.
    pub connect_within: Duration,
    /// Ends a session in which neither side has said anything for so long. Default 24 h: a transfer may last.
    pub idle: Duration,
    /// How long one side may take to read what the other has said. Default 30 s.
    pub write_within: Duration,
    /// Sessions at once; 0 is no limit. Default 4096.
    pub max_sessions: usize,
    /// Sessions at once from one address (IPv6: one /64); 0 is no limit. Default 256.
    pub max_sessions_per_client: usize,
    /// Holes a second for one client address (IPv6: one /64), ten seconds' worth at once. Default 50.
    pub openings_per_second: u32,
    /// Logins that servers may refuse one client address (IPv6: one /64) in a minute; beyond that it is turned away.
    /// What is encrypted cannot be counted. 0 is no limit. Default 30.
    pub failed_logins_per_minute: u32,
}

/// One bit, beside that of [`portway_nft::DEFAULT_MARK`], so that an administrator's marks live beside both.
pub const SOCKET_MARK: u32 = 0x0020_0000;
/// A number that no distribution uses.
pub const ROUTING_TABLE: u32 = 2121;

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            ports: vec![21],
            implicit_ports: Vec::new(),
            interfaces: Vec::new(),
            balancers: Vec::new(),
            mark: SOCKET_MARK,
            routing_table: ROUTING_TABLE,
            watch: WatchPolicy::default(),
            layout: Layout::default(),
            holes: Policy { reach: Reach::Forward, ..Policy::default() },
            connect_within: Duration::from_secs(5),
            idle: Duration::from_secs(24 * 3600),
            write_within: Duration::from_secs(30),
            max_sessions: 4096,
            max_sessions_per_client: 256,
            openings_per_second: 50,
            failed_logins_per_minute: 30,
        }
    }
}
