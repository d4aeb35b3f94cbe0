//! What we announce: our own address, or the one by which the client reaches us.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::ConfigError;

/// Chooses the address and port of 227 and 229 for each client.
///
/// The first row of [`Self::table`] whose network holds the client decides. Without one, a client in a
/// private network (RFC 1918, RFC 4193, link-local, loopback) gets the address it has already reached us by,
/// and everyone else gets [`Self::otherwise`]. An address of the other family is never announced: the local
/// one is, instead.
#[derive(Clone, Debug, Default)]
pub struct AnnouncePolicy {
    /// Client networks and what their clients are told.
    pub table: Vec<(Network, AnnounceAs)>,
    /// For clients in no network of the table. Default [`AnnounceAs::Local`].
    pub otherwise: AnnounceAs,
    /// How announced ports differ from the bound ones. Default: not at all.
    pub ports: PortMap,
}

/// One answer of an [`AnnouncePolicy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnnounceAs {
    /// Our address on the control connection.
    #[default]
    Local,
    /// This address: the outside of a NAT.
    Fixed(IpAddr),
}

/// Announced ports as a function of the bound ones: for load balancers and port forwardings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortMap {
    /// The bound port is announced.
    #[default]
    Same,
    /// The bound port plus this is announced.
    Offset(i32),
}

impl AnnouncePolicy {
    /// The same address for every client outside.
    #[must_use]
    pub fn fixed(ip: IpAddr) -> Self {
        Self { otherwise: AnnounceAs::Fixed(ip), ..Self::default() }
    }

    /// What is announced to `client` for a listener at `bound`.
    #[must_use]
    pub fn announce(&self, client: IpAddr, bound: SocketAddr) -> SocketAddr {
        let (client, local) = (client.to_canonical(), bound.ip().to_canonical());
        let listed = self.table.iter().find(|row| row.0.contains(client)).map(|row| row.1);
        let ip = match listed.unwrap_or(if is_private(client) { AnnounceAs::Local } else { self.otherwise }) {
            AnnounceAs::Fixed(ip) if ip.to_canonical().is_ipv4() == local.is_ipv4() => ip.to_canonical(),
            AnnounceAs::Fixed(_) | AnnounceAs::Local => local,
        };
        SocketAddr::new(ip, self.ports.announced(bound.port()).unwrap_or(bound.port()))
    }

    pub(crate) fn check(&self, range: &RangeInclusive<u16>) -> Result<(), ConfigError> {
        let PortMap::Offset(offset) = self.ports else { return Ok(()) };
        match [*range.start(), *range.end()].into_iter().find(|&p| self.ports.announced(p).is_none()) {
            Some(port) => Err(ConfigError::PortMap { port, offset }),
            None => Ok(()),
        }
    }
}

impl PortMap {
    fn announced(self, bound: u16) -> Option<u16> {
        match self {
            Self::Same => Some(bound),
            Self::Offset(by) => {
                u16::try_from(i32::from(bound).checked_add(by)?).ok().filter(|&port| port != 0)
            }
        }
    }
}

/// True for addresses no router on the Internet forwards: such a client is on our side of any NAT.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// A range of addresses, `192.0.2.0/24` or `2001:db8::/32`; one address alone is a network too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// The text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network, expected ADDRESS/BITS")]
pub struct NetworkError(String);

impl Network {
    /// How many bits at the front all its addresses share: 32 or 128 for one address alone.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// True if `ip` lies within; IPv4 mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                (base.to_bits() ^ ip.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                (base.to_bits() ^ ip.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if prefix > most { Err(wrong()) } else { Ok(Self { base, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_told_the_address_it_can_reach() {
        let policy = AnnouncePolicy {
            table: vec![
                ("10.1.0.0/16".parse().unwrap(), AnnounceAs::Fixed("10.9.9.9".parse().unwrap())),
                ("198.51.100.0/24".parse().unwrap(), AnnounceAs::Local),
            ],
            otherwise: AnnounceAs::Fixed("203.0.113.5".parse().unwrap()),
            ports: PortMap::Offset(-1000),
        };
        for (name, client, bound, told) in [
            ("listed", "10.1.2.3", "192.168.0.2:41000", "10.9.9.9:40000"),
            ("listed as local", "198.51.100.77", "192.168.0.2:41000", "192.168.0.2:40000"),
            ("private network", "192.168.0.50", "192.168.0.2:41000", "192.168.0.2:40000"),
            ("outside", "192.0.2.7", "192.168.0.2:41000", "203.0.113.5:40000"),
            ("mapped", "::ffff:192.0.2.7", "192.168.0.2:41000", "203.0.113.5:40000"),
            ("the other family", "2001:db8::7", "[2001:db8::1]:41000", "[2001:db8::1]:40000"),
        ] {
            let announced = policy.announce(client.parse().unwrap(), bound.parse().unwrap());
            assert_eq!(announced, told.parse().unwrap(), "{name}");
        }
        assert_eq!(policy.check(&(1000..=2000)), Err(ConfigError::PortMap { port: 1000, offset: -1000 }));
    }

    #[test]
    fn networks_are_read_and_written() {
        for text in ["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "::1/128"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.7".parse::<Network>().unwrap().to_string(), "192.0.2.7/32");
        for text in ["", "/", "192.0.2.0/33", "192.0.2.0/-1", "host/8", "::/129"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("198.51.100.1".parse().unwrap()));
        assert!(!"192.0.2.0/25".parse::<Network>().unwrap().contains("192.0.2.128".parse().unwrap()));
    }
}
