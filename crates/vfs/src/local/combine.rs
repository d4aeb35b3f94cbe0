//! COMB: several files become one.

use super::claim::lock;
use super::jail::{Jail, facts, kind_of, unique};
use super::{Settings, upload};
use crate::copy;
use crate::{Entry, Kind, Upload, VPath, VfsError, Write};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use std::fs::File;

/// Appends `parts` to `target`, in a hidden copy that then takes its place.
pub(crate) fn combine(
    jail: &Jail,
    settings: Settings,
    target: &VPath,
    parts: &[VPath],
) -> Result<Entry, VfsError> {
    let mut sources = Vec::with_capacity(parts.len() + 1);
    match source(jail, target) {
        Ok(old) => sources.push(old),
        Err(VfsError::NotFound) => {}
        Err(error) => return Err(error),
    }
    for part in parts {
        sources.push(source(jail, part)?);
    }
    let mut files: Vec<_> = sources.iter().map(|source| source.unique).collect();
    files.sort_unstable();
    if files.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(VfsError::BadName);
    }
    let whole = Box::new(upload::begin(jail, settings, target, Write::Replace)?);
    match fill(whole.file(), &sources) {
        Ok(()) => {}
        Err(error) => {
            whole.discard();
            return Err(error);
        }
    }
    let done = whole.commit()?;
    for part in parts {
        // Too late to undo; the doc comment says that a part may stay.
        if let Ok(place) = jail.place(part) {
            let _ = rustix::fs::unlinkat(&place.dir, place.name.as_slice(), AtFlags::empty());
        }
    }
    Ok(done)
}

struct Source {
    file: File,
    size: u64,
    unique: (u64, u64),
}

/// A complete file that nobody is appending to, and nobody will as long as we hold it.
fn source(jail: &Jail, path: &VPath) -> Result<Source, VfsError> {
    let (place, found) = jail.content_place(path)?;
    found.ok_or(VfsError::NotFound)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd: OwnedFd = rustix::fs::openat(&place.dir, place.name.as_slice(), flags, Mode::empty())?;
    if kind_of(&facts(&fd)?) != Kind::File {
        return Err(VfsError::Denied);
    }
    if !lock(&fd, FlockOperation::NonBlockingLockShared)? {
        return Err(VfsError::Busy);
    }
    let facts = facts(&fd)?;
    Ok(Source { size: facts.stx_size, unique: unique(&facts), file: File::from(fd) })
}

fn fill(whole: &File, sources: &[Source]) -> Result<(), VfsError> {
    let mut end = 0;
    for source in sources {
        match end {
            0 => copy::clone_start(&source.file, whole, source.size)?,
            end => copy::append(&source.file, whole, end, source.size)?,
        }
        end += source.size;
    }
    Ok(())
}
