//! What a hole is, and how the kernel's set spells it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Source address, destination address and destination port of one TCP connection; its source port is free.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Who opens the connection.
    pub from: IpAddr,
    /// Where it goes.
    pub to: SocketAddr,
}

/// A hole somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// For which connection.
    pub key: Key,
    /// For how long, 1 to 60 s. Milliseconds count, what is finer is cut off.
    pub within: Duration,
}

impl Key {
    /// A key with IPv4 addresses in IPv6 clothes undressed, since the packets are IPv4.
    #[must_use]
    pub fn new(from: IpAddr, to: SocketAddr) -> Self {
        Self { from: from.to_canonical(), to: SocketAddr::new(to.ip().to_canonical(), to.port()) }
    }

    /// The set and the element: `None` if the two addresses are of different families.
    pub(crate) fn element(&self) -> Option<(Set, Vec<u8>)> {
        let mut octets = Vec::with_capacity(36);
        let set = match (self.from, self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                octets.extend_from_slice(&from.octets());
                octets.extend_from_slice(&to.octets());
                Set::V4
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                octets.extend_from_slice(&from.octets());
                octets.extend_from_slice(&to.octets());
                Set::V6
            }
            _ => return None,
        };
        // Each part of a key fills whole registers of four octets.
        octets.extend_from_slice(&self.to.port().to_be_bytes());
        octets.extend_from_slice(&[0, 0]);
        Some((set, octets))
    }

    /// Reads an element back.
    pub(crate) fn read(element: &[u8]) -> Option<Self> {
        let (ips, port) = match element.len() {
            12 => {
                let (from, rest) = element.split_first_chunk::<4>()?;
                let (to, rest) = rest.split_first_chunk::<4>()?;
                ((IpAddr::from(*from), IpAddr::from(*to)), rest)
            }
            36 => {
                let (from, rest) = element.split_first_chunk::<16>()?;
                let (to, rest) = rest.split_first_chunk::<16>()?;
                ((IpAddr::from(*from), IpAddr::from(*to)), rest)
            }
            _ => return None,
        };
        Some(Self { from: ips.0, to: SocketAddr::new(ips.1, u16::from_be_bytes(*port.first_chunk()?)) })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// One set per family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    V4,
    V6,
}

impl Set {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "pin4",
            Self::V6 => "pin6",
        }
    }

    /// Octets in an element's key.
    pub(crate) const fn key_length(self) -> u32 {
        match self {
            Self::V4 => 12,
            Self::V6 => 36,
        }
    }

    /// The type as `nft` numbers it: address, address and inet_service in six bits each.
    pub(crate) const fn key_type(self) -> u32 {
        match self {
            Self::V4 => (7 << 12) | (7 << 6) | 13,
            Self::V6 => (8 << 12) | (8 << 6) | 13,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_reads_back_as_the_key_it_was_made_from() {
        for (from, to) in [("192.0.2.7", "198.51.100.1:50000"), ("2001:db8::7", "[2001:db8:1::1]:1024")] {
            let key = Key::new(from.parse().unwrap(), to.parse().unwrap());
            let (set, element) = key.element().unwrap();
            assert_eq!(element.len(), set.key_length() as usize, "{key}");
            assert_eq!(Key::read(&element), Some(key));
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4_and_mixed_families_are_no_hole() {
        let mapped =
            Key::new("::ffff:192.0.2.7".parse().unwrap(), "[::ffff:198.51.100.1]:5000".parse().unwrap());
        assert_eq!(mapped.element().unwrap().0, Set::V4);
        let mixed = Key::new("192.0.2.7".parse().unwrap(), "[2001:db8::1]:5000".parse().unwrap());
        assert_eq!(mixed.element(), None);
    }
}
