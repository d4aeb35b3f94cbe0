//! Announcements of a data port, and the check that makes one trustworthy.
//!
//! `PORT` and `EPRT` announce in active mode, the replies 227 and 229 in passive mode. What a peer says is
//! only [`Announced`]; [`Announced::vet`] turns it into [`Vetted`], and only that can be dialled or opened.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

mod parse;

pub use parse::{AnnounceError, passive_reply_lenient};

/// An address and port as a peer announced them: believed by nobody yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Announced(SocketAddr);

/// An announcement that passed [`Announced::vet`]; the only address that is dialled or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vetted(SocketAddr);

/// Address families as EPRT and EPSV number them (RFC 2428 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// 1: IPv4.
    V4,
    /// 2: IPv6.
    V6,
}

impl Family {
    /// The family of an address; an IPv4 address mapped into IPv6 is IPv4.
    #[must_use]
    pub fn of(addr: IpAddr) -> Self {
        if addr.to_canonical().is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The digit in EPRT, EPSV and the 522 reply (RFC 2428 §2).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }
}

/// Why an announcement was not believed; answer 501 (RFC 2577 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The address is not the control connection's peer: the bounce attack of RFC 2577 §3.
    #[error("{announced} is not your address, {peer}")]
    ForeignHost {
        /// What was announced.
        announced: IpAddr,
        /// Who announced it.
        peer: IpAddr,
    },
    /// Ports below 1024 belong to services (RFC 2577 §3).
    #[error("port {0} is below 1024")]
    PrivilegedPort(u16),
    /// Unspecified, multicast or broadcast: no host answers there.
    #[error("{0} is not the address of a host")]
    NotAHost(IpAddr),
    /// The address is one that this program itself listens on.
    #[error("{0} is this server's own")]
    OurOwn(SocketAddr),
}

impl Announced {
    /// An announcement of our own making, to be emitted.
    #[must_use]
    pub const fn new(addr: SocketAddr) -> Self {
        Self(addr)
    }

    /// The address as read; for display and for replies, never to be dialled.
    #[must_use]
    pub const fn claim(self) -> SocketAddr {
        self.0
    }

    /// Accepts the peer's own address with an unprivileged port (RFC 2577 §3, bounce attack).
    ///
    /// # Errors
    /// [`Refused`]: answer 501.
    pub fn vet(self, peer: IpAddr) -> Result<Vetted, Refused> {
        let (ip, port) = (self.0.ip().to_canonical(), self.0.port());
        let peer = peer.to_canonical();
        if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(Refused::NotAHost(ip));
        }
        if ip != peer {
            return Err(Refused::ForeignHost { announced: ip, peer });
        }
        if port < 1024 {
            return Err(Refused::PrivilegedPort(port));
        }
        Ok(Vetted(SocketAddr::new(ip, port)))
    }

    /// Takes only the port and puts it on the control peer's address: what a client does with a 227 whose
    /// address is private, foreign or zero, and with every 229 (RFC 2428 §3).
    ///
    /// # Errors
    /// [`Refused::PrivilegedPort`].
    pub fn vet_port_on(self, peer: IpAddr) -> Result<Vetted, Refused> {
        Self(SocketAddr::new(peer.to_canonical(), self.0.port())).vet(peer)
    }

    /// The argument of PORT, and what stands in the brackets of 227: `h1,h2,h3,h4,p1,p2` (RFC 959 §4.1.2).
    ///
    /// `None` for IPv6, which has no such form; use EPRT or 229.
    #[must_use]
    pub fn host_port(self) -> Option<HostPort> {
        match self.0.ip().to_canonical() {
            IpAddr::V4(ip) => Some(HostPort(ip, self.0.port())),
            IpAddr::V6(_) => None,
        }
    }

    /// The argument of EPRT: `|1|192.0.2.7|1025|` (RFC 2428 §2).
    #[must_use]
    pub fn extended(self) -> Extended {
        Extended(SocketAddr::new(self.0.ip().to_canonical(), self.0.port()))
    }

    /// What stands in the brackets of 229: `|||1025|` (RFC 2428 §3).
    #[must_use]
    pub fn port_only(self) -> PortOnly {
        PortOnly(self.0.port())
    }
}

impl Vetted {
    /// The address that may be dialled or opened.
    #[must_use]
    pub const fn addr(self) -> SocketAddr {
        self.0
    }
}

/// Displays as `h1,h2,h3,h4,p1,p2`.
#[derive(Clone, Copy, Debug)]
pub struct HostPort(Ipv4Addr, u16);

/// Displays as `|proto|address|port|`.
#[derive(Clone, Copy, Debug)]
pub struct Extended(SocketAddr);

/// Displays as `|||port|`.
#[derive(Clone, Copy, Debug)]
pub struct PortOnly(u16);

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0.octets();
        let [high, low] = self.1.to_be_bytes();
        write!(f, "{a},{b},{c},{d},{high},{low}")
    }
}

impl fmt::Display for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "|{}|{}|{}|", Family::of(self.0.ip()).number(), self.0.ip(), self.0.port())
    }
}

impl fmt::Display for PortOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "|||{}|", self.0)
    }
}

/// The wildcard of a family, as the claim of a 229, which announces no address (RFC 2428 §3).
const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests;
