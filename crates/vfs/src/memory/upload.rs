//! Uploads into memory, by the same rules as into a folder.

use super::tree::{Content, Id, Part, Tree, file_entry, new_file};
use super::{Shared, locked};
use crate::partial::{MAX_AT_ONCE, part_name};
use crate::{Entry, Upload, VPath, VfsError, Write, copy};
use rustix::fs::SeekFrom;
use std::fs::File;
use std::sync::Arc;

pub(super) struct MemUpload {
    shared: Shared,
    file: Arc<File>,
    start: u64,
    stage: Stage,
    /// As the client wrote it.
    shown: Vec<u8>,
    /// Of a new file.
    mode: u32,
}

enum Stage {
    Hidden { dir: Id, name: Vec<u8>, number: u32, fresh: bool, new: bool },
    InPlace(Id),
    Over,
}

pub(super) fn begin(shared: &Shared, root: Id, path: &VPath, how: Write) -> Result<MemUpload, VfsError> {
    let mut tree = locked(shared);
    if how == Write::New
        && let Ok((dir, name)) = tree.place(root, path)
        && tree.dir(dir)?.names.contains_key(&name)
    {
        return Err(VfsError::Exists);
    }
    let (dir, name, old) = tree.content_place(root, path)?;
    let old_size = old.map_or(Ok(0), |id| tree.entry(b"", id).map(|entry| entry.size))?;
    let first = part_name(&name, 1);
    let waiting = match tree.dir(dir)?.parts.get(&first) {
        Some(part) => Some((part.held, file_entry(b"", &part.file)?.size)),
        None => None,
    };
    let mut start = 0;
    let (file, stage) = match (how, waiting) {
        (Write::New, Some(_)) => return Err(VfsError::Exists),
        (Write::Replace | Write::At(0) | Write::New, _) => hidden(&mut tree, dir, name, how == Write::New)?,
        (Write::Append, _) if old.is_some() => {
            start = old_size;
            in_place(&mut tree, old)?
        }
        (Write::Append, None) => hidden(&mut tree, dir, name, false)?,
        (Write::Append, Some((true, _))) => return Err(VfsError::Busy),
        (Write::Append, Some((false, size))) => {
            start = size;
            resume(&mut tree, dir, name, &first)?
        }
        (Write::At(offset), Some((false, size))) if size >= offset => {
            start = offset;
            let (file, stage) = resume(&mut tree, dir, name, &first)?;
            rustix::fs::ftruncate(&file, offset)?;
            (file, stage)
        }
        (Write::At(offset), _) if old_size == offset => {
            start = offset;
            in_place(&mut tree, old)?
        }
        (Write::At(offset), _) if old_size > offset => {
            start = offset;
            let (file, stage) = hidden(&mut tree, dir, name, false)?;
            if let Some(Content::File { file: old, .. }) =
                old.map(|id| tree.node(id)).transpose()?.map(|n| &n.content)
            {
                copy::clone_start(old, &file, offset)?;
            }
            (file, stage)
        }
        (Write::At(_), Some((true, _))) => return Err(VfsError::Busy),
        (Write::At(_), _) => return Err(VfsError::BadOffset),
    };
    rustix::fs::seek(&file, SeekFrom::Start(start))?;
    let shown = path.file_name().unwrap_or_default().to_vec();
    Ok(MemUpload { shared: Arc::clone(shared), file, start, stage, shown, mode: 0o644 })
}

fn hidden(tree: &mut Tree, dir: Id, name: Vec<u8>, new: bool) -> Result<(Arc<File>, Stage), VfsError> {
    let parts = &mut tree.dir_mut(dir)?.parts;
    let mut free = (1..=MAX_AT_ONCE).map(|number| (number, part_name(&name, number)));
    let (number, part) =
        free.find(|(_, part)| parts.get(part).is_none_or(|part| !part.held)).ok_or(VfsError::Busy)?;
    let file = new_file()?;
    parts.insert(part, Part { file: Arc::clone(&file), held: true });
    Ok((file, Stage::Hidden { dir, name, number, fresh: true, new }))
}

fn resume(tree: &mut Tree, dir: Id, name: Vec<u8>, part: &[u8]) -> Result<(Arc<File>, Stage), VfsError> {
    let part = tree.dir_mut(dir)?.parts.get_mut(part).ok_or(VfsError::NotFound)?;
    part.held = true;
    Ok((Arc::clone(&part.file), Stage::Hidden { dir, name, number: 1, fresh: false, new: false }))
}

fn in_place(tree: &mut Tree, id: Option<Id>) -> Result<(Arc<File>, Stage), VfsError> {
    let id = id.ok_or(VfsError::BadOffset)?;
    match &mut tree.node_mut(id)?.content {
        Content::File { held: true, .. } => Err(VfsError::Busy),
        Content::File { file, held } => {
            *held = true;
            Ok((Arc::clone(file), Stage::InPlace(id)))
        }
        _ => Err(VfsError::Denied),
    }
}

impl MemUpload {
    fn finish(&mut self) -> Result<Entry, VfsError> {
        let shared = Arc::clone(&self.shared);
        let mut tree = locked(&shared);
        let id = match &self.stage {
            Stage::Over => return Err(VfsError::NotFound),
            // Replaced or deleted meanwhile: what was appended went the same way.
            Stage::InPlace(id) if tree.node(*id).is_err() => return file_entry(&self.shown, &self.file),
            Stage::InPlace(id) => *id,
            Stage::Hidden { dir, name, number, new, .. } => {
                let part = part_name(name, *number);
                let (dir, name, new) = (*dir, name.clone(), *new);
                let folder = tree.dir(dir)?;
                if !folder.parts.get(&part).is_some_and(|part| Arc::ptr_eq(&part.file, &self.file)) {
                    return Err(VfsError::NotFound);
                }
                let old = folder.find(&name)?;
                let mode = match old.map(|id| tree.node(id)).transpose()? {
                    Some(_) if new => return Err(VfsError::Exists),
                    Some(node) => match node.content {
                        Content::Dir(_) => return Err(VfsError::IsADirectory),
                        Content::File { .. } => node.mode,
                        Content::Link(_) => self.mode,
                    },
                    None => self.mode,
                };
                let id = tree.add(Content::File { file: Arc::clone(&self.file), held: false }, mode);
                let folder = tree.dir_mut(dir)?;
                folder.parts.remove(&part);
                folder.names.insert(name, id);
                if let Some(old) = old {
                    tree.forget(old);
                }
                id
            }
        };
        self.release(&mut tree, false);
        tree.entry(&self.shown, id)
    }

    /// Lets go of what is held; `delete` decides what becomes of a hidden part.
    fn release(&mut self, tree: &mut Tree, delete: bool) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Hidden { dir, name, number, .. } => {
                let part = part_name(&name, number);
                let Ok(folder) = tree.dir_mut(dir) else { return };
                match folder.parts.get_mut(&part) {
                    Some(found) if !Arc::ptr_eq(&found.file, &self.file) => {}
                    Some(_) if delete => {
                        folder.parts.remove(&part);
                    }
                    Some(found) => found.held = false,
                    None => {}
                }
            }
            Stage::InPlace(id) => {
                if let Ok(Content::File { held, .. }) = tree.node_mut(id).map(|node| &mut node.content) {
                    *held = false;
                }
            }
            Stage::Over => {}
        }
    }

    fn let_go(&mut self, delete: bool) {
        let shared = Arc::clone(&self.shared);
        self.release(&mut locked(&shared), delete);
    }
}

impl Upload for MemUpload {
    fn file(&self) -> &File {
        &self.file
    }

    fn start(&self) -> u64 {
        self.start
    }

    fn set_new_mode(&mut self, mode: u32) {
        self.mode = mode;
    }

    fn commit(mut self: Box<Self>) -> Result<Entry, VfsError> {
        let result = self.finish();
        if matches!((&result, &self.stage), (Err(VfsError::Exists), Stage::Hidden { new: true, .. })) {
            self.let_go(true);
        }
        result
    }

    fn keep(self: Box<Self>) {}

    fn discard(mut self: Box<Self>) {
        self.let_go(true);
    }
}

impl Drop for MemUpload {
    fn drop(&mut self) {
        let worthless = match &self.stage {
            Stage::Hidden { number, fresh, .. } => {
                let size = self.file.metadata().map_or(0, |known| known.len());
                *number > 1 || size == 0 || (*fresh && size <= self.start)
            }
            Stage::InPlace(_) => false,
            Stage::Over => return,
        };
        self.let_go(worthless);
    }
}
