//! Rows of a listing, written by servers and read by clients: `LIST`, `NLST`, `MLSD`, `MLST`.

mod emit;
mod facts;
mod parse;
mod perm;
#[cfg(test)]
mod tests;

pub use self::{
    facts::MlsxFacts,
    parse::{RowError, RowFormat, RowParser},
    perm::Perm,
};
use crate::time::Timestamp;

/// One entry of a directory. What is unknown is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRow {
    /// The name, byte for byte; from a server it may be anything: see [`safe_name`](Self::safe_name).
    pub name: Vec<u8>,
    /// What it is.
    pub kind: RowKind,
    /// Size in octets.
    pub size: Option<u64>,
    /// The size was told in blocks or as `1.2K`: show it, never compare it.
    pub rounded: bool,
    /// Last modification.
    pub modified: Option<Modified>,
    /// Creation; only MLSx tells it (RFC 3659 §7.5.4).
    pub created: Option<Timestamp>,
    /// Unix permission bits, set-uid and sticky included: at most 0o7777.
    pub mode: Option<u32>,
    /// Number of links.
    pub links: Option<u64>,
    /// Owner, a name or a number.
    pub owner: Option<Vec<u8>>,
    /// Group, a name or a number.
    pub group: Option<Vec<u8>>,
    /// Where a symbolic link points to, if told.
    pub target: Option<Vec<u8>>,
    /// Equal for two names of the same file (RFC 3659 §7.5.2); only MLSx and EPLF tell it.
    pub unique: Option<Vec<u8>>,
    /// What this user may do with it (RFC 3659 §7.5.5); only MLSx tells it.
    pub perm: Option<Perm>,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RowKind {
    /// Something to retrieve.
    #[default]
    File,
    /// Something to enter.
    Dir,
    /// A symbolic link to either.
    Symlink,
    /// A device, socket, pipe or the like.
    Other,
    /// The listed directory itself (RFC 3659 §7.5.1.3).
    Cdir,
    /// Its parent (RFC 3659 §7.5.1.4).
    Pdir,
}

impl RowKind {
    /// Whether it is a directory of some sort.
    #[must_use]
    pub fn is_dir(self) -> bool {
        matches!(self, Self::Dir | Self::Cdir | Self::Pdir)
    }
}

/// When a file was modified, and how well that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modified {
    /// The moment; the parts that are not known are zero.
    pub at: Timestamp,
    /// The finest part that was told.
    pub precision: Precision,
    /// Told in the server's zone, which nobody knows, and read as if it were UTC: may be off by a day.
    pub local: bool,
}

/// The finest part of a time that a listing tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// The day, as `LIST` tells of files older than half a year.
    Day,
    /// The minute, as `LIST` tells of younger ones.
    Minute,
    /// The second, or a part of it.
    Second,
}

impl From<Timestamp> for Modified {
    /// Known exactly, as from a file system or from MLSx.
    fn from(at: Timestamp) -> Self {
        Self { at, precision: Precision::Second, local: false }
    }
}

impl ListRow {
    /// A row of which no more than name and kind are known.
    #[must_use]
    pub fn new(name: impl Into<Vec<u8>>, kind: RowKind) -> Self {
        Self { name: name.into(), kind, ..Self::default() }
    }

    /// The name, if it can only mean an entry of the listed directory; `None` if a hostile server could lead
    /// a client out of its target with it.
    ///
    /// Refused are the empty name, `.`, `..`, whatever has `/`, NUL, CR or LF (a name with a line end cannot be
    /// sent back), and what would be a path where `\` separates: one that begins with `\` or `X:\`, or that
    /// has `..` between backslashes.
    #[must_use]
    pub fn safe_name(&self) -> Option<&[u8]> {
        let name = self.name.as_slice();
        let plain =
            !name.is_empty() && name != b"." && !name.iter().any(|b| matches!(b, b'/' | 0 | b'\r' | b'\n'));
        let rooted = name.first() == Some(&b'\\') || name.get(1..3) == Some(b":\\");
        let climbs = name.split(|&b| b == b'\\').any(|part| part == b"..");
        (plain && !rooted && !climbs).then_some(name)
    }
}
