//! Where the packet filter brings connections of others.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

pub(crate) use portway_net::{connect_as, translated_from};

/// Listens on loopback for connections that the rules bring here.
///
/// # Errors
/// As `setsockopt(2)` of IP_TRANSPARENT: CAP_NET_ADMIN or CAP_NET_RAW is needed.
pub(crate) fn listen(v6: bool) -> io::Result<TcpListener> {
    let ip: IpAddr = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    portway_net::bind_transparent(SocketAddr::new(ip, 0))
}
