//! Reads a TLS ClientHello without answering it: whose data connection is this, and what does it offer?

use std::borrow::Cow;

use crate::SessionTag;

#[cfg(test)]
mod tests;

/// What the first octets of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a ClientHello; look again when more octets are there. A hello is 200 to 2,000
    /// octets long as a rule and never more than 32 KiB; have a deadline.
    NeedMore,
    /// Not a TLS handshake, or a broken one.
    NotTls,
    /// A ClientHello that brings a ticket with this tag: the session it *claims* to belong to. Anybody who
    /// saw an earlier hello can claim that; only a resumed handshake proves it.
    Session(SessionTag),
    /// A ClientHello without a ticket.
    NoSession,
}

/// Reads what was peeked from a data connection, to find the session it belongs to before any octet of it is
/// taken from the socket.
///
/// TLS 1.3 clients show their ticket as the identity of a pre-shared key (RFC 8446 §4.2.11), TLS 1.2 clients
/// in the session ticket extension (RFC 5077 §3.2). Where there are several, the first one counts.
pub fn read_hello(peeked: &[u8]) -> Hello {
    match peek(peeked) {
        Peek::NeedMore => Hello::NeedMore,
        Peek::NotTls => Hello::NotTls,
        Peek::Offer(offer) => offer.tag.map_or(Hello::NoSession, Hello::Session),
    }
}

/// What a client offers in its hello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Tag of the ticket it brings.
    pub(crate) tag: Option<SessionTag>,
    /// Host name it asks for (RFC 6066 §3).
    pub(crate) sni: Option<String>,
    /// Protocols, in its order of preference (RFC 7301 §3.1).
    pub(crate) alpn: Vec<Vec<u8>>,
    /// The newest version, as on the wire: 0x0304 is TLS 1.3.
    pub(crate) newest: u16,
}

/// The outcome of [`peek`].
#[derive(Debug)]
pub(crate) enum Peek {
    NeedMore,
    NotTls,
    Offer(Offer),
}

/// A longer hello is no hello. Real ones have 200 to 2,000 octets, a ticket with a client's certificates in
/// it adds some thousands.
const MAX_HELLO: usize = 32 * 1024;
/// Longest record a client may send in clear (RFC 8446 §5.1).
const MAX_RECORD: usize = 1 << 14;

/// Reads the hello at the beginning of `octets`.
pub(crate) fn peek(octets: &[u8]) -> Peek {
    let message = match join_records(octets) {
        Ok(message) => message,
        Err(unfinished) => return unfinished,
    };
    // handshake type, 24-bit length, body
    match message.get(4..).and_then(|body| offer(&mut Octets(body))) {
        Some(offer) => Peek::Offer(offer),
        None => Peek::NotTls,
    }
}

/// Takes the hello out of the record layer: it may be cut into records anywhere (RFC 8446 §5.1). Copies only
/// if it was cut.
fn join_records(octets: &[u8]) -> Result<Cow<'_, [u8]>, Peek> {
    if octets.len() > 2 * MAX_HELLO {
        return Err(Peek::NotTls); // cut into crumbs, to keep us busy
    }
    let mut message = Cow::Borrowed(&[][..]);
    let mut rest = octets;
    loop {
        // The length is known once the first four octets are.
        let want = match &*message {
            [kind, ..] if *kind != CLIENT_HELLO => return Err(Peek::NotTls),
            [_, a, b, c, ..] => Some(4 + u32::from_be_bytes([0, *a, *b, *c]) as usize),
            _ => None,
        };
        match (want, &mut message) {
            (Some(want), _) if want > MAX_HELLO => return Err(Peek::NotTls),
            (Some(want), Cow::Borrowed(all)) if all.len() >= want => {
                return Ok(Cow::Borrowed(all.get(..want).unwrap_or_default()));
            }
            (Some(want), Cow::Owned(all)) if all.len() >= want => {
                all.truncate(want);
                return Ok(message);
            }
            _ => {}
        }
        match *rest {
            [] => return Err(Peek::NeedMore),
            [kind, ..] if kind != HANDSHAKE => return Err(Peek::NotTls),
            // Every version of TLS says 3 here; the second octet has been frozen or ignored since 1.2.
            [_, major, ..] if major != 3 => return Err(Peek::NotTls),
            [_, _, _, hi, lo, ref body @ ..] => {
                let len = usize::from(u16::from_be_bytes([hi, lo]));
                if len == 0 || len > MAX_RECORD {
                    return Err(Peek::NotTls);
                }
                let (fragment, next) = body.split_at(len.min(body.len()));
                if message.is_empty() {
                    message = Cow::Borrowed(fragment);
                } else {
                    message.to_mut().extend_from_slice(fragment);
                }
                rest = next;
            }
            _ => return Err(Peek::NeedMore),
        }
    }
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// Extensions by number (RFC 8446 §4.2, RFC 5077 §3.2).
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const SUPPORTED_VERSIONS: u16 = 43;

/// The body of a ClientHello (RFC 8446 §4.1.2). `None` if it is broken.
fn offer(body: &mut Octets<'_>) -> Option<Offer> {
    let mut offer = Offer { newest: body.u16()?, ..Offer::default() };
    body.take(32)?; // random
    body.vec8()?; // session id
    body.vec16()?; // cipher suites
    body.vec8()?; // compression methods
    if body.0.is_empty() {
        return Some(offer); // a TLS 1.2 client without extensions
    }
    let mut psk = None;
    let mut extensions = body.vec16()?;
    while !extensions.0.is_empty() {
        let (kind, mut value) = (extensions.u16()?, extensions.vec16()?);
        match kind {
            SERVER_NAME => offer.sni = server_name(&mut value),
            ALPN => {
                let mut names = value.vec16()?;
                while !names.0.is_empty() {
                    offer.alpn.push(names.vec8()?.0.to_vec());
                }
            }
            SESSION_TICKET => offer.tag = tag_of(value.0),
            PRE_SHARED_KEY => psk = tag_of(value.vec16()?.vec16()?.0),
            SUPPORTED_VERSIONS => {
                let versions = value.vec8()?;
                // GREASE values (RFC 8701) end in 0xa and are no versions.
                let real = versions.0.as_chunks::<2>().0.iter().map(|v| u16::from_be_bytes(*v));
                offer.newest = real.filter(|v| v & 0x0f0f != 0x0a0a).max().unwrap_or(offer.newest);
            }
            _ => {}
        }
    }
    offer.tag = psk.or(offer.tag);
    Some(offer)
}

/// The first host name of the list (RFC 6066 §3).
fn server_name(value: &mut Octets<'_>) -> Option<String> {
    let mut names = value.vec16()?;
    let (kind, name) = (names.u8()?, names.vec16()?);
    let name = std::str::from_utf8(name.0).ok().filter(|_| kind == 0)?;
    name.bytes().all(|b| b.is_ascii_graphic()).then(|| name.to_ascii_lowercase())
}

fn tag_of(ticket: &[u8]) -> Option<SessionTag> {
    ticket.first_chunk().map(|tag| SessionTag(*tag))
}

/// Takes fields off the front; `None` when they do not fit.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, len: usize) -> Option<Octets<'a>> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(Octets(head))
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.0.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.0.first_chunk().map(|octets| u16::from_be_bytes(*octets))
    }

    /// Octets behind an 8-bit length.
    fn vec8(&mut self) -> Option<Octets<'a>> {
        let len = self.u8()?.into();
        self.take(len)
    }

    /// Octets behind a 16-bit length.
    fn vec16(&mut self) -> Option<Octets<'a>> {
        let len = self.u16()?.into();
        self.take(len)
    }
}
