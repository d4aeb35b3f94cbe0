//! Moves octets between a data connection and a file, a listing, or any other end.
//!
//! A plain binary transfer stays in the kernel (`sendfile`, `splice`). Everything else passes through one
//! buffer, and through stages for ASCII, compression and hashes. A file that turns out to be cold is read where
//! it does not hold up other tasks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portway_proto::Restart;

#[cfg(target_os = "linux")]
mod batch;
mod blocks;
mod buffer;
mod disk;
mod line;
mod pace;
mod pipe;
mod receive;
mod relay;
mod send;
mod stages;
mod watched;

pub(crate) use blocks::Ahead;
pub use receive::{receive_file, receive_stream};
pub use relay::{RelayError, relay};
pub use send::{send_file, send_stream};
pub use watched::{Tail, Watcher, relay_watched};

/// Sees every octet of the file, in order, in the form it has on disk.
pub type Digest<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

/// How a transfer is done.
pub struct Options<'a> {
    /// The transfer fails when not one octet has moved for so long; acknowledgements by the peer count as
    /// movement. Default 60 s.
    pub stall: Duration,
    /// The transfer fails when it moves fewer octets per second, over 10 s (or over `stall` if that is
    /// shorter) of waiting for the peer. Default `None`: however slow.
    pub floor: Option<u64>,
    /// Octets per second at most, on the wire. Default `None`: no limit.
    pub limit_rate: Option<u64>,
    /// Default [`Representation::Binary`].
    pub representation: Representation,
    /// Default [`Compression::None`].
    pub compression: Compression,
    /// MODE B (RFC 959 §3.4.2): the end of a file is a mark, and the connection stays for the next one; see
    /// [`crate::DataConn::rest`]. Default false.
    pub blocks: bool,
    /// Default `None`. With it, the octets leave the kernel.
    pub hash: Option<Digest<'a>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(60),
            floor: None,
            limit_rate: None,
            representation: Representation::Binary,
            compression: Compression::None,
            blocks: false,
            hash: None,
        }
    }
}

impl Options<'_> {
    /// True if the octets of the file are the octets of the wire and nobody else wants to see them.
    fn straight(&self) -> bool {
        matches!(self.representation, Representation::Binary)
            && matches!(self.compression, Compression::None)
            && self.hash.is_none()
            && !self.blocks
    }
}

/// What becomes of line ends (RFC 959 §3.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Representation {
    /// TYPE I: nothing is changed.
    #[default]
    Binary,
    /// TYPE A: CRLF on the wire, LF in the file.
    Ascii,
    /// The same, going on in the middle of a file (REST). The caller reads or writes from the restart's local
    /// offset.
    AsciiFrom(Restart),
}

/// Transmission mode, as far as it changes octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// MODE S (RFC 959 §3.4.1).
    #[default]
    None,
    /// MODE Z, zlib format (draft-preston-ftpext-deflate-04); the level, 0 to 9, counts for sending.
    Deflate(u32),
}

/// How far a transfer has come; read it from anywhere while the transfer runs.
#[derive(Debug, Default)]
pub struct Progress {
    octets: AtomicU64,
    wire: AtomicU64,
}

impl Progress {
    /// Nothing moved yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Octets of the file so far.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
    }

    /// Octets on the wire so far, TLS not counted.
    #[must_use]
    pub fn wire(&self) -> u64 {
        self.wire.load(Ordering::Relaxed)
    }

    /// Counts octets that somebody else has moved: of a file that comes in several parts.
    pub fn add(&self, octets: u64) {
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    fn add_octets(&self, n: usize) {
        self.octets.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn add_wire(&self, n: usize) {
        self.wire.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// A transfer to the peer that is complete; [`crate::DataConn::finish`] comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Octets of the file.
    pub octets: u64,
    /// Octets on the wire, TLS not counted.
    pub wire: u64,
}

/// A transfer from the peer that is complete, end mark included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Octets of the file.
    pub octets: u64,
    /// Octets on the wire, TLS not counted.
    pub wire: u64,
}

#[cfg(test)]
mod tests;
