//! Uploads: hidden, then complete in one step.

use super::claim::{self, Claim, Missing};
use super::jail::{Jail, Place, entry, entry_name, facts, facts_at, kind_of};
use super::{Durability, Settings};
use crate::copy;
use crate::partial::{MAX_AT_ONCE, part_name};
use crate::{Entry, Kind, Upload, VPath, VfsError, Write};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, SeekFrom};
use rustix::io::Errno;
use std::fs::File;

/// An upload under way in a local folder.
pub(crate) struct LocalUpload {
    file: File,
    start: u64,
    place: Place,
    stage: Stage,
    /// As the client wrote it; differs from the place's name behind a link.
    name: Vec<u8>,
    settings: Settings,
    /// Of a new file; `None` leaves it to the settings.
    mode: Option<u32>,
}

enum Stage {
    /// In a hidden file.
    Hidden { part: Vec<u8>, number: u32, fresh: bool, new: bool },
    /// At the end of the complete file.
    InPlace,
    /// Nothing left to do when dropped.
    Over,
}

/// Begins an upload to `path`.
pub(crate) fn begin(
    jail: &Jail,
    settings: Settings,
    path: &VPath,
    how: Write,
) -> Result<LocalUpload, VfsError> {
    if how == Write::New && jail.place(path).is_ok_and(|place| facts_at(&place.dir, &place.name).is_ok()) {
        return Err(VfsError::Exists); // whatever kind it is
    }
    let (place, old) = jail.content_place(path)?;
    let name = entry_name(path).to_vec();
    let start = Start { place, name, settings };
    match how {
        Write::Replace | Write::At(0) => start.fresh(),
        Write::New => start.on_free_name(),
        Write::Append if old.is_some() => start.in_place(None),
        Write::Append => start.resume_at_end(),
        Write::At(offset) => start.resume_at(offset, old.map_or(0, |old| old.stx_size)),
    }
}

struct Start {
    place: Place,
    name: Vec<u8>,
    settings: Settings,
}

impl Start {
    /// A hidden file of length 0: the left-over of a broken upload, or else the first free number.
    fn fresh(self) -> Result<LocalUpload, VfsError> {
        for number in 1..=MAX_AT_ONCE {
            let part = part_name(&self.place.name, number);
            match claim::partial(&self.place.dir, &part, Missing::Make)? {
                Claim::Held { file, .. } => {
                    let upload = self.hidden(file, part, number, true, false);
                    rustix::fs::ftruncate(&upload.file, 0)?;
                    return Ok(upload);
                }
                Claim::Locked | Claim::Absent => {}
            }
        }
        Err(VfsError::Busy)
    }

    /// A name that is being uploaded, or waits to be resumed, is taken.
    fn on_free_name(self) -> Result<LocalUpload, VfsError> {
        let part = part_name(&self.place.name, 1);
        match claim::partial(&self.place.dir, &part, Missing::Make)? {
            // An empty one holds nothing of anybody: left by a crash, or made a moment ago by someone whom we
            // beat to the lock, and who is told that the name is taken.
            Claim::Held { file, size: 0, .. } => Ok(self.hidden(file, part, 1, true, true)),
            _ => Err(VfsError::Exists),
        }
    }

    fn resume_at_end(self) -> Result<LocalUpload, VfsError> {
        let part = part_name(&self.place.name, 1);
        match claim::partial(&self.place.dir, &part, Missing::Make)? {
            Claim::Held { file, size, fresh } => {
                let mut upload = self.hidden(file, part, 1, fresh, false);
                upload.start_at(size)?;
                Ok(upload)
            }
            Claim::Locked | Claim::Absent => Err(VfsError::Busy),
        }
    }

    fn resume_at(self, offset: u64, complete: u64) -> Result<LocalUpload, VfsError> {
        let part = part_name(&self.place.name, 1);
        let locked = match claim::partial(&self.place.dir, &part, Missing::Leave)? {
            Claim::Held { file, size, .. } if size >= offset => {
                rustix::fs::ftruncate(&file, offset)?;
                let mut upload = self.hidden(file, part, 1, false, false);
                upload.start_at(offset)?;
                return Ok(upload);
            }
            Claim::Locked => true,
            Claim::Held { .. } | Claim::Absent => false, // closed here, and so free for a copy
        };
        match complete {
            size if size == offset => self.in_place(Some(offset)),
            size if size > offset => self.copy_of_start(offset),
            _ if locked => Err(VfsError::Busy),
            _ => Err(VfsError::BadOffset),
        }
    }

    /// The first `offset` octets of the complete file, in a hidden one; readers keep the old file until commit.
    fn copy_of_start(self, offset: u64) -> Result<LocalUpload, VfsError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let name = self.place.name.as_slice();
        let old = File::from(rustix::fs::openat(&self.place.dir, name, flags, Mode::empty())?);
        if kind_of(&facts(&old)?) != Kind::File {
            return Err(VfsError::Denied);
        }
        let mut upload = self.fresh()?;
        match copy::clone_start(&old, &upload.file, offset).and_then(|()| upload.start_at(offset)) {
            Ok(()) => Ok(upload),
            Err(error) => {
                Box::new(upload).discard();
                Err(error)
            }
        }
    }

    /// `expected` is the size that the client's offset was checked against.
    fn in_place(self, expected: Option<u64>) -> Result<LocalUpload, VfsError> {
        match claim::complete(&self.place)? {
            Claim::Held { size, .. } if expected.is_some_and(|expected| expected != size) => {
                Err(VfsError::Busy)
            }
            Claim::Held { file, size, .. } => {
                let Self { place, name, settings } = self;
                let mut upload =
                    LocalUpload { file, start: 0, place, stage: Stage::InPlace, name, settings, mode: None };
                upload.start_at(size)?;
                Ok(upload)
            }
            Claim::Locked | Claim::Absent => Err(VfsError::Busy),
        }
    }

    fn hidden(self, file: File, part: Vec<u8>, number: u32, fresh: bool, new: bool) -> LocalUpload {
        let Self { place, name, settings } = self;
        let stage = Stage::Hidden { part, number, fresh, new };
        LocalUpload { file, start: 0, place, stage, name, settings, mode: None }
    }
}

impl LocalUpload {
    fn start_at(&mut self, offset: u64) -> Result<(), VfsError> {
        rustix::fs::seek(&self.file, SeekFrom::Start(offset))?;
        self.start = offset;
        Ok(())
    }

    fn finish(&mut self) -> Result<Entry, VfsError> {
        if self.settings.durability == Durability::Data {
            rustix::fs::fdatasync(&self.file)?;
        }
        if let Stage::Hidden { part, new, .. } = &self.stage {
            let (part, new) = (part.clone(), *new);
            self.publish(&part, new)?;
        }
        self.stage = Stage::Over;
        if self.settings.durability == Durability::Data {
            // Not before this is the name on disk, too.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::fsync(rustix::fs::openat(&self.place.dir, c".", flags, Mode::empty())?)?;
        }
        Ok(entry(&self.name, &facts(&self.file)?))
    }

    /// Gives the hidden file its name.
    fn publish(&mut self, part: &[u8], new: bool) -> Result<(), VfsError> {
        let Place { dir, name } = &self.place;
        // Whoever cleaned up behind our back may have made room for another upload under the same hidden name.
        if !claim::still_at(dir, part, &self.file)? {
            return Err(VfsError::NotFound);
        }
        let new_mode = self.mode.unwrap_or_else(|| self.settings.file_mode());
        let mode = match facts_at(dir, name).map(|old| (kind_of(&old), old.stx_mode)) {
            _ if new => new_mode,
            Ok((Kind::File, mode)) => u32::from(mode) & 0o777,
            Ok((Kind::Dir, _)) => return Err(VfsError::IsADirectory),
            Ok((Kind::Other, _)) => return Err(VfsError::Denied),
            Ok((Kind::Symlink, _)) | Err(_) => new_mode,
        };
        match rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode)) {
            // It is our own file: the file system has no modes (FAT, some network shares).
            Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        match new {
            false => rustix::fs::renameat(dir, part, dir, name.as_slice())?,
            true => rename_new(dir, part, name)?,
        }
        Ok(())
    }

    /// Deletes the hidden file, if there is one and it is still ours; then the lock may go.
    fn remove_hidden(&mut self) {
        if let Stage::Hidden { part, .. } = &self.stage
            && claim::still_at(&self.place.dir, part, &self.file).unwrap_or(false)
        {
            // Nobody to tell: what stays behind is found unlocked and used again by the next upload.
            let _ = rustix::fs::unlinkat(&self.place.dir, part.as_slice(), AtFlags::empty());
        }
        self.stage = Stage::Over;
    }
}

/// Renames only onto a free name.
fn rename_new(dir: &OwnedFd, part: &[u8], name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::renameat_with(dir, part, dir, name, RenameFlags::NOREPLACE) {
        // Some network file systems lack the flag; a link never replaces anything either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(dir, part, dir, name, AtFlags::empty())?;
            rustix::fs::unlinkat(dir, part, AtFlags::empty())
        }
        done => done,
    }
}

impl Upload for LocalUpload {
    fn file(&self) -> &File {
        &self.file
    }

    fn start(&self) -> u64 {
        self.start
    }

    fn set_new_mode(&mut self, mode: u32) {
        self.mode = Some(mode);
    }

    fn commit(mut self: Box<Self>) -> Result<Entry, VfsError> {
        let result = self.finish();
        if matches!((&result, &self.stage), (Err(VfsError::Exists), Stage::Hidden { new: true, .. })) {
            self.remove_hidden(); // a name somebody else has taken: nothing could continue it
        }
        result
    }

    fn keep(self: Box<Self>) {}

    fn discard(mut self: Box<Self>) {
        self.remove_hidden();
    }
}

impl Drop for LocalUpload {
    /// Keeps what can be resumed.
    fn drop(&mut self) {
        let Stage::Hidden { number, fresh, .. } = &self.stage else { return };
        let size = facts(&self.file).map_or(0, |facts| facts.stx_size);
        if *number > 1 || size == 0 || (*fresh && size <= self.start) {
            self.remove_hidden();
        }
    }
}
