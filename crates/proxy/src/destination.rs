//! Where a client wants to go: `host`, `host:port`, `[address]:port`.

use std::fmt;
use std::net::IpAddr;

use portway_net::HostPort;

/// The control port of FTP (RFC 959 §8).
const FTP: u16 = 21;
/// The control port under TLS from the first octet.
pub(crate) const FTPS: u16 = 990;

/// The longest name of DNS (RFC 1035 §2.3.4).
const LONGEST: usize = 253;

/// A host and a control port, as a client named them; not yet allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// Default 21.
    pub port: u16,
}

/// Why a text is no destination; answer 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// Nothing there, or octets that no host name has.
    #[error("expected a host name or an address")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

impl Destination {
    /// Reads `host`, `host:port`, `host port`, `192.0.2.7`, `[2001:db8::1]:21` or `2001:db8::1`.
    ///
    /// # Errors
    /// [`DestinationError`].
    pub fn parse(text: &[u8]) -> Result<Self, DestinationError> {
        let text = std::str::from_utf8(text).map_err(|_| DestinationError::Host)?.trim_ascii();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port: FTP });
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or(DestinationError::Host)?;
                let address: IpAddr = address.parse().map_err(|_| DestinationError::Host)?;
                let port = match rest {
                    "" => None,
                    _ => Some(rest.strip_prefix([':', ' ']).ok_or(DestinationError::Port)?),
                };
                (address.to_string(), port)
            }
            None => {
                let (host, port) = match text.split_once([':', ' ']) {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                (name(host)?, port)
            }
        };
        let port = match port.map(str::trim_ascii) {
            None => FTP,
            // No signs: `parse` of a number takes a plus.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|&port| port != 0).ok_or(DestinationError::Port)?
            }
            Some(_) => return Err(DestinationError::Port),
        };
        Ok(Self { host, port })
    }

    /// Whether TLS comes before the greeting there.
    #[must_use]
    pub fn implicit_tls(&self) -> bool {
        self.port == FTPS
    }
}

fn name(host: &str) -> Result<String, DestinationError> {
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() || host.len() > LONGEST || !host.bytes().all(sound) {
        return Err(DestinationError::Host);
    }
    // The resolver of the system reads `127.1` and `0x7f000001` as addresses; nobody who means well writes them.
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x") {
        return host.parse::<IpAddr>().map(|ip| ip.to_string()).map_err(|_| DestinationError::Host);
    }
    Ok(host.to_ascii_lowercase())
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HostPort(&self.host, self.port).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read_in_every_usual_spelling() {
        for (text, host, port) in [
            ("ftp.example.org", "ftp.example.org", 21),
            ("FTP.Example.ORG.:2121", "ftp.example.org", 2121),
            ("ftp.example.org 2121", "ftp.example.org", 2121),
            ("192.0.2.7", "192.0.2.7", 21),
            ("192.0.2.7:990", "192.0.2.7", 990),
            ("2001:db8::1", "2001:db8::1", 21),
            ("[2001:db8::1]", "2001:db8::1", 21),
            ("[2001:db8::1]:2121", "2001:db8::1", 2121),
        ] {
            let read = Destination::parse(text.as_bytes()).unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_also_the_odd_spellings_of_addresses() {
        for text in [
            "",
            ":21",
            "a b c",
            "h:0",
            "h:65536",
            "h:+21",
            "h:",
            "[::1",
            "[::1]x",
            "[h]:21",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0x7f000001",
            "h\u{e9}",
            "h/x",
            "a@b",
            "h%0a",
        ] {
            assert!(Destination::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_octets_make_the_reader_panic_and_what_it_reads_it_reads_again(text: Vec<u8>) {
            if let Ok(read) = Destination::parse(&text) {
                proptest::prop_assert_eq!(Destination::parse(read.to_string().as_bytes()), Ok(read));
            }
        }
    }
}
