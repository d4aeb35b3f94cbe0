//! What a dialogue is given, what it asks for, and what it gives back.

use std::net::SocketAddr;

use portway_proto::watch::Opening;

use super::lane::Leaving;

/// Whose segment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Whoever sent the first SYN.
    Client,
    /// The other one.
    Server,
}

/// What a dialogue asks of whoever runs it.
pub(crate) trait Keeper {
    /// Opens a hole, and gives what the client is to be told in place of the server's address.
    ///
    /// # Errors
    /// The reason, for a person.
    fn open(&mut self, opening: &Opening) -> Result<Option<SocketAddr>, String>;
    /// Closes the hole that is open.
    fn shut(&mut self);
    /// PORT or EPRT with the address by which the server knows the client, in `length` octets; `None` if that is the
    /// client's own.
    ///
    /// # Errors
    /// It cannot be said in so many octets.
    fn as_the_server_knows_it(&mut self, line: &[u8], length: usize) -> Result<Option<Vec<u8>>, TooLong>;
    /// The server has refused a login; whether the client may go on trying.
    fn login_refused(&mut self) -> bool;
    /// Writes down what an administrator wants to know.
    fn note(&mut self, why: &dyn std::fmt::Display);
    /// Who logs in.
    fn user(&mut self, name: &[u8]);
    /// Whether the dialogue is encrypted from now on.
    fn opaque(&mut self, opaque: bool);
}

/// A translated address does not fit into the line that names the client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// One part of a segment: what of it counts for the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// The sequence number of the first octet.
    pub(crate) seq: u32,
    /// The acknowledgement of the other lane.
    pub(crate) ack: Option<u32>,
    /// The octets.
    pub(crate) octets: &'a [u8],
    /// Whether the sender ends.
    pub(crate) fin: bool,
    /// The most octets that may leave in its place.
    pub(crate) room: usize,
}

/// What becomes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This leaves in its place.
    Leave(Leaving),
    /// Nothing; the sender will send it again if it matters.
    Drop,
    /// The connection is over: the receiver is told with a reset that bears this sequence number.
    Close(u32),
}

impl Side {
    /// The other one.
    #[must_use]
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
