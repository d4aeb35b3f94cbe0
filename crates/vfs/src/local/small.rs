//! A small file that is here already, stored in as few calls as can be.

use std::fs::File;
use std::io::Write as _;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::jail::kind_of;
use super::{Durability, LocalFs, claim, set_times};
use crate::partial::part_name;
use crate::{Kind, VPath, Vfs, VfsError, Write};

impl LocalFs {
    /// Stores `octets` as the file `path`, with a time of last change in seconds and nanoseconds if there is one: what
    /// [`Vfs::create`], a write, a commit and [`Vfs::set_modified`] do, for content that is complete. The file
    /// appears under its name when all of it is there.
    ///
    /// # Errors
    /// [`VfsError`]; the old file, if there was one, is untouched.
    pub fn store(&self, path: &VPath, octets: &[u8], modified: Option<(i64, u32)>) -> Result<(), VfsError> {
        if self.settings.durability == Durability::None && self.store_fresh(path, octets, modified)? {
            return Ok(());
        }
        let upload = self.create(path, Write::Replace)?;
        upload.file().write_all(octets)?;
        upload.commit()?;
        match modified {
            Some((seconds, nanos)) => self.set_modified(path, seconds, nanos),
            None => Ok(()),
        }
    }

    /// False, with nothing done, where somebody else's hidden file is in the way.
    fn store_fresh(
        &self,
        path: &VPath,
        octets: &[u8],
        modified: Option<(i64, u32)>,
    ) -> Result<bool, VfsError> {
        let (place, old) = self.jail.content_place(path)?;
        let mode = match old.as_ref().map(|old| (kind_of(old), old.stx_mode)) {
            None => self.settings.file_mode(),
            Some((Kind::File, mode)) => u32::from(mode) & 0o777,
            Some((Kind::Dir, _)) => return Err(VfsError::IsADirectory),
            Some(_) => return Err(VfsError::Denied),
        };
        let part = part_name(&place.name, 1);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&place.dir, part.as_slice(), flags, Mode::from_raw_mode(0o600)) {
            Ok(file) => File::from(file),
            Err(Errno::EXIST) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let stored = (|| {
            // Whoever finds the hidden file meanwhile sees that it is somebody's.
            if !claim::lock(&file, FlockOperation::NonBlockingLockExclusive)? {
                return Ok(false);
            }
            (&file).write_all(octets)?;
            match rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)) {
                // It is our own file: the file system has no modes (FAT, some network shares).
                Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some((seconds, nanos)) = modified {
                set_times(&file, seconds, nanos)?;
            }
            rustix::fs::renameat(&place.dir, part.as_slice(), &place.dir, place.name.as_slice())?;
            Ok(true)
        })();
        if stored.is_err() {
            // Nothing in it is worth resuming, and nobody else holds the lock.
            let _ = rustix::fs::unlinkat(&place.dir, part.as_slice(), AtFlags::empty());
        }
        stored
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::LinkPolicy;

    #[test]
    fn a_small_file_is_stored_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let fs = LocalFs::open(folder.path(), LinkPolicy::Forbid).unwrap();
        let path = |name: &str| VPath::resolve(&VPath::root(), name.as_bytes()).unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("d")).unwrap();
        fs.store(&path("d/new"), b"abc", Some((1_000_000_000, 0))).unwrap();
        let facts = std::fs::metadata(at("d/new")).unwrap();
        assert_eq!((facts.mtime(), facts.mode() & 0o777), (1_000_000_000, 0o644));
        std::fs::set_permissions(at("d/new"), std::fs::Permissions::from_mode(0o640)).unwrap();
        fs.store(&path("d/new"), b"other", None).unwrap();
        assert_eq!(std::fs::read(at("d/new")).unwrap(), b"other");
        assert_eq!(
            std::fs::metadata(at("d/new")).unwrap().mode() & 0o777,
            0o640,
            "the old file's mode stays"
        );
        assert!(matches!(fs.store(&path("d"), b"x", None), Err(VfsError::IsADirectory)));
        assert!(matches!(fs.store(&path("gone/x"), b"x", None), Err(VfsError::NotFound)));
        assert_eq!(std::fs::read_dir(at("d")).unwrap().count(), 1, "no hidden file stays behind");
    }

    #[test]
    fn what_a_broken_transfer_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let fs = LocalFs::open(folder.path(), LinkPolicy::Forbid).unwrap();
        let path = VPath::resolve(&VPath::root(), b"f").unwrap();
        let broken = fs.create(&path, Write::Replace).unwrap();
        broken.file().write_all(b"half of it").unwrap();
        broken.keep();
        fs.store(&path, b"all", None).unwrap();
        assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), b"all");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
