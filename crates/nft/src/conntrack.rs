//! What the kernel's connection tracking knows of one connection.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::netlink::NETFILTER;

use crate::message::{Attributes, attributes, single};
use crate::socket::Netlink;

const GET: u16 = (1 << 8) | 1;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;

/// Where the answers to this connection are sent: the address that its other end knows, where the source is
/// translated, else the source itself. `None` if the connection is not tracked.
///
/// # Errors
/// As netlink; CAP_NET_ADMIN is needed.
pub fn answered_to(from: SocketAddr, to: SocketAddr) -> io::Result<Option<IpAddr>> {
    let mut netlink = Netlink::open(Some(NETFILTER))?;
    let sequence = netlink.sequence();
    let v4 = from.ip().to_canonical().is_ipv4();
    let question = single(GET, 0, sequence, |out| {
        out.extend_from_slice(&[if v4 { 2 } else { 10 }, 0, 0, 0]);
        Attributes(out).nest(ORIGINAL, |tuple| {
            tuple.nest(1, |ip| {
                for (kind, addr) in [(1, from), (2, to)] {
                    match addr.ip().to_canonical() {
                        IpAddr::V4(ip4) => ip.octets(kind, &ip4.octets()),
                        IpAddr::V6(ip6) => ip.octets(kind + 2, &ip6.octets()),
                    }
                }
            });
            tuple.nest(2, |proto| {
                proto.octets(1, &[6]);
                proto.octets(2, &from.port().to_be_bytes());
                proto.octets(3, &to.port().to_be_bytes());
            });
        });
    });
    let mut found = None;
    let asked = netlink.ask((question, sequence.wrapping_add(1)), |answer| {
        let all = answer.body.get(4..).unwrap_or_default();
        found = inner(all, REPLY).and_then(|tuple| inner(tuple, 1)).and_then(|ip| {
            let v4 = inner(ip, 2).and_then(|b| b.first_chunk::<4>()).map(|b| IpAddr::from(*b));
            v4.or_else(|| inner(ip, 4).and_then(|b| b.first_chunk::<16>()).map(|b| IpAddr::from(*b)))
        });
    });
    match asked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(|()| found),
    }
}

fn inner(octets: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(octets).find(|attribute| attribute.0 == kind).map(|attribute| attribute.1)
}
