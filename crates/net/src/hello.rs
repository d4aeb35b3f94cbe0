//! Reads a TLS ClientHello without answering it: whose data connection is this?

use crate::SessionTag;

/// What the first octets of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a ClientHello; look again when more octets are there.
    NeedMore,
    /// Not a TLS handshake.
    NotTls,
    /// A ClientHello that brings a ticket of the session with this tag. This is a claim, no proof.
    Session(SessionTag),
    /// A ClientHello without a ticket.
    NoSession,
}

/// Reads what was peeked from a data connection.
pub fn read_hello(peeked: &[u8]) -> Hello {
    let _ = peeked;
    Hello::NeedMore
}
