//! [`Entry`]: what is known about one name.

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file: the only kind that is ever sent or stored.
    File,
    /// A folder.
    Dir,
    /// A symbolic link; only in lists, since everything else follows links.
    Symlink,
    /// FIFO, socket or device: listed, may be renamed and deleted, never opened.
    Other,
}

/// Facts about a file or folder, for LIST, MLSD, SIZE and MDTM (RFC 3659 §7.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Last part of the path; `/` for the root.
    pub name: Vec<u8>,
    /// Of the name itself in lists, of what a link leads to elsewhere.
    pub kind: Kind,
    /// Octets.
    pub size: u64,
    /// Last change of content, Unix seconds; may be negative.
    pub modified: i64,
    /// Fraction of `modified`, 0 to 999,999,999.
    pub modified_nanos: u32,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Hard links.
    pub nlink: u64,
    /// Device and inode: equal for two names of one file (`unique` fact, RFC 3659 §7.5.2).
    pub unique: (u64, u64),
    /// Text of a symbolic link; in lists only. It may name something outside the root.
    pub target: Option<Vec<u8>>,
    /// What a symbolic link leads to inside the root; in lists only. `None` for a link that is broken, leads
    /// out, or may not be followed.
    pub resolved: Option<Kind>,
}
