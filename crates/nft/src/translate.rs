//! Elements of translation maps: which packets get another destination or source.
//!
//! The maps are `dnat4`, `dnat6`, `snat4` and `snat6`, keyed like holes by source, destination and port, in a
//! table that its owner has made.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::net::netlink::NETFILTER;

use crate::key::{Key, Set};
use crate::message::{Batch, flag};
use crate::socket::Netlink;
use crate::table::{INET, kind};

/// What is done to the first packet of a connection, and to all others with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Translation {
    /// A new destination.
    To {
        /// The connection as it comes in.
        key: Key,
        /// Where it goes.
        into: SocketAddr,
    },
    /// A new source address.
    From {
        /// The connection as it goes out.
        key: Key,
        /// Whom it seems to come from.
        into: IpAddr,
    },
}

/// Writes to the maps of one table.
#[derive(Debug)]
pub struct Translations {
    netlink: Netlink,
    table: &'static str,
}

impl Translations {
    /// For the maps of this `inet` table.
    ///
    /// # Errors
    /// If the kernel has no netfilter by netlink.
    pub fn of(table: &'static str) -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open(Some(NETFILTER))?, table })
    }

    /// Translates such connections for `within`; those that exist by then stay translated.
    ///
    /// # Errors
    /// `AlreadyExists` if another translation has this key; `InvalidInput` for addresses of two families.
    pub fn add(&mut self, what: &Translation, within: Duration) -> io::Result<()> {
        let milliseconds = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
        self.change(what, kind::NEW_ELEMENT, flag::CREATE | flag::EXCL, Some(milliseconds))
    }

    /// Translates no more of them.
    ///
    /// # Errors
    /// `NotFound` if its time was up.
    pub fn remove(&mut self, what: &Translation) -> io::Result<()> {
        self.change(what, kind::DELETE_ELEMENT, 0, None)
    }

    fn change(&mut self, what: &Translation, kind: u16, flags: u16, timeout: Option<u64>) -> io::Result<()> {
        let Some((map, key, value)) = what.element() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut batch = Batch::begin(self.netlink.sequence());
        batch.add(kind, flags, INET, |list| {
            list.name(1, self.table);
            list.name(2, map);
            list.nest(3, |elements| {
                elements.nest(1, |element| {
                    element.nest(1, |data| data.octets(1, &key));
                    if let Some(timeout) = timeout {
                        element.nest(2, |data| data.octets(1, &value));
                        element.long(4, timeout);
                    }
                });
            });
        });
        self.netlink.ask(batch.end(), |_| {})
    }
}

impl Translation {
    /// The connection after the translation of its destination: what a hole has to let through.
    #[must_use]
    pub fn leads(&self) -> Key {
        match *self {
            Self::To { key, into } => Key::new(key.from, into),
            Self::From { key, .. } => key,
        }
    }

    /// Whether all of its addresses are of one family.
    #[must_use]
    pub fn is_of_one_family(&self) -> bool {
        self.element().is_some()
    }

    /// Map, key and value; `None` if the families do not fit.
    fn element(&self) -> Option<(&'static str, Vec<u8>, Vec<u8>)> {
        let (key, into, port) = match *self {
            Self::To { key, into } => (key, into.ip().to_canonical(), Some(into.port())),
            Self::From { key, into } => (key, into.to_canonical(), None),
        };
        let (set, key) = key.element()?;
        let mut value = match into {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        if let Some(port) = port {
            value.extend_from_slice(&port.to_be_bytes());
            value.extend_from_slice(&[0, 0]);
        }
        let map = match (set, port.is_some(), into.is_ipv4()) {
            (Set::V4, true, true) => "dnat4",
            (Set::V4, false, true) => "snat4",
            (Set::V6, true, false) => "dnat6",
            (Set::V6, false, false) => "snat6",
            _ => return None,
        };
        Some((map, key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_maps_and_families_do_not_mix() {
        let key = |from: &str, to: &str| Key::new(from.parse().unwrap(), to.parse().unwrap());
        let v4 = key("192.0.2.7", "203.0.113.1:5000");
        let v6 = key("2001:db8::7", "[2001:db8:1::1]:5000");
        for (what, map, value) in [
            (Translation::To { key: v4, into: "10.0.0.1:6000".parse().unwrap() }, "dnat4", 8),
            (Translation::From { key: v4, into: "10.0.0.1".parse().unwrap() }, "snat4", 4),
            (Translation::To { key: v6, into: "[2001:db8::1]:6000".parse().unwrap() }, "dnat6", 20),
            (Translation::From { key: v6, into: "2001:db8::1".parse().unwrap() }, "snat6", 16),
        ] {
            let element = what.element().unwrap();
            assert_eq!((element.0, element.2.len()), (map, value));
        }
        assert_eq!(Translation::To { key: v4, into: "[2001:db8::1]:6000".parse().unwrap() }.element(), None);
        assert_eq!(Translation::From { key: v6, into: "10.0.0.1".parse().unwrap() }.element(), None);
    }
}
