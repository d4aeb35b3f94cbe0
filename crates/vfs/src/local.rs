//! [`LocalFs`]: a folder of this machine.

mod claim;
mod combine;
mod jail;
mod list;
mod small;
mod tree;
mod upload;

pub use jail::LinkPolicy;

use crate::handle;
use crate::partial::{is_reserved, part_name};
use crate::{Entry, Kind, Listing, Names, Upload, VPath, Vfs, VfsError, Write};
use jail::{Jail, entry, entry_name, facts, facts_at, kind_of};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RawMode, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A folder of this machine and all below it, jailed by the kernel.
///
/// A clone shares the folder's handle. The handle follows the folder when somebody renames it.
#[derive(Clone, Debug)]
pub struct LocalFs {
    jail: Arc<Jail>,
    settings: Settings,
}

/// How sure a completed upload is to outlive a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The kernel writes when it likes. After a power cut a file that was answered 226 may be missing, old, or,
    /// on some file systems, empty. The default: it costs nothing.
    #[default]
    None,
    /// Data is on disk before the file gets its name, and the name before the client gets its answer. Costs a
    /// disk flush or two per upload.
    Data,
}

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// The folder is missing, is no folder, or may not be entered.
    #[error("cannot open the folder: {0}")]
    Folder(#[source] VfsError),
    /// Without that call nothing keeps links from leading out, so nothing is served.
    #[error("the kernel lacks openat2, which the jail needs (Linux 5.6 or newer; a container may hide it)")]
    NoOpenat2,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    durability: Durability,
    umask: u32,
}

impl Settings {
    fn file_mode(self) -> u32 {
        0o666 & !self.umask
    }
}

impl LocalFs {
    /// Serves `dir`, which is opened once, here.
    ///
    /// # Errors
    /// [`RootError`]; nothing was changed.
    pub fn open(dir: impl AsRef<Path>, links: LinkPolicy) -> Result<Self, RootError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir.as_ref(), flags, Mode::empty())
            .map_err(|error| RootError::Folder(error.into()))?;
        match rustix::fs::openat2(&root, c".", flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(_) => {}
            // Filters of older container programs answer EPERM to calls they do not know.
            Err(Errno::NOSYS | Errno::PERM) => return Err(RootError::NoOpenat2),
            Err(error) => return Err(RootError::Folder(error.into())),
        }
        let settings = Settings { durability: Durability::default(), umask: 0o022 };
        Ok(Self { jail: Arc::new(Jail::new(root, links)), settings })
    }

    /// Sets whether completed uploads are flushed to disk. Default [`Durability::None`].
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { settings: Settings { durability, ..self.settings }, ..self }
    }

    /// Sets the bits that new files (`0o666`) and folders (`0o777`) lose. Default `0o022`. For folders the
    /// umask of the process applies, too.
    #[must_use]
    pub fn umask(self, umask: u32) -> Self {
        Self { settings: Settings { umask: umask & 0o777, ..self.settings }, ..self }
    }

    /// A handle and facts of a file or folder, which are all that may be changed.
    fn changeable(&self, path: &VPath) -> Result<(OwnedFd, Entry), VfsError> {
        let handle = self.jail.handle(path)?;
        let found = entry(entry_name(path), &facts(&handle)?);
        match found.kind {
            Kind::File | Kind::Dir => Ok((handle, found)),
            Kind::Symlink | Kind::Other => Err(VfsError::Denied),
        }
    }
}

impl Vfs for LocalFs {
    fn stat(&self, path: &VPath) -> Result<Entry, VfsError> {
        Ok(entry(entry_name(path), &facts(self.jail.handle(path)?)?))
    }

    fn link(&self, path: &VPath) -> Result<Entry, VfsError> {
        let place = self.jail.place(path)?;
        let facts = facts_at(&place.dir, &place.name)?;
        if kind_of(&facts) != Kind::Symlink {
            return Err(VfsError::NotFound);
        }
        let target = rustix::fs::readlinkat(&place.dir, place.name.as_slice(), Vec::new())?;
        Ok(Entry { target: Some(target.into_bytes()), ..entry(entry_name(path), &facts) })
    }

    fn partial(&self, path: &VPath) -> Option<Entry> {
        let (place, _) = self.jail.content_place(path).ok()?;
        let facts = facts_at(&place.dir, &part_name(&place.name, 1)).ok()?;
        (kind_of(&facts) == Kind::File).then(|| entry(entry_name(path), &facts))
    }

    fn list(&self, path: &VPath) -> Result<Box<dyn Listing>, VfsError> {
        Ok(Box::new(list::Entries::new(&self.jail, path)?))
    }

    fn names(&self, path: &VPath) -> Result<Box<dyn Names>, VfsError> {
        Ok(Box::new(list::names(&self.jail, path)?.filter(list::visible)))
    }

    fn open(&self, path: &VPath) -> Result<(File, Entry), VfsError> {
        // Looked at before it is opened, since opening a device can have effects; and again after, since it
        // may have been swapped.
        refuse_unreadable(facts(self.jail.handle(path)?).map(|facts| kind_of(&facts))?)?;
        let fd = self.jail.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let facts = facts(&fd)?;
        refuse_unreadable(kind_of(&facts))?;
        rustix::fs::fcntl_setfl(&fd, OFlags::empty())?;
        Ok((File::from(fd), entry(entry_name(path), &facts)))
    }

    fn create(&self, path: &VPath, how: Write) -> Result<Box<dyn Upload>, VfsError> {
        Ok(Box::new(upload::begin(&self.jail, self.settings, path, how)?))
    }

    fn make_dir(&self, path: &VPath) -> Result<(), VfsError> {
        if path.is_root() {
            return Err(VfsError::Exists);
        }
        let place = self.jail.place(path)?;
        Ok(rustix::fs::mkdirat(&place.dir, place.name.as_slice(), mode(0o777 & !self.settings.umask))?)
    }

    fn remove_dir(&self, path: &VPath) -> Result<(), VfsError> {
        tree::remove_dir(&self.jail.place(path)?)
    }

    fn remove_file(&self, path: &VPath) -> Result<(), VfsError> {
        let place = self.jail.place(path)?;
        match rustix::fs::unlinkat(&place.dir, place.name.as_slice(), AtFlags::empty()) {
            Err(Errno::NOENT) => tree::remove_partial(&place),
            done => Ok(done?),
        }
    }

    fn remove_tree(&self, path: &VPath) -> Result<(), VfsError> {
        tree::remove_tree(&self.jail.place(path)?)
    }

    fn rename(&self, from: &VPath, to: &VPath) -> Result<(), VfsError> {
        let (old, new) = (self.jail.place(from)?, self.jail.place(to)?);
        match rustix::fs::renameat(&old.dir, old.name.as_slice(), &new.dir, new.name.as_slice()) {
            Err(Errno::EXIST) => Err(VfsError::NotEmpty), // what some file systems say of a full folder
            done => Ok(done?),
        }
    }

    fn set_modified(&self, path: &VPath, seconds: i64, nanos: u32) -> Result<(), VfsError> {
        if nanos > 999_999_999 {
            return Err(VfsError::BadTime);
        }
        let (handle, old) = self.changeable(path)?;
        set_times(&handle, seconds, nanos)?;
        // The kernel clamps silently to what the file system can hold; FAT counts in steps of two seconds.
        if facts(&handle)?.stx_mtime.tv_sec.abs_diff(seconds) > 2 {
            set_times(&handle, old.modified, old.modified_nanos)?;
            return Err(VfsError::BadTime);
        }
        Ok(())
    }

    fn set_mode(&self, path: &VPath, bits: u32) -> Result<(), VfsError> {
        if bits > 0o777 {
            return Err(VfsError::Denied);
        }
        let (handle, old) = self.changeable(path)?;
        let kept = if old.kind == Kind::Dir { old.mode & 0o3000 } else { 0 };
        handle::set_mode(handle.as_fd(), mode(kept | bits))
    }

    fn symlink(&self, target: &[u8], link: &VPath) -> Result<(), VfsError> {
        if target.is_empty() || target.contains(&0) || target.split(|&b| b == b'/').any(is_reserved) {
            return Err(VfsError::BadName);
        }
        if self.jail.links() == LinkPolicy::Forbid {
            return Err(VfsError::Denied);
        }
        let place = self.jail.place(link)?;
        Ok(rustix::fs::symlinkat(target, &place.dir, place.name.as_slice())?)
    }

    fn space(&self, path: &VPath) -> Result<u64, VfsError> {
        let room = rustix::fs::fstatvfs(self.jail.handle(path)?)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn combine(&self, target: &VPath, parts: &[VPath]) -> Result<Entry, VfsError> {
        combine::combine(&self.jail, self.settings, target, parts)
    }

    fn below(&self, path: &VPath) -> Result<Arc<dyn Vfs>, VfsError> {
        let root = self.jail.open(path, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Arc::new(Self { jail: Arc::new(Jail::new(root, self.jail.links())), settings: self.settings }))
    }
}

fn refuse_unreadable(kind: Kind) -> Result<(), VfsError> {
    match kind {
        Kind::File => Ok(()),
        Kind::Dir => Err(VfsError::IsADirectory),
        Kind::Symlink | Kind::Other => Err(VfsError::Denied),
    }
}

fn set_times(handle: impl AsFd, seconds: i64, nanos: u32) -> Result<(), Errno> {
    let keep = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let times = Timestamps {
        last_access: keep,
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos.into() },
    };
    rustix::fs::utimensat(handle, c"", &times, AtFlags::EMPTY_PATH)
}

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as RawMode)
}
