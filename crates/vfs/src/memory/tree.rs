//! The tree of nodes, and paths through it.

use crate::partial::{NAME_MAX, is_reserved};
use crate::{Entry, Kind, VPath, VfsError};
use rustix::fs::{MemfdFlags, Mode};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Number of a node; never used twice.
pub(super) type Id = u64;

/// Links followed for one path, as in the Linux kernel.
const LINKS: u32 = 40;

pub(super) struct Tree {
    nodes: BTreeMap<Id, Node>,
    next: Id,
}

pub(super) struct Node {
    pub(super) content: Content,
    pub(super) mode: u32,
    /// Of folders and links; a file knows its own.
    pub(super) modified: (i64, u32),
}

pub(super) enum Content {
    Dir(Dir),
    File {
        file: Arc<File>,
        /// An upload is writing at its end.
        held: bool,
    },
    Link(Vec<u8>),
}

pub(super) struct Dir {
    pub(super) parent: Id,
    pub(super) names: BTreeMap<Vec<u8>, Id>,
    /// Partial uploads by hidden name.
    pub(super) parts: BTreeMap<Vec<u8>, Part>,
}

pub(super) struct Part {
    pub(super) file: Arc<File>,
    pub(super) held: bool,
}

impl Tree {
    /// An empty root, and its number.
    pub(super) fn new() -> (Self, Id) {
        let mut tree = Self { nodes: BTreeMap::new(), next: 1 };
        let root = tree.add(Content::dir(1), 0o755);
        (tree, root)
    }

    pub(super) fn add(&mut self, content: Content, mode: u32) -> Id {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, Node { content, mode, modified: now() });
        id
    }

    pub(super) fn node(&self, id: Id) -> Result<&Node, VfsError> {
        self.nodes.get(&id).ok_or(VfsError::NotFound)
    }

    pub(super) fn node_mut(&mut self, id: Id) -> Result<&mut Node, VfsError> {
        self.nodes.get_mut(&id).ok_or(VfsError::NotFound)
    }

    pub(super) fn dir(&self, id: Id) -> Result<&Dir, VfsError> {
        match &self.node(id)?.content {
            Content::Dir(dir) => Ok(dir),
            _ => Err(VfsError::NotADirectory),
        }
    }

    /// A folder that is about to change.
    pub(super) fn dir_mut(&mut self, id: Id) -> Result<&mut Dir, VfsError> {
        let node = self.node_mut(id)?;
        node.modified = now();
        match &mut node.content {
            Content::Dir(dir) => Ok(dir),
            _ => Err(VfsError::NotADirectory),
        }
    }

    /// Deletes a node that no name leads to any more, and all below it.
    pub(super) fn forget(&mut self, id: Id) {
        let mut ids = vec![id];
        while let Some(id) = ids.pop() {
            if let Some(Node { content: Content::Dir(dir), .. }) = self.nodes.remove(&id) {
                ids.extend(dir.names.into_values());
            }
        }
    }

    /// What `path` leads to from `start`, links followed to the end; `/` and `..` stop at `root`.
    pub(super) fn walk(&self, root: Id, start: Id, path: &[u8]) -> Result<Id, VfsError> {
        self.walk_on(root, start, path, &mut 0)
    }

    fn walk_on(&self, root: Id, start: Id, path: &[u8], links: &mut u32) -> Result<Id, VfsError> {
        let mut here = if path.starts_with(b"/") { root } else { start };
        for part in path.split(|&b| b == b'/') {
            if part.is_empty() {
                continue;
            }
            let dir = self.dir(here)?;
            here = match part {
                b"." => here,
                b".." if here == root => root,
                b".." => dir.parent,
                name => {
                    let found = dir.find(name)?.ok_or(VfsError::NotFound)?;
                    match &self.node(found)?.content {
                        Content::Link(_) if *links >= LINKS => return Err(VfsError::Denied),
                        Content::Link(target) => {
                            *links += 1;
                            self.walk_on(root, here, target, links)?
                        }
                        _ => found,
                    }
                }
            };
        }
        if path.ends_with(b"/") {
            self.dir(here)?;
        }
        Ok(here)
    }

    /// What `path` leads to.
    pub(super) fn find(&self, root: Id, path: &VPath) -> Result<Id, VfsError> {
        match path.parts().any(is_reserved) {
            true => Err(VfsError::BadName),
            false => self.walk(root, root, path.as_bytes()),
        }
    }

    /// The folder that holds `path`, and the last part.
    pub(super) fn place(&self, root: Id, path: &VPath) -> Result<(Id, Vec<u8>), VfsError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(VfsError::Denied);
        };
        if path.parts().any(is_reserved) {
            return Err(VfsError::BadName);
        }
        let dir = self.walk(root, root, parent.as_bytes())?;
        self.dir(dir)?;
        Ok((dir, name.to_vec()))
    }

    /// Where content of `path` lives, links at its end followed, and the file there, if there is one.
    pub(super) fn content_place(
        &self,
        root: Id,
        path: &VPath,
    ) -> Result<(Id, Vec<u8>, Option<Id>), VfsError> {
        if path.is_root() {
            return Err(VfsError::IsADirectory);
        }
        let (mut dir, mut name) = self.place(root, path)?;
        for followed in 0..=LINKS {
            let Some(found) = self.dir(dir)?.find(&name)? else {
                return if followed == 0 { Ok((dir, name, None)) } else { Err(VfsError::Denied) };
            };
            let target = match &self.node(found)?.content {
                Content::File { .. } => return Ok((dir, name, Some(found))),
                Content::Dir(_) => return Err(VfsError::IsADirectory),
                Content::Link(target) => target,
            };
            let (folder, last) = match target.iter().rposition(|&b| b == b'/') {
                Some(slash) => target.split_at_checked(slash + 1).unwrap_or_default(),
                None => (&b""[..], target.as_slice()),
            };
            match last {
                b"" | b"." | b".." => return Err(VfsError::IsADirectory),
                last => name = last.to_vec(),
            }
            dir = match self.walk(root, dir, folder) {
                Ok(dir) if self.dir(dir).is_ok() => dir,
                Ok(_) | Err(VfsError::NotFound | VfsError::NotADirectory) => return Err(VfsError::Denied),
                Err(error) => return Err(error),
            };
        }
        Err(VfsError::Denied)
    }

    /// Whether `id` is `below` or above it.
    pub(super) fn is_above(&self, id: Id, below: Id) -> bool {
        let mut here = below;
        loop {
            if here == id {
                return true;
            }
            match self.dir(here) {
                Ok(dir) if dir.parent != here => here = dir.parent,
                _ => return false,
            }
        }
    }

    /// Facts for a client, under the name it used.
    pub(super) fn entry(&self, name: &[u8], id: Id) -> Result<Entry, VfsError> {
        let node = self.node(id)?;
        let mut entry = match &node.content {
            Content::File { file, .. } => file_entry(name, file)?,
            Content::Dir(_) => plain_entry(name, Kind::Dir),
            Content::Link(target) => Entry { size: target.len() as u64, ..plain_entry(name, Kind::Symlink) },
        };
        if entry.kind != Kind::File {
            (entry.modified, entry.modified_nanos) = node.modified;
        }
        entry.mode = node.mode;
        entry.unique = (0, id);
        Ok(entry)
    }
}

impl Content {
    pub(super) fn dir(parent: Id) -> Self {
        Self::Dir(Dir { parent, names: BTreeMap::new(), parts: BTreeMap::new() })
    }
}

impl Dir {
    pub(super) fn find(&self, name: &[u8]) -> Result<Option<Id>, VfsError> {
        match name.len() > NAME_MAX {
            true => Err(VfsError::NameTooLong),
            false => Ok(self.names.get(name).copied()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.parts.is_empty()
    }
}

/// An empty file that lives as long as somebody holds it.
pub(super) fn new_file() -> Result<Arc<File>, VfsError> {
    let fd = rustix::fs::memfd_create(c"portway", MemfdFlags::CLOEXEC)?;
    rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
    Ok(Arc::new(File::from(fd)))
}

/// Facts about a file that has no name yet.
pub(super) fn file_entry(name: &[u8], file: &File) -> Result<Entry, VfsError> {
    let known = file.metadata()?;
    let (modified, modified_nanos) = known.modified().map(since_epoch)?;
    let plain = plain_entry(name, Kind::File);
    Ok(Entry { size: known.len(), modified, modified_nanos, mode: 0o600, ..plain })
}

fn plain_entry(name: &[u8], kind: Kind) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        size: 0,
        modified: 0,
        modified_nanos: 0,
        mode: 0,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        nlink: 1,
        unique: (0, 0),
        target: None,
        resolved: None,
    }
}

fn now() -> (i64, u32) {
    since_epoch(SystemTime::now())
}

/// Seconds rounded down, so that the fraction is never negative.
fn since_epoch(time: SystemTime) -> (i64, u32) {
    let whole = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (whole(after.as_secs()), after.subsec_nanos()),
        Err(before) => match (before.duration().as_secs(), before.duration().subsec_nanos()) {
            (seconds, 0) => (-whole(seconds), 0),
            (seconds, nanos) => (-whole(seconds) - 1, 1_000_000_000 - nanos),
        },
    }
}
