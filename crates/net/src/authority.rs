//! The part of a URL that says where: `user:password@host:port` (RFC 3986 §3.2).

use std::fmt;

/// A host and a port, as a person writes them: an IPv6 address stands in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a>(
    /// A name or an address, without brackets.
    pub &'a str,
    /// The port.
    pub u16,
);

/// Why a text does not say where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// No host, or one with blanks.
    #[error("no host is named")]
    Host,
    /// Not 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

/// `%` and not two hexadecimal digits behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a % is not followed by two hexadecimal digits")]
pub struct PercentError;

impl<'a> HostPort<'a> {
    /// Parts the account, if there is one, from the place: the last `@` is between them, since user names have some.
    #[must_use]
    pub fn split_account(authority: &'a str) -> (Option<&'a str>, &'a str) {
        authority.rsplit_once('@').map_or((None, authority), |(account, place)| (Some(account), place))
    }

    /// Reads `host`, `host:port` or `[address]:port`; without a port it is `usual`.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn read(place: &'a str, usual: u16) -> Result<Self, AuthorityError> {
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.contains(|c: char| c.is_control() || c == ' ') {
            return Err(AuthorityError::Host);
        }
        let port = match port {
            None | Some("") => usual,
            Some(digits) => digits.parse().ok().filter(|&port| port != 0).ok_or(AuthorityError::Port)?,
        };
        Ok(Self(host, port))
    }
}

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Undoes percent-encoding (RFC 3986 §2.1).
///
/// # Errors
/// [`PercentError`].
pub fn percent_decode(text: &str) -> Result<Vec<u8>, PercentError> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let mut digit = || octets.next().and_then(|b| char::from(b).to_digit(16)).ok_or(PercentError);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_in_every_spelling_and_written_so_that_it_reads_the_same() {
        for (text, host, port) in [
            ("h", "h", 21),
            ("h:", "h", 21),
            ("h:2121", "h", 2121),
            ("192.0.2.7:990", "192.0.2.7", 990),
            ("[2001:db8::1]", "2001:db8::1", 21),
            ("[2001:db8::1]:2121", "2001:db8::1", 2121),
        ] {
            let read = HostPort::read(text, 21).unwrap();
            assert_eq!(read, HostPort(host, port), "{text}");
            assert_eq!(HostPort::read(&read.to_string(), 0), Ok(read), "{text}");
        }
        for (text, error) in [
            ("", AuthorityError::Host),
            ("a b", AuthorityError::Host),
            (":21", AuthorityError::Host),
            ("h:0", AuthorityError::Port),
            ("h:65536", AuthorityError::Port),
        ] {
            assert_eq!(HostPort::read(text, 21), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(octets: Vec<u8>) {
            let text: String = octets.iter().map(|octet| format!("%{octet:02x}")).collect();
            proptest::prop_assert_eq!(percent_decode(&text), Ok(octets));
        }
    }
}
