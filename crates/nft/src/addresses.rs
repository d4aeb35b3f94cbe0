//! The addresses of this host, by rtnetlink.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::message::{Attributes, attributes, flag, single};
use crate::socket::Netlink;

/// How old the list may get before an unknown address makes us read it again.
const FRESH: Duration = Duration::from_secs(1);
/// How old the list may get in any case: an address that is taken away is no longer ours.
const STALE: Duration = Duration::from_secs(10);

const GET_ADDRESS: u16 = 22;
const NEW_ADDRESS: u16 = 20;
const GET_ROUTE: u16 = 26;
const NEW_ROUTE: u16 = 24;
/// RTN_LOCAL.
const LOCAL: u8 = 2;

/// What the interfaces of this network namespace say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Our own addresses.
    pub own: BTreeSet<IpAddr>,
    /// Broadcast addresses of our networks; no host answers there.
    pub broadcast: BTreeSet<IpAddr>,
}

impl Interfaces {
    /// Asks the kernel.
    ///
    /// # Errors
    /// What the netlink socket says.
    pub fn read() -> io::Result<Self> {
        let mut netlink = Netlink::open(None)?;
        let sequence = netlink.sequence();
        // struct ifaddrmsg, with every family.
        let question = single(GET_ADDRESS, flag::DUMP, sequence, |out| out.extend_from_slice(&[0; 8]));
        let mut found = Self::default();
        netlink.ask((question, sequence.wrapping_add(1)), |answer| {
            if answer.kind != NEW_ADDRESS {
                return;
            }
            let all: Vec<_> = attributes(answer.body.get(8..).unwrap_or_default()).collect();
            let field = |kind| all.iter().find(|a| a.0 == kind).and_then(|a| ip(a.1));
            // IFA_LOCAL is ours where it is given; IFA_ADDRESS is then the peer of a point-to-point link.
            found.own.extend(field(2).or_else(|| field(1)));
            found.broadcast.extend(field(4));
        })?;
        Ok(found)
    }
}

/// The addresses of this host, read again when they may have changed.
#[derive(Debug)]
pub struct OwnAddresses {
    known: Option<(Instant, Interfaces)>,
    fixed: bool,
}

impl OwnAddresses {
    /// As the kernel says.
    #[must_use]
    pub const fn of_this_host() -> Self {
        Self { known: None, fixed: false }
    }

    /// As the caller says, once and for all.
    #[must_use]
    pub const fn fixed(interfaces: Interfaces, now: Instant) -> Self {
        Self { known: Some((now, interfaces)), fixed: true }
    }

    /// The interfaces, fresh enough to say whether `wanted` is one of them.
    ///
    /// # Errors
    /// What the netlink socket says.
    pub fn at(&mut self, now: Instant, wanted: [IpAddr; 2]) -> io::Result<&Interfaces> {
        let good = self.known.as_ref().is_some_and(|(read, known)| {
            let age = now.saturating_duration_since(*read);
            self.fixed
                || age < FRESH
                || (age < STALE && wanted.iter().any(|address| known.own.contains(address)))
        });
        if !good {
            self.known = Some((now, Interfaces::read()?));
        }
        self.known.as_ref().map(|known| &known.1).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Whether what is sent to this address goes no further than this machine. No privileges are needed.
///
/// # Errors
/// What the netlink socket says, also that no route leads there.
pub fn is_local(ip: IpAddr) -> io::Result<bool> {
    let (family, octets) = match ip.to_canonical() {
        IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    };
    let bits = if family == 2 { 32 } else { 128 };
    let mut netlink = Netlink::open(None)?;
    let sequence = netlink.sequence();
    let question = single(GET_ROUTE, 0, sequence, |out| {
        // struct rtmsg, of which the kernel wants family and length.
        out.extend_from_slice(&[family, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        Attributes(out).octets(1, &octets);
    });
    let mut local = false;
    netlink.ask((question, sequence.wrapping_add(1)), |answer| {
        local |= answer.kind == NEW_ROUTE && answer.body.get(7) == Some(&LOCAL);
    })?;
    Ok(local)
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => octets.first_chunk::<4>().map(|b| IpAddr::from(*b)),
        16 => octets.first_chunk::<16>().map(|b| IpAddr::from(*b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_always_ours() {
        let found = Interfaces::read().unwrap();
        assert!(found.own.contains(&"127.0.0.1".parse().unwrap()), "{found:?}");
    }

    #[test]
    fn the_kernel_says_what_goes_no_further() {
        for (address, wanted) in [("127.0.0.1", true), ("127.9.9.9", true), ("::ffff:127.0.0.1", true)] {
            assert_eq!(is_local(address.parse().unwrap()).unwrap(), wanted, "{address}");
        }
        // Nowhere or elsewhere, but not here.
        assert!(!is_local("192.0.2.1".parse().unwrap()).unwrap_or_default());
        assert!(!is_local("2001:db8::1".parse().unwrap()).unwrap_or_default());
    }
}
