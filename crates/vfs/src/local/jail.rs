//! The jail: every path is resolved by the kernel (`openat2`) below one directory handle.
//!
//! No check of path text decides anything here, so there is no gap between check and use. What changes a
//! folder works on a handle of that folder and one plain name.

use crate::partial::is_reserved;
use crate::{Entry, Kind, VPath, VfsError};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;

/// Whether symbolic links work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkPolicy {
    /// Links are followed as if the root were the root of the machine: absolute ones start there and `..`
    /// stops there. The default.
    #[default]
    InRoot,
    /// No link is followed or made; what lies behind one is [`VfsError::Denied`].
    Forbid,
}

/// How often a lookup is tried again after the kernel found that a rename elsewhere might have fooled it.
const LOOKUPS: u32 = 64;
/// Links followed by hand for one upload; the kernel's own limit for one lookup.
const LINKS: u32 = 40;

#[derive(Debug)]
pub(crate) struct Jail {
    root: OwnedFd,
    links: LinkPolicy,
}

/// A name in a folder that is held open.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dir: OwnedFd,
    pub(crate) name: Vec<u8>,
}

impl Jail {
    pub(crate) fn new(root: OwnedFd, links: LinkPolicy) -> Self {
        Self { root, links }
    }

    pub(crate) fn links(&self) -> LinkPolicy {
        self.links
    }

    /// Opens what `path` leads to.
    pub(crate) fn open(&self, path: &VPath, flags: OFlags) -> Result<OwnedFd, VfsError> {
        refuse_reserved(path)?;
        self.open_below(path.as_bytes(), flags)
    }

    /// A handle that can be asked and passed on but neither read nor written.
    pub(crate) fn handle(&self, path: &VPath) -> Result<OwnedFd, VfsError> {
        self.open(path, OFlags::PATH)
    }

    /// The folder that holds `path`, and its last part. `Denied` for the root, which nothing holds.
    pub(crate) fn place(&self, path: &VPath) -> Result<Place, VfsError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(VfsError::Denied);
        };
        refuse_reserved(path)?;
        let dir = self.open_below(parent.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Place { dir, name: name.to_vec() })
    }

    /// Where content of `path` lives: its place, or the place that a link at its end leads to, with what is
    /// known about the file there, if there is one. Only a regular file, or a free name, is an answer.
    ///
    /// The kernel resolves every folder on the way again below the root, so that a link that is swapped
    /// meanwhile leads to another place inside, never outside.
    pub(crate) fn content_place(&self, path: &VPath) -> Result<(Place, Option<Statx>), VfsError> {
        let mut place = self.place(path).map_err(|error| match path.is_root() {
            true => VfsError::IsADirectory,
            false => error,
        })?;
        let mut folder = path.parent().unwrap_or_else(VPath::root).as_bytes().to_vec();
        for followed in 0..=LINKS {
            let facts = match facts_at(&place.dir, &place.name) {
                Ok(facts) => facts,
                Err(Errno::NOENT) if followed == 0 => return Ok((place, None)),
                Err(Errno::NOENT) => break,
                Err(error) => return Err(error.into()),
            };
            match kind_of(&facts) {
                Kind::File => return Ok((place, Some(facts))),
                Kind::Dir => return Err(VfsError::IsADirectory),
                Kind::Other => return Err(VfsError::Denied),
                Kind::Symlink if self.links == LinkPolicy::Forbid => return Err(VfsError::Denied),
                Kind::Symlink => {}
            }
            let target = match rustix::fs::readlinkat(&place.dir, place.name.as_slice(), Vec::new()) {
                Ok(target) => target.into_bytes(),
                Err(Errno::INVAL) => continue, // no longer a link: look again
                Err(error) => return Err(error.into()),
            };
            let whole = match target.first() {
                Some(b'/') => target,
                _ => [folder.as_slice(), b"/", target.as_slice()].concat(),
            };
            let slash = whole.iter().rposition(|&b| b == b'/').unwrap_or(0);
            let (dir, name) = whole.split_at_checked(slash).unwrap_or_default();
            let name = name.get(1..).unwrap_or_default();
            match name {
                b"" | b"." | b".." => return Err(VfsError::IsADirectory),
                name if is_reserved(name) => break,
                name => place.name = name.to_vec(),
            }
            folder = dir.to_vec();
            place.dir = match self.open_below(&folder, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(dir) => dir,
                Err(VfsError::NotFound | VfsError::NotADirectory) => break,
                Err(error) => return Err(error),
            };
        }
        Err(VfsError::Denied)
    }

    /// `path` is absolute or empty; the kernel takes it as relative to the root handle.
    pub(crate) fn open_below(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, VfsError> {
        let start = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
        let below = path.get(start..).filter(|rest| !rest.is_empty()).unwrap_or(b".");
        let resolve = match self.links {
            LinkPolicy::InRoot => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            LinkPolicy::Forbid => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        };
        for _ in 0..LOOKUPS {
            match rustix::fs::openat2(&self.root, below, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Ok(fd) => return Ok(fd),
                Err(Errno::INTR) => {}
                // A rename anywhere on the machine while `..` of a link was resolved; or a lease being broken.
                Err(Errno::AGAIN) => std::thread::yield_now(),
                Err(Errno::XDEV) => return Err(VfsError::Denied),
                Err(error) => return Err(error.into()),
            }
        }
        Err(VfsError::Busy)
    }
}

fn refuse_reserved(path: &VPath) -> Result<(), VfsError> {
    match path.parts().any(is_reserved) {
        true => Err(VfsError::BadName),
        false => Ok(()),
    }
}

/// Facts about what a handle stands for.
pub(crate) fn facts(fd: impl AsFd) -> Result<Statx, Errno> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS)
}

/// Facts about a name in a folder, a link itself included.
pub(crate) fn facts_at(dir: impl AsFd, name: &[u8]) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS)
}

/// Whether both are the same file.
pub(crate) fn same_file(a: &Statx, b: &Statx) -> bool {
    unique(a) == unique(b)
}

pub(crate) fn unique(facts: &Statx) -> (u64, u64) {
    (rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor), facts.stx_ino)
}

pub(crate) fn kind_of(facts: &Statx) -> Kind {
    match FileType::from_raw_mode(facts.stx_mode.into()) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

pub(crate) fn entry(name: &[u8], facts: &Statx) -> Entry {
    Entry {
        name: name.to_vec(),
        kind: kind_of(facts),
        size: facts.stx_size,
        modified: facts.stx_mtime.tv_sec,
        modified_nanos: facts.stx_mtime.tv_nsec,
        mode: u32::from(facts.stx_mode) & 0o7777,
        uid: facts.stx_uid,
        gid: facts.stx_gid,
        nlink: facts.stx_nlink.into(),
        unique: unique(facts),
        target: None,
        resolved: None,
    }
}

/// The last part of `path` as [`Entry::name`] gives it.
pub(crate) fn entry_name(path: &VPath) -> &[u8] {
    path.file_name().unwrap_or(b"/")
}
