//! The session a data connection is for.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portway_net::ControlTls;

/// One control connection, as far as its data connections are concerned.
#[derive(Clone, Debug)]
pub struct Party {
    /// The client's end of the control connection; its data connections come from this address.
    pub peer: SocketAddr,
    /// Our end; data connections are made and taken on this address.
    pub local: SocketAddr,
    /// The address by which the client reached us, if a balancer in front says so: announced in place of ours.
    pub reached: Option<IpAddr>,
    /// The TLS of the control connection when data is protected (PROT P), else `None`.
    pub tls: Option<ControlTls>,
    /// What the session has shown so far; the same one for all its data connections.
    pub history: History,
}

impl Party {
    /// The client's address without port; IPv4 mapped into IPv6 is IPv4.
    pub(crate) fn client(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    /// `bound` as the client sees it, before any policy: the same port at the address that he reached.
    pub(crate) fn seen(&self, bound: SocketAddr) -> SocketAddr {
        let reached = self.reached.map(|ip| ip.to_canonical());
        match reached.filter(|ip| ip.is_ipv4() == bound.ip().to_canonical().is_ipv4()) {
            Some(ip) => SocketAddr::new(ip, bound.port()),
            None => bound,
        }
    }

    /// The address to bind, with port 0. A link-local address keeps its scope.
    pub(crate) fn home(&self) -> SocketAddr {
        match (self.local, self.local.ip().to_canonical()) {
            (SocketAddr::V6(local), IpAddr::V6(_)) => {
                let mut home = local;
                home.set_port(0);
                home.set_flowinfo(0);
                SocketAddr::V6(home)
            }
            (_, ip) => SocketAddr::new(ip, 0),
        }
    }
}

/// What one session has shown about itself. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    resumed: AtomicBool,
    unproven: AtomicBool,
    mixes: AtomicBool,
}

impl History {
    /// A new session's.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// True once a data connection has resumed the control connection's TLS session.
    #[must_use]
    pub fn has_resumed(&self) -> bool {
        self.0.resumed.load(Ordering::Relaxed)
    }

    pub(crate) fn resumed(&self) {
        self.0.resumed.store(true, Ordering::Relaxed);
    }

    /// True once a data connection was served by its address before any had resumed: this client does not
    /// resume as a rule (Perl's Net::FTP does once in hundreds of times), and is not held to it.
    pub(crate) fn is_unproven(&self) -> bool {
        self.0.unproven.load(Ordering::Relaxed)
    }

    pub(crate) fn unproven(&self) {
        self.0.unproven.store(true, Ordering::Relaxed);
    }

    /// True once this client was seen to show one session's tickets for another of its sessions.
    pub(crate) fn mixes_tickets(&self) -> bool {
        self.0.mixes.load(Ordering::Relaxed)
    }

    pub(crate) fn mixed_tickets(&self) {
        self.0.mixes.store(true, Ordering::Relaxed);
    }

    /// True if both are one session's.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
