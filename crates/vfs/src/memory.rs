//! [`MemFs`]: everything in memory, gone with the last handle.

mod tree;
mod upload;

use crate::partial::{is_reserved, part_name};
use crate::{Entry, Listing, Names, Upload, VPath, Vfs, VfsError, Write, copy, handle};
use rustix::fd::AsFd;
use rustix::fs::{OFlags, Timespec, Timestamps};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tree::{Content, Id, Tree, file_entry};

type Shared = Arc<Mutex<Tree>>;

/// Storage in memory, by the same rules as [`LocalFs`](crate::LocalFs) with links on and umask `0o022`.
///
/// For tests and small scratch areas: listings are made whole, and there is no limit on size. Files are real
/// descriptors (memfd), so that `sendfile` and `splice` work. A clone shares the content.
#[derive(Clone)]
pub struct MemFs {
    shared: Shared,
    root: Id,
}

impl MemFs {
    /// An empty root.
    pub fn new() -> Self {
        let (tree, root) = Tree::new();
        Self { shared: Arc::new(Mutex::new(tree)), root }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        locked(&self.shared)
    }
}

impl Default for MemFs {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemFs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemFs").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A thread that panicked left no change half done: each one is a single insertion or removal away from whole.
fn locked(shared: &Shared) -> MutexGuard<'_, Tree> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vfs for MemFs {
    fn stat(&self, path: &VPath) -> Result<Entry, VfsError> {
        let tree = self.tree();
        tree.entry(shown(path), tree.find(self.root, path)?)
    }

    fn link(&self, path: &VPath) -> Result<Entry, VfsError> {
        let tree = self.tree();
        let (dir, name) = tree.place(self.root, path)?;
        let id = tree.dir(dir)?.find(&name)?.ok_or(VfsError::NotFound)?;
        match &tree.node(id)?.content {
            Content::Link(target) => Ok(Entry { target: Some(target.clone()), ..tree.entry(&name, id)? }),
            _ => Err(VfsError::NotFound),
        }
    }

    fn partial(&self, path: &VPath) -> Option<Entry> {
        let tree = self.tree();
        let (dir, name, _) = tree.content_place(self.root, path).ok()?;
        let part = tree.dir(dir).ok()?.parts.get(&part_name(&name, 1))?;
        file_entry(shown(path), &part.file).ok()
    }

    fn list(&self, path: &VPath) -> Result<Box<dyn Listing>, VfsError> {
        let tree = self.tree();
        let dir = tree.find(self.root, path)?;
        let mut entries = Vec::new();
        for (name, &id) in &tree.dir(dir)?.names {
            let mut entry = tree.entry(name, id)?;
            if let Content::Link(target) = &tree.node(id)?.content {
                entry.target = Some(target.clone());
                let end = tree.walk(self.root, dir, name).and_then(|id| tree.entry(b"", id));
                entry.resolved = end.ok().map(|end| end.kind);
            }
            entries.push(Ok(entry));
        }
        Ok(Box::new(entries.into_iter()))
    }

    fn names(&self, path: &VPath) -> Result<Box<dyn Names>, VfsError> {
        let tree = self.tree();
        let names: Vec<_> =
            tree.dir(tree.find(self.root, path)?)?.names.keys().map(|name| Ok(name.clone())).collect();
        Ok(Box::new(names.into_iter()))
    }

    fn open(&self, path: &VPath) -> Result<(File, Entry), VfsError> {
        let tree = self.tree();
        let id = tree.find(self.root, path)?;
        match &tree.node(id)?.content {
            Content::File { file, .. } => Ok((
                File::from(handle::open_again(file.as_fd(), OFlags::RDONLY)?),
                tree.entry(shown(path), id)?,
            )),
            _ => Err(VfsError::IsADirectory),
        }
    }

    fn create(&self, path: &VPath, how: Write) -> Result<Box<dyn Upload>, VfsError> {
        Ok(Box::new(upload::begin(&self.shared, self.root, path, how)?))
    }

    fn make_dir(&self, path: &VPath) -> Result<(), VfsError> {
        if path.is_root() {
            return Err(VfsError::Exists);
        }
        let mut tree = self.tree();
        let (parent, name) = tree.place(self.root, path)?;
        add(&mut tree, parent, name, Content::dir(parent), 0o755)
    }

    fn remove_dir(&self, path: &VPath) -> Result<(), VfsError> {
        let mut tree = self.tree();
        let (parent, name) = tree.place(self.root, path)?;
        let id = tree.dir(parent)?.find(&name)?.ok_or(VfsError::NotFound)?;
        let dir = tree.dir(id)?;
        if !dir.names.is_empty() {
            return Err(VfsError::NotEmpty);
        }
        if dir.parts.values().any(|part| part.held) {
            return Err(VfsError::Busy);
        }
        remove(&mut tree, parent, &name, id)
    }

    fn remove_file(&self, path: &VPath) -> Result<(), VfsError> {
        let mut tree = self.tree();
        let (parent, name) = tree.place(self.root, path)?;
        match tree.dir(parent)?.find(&name)? {
            Some(id) if tree.dir(id).is_ok() => Err(VfsError::IsADirectory),
            Some(id) => remove(&mut tree, parent, &name, id),
            None => {
                let (part, dir) = (part_name(&name, 1), tree.dir_mut(parent)?);
                match dir.parts.get(&part).map(|part| part.held) {
                    None => Err(VfsError::NotFound),
                    Some(true) => Err(VfsError::Busy),
                    Some(false) => {
                        dir.parts.remove(&part);
                        Ok(())
                    }
                }
            }
        }
    }

    fn remove_tree(&self, path: &VPath) -> Result<(), VfsError> {
        let mut tree = self.tree();
        let (parent, name) = tree.place(self.root, path)?;
        let id = tree.dir(parent)?.find(&name)?.ok_or(VfsError::NotFound)?;
        tree.dir(id)?;
        remove(&mut tree, parent, &name, id)
    }

    fn rename(&self, from: &VPath, to: &VPath) -> Result<(), VfsError> {
        let mut tree = self.tree();
        let (old_dir, old_name) = tree.place(self.root, from)?;
        let (new_dir, new_name) = tree.place(self.root, to)?;
        let moved = tree.dir(old_dir)?.find(&old_name)?.ok_or(VfsError::NotFound)?;
        let there = tree.dir(new_dir)?.find(&new_name)?;
        if tree.is_above(moved, new_dir) {
            return Err(VfsError::BadName);
        }
        match there {
            Some(there) if tree.is_above(there, old_dir) => return Err(VfsError::NotEmpty),
            Some(there) if there == moved => return Ok(()),
            Some(there) => match (tree.dir(moved).is_ok(), tree.dir(there)) {
                (true, Err(_)) => return Err(VfsError::NotADirectory),
                (false, Ok(_)) => return Err(VfsError::IsADirectory),
                (true, Ok(dir)) if !dir.is_empty() => return Err(VfsError::NotEmpty),
                (true, Ok(_)) | (false, Err(_)) => remove(&mut tree, new_dir, &new_name, there)?,
            },
            None => {}
        }
        tree.dir_mut(old_dir)?.names.remove(&old_name);
        tree.dir_mut(new_dir)?.names.insert(new_name, moved);
        if let Content::Dir(dir) = &mut tree.node_mut(moved)?.content {
            dir.parent = new_dir;
        }
        Ok(())
    }

    fn set_modified(&self, path: &VPath, seconds: i64, nanos: u32) -> Result<(), VfsError> {
        if nanos > 999_999_999 {
            return Err(VfsError::BadTime);
        }
        let mut tree = self.tree();
        let id = tree.find(self.root, path)?;
        let node = tree.node_mut(id)?;
        node.modified = (seconds, nanos);
        let Content::File { file, .. } = &node.content else { return Ok(()) };
        let keep = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let last_modification = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
        Ok(rustix::fs::futimens(file, &Timestamps { last_access: keep, last_modification })?)
    }

    fn set_mode(&self, path: &VPath, mode: u32) -> Result<(), VfsError> {
        if mode > 0o777 {
            return Err(VfsError::Denied);
        }
        let mut tree = self.tree();
        let id = tree.find(self.root, path)?;
        tree.node_mut(id)?.mode = mode;
        Ok(())
    }

    fn symlink(&self, target: &[u8], link: &VPath) -> Result<(), VfsError> {
        if target.is_empty() || target.contains(&0) || target.split(|&b| b == b'/').any(is_reserved) {
            return Err(VfsError::BadName);
        }
        let mut tree = self.tree();
        let (parent, name) = tree.place(self.root, link)?;
        add(&mut tree, parent, name, Content::Link(target.to_vec()), 0o777)
    }

    /// [`VfsError::Unsupported`]: memory has no share of its own.
    fn space(&self, path: &VPath) -> Result<u64, VfsError> {
        self.stat(path)?;
        Err(VfsError::Unsupported)
    }

    fn combine(&self, target: &VPath, parts: &[VPath]) -> Result<Entry, VfsError> {
        let mut sources: Vec<(Id, Arc<File>)> = Vec::new();
        match self.source(target) {
            Ok(old) => sources.push(old),
            Err(VfsError::NotFound) => {}
            Err(error) => return Err(error),
        }
        for part in parts {
            sources.push(self.source(part)?);
        }
        let mut ids: Vec<Id> = sources.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(VfsError::BadName);
        }
        let whole = self.create(target, Write::Replace)?;
        let mut end = 0;
        for (_, file) in &sources {
            let size = file.metadata()?.len();
            copy::append(file, whole.file(), end, size)?;
            end += size;
        }
        let done = whole.commit()?;
        for part in parts {
            let _ = self.remove_file(part); // the doc comment says that a part may stay
        }
        Ok(done)
    }

    fn below(&self, path: &VPath) -> Result<Arc<dyn Vfs>, VfsError> {
        let tree = self.tree();
        let root = tree.find(self.root, path)?;
        tree.dir(root)?;
        Ok(Arc::new(Self { shared: Arc::clone(&self.shared), root }))
    }
}

impl MemFs {
    /// A complete file that nobody is appending to.
    fn source(&self, path: &VPath) -> Result<(Id, Arc<File>), VfsError> {
        let tree = self.tree();
        let (_, _, found) = tree.content_place(self.root, path)?;
        let id = found.ok_or(VfsError::NotFound)?;
        match &tree.node(id)?.content {
            Content::File { held: true, .. } => Err(VfsError::Busy),
            Content::File { file, .. } => Ok((id, Arc::clone(file))),
            _ => Err(VfsError::Denied),
        }
    }
}

fn add(tree: &mut Tree, parent: Id, name: Vec<u8>, content: Content, mode: u32) -> Result<(), VfsError> {
    if tree.dir(parent)?.find(&name)?.is_some() {
        return Err(VfsError::Exists);
    }
    let id = tree.add(content, mode);
    tree.dir_mut(parent)?.names.insert(name, id);
    Ok(())
}

fn remove(tree: &mut Tree, parent: Id, name: &[u8], id: Id) -> Result<(), VfsError> {
    tree.dir_mut(parent)?.names.remove(name);
    tree.forget(id);
    Ok(())
}

/// The last part as [`Entry::name`] gives it.
fn shown(path: &VPath) -> &[u8] {
    path.file_name().unwrap_or(b"/")
}
