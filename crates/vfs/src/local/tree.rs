//! Removing folders.

use super::claim::{self, Claim, Missing};
use super::jail::{Place, kind_of};
use super::list::RawNames;
use crate::partial::{is_reserved, part_name};
use crate::{Kind, VfsError};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// Folders held open at a time; what lies deeper is moved up first.
const DEPTH: u32 = 48;
/// How often a folder that others keep filling is emptied before we give up.
const PASSES: u32 = 16;

/// Removes an empty folder, and broken uploads in it.
pub(crate) fn remove_dir(place: &Place) -> Result<(), VfsError> {
    match unlink_dir(&place.dir, &place.name) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        done => return Ok(done?),
    }
    let dir = open_dir(&place.dir, &place.name)?;
    // In three rounds, so that a refusal deletes nothing and does not depend on the order of names.
    for step in [Step::Names, Step::Locks, Step::Remove] {
        for name in RawNames::new(open_dir(&dir, b".")?) {
            let name = name?;
            if !is_reserved(&name) {
                return Err(VfsError::NotEmpty);
            }
            if step != Step::Names {
                unlocked(&dir, &name, step)?;
            }
        }
    }
    Ok(unlink_dir(&place.dir, &place.name)?)
}

/// Removes what has no complete file: the partial upload of `place`.
pub(crate) fn remove_partial(place: &Place) -> Result<(), VfsError> {
    match unlocked(&place.dir, &part_name(&place.name, 1), Step::Remove)? {
        true => Ok(()),
        false => Err(VfsError::NotFound),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Names,
    Locks,
    Remove,
}

/// Finds, or removes, a hidden file that no upload holds; `false` if there is none.
fn unlocked(dir: &OwnedFd, part: &[u8], step: Step) -> Result<bool, VfsError> {
    match claim::partial(dir, part, Missing::Leave)? {
        Claim::Held { file, .. } => {
            if step == Step::Remove {
                rustix::fs::unlinkat(dir, part, AtFlags::empty())?;
            }
            drop(file); // not earlier: another upload would find it unlocked
            Ok(true)
        }
        Claim::Locked => Err(VfsError::Busy),
        Claim::Absent => Ok(false),
    }
}

/// Removes a folder and all below it.
pub(crate) fn remove_tree(place: &Place) -> Result<(), VfsError> {
    let top = open_dir(&place.dir, &place.name)?;
    Removal { top: &top, moved: 0 }.empty(&top, 0)?;
    Ok(unlink_dir(&place.dir, &place.name)?)
}

struct Removal<'a> {
    top: &'a OwnedFd,
    moved: u64,
}

impl Removal<'_> {
    fn empty(&mut self, dir: &OwnedFd, depth: u32) -> Result<(), VfsError> {
        let mut passes = 0;
        while passes < PASSES {
            let (mut found, moved) = (false, self.moved);
            for name in RawNames::new(open_dir(dir, b".")?) {
                found = true;
                self.remove(dir, &name?, depth)?;
            }
            if !found {
                return Ok(());
            }
            if moved == self.moved {
                passes += 1; // what was moved up makes a pass, but not a hopeless one
            }
        }
        Err(VfsError::Busy)
    }

    fn remove(&mut self, dir: &OwnedFd, name: &[u8], depth: u32) -> Result<(), VfsError> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            // What Linux file systems say of a folder is EISDIR; POSIX would have EPERM.
            Err(Errno::PERM) if is_dir(dir, name) => {}
            Err(error) => return Err(error.into()),
        }
        if depth >= DEPTH {
            return self.move_up(dir, name);
        }
        let inside = match open_dir(dir, name) {
            Ok(inside) => inside,
            Err(VfsError::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.empty(&inside, depth + 1)?;
        drop(inside);
        match unlink_dir(dir, name) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// To the top of the tree, where a later pass finds it: depth then costs no handles.
    fn move_up(&mut self, dir: &OwnedFd, name: &[u8]) -> Result<(), VfsError> {
        for _ in 0..PASSES {
            self.moved += 1;
            // Visible, so that a removal that fails half-way leaves no riddle.
            let up = format!("being-removed-{}", self.moved);
            match rustix::fs::renameat_with(dir, name, self.top, up, RenameFlags::NOREPLACE) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(VfsError::Busy)
    }
}

/// A folder itself, not what a link leads to, and not one where something else is mounted.
fn open_dir(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, VfsError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve) {
        Ok(fd) => Ok(fd),
        Err(Errno::LOOP) => Err(VfsError::NotADirectory),
        Err(error) => Err(error.into()),
    }
}

fn unlink_dir(dir: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

fn is_dir(dir: &OwnedFd, name: &[u8]) -> bool {
    super::jail::facts_at(dir, name).is_ok_and(|facts| kind_of(&facts) == Kind::Dir)
}
