//! `icap://HOST[:PORT]/SERVICE`.

use std::str::FromStr;
use std::sync::Mutex;

use super::Service;

/// The port of ICAP (RFC 3507 §4.2).
const PORT: u16 = 1344;

/// Why a text is no URL of an ICAP service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected icap://HOST[:PORT]/SERVICE")]
pub struct IcapUrlError;

impl FromStr for Service {
    type Err = IcapUrlError;

    fn from_str(text: &str) -> Result<Self, IcapUrlError> {
        let rest = text.strip_prefix("icap://").ok_or(IcapUrlError)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or(IcapUrlError)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| IcapUrlError)?,
            None if port.is_empty() => PORT,
            None => return Err(IcapUrlError),
        };
        let graphic = rest.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'@');
        if host.is_empty() || !graphic {
            return Err(IcapUrlError);
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self {
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
            path: path.to_owned(),
            offered: Mutex::default(),
        })
    }
}

/// A path as it stands in a URL (RFC 3986 §2.1).
pub(super) fn encoded(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for &octet in path {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(octet));
            }
            _ => text.push_str(&format!("%{octet:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_services_are_read_and_others_refused() {
        for (text, host, port, path) in [
            ("icap://scanner/avscan", "scanner", 1344, "/avscan"),
            ("icap://192.0.2.1:11344/a/b?c=d", "192.0.2.1", 11344, "/a/b?c=d"),
            ("icap://[2001:db8::1]:1/x", "2001:db8::1", 1, "/x"),
            ("icap://[::1]", "::1", 1344, "/"),
        ] {
            let service: Service = text.parse().unwrap();
            assert_eq!((service.host.as_str(), service.port, service.path.as_str()), (host, port, path));
        }
        for text in [
            "",
            "scanner",
            "http://x/y",
            "icap://",
            "icap:///x",
            "icap://h:x/y",
            "icap://h/a b",
            "icap://[::1/x",
        ] {
            assert!(text.parse::<Service>().is_err(), "{text}");
        }
        assert_eq!(encoded(b"a b/\xffc\r\n"), "a%20b/%FFc%0D%0A");
    }
}
