//! Ports at a NAT router, so that a server can connect to a client behind it: PCP (RFC 6887), NAT-PMP (RFC 6886)
//! and UPnP (`WANIPConnection`).
//!
//! What is said is in pure codecs; [`Router::map`] moves the octets and blocks for a few seconds at most, so
//! asynchronous callers give it a thread. Dropping a [`Mapping`] takes it back from the router.
//!
//! The crates that do this bring a HTTP client, URLs and Unicode tables along; the three protocols need little.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

mod http;
mod natpmp;
mod pcp;
mod routes;
mod udp;
mod upnp;

/// How long a mapping lives if we cannot take it back, in seconds. An open connection outlives it.
const LIFETIME: u32 = 600;

/// A router between this host and a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Router {
    gateway: Ipv4Addr,
    local: Ipv4Addr,
}

/// What a router spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
}

/// A port of the router's that leads to one of ours, for ten minutes or until it is dropped.
#[derive(Debug)]
pub struct Mapping {
    outside: SocketAddr,
    inside: SocketAddr,
    protocol: Protocol,
    undo: Undo,
}

/// What takes a mapping back.
#[derive(Debug)]
enum Undo {
    Datagram { to: SocketAddr, from: Ipv4Addr, octets: Vec<u8> },
    Upnp(upnp::Service, u16),
}

/// Why there is no mapping: what came of each protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the router {gateway} opens no port: {why}")]
pub struct RouterError {
    gateway: Ipv4Addr,
    why: String,
}

impl Router {
    /// The router on the way from `local`, our end of a connection, to `server`. `None` if there is none (the
    /// server is in our network), if our address is a public one, and for IPv6, which is not translated.
    #[must_use]
    pub fn between(local: IpAddr, server: IpAddr) -> Option<Self> {
        let (IpAddr::V4(local), IpAddr::V4(server)) = (local.to_canonical(), server.to_canonical()) else {
            return None;
        };
        let table = std::fs::read_to_string("/proc/net/route").ok()?;
        let gateway = routes::gateway(&table, server).filter(|_| is_behind_nat(local))?;
        Some(Self { gateway, local })
    }

    /// The router's inner address.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Asks for a port that leads to our TCP port `inside`, if possible one of the same number. Blocks for five
    /// seconds at most.
    ///
    /// # Errors
    /// [`RouterError`] with the answers to all three protocols.
    pub fn map(&self, inside: u16) -> Result<Mapping, RouterError> {
        let mut why = Vec::new();
        match udp::map(self.gateway, self.local, inside) {
            Ok(mapping) => return Ok(mapping),
            Err(error) => why.push(error),
        }
        match upnp::map(self.gateway, self.local, inside) {
            Ok(mapping) => return Ok(mapping),
            Err(error) => why.push(format!("UPnP: {error}")),
        }
        Err(RouterError { gateway: self.gateway, why: why.join("; ") })
    }
}

impl Mapping {
    /// The address and port outside; announce these.
    #[must_use]
    pub fn outside(&self) -> SocketAddr {
        self.outside
    }

    /// Where it leads.
    #[must_use]
    pub fn inside(&self) -> SocketAddr {
        self.inside
    }

    /// What the router spoke.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl Drop for Mapping {
    /// Blocks for as long as the router takes to answer, a second at most.
    fn drop(&mut self) {
        // A router that does not answer forgets by itself.
        match &self.undo {
            Undo::Datagram { to, from, octets } => udp::send_and_forget(*to, *from, octets),
            Undo::Upnp(service, port) => drop(service.unmap(*port)),
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// Private, link-local and shared addresses (RFC 1918, RFC 3927, RFC 6598) are translated on the way out.
fn is_behind_nat(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_are_translated_need_a_router() {
        for (ip, behind) in [
            ("10.1.2.3", true),
            ("192.168.0.2", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("198.51.100.7", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(is_behind_nat(ip.parse().unwrap()), behind, "{ip}");
        }
        assert_eq!(Router::between("::1".parse().unwrap(), "2001:db8::1".parse().unwrap()), None);
    }
}
