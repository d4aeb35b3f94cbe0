//! The seam to a packet filter: one hole for one announced data connection.
//!
//! The broker opens a hole before the reply that announces a port leaves, and closes it when the transfer is
//! over. Whoever filters nothing uses [`NoFilter`]; nftables is served by [`HelperPinholes`] through the small
//! privileged helper, or by [`NftPinholes`] where the process itself may. [`nft`] finds out which.

use std::future::Future;
use std::pin::Pin;

use portway_proto::Expected;

mod direct;
mod helper;
mod start;

pub use direct::NftPinholes;
pub use helper::HelperPinholes;
pub use start::{NftOptions, StartError, Started, Way, nft};

/// Names one open hole; meaningful only to the [`Pinholes`] that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HoleId(pub u64);

/// An open hole, and what the filter wants announced for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// For [`Pinholes::close`].
    pub id: HoleId,
    /// The address and port to announce in 227 or 229 in place of our own, where the filter translates them
    /// (a remote gate that does DNAT). `None`: announce our own.
    pub announce: Option<std::net::SocketAddr>,
}

/// Why no hole was opened; answer 425 with this text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinholeError {
    /// The filter's policy forbids this connection.
    #[error("the firewall refuses to open {to}: {why}")]
    Denied {
        /// Where the connection would go.
        to: std::net::SocketAddr,
        /// The rule that forbids it.
        why: String,
    },
    /// The filter has no room for one more hole.
    #[error("the firewall has no room for another hole (limit {0})")]
    Full(usize),
    /// The kernel or the helper did not do as asked.
    #[error("the firewall did not open the port: {0}")]
    Filter(#[source] std::io::Error),
    /// The remote gate cannot be reached.
    #[error("the gate cannot be reached: {0}")]
    Unreachable(#[source] std::io::Error),
}

/// A future on the heap, so that the broker can hold any kind of filter.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens and shuts a packet filter for announced data connections.
pub trait Pinholes: Send + Sync {
    /// Lets one TCP connection that matches `want` through, once, for `want.within` at most.
    ///
    /// `None` where nothing is filtered: the common case costs no allocation.
    ///
    /// # Errors
    /// [`PinholeError`]: nothing was opened; the announcement must not be sent.
    fn open(&self, want: Expected) -> Option<Waiting<'_, Result<Hole, PinholeError>>>;

    /// Closes a hole early; a hole that is gone already is no error.
    fn close(&self, id: HoleId) -> Waiting<'_, ()>;
}

/// No packet filter: every port is reachable anyway, or somebody else sees to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFilter;

impl Pinholes for NoFilter {
    fn open(&self, _want: Expected) -> Option<Waiting<'_, Result<Hole, PinholeError>>> {
        None
    }

    fn close(&self, _id: HoleId) -> Waiting<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
