//! Folders read piece by piece.

use super::jail::{Jail, entry, facts, facts_at, kind_of};
use crate::partial::is_reserved;
use crate::{Entry, Kind, VPath, VfsError};
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, RawDir};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Octets asked of the kernel at a time: some hundred names, and all that a listing holds in memory.
const PIECE: usize = 32 * 1024;

/// Names in a folder without `.` and `..`, hidden ones included.
pub(crate) struct RawNames {
    dir: OwnedFd,
    buf: Box<[MaybeUninit<u8>]>,
    ready: VecDeque<Vec<u8>>,
    ended: bool,
}

impl RawNames {
    /// `dir` must be open for reading and at its start.
    pub(crate) fn new(dir: OwnedFd) -> Self {
        Self { dir, buf: vec![MaybeUninit::uninit(); PIECE].into(), ready: VecDeque::new(), ended: false }
    }

    pub(crate) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Fetches one piece; all of it, since the kernel hands it out only once.
    fn refill(&mut self) -> Result<(), Errno> {
        let mut piece = RawDir::new(&self.dir, &mut self.buf);
        loop {
            let Some(next) = piece.next() else {
                self.ended = true;
                return Ok(());
            };
            let name = next?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") {
                self.ready.push_back(name);
            }
            if piece.is_buffer_empty() {
                // As `ls` and other servers show folders, as long as they fit into one piece.
                self.ready.make_contiguous().sort_unstable();
                return Ok(());
            }
        }
    }
}

impl Iterator for RawNames {
    type Item = Result<Vec<u8>, VfsError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(name) = self.ready.pop_front() {
                return Some(Ok(name));
            }
            if self.ended {
                return None;
            }
            match self.refill() {
                Ok(()) | Err(Errno::INTR) => {}
                // The folder itself was removed: nothing is left in it.
                Err(Errno::NOENT) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            }
        }
    }
}

/// Names that clients may see.
pub(crate) fn names(jail: &Jail, path: &VPath) -> Result<RawNames, VfsError> {
    Ok(RawNames::new(jail.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?))
}

/// Whether a client may see this item; errors it must see.
pub(crate) fn visible(item: &Result<Vec<u8>, VfsError>) -> bool {
    !matches!(item, Ok(name) if is_reserved(name))
}

/// Entries that clients may see.
pub(crate) struct Entries {
    names: RawNames,
    jail: Arc<Jail>,
    folder: Vec<u8>,
}

impl Entries {
    pub(crate) fn new(jail: &Arc<Jail>, path: &VPath) -> Result<Self, VfsError> {
        Ok(Self { names: names(jail, path)?, jail: Arc::clone(jail), folder: path.as_bytes().to_vec() })
    }

    fn look_up(&self, name: &[u8]) -> Result<Entry, Errno> {
        let facts = facts_at(self.names.dir(), name)?;
        let mut found = entry(name, &facts);
        if found.kind == Kind::Symlink {
            let target = rustix::fs::readlinkat(self.names.dir(), name, Vec::new())?;
            found.target = Some(target.into_bytes());
            found.resolved = self.resolved(name);
        }
        Ok(found)
    }

    fn resolved(&self, name: &[u8]) -> Option<Kind> {
        let path = [self.folder.as_slice(), b"/", name].concat();
        let handle = self.jail.open_below(&path, OFlags::PATH).ok()?;
        facts(handle).ok().map(|facts| kind_of(&facts))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, VfsError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let name = match self.names.next()? {
                Ok(name) if is_reserved(&name) => continue,
                Ok(name) => name,
                Err(error) => return Some(Err(error)),
            };
            match self.look_up(&name) {
                Ok(entry) => return Some(Ok(entry)),
                // Gone since its name was read, or a link a moment ago and no link now.
                Err(Errno::NOENT | Errno::INVAL) => {}
                Err(error) => {
                    self.names.end();
                    return Some(Err(error.into()));
                }
            }
        }
    }
}

impl RawNames {
    fn end(&mut self) {
        self.ended = true;
        self.ready.clear();
    }
}
