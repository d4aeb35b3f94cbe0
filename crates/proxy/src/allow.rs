//! Which destinations a forward proxy connects to.
//!
//! The address that is judged is the one that is dialled: names are resolved once, and each of their addresses
//! is judged by itself, so that no name can lead somewhere else the second time it is asked for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use portway_data::Network;

use crate::Destination;

/// The destinations that are allowed.
///
/// Without a rule: every public address. With rules: what they list and nothing else. Loopback, private,
/// link-local and other special addresses, those of cloud metadata services among them, are allowed only by a
/// network that lies within the special range, or for private addresses also by the full name of the host: a
/// rule such as `0.0.0.0/0` or `*.example.org` means the public ones.
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

    /// Judges one of the addresses of `host`, which is a name or an address itself.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn judge(&self, host: &str, to: SocketAddr) -> Result<(), Denied> {
        let port = to.port();
        if port < 1024 && !matches!(port, 21 | 990) {
            return Err(Denied::Port(port));
        }
        let ip = to.ip().to_canonical();
        let inner = translated(ip);
        for judged in [Some(ip), inner].into_iter().flatten() {
            if let Some(special) = special(judged) {
                let listed = self.0.iter().any(|rule| rule.lists_special(host, judged, special));
                if !listed {
                    let kind = special.kind;
                    return Err(match special.may_be_listed {
                        true => Denied::Special { ip, kind },
                        false => Denied::Never { ip, kind },
                    });
                }
            }
        }
        let listed = self.0.is_empty() || self.0.iter().any(|rule| rule.lists(host, ip));
        if listed { Ok(()) } else { Err(Denied::NotListed(ip)) }
    }
}

impl Allow {
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

/// What is special about an address.
#[derive(Clone, Copy, Debug)]
struct Special {
    kind: &'static str,
    /// Of the range.
    prefix: u8,
    /// For use within a site.
    private: bool,
    may_be_listed: bool,
}

const LINK_LOCAL: &str = "a link-local";

const fn kind(kind: &'static str, prefix: u8) -> Option<Special> {
    Some(Special { kind, prefix, private: false, may_be_listed: true })
}

const fn private(prefix: u8) -> Option<Special> {
    Some(Special { kind: "a private", prefix, private: true, may_be_listed: true })
}

const fn never(kind: &'static str) -> Option<Special> {
    Some(Special { kind, prefix: 0, private: false, may_be_listed: false })
}

/// RFC 6890 and its registry, without the networks of documentation.
fn special(ip: IpAddr) -> Option<Special> {
    match ip {
        IpAddr::V4(ip) => special_v4(ip),
        IpAddr::V6(ip) => special_v6(ip),
    }
}

fn special_v4(ip: Ipv4Addr) -> Option<Special> {
    match ip.octets() {
        [0, ..] => never("an unspecified"),
        [10, ..] => private(8),
        [172, 16..=31, ..] => private(12),
        [192, 168, ..] => private(16),
        [100, 64..=127, ..] => kind("a shared (carrier NAT)", 10),
        [127, ..] => kind("a loopback", 8),
        // 169.254.169.254 answers for cloud metadata.
        [169, 254, ..] => kind(LINK_LOCAL, 16),
        [192, 0, 0, _] => kind("a special-purpose", 24),
        [198, 18..=19, ..] => kind("a benchmarking", 15),
        [224..=239, ..] => never("a multicast"),
        [240..=255, ..] => never("a reserved"),
        _ => None,
    }
}

fn special_v6(ip: Ipv6Addr) -> Option<Special> {
    if ip.is_unspecified() {
        return never("an unspecified");
    }
    if ip.is_loopback() {
        return kind("a loopback", 128);
    }
    match ip.segments() {
        [0xff00..=0xffff, ..] => never("a multicast"),
        [0xfe80..=0xfebf, ..] => kind(LINK_LOCAL, 10),
        [0xfec0..=0xfeff, ..] => private(10),
        [0xfc00..=0xfdff, ..] => private(7),
        [0x2001, 0, ..] => kind("a Teredo", 32),
        [0, 0, 0, 0, 0, 0, ..] => never("an IPv4-compatible"),
        [0x64, 0xff9b, 1, ..] => kind("a translated", 48),
        // What translators of whole packets make of IPv4 (RFC 7915).
        [0, 0, 0, 0, 0xffff, 0, ..] => never("a translated"),
        // Judged by the address within, see `translated`.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => None,
        // Nothing else is handed out to the public (IANA's registry of IPv6 addresses); networks of their own, such
        // as overlays between a company's machines, live there.
        [0x2000..=0x3fff, ..] => None,
        _ => kind("an unassigned", 3),
    }
}

/// The IPv4 address that a translator or relay would go to: NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn translated(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(ip) = ip else { return None };
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(IpAddr::from([a, b, c, d]))
    };
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
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
mod tests {
    use super::*;

    fn allowed(rules: &str, host: &str, ip: &str) -> bool {
        let rules = rules.split_whitespace().map(|rule| rule.parse().unwrap()).collect();
        Allow::new(rules).judge(host, SocketAddr::new(ip.parse().unwrap(), 21)).is_ok()
    }

    #[test]
    fn without_rules_every_public_address_is_allowed_and_no_special_one() {
        for ip in ["198.51.100.1", "8.8.8.8", "2001:db8::1", "64:ff9b::c633:6401"] {
            assert!(allowed("", "h", ip), "{ip}");
        }
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.31.255.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "2002:7f00:1::1",
            "2001::1",
            "64:ff9b:1::1",
            "::ffff:0:7f00:1",
            "100::1",
            "200:1234::1",
            "5f00::1",
        ] {
            assert!(!allowed("", "h", ip), "{ip}");
        }
    }

    #[test]
    fn a_called_address_may_be_private_but_none_that_no_router_leads_to() {
        let called =
            |ip: &str| Allow::default().judge_called(SocketAddr::new(ip.parse().unwrap(), 21)).is_ok();
        assert!(["10.0.0.1", "8.8.8.8", "fd00::1", "100.64.0.1"].into_iter().all(called));
        for ip in [
            "127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "::ffff:169.254.169.254",
            "224.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(!called(ip), "{ip}");
        }
    }

    #[test]
    fn rules_list_what_they_name_and_nothing_else() {
        for (rules, host, ip, wanted) in [
            ("198.51.100.0/24", "h", "198.51.100.9", true),
            ("198.51.100.0/24", "h", "203.0.113.9", false),
            ("ftp.example.org", "ftp.example.org", "203.0.113.9", true),
            ("ftp.example.org", "evil.example.org", "203.0.113.9", false),
            ("ftp.example.org", "203.0.113.9", "203.0.113.9", false),
            ("*.example.org", "a.b.example.org", "203.0.113.9", true),
            ("*.example.org", "example.org", "203.0.113.9", false),
            ("*.example.org", "evilexample.org", "203.0.113.9", false),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1", true),
            ("127.0.0.0/8", "h", "127.0.0.1", true),
            ("10.0.0.0/8 198.51.100.0/24", "h", "10.1.2.3", true),
            ("10.0.0.0/8", "h", "198.51.100.1", false),
            ("::1", "::1", "::1", true),
            ("64:ff9b::/96 10.0.0.0/8", "h", "64:ff9b::a00:1", true),
            ("200::/7", "h", "200:1234::1", true),
            ("200::/7", "h", "2001:db8::1", false),
        ] {
            assert_eq!(allowed(rules, host, ip), wanted, "{rules}: {host} {ip}");
        }
    }

    #[test]
    fn a_wide_rule_or_a_name_opens_no_special_address() {
        for (rules, host, ip, wanted) in [
            ("0.0.0.0/0", "h", "8.8.8.8", true),
            ("0.0.0.0/0", "h", "127.0.0.1", false),
            ("::/0", "h", "fd00::1", false),
            ("*.example.org", "a.example.org", "10.0.0.1", false),
            ("a.example.org", "a.example.org", "10.0.0.1", true),
            ("a.example.org", "a.example.org", "127.0.0.1", false),
            ("a.example.org", "a.example.org", "169.254.169.254", false),
            ("localhost", "localhost", "127.0.0.1", true),
            ("localhost", "localhost", "10.0.0.1", true),
            ("224.0.0.0/4", "h", "224.0.0.1", false),
        ] {
            assert_eq!(allowed(rules, host, ip), wanted, "{rules}: {host} {ip}");
        }
    }

    #[test]
    fn a_refusal_names_the_cure_only_where_there_is_one() {
        let said = |ip: &str| {
            let to = SocketAddr::new(ip.parse().unwrap(), 21);
            Allow::default().judge("h", to).unwrap_err().to_string()
        };
        assert!(said("10.0.0.1").contains("--allow") && said("::1").contains("--allow"));
        assert!(!said("0.0.0.0").contains("--allow") && !said("ff02::1").contains("--allow"));
        assert!(said("0.0.0.0").contains("unspecified"));
    }

    #[test]
    fn ports_of_other_services_are_refused() {
        let judge = |port| Allow::default().judge("h", SocketAddr::new([8, 8, 8, 8].into(), port));
        assert!([21, 990, 1024, 2121].into_iter().all(|port| judge(port).is_ok()));
        assert!([1, 22, 25, 80, 443, 1023].into_iter().all(|port| judge(port) == Err(Denied::Port(port))));
    }

    #[test]
    fn a_rule_is_a_network_or_a_name() {
        for text in ["192.0.2.0/24", "2001:db8::/32", "ftp.example.org", "*.example.org"] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for text in ["", "*", "a b", "h:21", "*.", "192.0.2.0/33", "a/b"] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}
