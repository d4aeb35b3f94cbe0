//! One data connection that both sides agreed on.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::Vetted;

/// One expected data connection: who comes, where to, and for how long the way stays open.
///
/// The currency between broker, gate and packet filter: a pinhole is opened for an `Expected` and serves one
/// TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Expected {
    /// The address that opens the connection; its port is free.
    pub from: IpAddr,
    /// The address and port it opens to.
    pub to: Vetted,
    /// How long it may take to come. Default 10 s; 1 to 60 s are allowed.
    pub within: Duration,
    /// The client's end of the control connection that this belongs to, as the announcer sees it. Where several
    /// clients share a translated address, only its port says whose it is. Default none.
    pub control: Option<SocketAddr>,
}

impl Expected {
    /// An expectation with the default lifetime of 10 s.
    #[must_use]
    pub const fn new(from: IpAddr, to: Vetted) -> Self {
        Self { from, to, within: Duration::from_secs(10), control: None }
    }

    /// Where the connection is expected.
    #[must_use]
    pub const fn to(&self) -> SocketAddr {
        self.to.addr()
    }
}
