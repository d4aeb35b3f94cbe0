//! What the replies to single commands say, in all the spellings of the field.

use std::net::{IpAddr, Ipv4Addr};

use crate::{Algorithm, Announced, Family, RawReply, Refused, Timestamp, Vetted};
use crate::{passive_reply_lenient, unquote};

/// Whose word counts about the address of a passive port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressTrust {
    /// Always the peer of the control connection: no server can send us elsewhere (the default).
    #[default]
    Peer,
    /// The announced address, for servers that really have several.
    Announced,
}

/// Where a passive data connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passive {
    /// Dial this.
    pub to: Vetted,
    /// The address was not taken as announced.
    pub rewritten: Option<Rewrite>,
}

/// Why an announced address was replaced by the control peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// 0.0.0.0: the server does not know its own address.
    Unspecified,
    /// A private or loopback address, and the peer is neither: the server does not know its public one.
    Private(IpAddr),
    /// Another host.
    Foreign(IpAddr),
}

/// Why the reply to PASV or EPSV leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassiveError {
    /// The server does not do it: try the next mode.
    #[error("refused with {code}")]
    Refused {
        /// The code of the reply.
        code: u16,
    },
    /// No port in the reply.
    #[error("no port in the reply ({code})")]
    Unreadable {
        /// The code of the reply.
        code: u16,
    },
    /// A port or address that must not be dialled.
    #[error("{0}")]
    Unsafe(#[from] Refused),
}

/// Reads the reply to PASV or EPSV; `peer` is the server on the control connection.
///
/// # Errors
/// [`PassiveError`]: try the next mode.
pub fn passive(reply: &RawReply, peer: IpAddr, trust: AddressTrust) -> Result<Passive, PassiveError> {
    let code = reply.code;
    if code / 100 != 2 {
        return Err(PassiveError::Refused { code });
    }
    let text = reply.lines.join(&b'\n');
    let announced =
        passive_reply_lenient(&text, Family::of(peer)).ok_or(PassiveError::Unreadable { code })?;
    let (ip, peer) = (announced.claim().ip().to_canonical(), peer.to_canonical());
    // 229 names no address, and the reader puts the wildcard there.
    let names_none = ip.is_unspecified() && code != 227;
    if ip == peer || names_none {
        return Ok(Passive { to: announced.vet_port_on(peer)?, rewritten: None });
    }
    if trust == AddressTrust::Announced && !ip.is_unspecified() {
        return Ok(Passive { to: announced.vet(ip)?, rewritten: None });
    }
    let rewritten = match ip {
        _ if ip.is_unspecified() => Rewrite::Unspecified,
        _ if is_private(ip) => Rewrite::Private(ip),
        _ => Rewrite::Foreign(ip),
    };
    Ok(Passive { to: announced.vet_port_on(peer)?, rewritten: Some(rewritten) })
}

/// The address that a refused PORT would have been accepted with: `500 I won't open a connection to
/// 192.0.2.7 (only to 198.51.100.9)`. That is our public address as the server sees it.
#[must_use]
pub fn accepted_address(reply: &RawReply) -> Option<IpAddr> {
    let text = reply.lines.join(&b' ').to_ascii_lowercase();
    let after = memchr::memmem::find(&text, b"only to ")?.saturating_add(8);
    let rest = text.get(after..)?;
    let end =
        rest.iter().position(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'.' | b':')).unwrap_or(rest.len());
    let ip: IpAddr = std::str::from_utf8(rest.get(..end)?).ok()?.trim_end_matches('.').parse().ok()?;
    (!ip.is_unspecified() && !ip.is_multicast()).then_some(ip)
}

/// The number in the reply to SIZE (RFC 3659 §4.2); `None` for a refusal or anything but a number.
#[must_use]
pub fn size(reply: &RawReply) -> Option<u64> {
    let text = (reply.code == 213).then(|| reply.lines.last())??.trim_ascii();
    std::str::from_utf8(text).ok()?.split_ascii_whitespace().next_back()?.parse().ok()
}

/// The time in the reply to MDTM (RFC 3659 §3).
#[must_use]
pub fn modified(reply: &RawReply) -> Option<Timestamp> {
    let text = (reply.code == 213).then(|| reply.lines.last())??;
    Timestamp::parse_lenient(text)
}

/// The path in a 257 (RFC 959 App. II).
#[must_use]
pub fn quoted_path(reply: &RawReply) -> Option<Vec<u8>> {
    (reply.code == 257).then(|| unquote(reply.lines.last()?))?
}

/// The size that many servers put into their 150, `(1,234 bytes)`: a hint, often wrong.
#[must_use]
pub fn size_hint(reply: &RawReply) -> Option<u64> {
    let text = reply.lines.last()?.to_ascii_lowercase();
    let bytes =
        memchr::memmem::rfind(&text, b" bytes").or_else(|| memchr::memmem::rfind(&text, b" octets"))?;
    let before = text.get(..bytes)?;
    let open = before.iter().rposition(|&b| b == b'(')?;
    let digits: Vec<u8> = before.get(open..)?.iter().copied().filter(u8::is_ascii_digit).collect();
    let plain = before.get(open.saturating_add(1)..)?;
    let grouped = plain.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'\'' | b' '));
    grouped.then(|| std::str::from_utf8(&digits).ok()?.parse().ok())?
}

/// The digest in the reply to HASH, XSHA256 and the like, in lower-case hexadecimal: the last word of the
/// right length.
#[must_use]
pub fn digest(reply: &RawReply, algorithm: Algorithm) -> Option<String> {
    if reply.code / 100 != 2 {
        return None;
    }
    let length = match algorithm {
        Algorithm::Crc32 => 8,
        Algorithm::Md5 => 32,
        Algorithm::Sha1 => 40,
        Algorithm::Sha256 => 64,
        Algorithm::Sha512 => 128,
    };
    let text = reply.lines.join(&b' ');
    let mut words = text.split(u8::is_ascii_whitespace).map(|word| word.trim_ascii());
    // The name stands behind the digest and may look like one.
    let word = words.find(|word| word.len() == length && word.iter().all(u8::is_ascii_hexdigit))?;
    Some(String::from_utf8_lossy(word).to_ascii_lowercase())
}

/// Whether a refused LIST, NLST or MLSD only says that the directory is empty.
#[must_use]
pub fn found_nothing(reply: &RawReply) -> bool {
    matches!(reply.code, 450 | 550) && says_empty(&reply.lines.join(&b' '))
}

/// Whether this, of a reply or in place of a listing's rows, says that a directory is empty.
#[must_use]
pub fn says_empty(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    let says = |words: &[u8]| memchr::memmem::find(&text, words).is_some();
    says(b"no files found")
        || says(b"no such files")
        || says(b"directory is empty")
        || says(b"no files match")
}

/// Whether a command came while a transfer ran, and the server would rather have had it later (ProFTPD: `450 PORT: data
/// transfer in progress`). It then answers in another order than it was asked in.
#[must_use]
pub fn is_out_of_turn(reply: &RawReply) -> bool {
    let text = reply.lines.join(&b' ').to_ascii_lowercase();
    reply.code == 450 && memchr::memmem::find(&text, b"transfer in progress").is_some()
}

/// What a refusal invites to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// The same again, after a pause.
    Later,
    /// The same again with fewer connections: the server counts them.
    FewerConnections,
    /// Another data connection; this one failed.
    DataChannel,
    /// The data connection did not resume the control connection's TLS session.
    SessionReuse,
    /// Nothing: it is for good.
    Never,
}

/// Reads a refusal (4yz, 5yz) for whether and how to try again; the class of the code is not always true.
#[must_use]
pub fn temper(reply: &RawReply) -> Temper {
    let text = reply.lines.join(&b' ').to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| memchr::memmem::find(&text, w.as_bytes()).is_some());
    let crowded = says(&["too many", "maximum number", "connection limit", "max clients", "limit reached"]);
    match reply.code {
        425 | 450 | 522 | 435 if says(&["reuse", "resum", "session"]) && says(&["ssl", "tls"]) => {
            Temper::SessionReuse
        }
        522 if says(&["session"]) => Temper::SessionReuse,
        421 | 530 | 450 | 550 if crowded => Temper::FewerConnections,
        425 | 426 => Temper::DataChannel,
        500 if says(&["oops"]) => Temper::Later,
        400..=499 => Temper::Later,
        500..=599 if says(&["timed out", "timeout", "broken pipe", "try again", "temporar"]) => Temper::Later,
        _ => Temper::Never,
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = Ipv4Addr::new(100, 64, 0, 0);
            let in_shared = u32::from(ip) >> 22 == u32::from(shared) >> 22;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || in_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Our own announcement for PORT or EPRT as it will be emitted.
impl From<Vetted> for Announced {
    fn from(vetted: Vetted) -> Self {
        Self::new(vetted.addr())
    }
}

impl Rewrite {
    /// What was announced in place of `used`.
    #[must_use]
    pub fn claimed(self, used: std::net::SocketAddr) -> std::net::SocketAddr {
        let ip = match self {
            Self::Unspecified => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::Private(ip) | Self::Foreign(ip) => ip,
        };
        std::net::SocketAddr::new(ip, used.port())
    }
}
