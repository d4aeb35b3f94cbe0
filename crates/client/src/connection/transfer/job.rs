//! What a transfer is about, and how it ended.

use std::fs::File;
use std::io;

use portway_data::Failure;
use portway_proto::client::DataEnd;
use portway_proto::{Command, ListArg, RawReply};

use crate::Error;

/// What to transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the verbs of their RFCs; names are the server's")]
pub enum Job<'a> {
    Retr { path: &'a [u8], offset: u64 },
    Stor { path: &'a [u8], offset: u64 },
    Appe { path: &'a [u8] },
    List { path: Option<&'a [u8]>, flags: Option<&'a [u8]> },
    Nlst { path: Option<&'a [u8]> },
    Mlsd { path: Option<&'a [u8]> },
}

impl<'a> Job<'a> {
    /// The command.
    #[must_use]
    pub fn command(self) -> Command<'a> {
        match self {
            Self::Retr { path, .. } => Command::Retr(path),
            Self::Stor { path, .. } => Command::Stor(path),
            Self::Appe { path } => Command::Appe(path),
            Self::List { path, flags } => Command::List(ListArg { flags, path }),
            Self::Nlst { path } => Command::Nlst(ListArg { flags: None, path }),
            Self::Mlsd { path } => Command::Mlsd(path),
        }
    }

    /// Where it begins.
    pub(super) fn offset(self) -> u64 {
        match self {
            Self::Retr { offset, .. } | Self::Stor { offset, .. } => offset,
            _ => 0,
        }
    }

    /// Whether the octets go to the server.
    pub(super) fn is_upload(self) -> bool {
        matches!(self, Self::Stor { .. } | Self::Appe { .. })
    }
}

/// Where octets come from or go to.
pub enum Body<'a> {
    /// Into a file, at its position.
    ToFile(&'a File),
    /// To a function, piece by piece.
    To(&'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send)),
    /// Out of a file, from an offset, so many octets or to its end.
    FromFile(&'a File, u64, Option<u64>),
    /// From a function that appends the next piece and says whether more follows.
    From(&'a mut (dyn FnMut(&mut Vec<u8>) -> io::Result<bool> + Send)),
}

/// How a transfer ended that had begun.
#[derive(Debug)]
pub struct Done {
    /// Octets that moved on the data channel.
    pub octets: u64,
    /// How the data connection ended.
    pub end: DataEnd,
    /// What was wrong with it.
    pub failure: Option<Failure>,
    /// The final reply, if one came.
    pub reply: Option<RawReply>,
    /// The size in the 150; a hint.
    pub hint: Option<u64>,
    /// Why no final reply came.
    pub control: Option<Error>,
}
