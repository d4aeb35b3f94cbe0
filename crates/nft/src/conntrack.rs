//! What the kernel's connection tracking knows of connections.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::netlink::NETFILTER;

use crate::key::Key;
use crate::message::{Attributes, attributes, flag, single};
use crate::socket::Netlink;

const GET: u16 = (1 << 8) | 1;
/// Attributes of a tracked connection, as `linux/netfilter/nfnetlink_conntrack.h` numbers them.
mod kind {
    pub(super) const ORIGINAL: u16 = 1;
    pub(super) const REPLY: u16 = 2;
    pub(super) const PROTOCOL: u16 = 4;
    pub(super) const MARK: u16 = 8;
    pub(super) const THERE: u16 = 9;
    pub(super) const BACK: u16 = 10;
    pub(super) const ID: u16 = 12;
    pub(super) const MARK_MASK: u16 = 21;
}
/// TCP states from here on: both sides have closed, or one has reset.
const TIME_WAIT: u8 = 7;

/// Where the answers to this connection are sent: the address and port that its other end knows, where the source
/// is translated, else the source itself. `None` if the connection is not tracked.
///
/// # Errors
/// As netlink; CAP_NET_ADMIN is needed.
pub fn answered_to(from: SocketAddr, to: SocketAddr) -> io::Result<Option<SocketAddr>> {
    let mut netlink = Netlink::open(Some(NETFILTER))?;
    let mut found = None;
    ask(&mut netlink, kind::ORIGINAL, from, to, |all| {
        found = inner(all, kind::REPLY).and_then(|tuple| end(tuple, Side::To));
    })?;
    Ok(found)
}

/// What the client of a connection asked for, by the answers that go from `server` to `client`: the server's address as
/// the client knows it, where the destination is translated, else the server's own. `None` if it is not tracked.
///
/// # Errors
/// As netlink; CAP_NET_ADMIN is needed.
pub fn asked_for(server: SocketAddr, client: SocketAddr) -> io::Result<Option<SocketAddr>> {
    let mut netlink = Netlink::open(Some(NETFILTER))?;
    let mut found = None;
    ask(&mut netlink, kind::REPLY, server, client, |all| {
        found = inner(all, kind::ORIGINAL).and_then(|tuple| end(tuple, Side::To));
    })?;
    Ok(found)
}

/// One connection that came through a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The kernel's number for it.
    pub id: u32,
    /// Who opened it.
    pub from: SocketAddr,
    /// Where he believes it leads, before any translation.
    pub asked: SocketAddr,
    /// Where it leads.
    pub to: SocketAddr,
    /// Octets from `from` to `to` and back, headers of IP and TCP included; `None` if the kernel does not count.
    pub octets: Option<(u64, u64)>,
    /// Both sides have closed it, or one has reset it.
    pub over: bool,
}

/// Looks at connections that bear a mark. One netlink socket stays open.
#[derive(Debug)]
pub struct Flows {
    netlink: Netlink,
    mark: u32,
}

impl Flows {
    /// For connections that bear all bits of `mark`.
    ///
    /// # Errors
    /// As `socket(2)`.
    pub fn marked(mark: u32) -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open(Some(NETFILTER))?, mark })
    }

    /// All of them. The kernel walks through its whole table: ask for many at a time, and seldom.
    ///
    /// # Errors
    /// As netlink; CAP_NET_ADMIN is needed.
    pub fn list(&mut self) -> io::Result<Vec<Flow>> {
        let mut found = Vec::new();
        let sequence = self.netlink.sequence();
        let question = single(GET, flag::DUMP, sequence, |out| {
            out.extend_from_slice(&[0; 4]);
            let mut filter = Attributes(out);
            filter.number(kind::MARK, self.mark);
            filter.number(kind::MARK_MASK, self.mark);
        });
        self.netlink.ask((question, sequence.wrapping_add(1)), |answer| {
            found.extend(Flow::read(answer.body.get(4..).unwrap_or_default()));
        })?;
        Ok(found)
    }

    /// The connection that was asked for by these two addresses; `None` if the kernel has forgotten it.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn look(&mut self, from: SocketAddr, asked: SocketAddr) -> io::Result<Option<Flow>> {
        let mut found = None;
        ask(&mut self.netlink, kind::ORIGINAL, from, asked, |all| found = Flow::read(all))?;
        Ok(found)
    }
}

impl Flow {
    /// Whether it is a connection for which this hole was opened.
    #[must_use]
    pub fn fits(&self, key: &Key) -> bool {
        self.from.ip() == key.from && self.to == key.to
    }

    fn read(all: &[u8]) -> Option<Self> {
        let tuple = |which| inner(all, which);
        let (original, reply) = (tuple(kind::ORIGINAL)?, tuple(kind::REPLY)?);
        let octets = |which| {
            inner(all, which)
                .and_then(|counter| inner(counter, 2))
                .and_then(|b| b.first_chunk())
                .map(|b| u64::from_be_bytes(*b))
        };
        let state = inner(all, kind::PROTOCOL).and_then(|tcp| inner(tcp, 1)).and_then(|tcp| inner(tcp, 1));
        Some(Self {
            id: u32::from_be_bytes(*inner(all, kind::ID)?.first_chunk()?),
            from: end(original, Side::From)?,
            asked: end(original, Side::To)?,
            to: end(reply, Side::From)?,
            octets: octets(kind::THERE).zip(octets(kind::BACK)),
            over: state.and_then(|state| state.first()).is_some_and(|state| *state >= TIME_WAIT),
        })
    }
}

#[derive(Clone, Copy)]
enum Side {
    From,
    To,
}

/// One end of a tuple.
fn end(tuple: &[u8], side: Side) -> Option<SocketAddr> {
    let (ip, ports) = (inner(tuple, 1)?, inner(tuple, 2)?);
    let (v4, v6, port) = match side {
        Side::From => (1, 3, 2),
        Side::To => (2, 4, 3),
    };
    let v4 = inner(ip, v4).and_then(|b| b.first_chunk::<4>()).map(|b| IpAddr::from(*b));
    let v6 = || inner(ip, v6).and_then(|b| b.first_chunk::<16>()).map(|b| IpAddr::from(*b));
    let port = u16::from_be_bytes(*inner(ports, port)?.first_chunk()?);
    Some(SocketAddr::new(v4.or_else(v6)?, port))
}

/// Hands what is known of one connection, found by one of its directions, to `each`; nothing if it is not tracked.
fn ask(
    netlink: &mut Netlink,
    by: u16,
    from: SocketAddr,
    to: SocketAddr,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let sequence = netlink.sequence();
    let v4 = from.ip().to_canonical().is_ipv4();
    let question = single(GET, 0, sequence, |out| {
        out.extend_from_slice(&[if v4 { 2 } else { 10 }, 0, 0, 0]);
        Attributes(out).nest(by, |tuple| {
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
    let asked = netlink.ask((question, sequence.wrapping_add(1)), |answer| {
        each(answer.body.get(4..).unwrap_or_default());
    });
    match asked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn inner(octets: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(octets).find(|attribute| attribute.0 == kind).map(|attribute| attribute.1)
}
