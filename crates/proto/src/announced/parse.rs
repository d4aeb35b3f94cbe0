//! Reading announcements: strictly from whoever may do harm, leniently from servers in the field.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Announced, Family, unspecified};

/// Why an announcement cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// Not `h1,h2,h3,h4,p1,p2` with every number 0 to 255; answer 501.
    #[error("expected h1,h2,h3,h4,p1,p2 with numbers from 0 to 255")]
    HostPort,
    /// Not `|family|address|port|`; answer 501 (RFC 2428 §2).
    #[error("expected |1|IPv4 address|port| or |2|IPv6 address|port|")]
    Extended,
    /// A family other than 1 and 2; answer 522 with the list of usable ones (RFC 2428 §2).
    #[error("network protocol not supported, use (1,2)")]
    Family,
    /// No `(|||port|)` in a 229; try PASV.
    #[error("expected (|||port|)")]
    PortOnly,
}

impl Announced {
    /// The argument of PORT, strictly: six numbers of 0 to 255 as read, no leading zeros, blanks, signs or
    /// trailing text (RFC 959 §4.1.2 and App. II).
    ///
    /// # Errors
    /// [`AnnounceError::HostPort`].
    pub fn parse_host_port(arg: &[u8]) -> Result<Self, AnnounceError> {
        let mut numbers = [0_u8; 6];
        let mut parts = arg.split(|&b| b == b',');
        for number in &mut numbers {
            *number = parts.next().and_then(octet).ok_or(AnnounceError::HostPort)?;
        }
        if parts.next().is_some() {
            return Err(AnnounceError::HostPort);
        }
        Ok(Self::from_six(numbers))
    }

    /// The argument of EPRT, strictly: any one delimiter of 33 to 126 that is no digit, dot or colon, four
    /// times (RFC 2428 §2).
    ///
    /// # Errors
    /// [`AnnounceError::Extended`], or [`AnnounceError::Family`] for a family other than 1 and 2.
    pub fn parse_extended(arg: &[u8]) -> Result<Self, AnnounceError> {
        use AnnounceError::Extended as Bad;
        let (&bar, rest) = arg.split_first().ok_or(Bad)?;
        if !is_delimiter(bar) {
            return Err(Bad);
        }
        let mut fields = rest.split(|&b| b == bar);
        let mut field = || fields.next().ok_or(Bad);
        let (family, host, port, end) = (field()?, field()?, field()?, field()?);
        if !end.is_empty() || fields.next().is_some() {
            return Err(Bad);
        }
        let host = std::str::from_utf8(host).map_err(|_| Bad)?;
        let ip = match family {
            b"1" => IpAddr::V4(host.parse::<Ipv4Addr>().map_err(|_| Bad)?),
            // A scope id (`%eth0`) names an interface of the other host; `Ipv6Addr` refuses it.
            b"2" => IpAddr::V6(host.parse::<Ipv6Addr>().map_err(|_| Bad)?),
            [] => return Err(Bad),
            other if other.iter().all(u8::is_ascii_digit) => return Err(AnnounceError::Family),
            _ => return Err(Bad),
        };
        // "2" with an IPv4 address in IPv6 clothes would be an IPv4 announcement under a false family.
        if family == b"2" && ip.to_canonical().is_ipv4() {
            return Err(Bad);
        }
        Ok(Self(SocketAddr::new(ip, port_number(port).ok_or(Bad)?)))
    }

    /// The text of a 227, strictly, as a gate reads it: `(h1,h2,h3,h4,p1,p2)` once, brackets required.
    ///
    /// # Errors
    /// [`AnnounceError::HostPort`].
    pub fn parse_passive(text: &[u8]) -> Result<Self, AnnounceError> {
        bracketed(text).ok_or(AnnounceError::HostPort).and_then(Self::parse_host_port)
    }

    /// The text of a 229, strictly: `(|||port|)`; the claim's address is unspecified (RFC 2428 §3).
    ///
    /// # Errors
    /// [`AnnounceError::PortOnly`].
    pub fn parse_extended_passive(text: &[u8], family: Family) -> Result<Self, AnnounceError> {
        let inner = bracketed(text).ok_or(AnnounceError::PortOnly)?;
        match inner {
            [a, b, c, port @ .., d] if is_delimiter(*a) && [b, c, d].iter().all(|x| *x == a) => {
                let port = port_number(port).ok_or(AnnounceError::PortOnly)?;
                Ok(Self(SocketAddr::new(unspecified(family), port)))
            }
            _ => Err(AnnounceError::PortOnly),
        }
    }

    const fn from_six([a, b, c, d, high, low]: [u8; 6]) -> Self {
        let ip = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        Self(SocketAddr::new(ip, u16::from_be_bytes([high, low])))
    }
}

/// The announcement in a 227 or 229, however a server in the field spells it, for clients only.
///
/// Takes both forms under either code; six numbers anywhere, with or without brackets, `=`, blanks and
/// leading zeros (RFC 1123 §4.1.2.6 tells clients to search for the digits); any delimiter in a 229, also an
/// address inside it. Numbers over 255 are refused, never masked: a masked port is another port.
/// `text` may be several lines: the last one that holds an announcement counts.
#[must_use]
pub fn passive_reply_lenient(text: &[u8], family: Family) -> Option<Announced> {
    text.split(|&b| b == b'\n').rev().find_map(|line| four_bars(line, family).or_else(|| six_numbers(line)))
}

/// The first run of six numbers parted by commas (and blanks); a longer or shorter run is none.
fn six_numbers(line: &[u8]) -> Option<Announced> {
    let mut rest = line;
    loop {
        let start = rest.iter().position(u8::is_ascii_digit)?;
        rest = rest.get(start..)?;
        let end = rest.iter().position(|b| !matches!(b, b'0'..=b'9' | b',' | b' ')).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        // A number before the address ("Mode 2 (...)") stands in a run of its own or is cut off by a blank.
        let mut numbers = [0_u8; 6];
        let parts: Vec<&[u8]> = run.split(|&b| b == b',').map(<[u8]>::trim_ascii).collect();
        if let Some(six) = parts.last_chunk::<6>().filter(|_| parts.len() == 6) {
            let first = six[0].rsplit(|&b| b == b' ').next().unwrap_or_default();
            let last = six[5].split(|&b| b == b' ').next().unwrap_or_default();
            let read = [first, six[1], six[2], six[3], six[4], last].map(lenient_octet);
            if read.iter().all(Option::is_some) {
                for (number, value) in numbers.iter_mut().zip(read) {
                    *number = value.unwrap_or_default();
                }
                return Some(Announced::from_six(numbers));
            }
        }
        rest = after;
    }
}

/// `|||port|`, also `|2|addr|port|`, with any delimiter, with or without brackets.
fn four_bars(line: &[u8], family: Family) -> Option<Announced> {
    let from = line.iter().position(|&b| b == b'(').map_or(0, |at| at + 1);
    let inner = line.get(from..)?;
    let at = inner.windows(2).position(|pair| {
        is_delimiter(pair[0])
            && !matches!(pair[0], b',' | b'(' | b'=')
            && !pair[0].is_ascii_alphanumeric()
            && (pair[1] == pair[0] || matches!(pair[1], b'1' | b'2'))
    })?;
    let bar = *inner.get(at)?;
    let mut fields = inner.get(at + 1..)?.split(|&b| b == bar);
    let (_family, _host, port) = (fields.next()?, fields.next()?, fields.next()?);
    fields.next()?;
    let port = std::str::from_utf8(port).ok()?.trim().parse::<u16>().ok().filter(|&port| port != 0)?;
    Some(Announced(SocketAddr::new(unspecified(family), port)))
}

/// What stands between the only pair of brackets.
fn bracketed(text: &[u8]) -> Option<&[u8]> {
    let open = text.iter().position(|&b| b == b'(')?;
    let inner = text.get(open + 1..)?;
    let close = inner.iter().position(|&b| b == b')')?;
    let (inside, after) = inner.split_at(close);
    (!inside.contains(&b'(') && !after.iter().skip(1).any(|b| matches!(b, b'(' | b')'))).then_some(inside)
}

const fn is_delimiter(octet: u8) -> bool {
    matches!(octet, 33..=126) && !octet.is_ascii_digit() && !matches!(octet, b'.' | b':')
}

/// 0 to 255 in at most three digits, no leading zero; checked as read, before any arithmetic.
fn octet(digits: &[u8]) -> Option<u8> {
    if digits.len() > 1 && digits.first() == Some(&b'0') {
        return None;
    }
    lenient_octet(digits)
}

fn lenient_octet(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// 1 to 65535 in at most five digits, no leading zero, no sign.
fn port_number(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || digits.first() == Some(&b'0') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
