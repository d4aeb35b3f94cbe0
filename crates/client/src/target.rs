//! FTP URLs (RFC 1738 §3.2).

use std::fmt;

use portway_net::{AuthorityError, HostPort, PercentError, percent_decode};
use portway_proto::Representation;

/// Where something is: server, account, path.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `ftps://`: TLS from the first octet, port 990 by default.
    pub implicit_tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// Default 21, or 990 under implicit TLS.
    pub port: u16,
    /// From the URL; otherwise `.netrc`, the environment or anonymous.
    pub user: Option<Vec<u8>>,
    /// From the URL; never shown.
    pub password: Option<Vec<u8>>,
    /// As the server takes it: relative to the login directory unless it begins with `/`. Empty for none.
    pub path: Vec<u8>,
    /// `;type=a` or `;type=i`; image by default.
    pub representation: Representation,
    /// The URL ended with `/` or `;type=d`: a directory is meant.
    pub directory: bool,
}

/// Why a text is no FTP URL; the user's to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Another scheme.
    #[error("the URL must begin with ftp:// or ftps://")]
    Scheme,
    /// Nothing between `//` and `/`.
    #[error("the URL names no host")]
    Host,
    /// Not 1 to 65535.
    #[error("the port in the URL is not a number from 1 to 65535")]
    Port,
    /// `%` and not two hexadecimal digits.
    #[error("a % in the URL is not followed by two hexadecimal digits")]
    Percent,
    /// CR, LF or NUL, which no command can carry.
    #[error("the URL holds CR, LF or NUL, which cannot be sent over FTP")]
    LineBreak,
    /// `;type=` and none of a, i, d.
    #[error("the type in the URL must be a, i or d")]
    Type,
}

impl From<AuthorityError> for TargetError {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::Host => Self::Host,
            AuthorityError::Port => Self::Port,
        }
    }
}

impl From<PercentError> for TargetError {
    fn from(PercentError: PercentError) -> Self {
        Self::Percent
    }
}

impl Target {
    /// Reads a URL. `host`, `host:port` and `host/path` without a scheme are taken as `ftp://`.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("ftp", url));
        let implicit_tls = match scheme.to_ascii_lowercase().as_str() {
            "ftp" | "ftpes" => false,
            "ftps" => true,
            _ => return Err(TargetError::Scheme),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (account, place) = HostPort::split_account(authority);
        let HostPort(host, port) = HostPort::read(place, if implicit_tls { 990 } else { 21 })?;
        let host = host.to_owned();
        let (user, password) = match account
            .map(|account| account.split_once(':').map_or((account, None), |(u, p)| (u, Some(p))))
        {
            Some((user, password)) => (Some(decode(user)?), password.map(decode).transpose()?),
            None => (None, None),
        };
        let (path, kind) = match path.rsplit_once(";type=") {
            Some((path, kind)) => (path, Some(kind.to_ascii_lowercase())),
            None => (path, None),
        };
        let representation = match kind.as_deref() {
            None | Some("i" | "d") => Representation::Image,
            Some("a") => Representation::Ascii,
            Some(_) => return Err(TargetError::Type),
        };
        let directory = path.is_empty() || path.ends_with('/') || kind.as_deref() == Some("d");
        let mut path = decode(path)?;
        while path.len() > 1 && path.ends_with(b"/") {
            path.pop();
        }
        Ok(Self { implicit_tls, host, port, user, password, path, representation, directory })
    }

    /// The same server and account, another path.
    #[must_use]
    pub fn with_path(&self, path: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    /// The last part of the path; empty if there is none.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.path.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// Host and port as a person writes them.
    #[must_use]
    pub fn authority(&self) -> String {
        HostPort(&self.host, self.port).to_string()
    }
}

impl fmt::Display for Target {
    /// The URL without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.implicit_tls { "ftps" } else { "ftp" };
        write!(f, "{scheme}://")?;
        if let Some(user) = &self.user {
            write!(f, "{}@", encode(user))?;
        }
        let usual = self.port == if self.implicit_tls { 990 } else { 21 };
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if !usual {
            write!(f, ":{}", self.port)?;
        }
        // A path from the root begins with an encoded slash (RFC 1738 §3.2.2).
        let path = match self.path.strip_prefix(b"/") {
            Some(rest) => format!("%2F{}", encode(rest)),
            None => encode(&self.path),
        };
        write!(f, "/{path}")
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// What a command is to carry.
fn decode(text: &str) -> Result<Vec<u8>, TargetError> {
    let out = percent_decode(text)?;
    if out.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return Err(TargetError::LineBreak);
    }
    Ok(out)
}

fn encode(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    for &b in octets {
        if b.is_ascii_alphanumeric() || b"-._~/!$&'()*+,=".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_rfc_1738_has_them() {
        #[rustfmt::skip]
        let rows = [
            ("ftp://h/a/b", "h", 21, None, None, "a/b", false),
            ("ftp://h/%2Fetc/motd", "h", 21, None, None, "/etc/motd", false),
            ("ftp://h//etc/motd", "h", 21, None, None, "/etc/motd", false),
            ("ftp://u:p%40x@h:2121/", "h", 2121, Some("u"), Some("p@x"), "", true),
            ("ftp://u@x@h/d/", "h", 21, Some("u@x"), None, "d", true),
            ("ftps://h", "h", 990, None, None, "", true),
            ("ftp://[2001:db8::1]:2121/f", "2001:db8::1", 2121, None, None, "f", false),
            ("h:2121/f;type=i", "h", 2121, None, None, "f", false),
            ("FTP://h/a%20b", "h", 21, None, None, "a b", false),
        ];
        for (url, host, port, user, password, path, directory) in rows {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
            assert_eq!(target.user.as_deref(), user.map(str::as_bytes), "{url}");
            assert_eq!(target.password.as_deref(), password.map(str::as_bytes), "{url}");
            assert_eq!((target.path.as_slice(), target.directory), (path.as_bytes(), directory), "{url}");
            let again = Target::parse(&target.to_string()).unwrap();
            assert_eq!((again.path, again.port, again.host), (target.path, port, host.to_owned()), "{url}");
        }
        assert_eq!(Target::parse("ftp://h/f;type=a").unwrap().representation, Representation::Ascii);
    }

    #[test]
    fn urls_that_could_inject_or_lead_nowhere_are_refused() {
        for (url, error) in [
            ("http://h/", TargetError::Scheme),
            ("ftp:///f", TargetError::Host),
            ("ftp://h:0/", TargetError::Port),
            ("ftp://h:99999/", TargetError::Port),
            ("ftp://h/%0d%0aDELE%20x", TargetError::LineBreak),
            ("ftp://u%00:p@h/", TargetError::LineBreak),
            ("ftp://h/%zz", TargetError::Percent),
            ("ftp://h/f;type=x", TargetError::Type),
        ] {
            assert_eq!(Target::parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn a_password_never_shows() {
        let target = Target::parse("ftp://u:hunter2@h/f").unwrap();
        assert!(!format!("{target} {target:?}").contains("hunter2"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = Target::parse(&text);
        }

        #[test]
        fn every_path_survives_its_url(path in proptest::collection::vec(1_u8..=255, 1..40)) {
            let path: Vec<u8> = path.into_iter().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
            let clean = !path.ends_with(b"/");
            let target = Target::parse("ftp://h/").unwrap().with_path(path.clone());
            let read = Target::parse(&target.to_string()).unwrap();
            if clean {
                proptest::prop_assert_eq!(read.path, path);
            }
        }
    }
}
