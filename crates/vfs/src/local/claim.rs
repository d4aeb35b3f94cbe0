//! Who holds a file: exclusive locks (`flock`) that die with the process.

use super::jail::{Place, facts, facts_at, kind_of, same_file};
use crate::{Kind, VfsError};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;

/// Outcome of asking for a file.
pub(crate) enum Claim {
    /// Ours until the file is closed; `fresh` if this call made it.
    Held { file: File, size: u64, fresh: bool },
    /// Another transfer holds it.
    Locked,
    /// There is none, and none was to be made.
    Absent,
}

/// What to do if the file is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Leave,
}

/// How often the file behind a name may change while we ask for it.
const ATTEMPTS: u32 = 32;

/// Claims the hidden partial `name` in `dir`, for reading and writing.
pub(crate) fn partial(dir: &OwnedFd, name: &[u8], missing: Missing) -> Result<Claim, VfsError> {
    for _ in 0..ATTEMPTS {
        let (fd, fresh) = match open(dir, name, OFlags::RDWR, Mode::empty()) {
            Ok(fd) => (fd, false),
            Err(Errno::NOENT) if missing == Missing::Leave => return Ok(Claim::Absent),
            // Nobody but us reads it before it is complete.
            Err(Errno::NOENT) => {
                match open(dir, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR) {
                    Ok(fd) => (fd, true),
                    Err(Errno::EXIST) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let now = facts(&fd)?;
        // A hard link elsewhere would let a resumed upload overwrite a file that is none of ours.
        if kind_of(&now) != Kind::File || now.stx_nlink > 1 {
            return Err(VfsError::Denied);
        }
        if !lock(&fd, FlockOperation::NonBlockingLockExclusive)? {
            return Ok(Claim::Locked);
        }
        // The one who held it before us may just have given it its final name, or deleted it.
        if still_at(dir, name, &fd)? {
            return held(fd, fresh);
        }
    }
    Err(VfsError::Busy)
}

/// Claims a complete file to write at its end.
pub(crate) fn complete(place: &Place) -> Result<Claim, VfsError> {
    for _ in 0..ATTEMPTS {
        let fd = match open(&place.dir, &place.name, OFlags::WRONLY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Claim::Absent),
            Err(error) => return Err(error.into()),
        };
        if kind_of(&facts(&fd)?) != Kind::File {
            return Err(VfsError::Denied);
        }
        if !lock(&fd, FlockOperation::NonBlockingLockExclusive)? {
            return Ok(Claim::Locked);
        }
        if still_at(&place.dir, &place.name, &fd)? {
            return held(fd, false);
        }
    }
    Err(VfsError::Busy)
}

fn held(fd: OwnedFd, fresh: bool) -> Result<Claim, VfsError> {
    rustix::fs::fcntl_setfl(&fd, OFlags::empty())?; // the lock is ours: from here on waiting is right
    Ok(Claim::Held { size: facts(&fd)?.stx_size, file: File::from(fd), fresh })
}

/// Takes a lock that goes when the file is closed; `false` if somebody else's lock is in the way.
pub(crate) fn lock(fd: impl AsFd, operation: FlockOperation) -> Result<bool, VfsError> {
    match rustix::fs::flock(fd, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether `name` is still the file that `fd` is.
pub(crate) fn still_at(dir: &OwnedFd, name: &[u8], fd: impl AsFd) -> Result<bool, VfsError> {
    match facts_at(dir, name) {
        Ok(there) => Ok(same_file(&there, &facts(fd)?)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Not through links; and without waiting, should it be a FIFO.
fn open(dir: &OwnedFd, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let guard = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags | guard, mode)
}
