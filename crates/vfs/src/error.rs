//! [`VfsError`]: why storage refused, in words that name no path.

use rustix::io::Errno;
use std::io;

/// Why an operation failed. The text gives the reason only; the caller knows the name.
///
/// First what the client can mend, then what the operator decided or can mend. 550-class replies are for good,
/// 45x invite a retry (RFC 959 §4.2): [`Busy`](Self::Busy), [`Full`](Self::Full) and [`Io`](Self::Io) may pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VfsError {
    /// Nothing of that name, or a folder on the way is missing.
    #[error("no such file or directory")]
    NotFound,
    /// The name is taken.
    #[error("already exists")]
    Exists,
    /// A folder was needed, here or on the way.
    #[error("not a directory")]
    NotADirectory,
    /// A file was needed.
    #[error("is a directory")]
    IsADirectory,
    /// The folder holds something.
    #[error("directory not empty")]
    NotEmpty,
    /// The name cannot be used here: reserved, or not possible in this storage.
    #[error("name not allowed")]
    BadName,
    /// Longer than storage takes; for local files 255 octets for a name, 4095 for a path.
    #[error("name too long")]
    NameTooLong,
    /// Restart offset beyond what is stored (RFC 3659 §5: answer 554).
    #[error("restart offset beyond the end of what is stored")]
    BadOffset,
    /// A time that this storage cannot hold; the old one stays.
    #[error("time outside the range of this storage")]
    BadTime,
    /// Rights forbid it, or it is neither file nor folder, or a link leads nowhere or out.
    #[error("permission denied")]
    Denied,
    /// Nothing can be changed here.
    #[error("read-only storage")]
    ReadOnly,
    /// Another transfer holds the file; a retry may succeed.
    #[error("in use by another transfer")]
    Busy,
    /// Source and target lie on different file systems.
    #[error("crosses file systems")]
    CrossDevice,
    /// No room left.
    #[error("no space left")]
    Full,
    /// The user's share is used up.
    #[error("quota exceeded")]
    Quota,
    /// This storage cannot do that.
    #[error("not supported by this storage")]
    Unsupported,
    /// Anything else the system said.
    #[error("storage failure: {0}")]
    Io(#[source] io::Error),
}

impl From<Errno> for VfsError {
    /// The one place where error numbers get a meaning.
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::EXIST => Self::Exists,
            Errno::NOTDIR => Self::NotADirectory,
            Errno::ISDIR => Self::IsADirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            // EINVAL: a folder moved into itself, or a character the file system cannot store.
            Errno::INVAL | Errno::ILSEQ => Self::BadName,
            Errno::NAMETOOLONG => Self::NameTooLong,
            // ELOOP: a link where none may be, or a chain without end. ENXIO, ENODEV: FIFO, socket, device.
            Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NXIO | Errno::NODEV => Self::Denied,
            Errno::ROFS => Self::ReadOnly,
            Errno::BUSY | Errno::TXTBSY | Errno::AGAIN => Self::Busy,
            Errno::XDEV => Self::CrossDevice,
            Errno::NOSPC | Errno::FBIG => Self::Full,
            Errno::DQUOT => Self::Quota,
            Errno::NOSYS | Errno::OPNOTSUPP => Self::Unsupported,
            other => Self::Io(other.into()),
        }
    }
}

impl From<io::Error> for VfsError {
    /// For errors met while the caller itself reads or writes a file it got from here.
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => Self::from(errno),
            None => Self::Io(error),
        }
    }
}
