//! Which destinations a forward proxy connects to.
//!
//! The address that is judged is the one that is dialled: names are resolved once, and each of their addresses
//! is judged by itself, so that no name can lead somewhere else the second time it is asked for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use portway_data::Network;

use crate::Destination;

mod special;

use special::{LINK_LOCAL, OWN, Special, special, translated};

/// The destinations that are allowed.
///
/// Without a rule: every public address. With rules: what they list and nothing else. Loopback, private,
/// link-local and other special addresses, those of cloud metadata services among them, are allowed only by a
/// network that lies within the special range, or for private addresses also by the full name of the host: a
/// rule such as `0.0.0.0/0` or `*.example.org` means the public ones. This machine's own are none of these, since what
/// listens there may count on a firewall in front; any other network or the full name lists them.
#[derive(Clone, Debug, Default)]
pub struct Allow(Vec<Rule>);

/// One entry of an [`Allow`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Addresses.
    Network(Network),
    /// This host.
    Name(String),
    /// All hosts below this domain, from `*.example.org`.
    Below(String),
}

/// The text is neither a network nor a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a network (192.0.2.0/24) nor a host name (ftp.example.org, *.example.org)")]
pub struct RuleError(String);

/// Why a destination is not allowed; tells the client what the administrator would have to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No rule lists it.
    #[error("{0} is not among the destinations that this proxy allows")]
    NotListed(IpAddr),
    /// A special address.
    #[error("{ip} is {kind} address, which this proxy connects to only if --allow lists it")]
    Special {
        /// The address.
        ip: IpAddr,
        /// `a loopback`, `a private`, …
        kind: &'static str,
    },
    /// An address that no server has.
    #[error("{ip} is {kind} address, which no server has")]
    Never {
        /// The address.
        ip: IpAddr,
        /// `a multicast`, `an unspecified`, …
        kind: &'static str,
    },
    /// An address that no router leads to.
    #[error("{ip} is {kind} address, which no router leads to")]
    NoRouter {
        /// The address.
        ip: IpAddr,
        /// `a loopback`, `a link-local`, …
        kind: &'static str,
    },
    /// A port of another service.
    #[error("port {0} is not one for FTP: this proxy connects to 21, 990 and ports from 1024")]
    Port(u16),
    /// The proxy itself.
    #[error("{0} is this proxy itself")]
    Ourselves(SocketAddr),
}

impl Allow {
    /// These rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Judges one of the addresses of `host`, which is a name or an address itself; `here`: it is one of this machine's.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn judge(&self, host: &str, to: SocketAddr, here: bool) -> Result<(), Denied> {
        let port = to.port();
        if port < 1024 && !matches!(port, 21 | 990) {
            return Err(Denied::Port(port));
        }
        let ip = to.ip().to_canonical();
        let ranges = [Some(ip), translated(ip)].into_iter().flatten();
        let ranges = ranges.filter_map(|judged| Some((judged, special(judged)?)));
        for (judged, special) in ranges.chain(here.then_some((ip, OWN))) {
            let listed = self.0.iter().any(|rule| rule.lists_special(host, judged, special));
            if !listed {
                let kind = special.kind;
                return Err(match special.may_be_listed {
                    true => Denied::Special { ip, kind },
                    false => Denied::Never { ip, kind },
                });
            }
        }
        let listed = self.0.is_empty() || self.0.iter().any(|rule| rule.lists(host, ip));
        if listed { Ok(()) } else { Err(Denied::NotListed(ip)) }
    }

    /// Judges where a transparent proxy's client is on its way to. It could go there without us, so that nothing is
    /// special about private addresses; rules are kept to. Link-local ones pass no router (RFC 3927 §7, RFC 4291
    /// §2.5.6): what answers there is this machine's neighbour, such as the metadata service of its cloud.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn judge_called(&self, to: SocketAddr) -> Result<(), Denied> {
        let ip = to.ip().to_canonical();
        for judged in [Some(ip), translated(ip)].into_iter().flatten() {
            if let Some(special) = special(judged)
                && (!special.may_be_listed || judged.is_loopback() || special.kind == LINK_LOCAL)
            {
                return Err(Denied::NoRouter { ip, kind: special.kind });
            }
        }
        let listed = self.0.is_empty() || self.0.iter().any(|rule| rule.lists(&ip.to_string(), ip));
        if listed { Ok(()) } else { Err(Denied::NotListed(ip)) }
    }
}

impl Rule {
    fn lists(&self, host: &str, ip: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(ip),
            Self::Name(name) => host == name,
            Self::Below(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|front| front.ends_with('.'))
            }
        }
    }

    fn lists_special(&self, host: &str, ip: IpAddr, special: Special) -> bool {
        match self {
            Self::Network(network) => {
                special.may_be_listed && network.contains(ip) && network.prefix() >= special.prefix
            }
            Self::Name(name) if host == name => special.private || (name == "localhost" && ip.is_loopback()),
            Self::Name(_) | Self::Below(_) => false,
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let wrong = || RuleError(text.to_owned());
        let name = |text: &str| match Destination::parse(text.as_bytes()) {
            Ok(read) if !text.contains([':', ' ', '[']) => Ok(read.host),
            _ => Err(wrong()),
        };
        match text.strip_prefix("*.") {
            Some(domain) => name(domain).map(Self::Below),
            None => name(text).map(Self::Name),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => write!(f, "{network}"),
            Self::Name(name) => f.write_str(name),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

#[cfg(test)]
mod tests;
