//! Addresses that are no public ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is special about an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Special {
    pub(super) kind: &'static str,
    /// Of the range.
    pub(super) prefix: u8,
    /// For use within a site.
    pub(super) private: bool,
    pub(super) may_be_listed: bool,
}

pub(super) const LINK_LOCAL: &str = "a link-local";

/// An address of this machine; any network but that of all addresses lists it.
pub(super) const OWN: Special =
    Special { kind: "this machine's own", prefix: 1, private: true, may_be_listed: true };

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
pub(super) fn special(ip: IpAddr) -> Option<Special> {
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
pub(super) fn translated(ip: IpAddr) -> Option<IpAddr> {
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
