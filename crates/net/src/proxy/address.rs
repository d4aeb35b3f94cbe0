//! Which proxy, and where it is to lead.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use zeroize::Zeroizing;

use crate::authority::{AuthorityError, HostPort, PercentError, percent_decode};

/// A proxy and the login it wants. Its password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// A name or an address, without brackets.
    pub host: String,
    /// Default 1080, as curl has it; 21 for FTP proxies.
    pub port: u16,
    /// User and password.
    pub login: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// SOCKS version 5 (RFC 1928).
    Socks5 {
        /// The proxy looks names up (`socks5h://`); otherwise we do.
        names: bool,
    },
    /// HTTP CONNECT.
    Http,
    /// FTP: a login as `user@host` at the proxy.
    Ftp,
}

/// Where a proxy is to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A name, which the proxy looks up.
    Name(String, u16),
    /// An address.
    Addr(SocketAddr),
}

/// Why a text names no proxy; the user's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// Another scheme.
    #[error("a proxy is named socks5://, socks5h://, http:// or ftp://, not {0}://")]
    Scheme(String),
    /// TLS to the proxy itself.
    #[error("proxies that are reached under TLS (https://) are not supported; use http:// or socks5h://")]
    Https,
    /// No host, or one with blanks.
    #[error("the proxy's URL names no host")]
    Host,
    /// Not 1 to 65535.
    #[error("the port in the proxy's URL is not a number from 1 to 65535")]
    Port,
    /// `%` and not two hexadecimal digits.
    #[error("a % in the proxy's URL is not followed by two hexadecimal digits")]
    Percent,
    /// A name or password that the protocol cannot carry.
    #[error("user and password of the proxy must have 1 to 255 octets, without CR, LF and NUL")]
    Login,
}

impl From<AuthorityError> for ProxyUrlError {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::Host => Self::Host,
            AuthorityError::Port => Self::Port,
        }
    }
}

impl From<PercentError> for ProxyUrlError {
    fn from(PercentError: PercentError) -> Self {
        Self::Percent
    }
}

impl Proxy {
    /// Reads `socks5://user:password@host:port` and the like. Without a scheme it is an HTTP proxy and without a
    /// port it is 1080, as curl has it.
    ///
    /// # Errors
    /// [`ProxyUrlError`].
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "socks5" => ProxyKind::Socks5 { names: false },
            "socks5h" => ProxyKind::Socks5 { names: true },
            "http" => ProxyKind::Http,
            "ftp" => ProxyKind::Ftp,
            "https" => return Err(ProxyUrlError::Https),
            other => return Err(ProxyUrlError::Scheme(other.to_owned())),
        };
        let place = rest.split('/').next().unwrap_or_default();
        let (login, place) = HostPort::split_account(place);
        let HostPort(host, port) = HostPort::read(place, if kind == ProxyKind::Ftp { 21 } else { 1080 })?;
        // As much as SOCKS can carry (RFC 1928 §4).
        if host.len() > 255 {
            return Err(ProxyUrlError::Host);
        }
        let login = login.map(read_login).transpose()?;
        Ok(Self { kind, host: host.to_owned(), port, login })
    }

    /// Host and port, as a person writes them.
    #[must_use]
    pub fn authority(&self) -> String {
        HostPort(&self.host, self.port).to_string()
    }
}

impl fmt::Display for Proxy {
    /// The URL without the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Socks5 { names: false } => "socks5",
            ProxyKind::Socks5 { names: true } => "socks5h",
            ProxyKind::Http => "http",
            ProxyKind::Ftp => "ftp",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl Destination {
    /// An address if `host` is one, else a name.
    #[must_use]
    pub fn named(host: &str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => Self::Addr(SocketAddr::new(ip, port)),
            Err(_) => Self::Name(host.to_owned(), port),
        }
    }

    /// The same host, another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        match self {
            Self::Name(name, _) => Self::Name(name.clone(), port),
            Self::Addr(addr) => Self::Addr(SocketAddr::new(addr.ip(), port)),
        }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Name(_, port) => *port,
            Self::Addr(addr) => addr.port(),
        }
    }

    /// The address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(..) => None,
            Self::Addr(addr) => Some(addr.ip().to_canonical()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Addr(addr) => write!(f, "{addr}"),
        }
    }
}

fn read_login(text: &str) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), ProxyUrlError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (percent_decode(user)?, Zeroizing::new(percent_decode(password)?));
    let bad = |text: &[u8]| text.len() > 255 || text.iter().any(|b| matches!(b, b'\r' | b'\n' | 0));
    if user.is_empty() || bad(&user) || bad(&password) {
        return Err(ProxyUrlError::Login);
    }
    Ok((user, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_named_as_curl_names_them() {
        let socks = |names| ProxyKind::Socks5 { names };
        for (url, kind, host, port, login) in [
            ("socks5://p", socks(false), "p", 1080, None),
            ("SOCKS5H://u:p%40x@p:9050/", socks(true), "p", 9050, Some(("u", "p@x"))),
            ("http://[2001:db8::1]:3128", ProxyKind::Http, "2001:db8::1", 3128, None),
            ("p:8080", ProxyKind::Http, "p", 8080, None),
            ("p", ProxyKind::Http, "p", 1080, None),
            ("ftp://u@p", ProxyKind::Ftp, "p", 21, Some(("u", ""))),
        ] {
            let proxy = Proxy::parse(url).unwrap();
            assert_eq!((proxy.kind, proxy.host.as_str(), proxy.port), (kind, host, port), "{url}");
            let found = proxy.login.as_ref().map(|(user, password)| (user.as_slice(), password.as_slice()));
            assert_eq!(found, login.map(|(u, p)| (u.as_bytes(), p.as_bytes())), "{url}");
            let again = Proxy::parse(&proxy.to_string()).unwrap();
            assert_eq!((again.kind, again.port, again.host), (kind, port, host.to_owned()), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_a_proxy_is_refused_with_the_reason() {
        for (url, error) in [
            ("socks4://p", ProxyUrlError::Scheme("socks4".to_owned())),
            ("https://p", ProxyUrlError::Https),
            ("socks5://", ProxyUrlError::Host),
            ("http://a b", ProxyUrlError::Host),
            ("http://p:0", ProxyUrlError::Port),
            ("http://p:x", ProxyUrlError::Port),
            ("http://%zz@p", ProxyUrlError::Percent),
            ("http://u%0d%0aEvil:x@p", ProxyUrlError::Login),
            ("socks5://:p@p", ProxyUrlError::Login),
        ] {
            assert_eq!(Proxy::parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn a_password_never_shows() {
        let proxy = Proxy::parse("socks5://u:hunter2@p").unwrap();
        assert!(!format!("{proxy} {proxy:?}").contains("hunter2"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = Proxy::parse(&text);
        }
    }
}
