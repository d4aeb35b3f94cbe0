//! [`ReadOnly`], and [`Vfs`] for a shared pointer to one.

use crate::{Entry, Listing, Names, Upload, VPath, Vfs, VfsError, Write};
use std::fs::File;
use std::sync::Arc;

/// Any storage, with every change refused as [`VfsError::ReadOnly`] before it reaches that storage.
#[derive(Clone, Debug)]
pub struct ReadOnly<V>(V);

impl<V: Vfs> ReadOnly<V> {
    /// Wraps `inner`.
    pub fn new(inner: V) -> Self {
        Self(inner)
    }
}

impl<V: Vfs> Vfs for ReadOnly<V> {
    fn stat(&self, path: &VPath) -> Result<Entry, VfsError> {
        self.0.stat(path)
    }
    fn link(&self, path: &VPath) -> Result<Entry, VfsError> {
        self.0.link(path)
    }
    /// None: nothing could be resumed here.
    fn partial(&self, _: &VPath) -> Option<Entry> {
        None
    }
    fn list(&self, path: &VPath) -> Result<Box<dyn Listing>, VfsError> {
        self.0.list(path)
    }
    fn names(&self, path: &VPath) -> Result<Box<dyn Names>, VfsError> {
        self.0.names(path)
    }
    fn open(&self, path: &VPath) -> Result<(File, Entry), VfsError> {
        self.0.open(path)
    }
    fn create(&self, _: &VPath, _: Write) -> Result<Box<dyn Upload>, VfsError> {
        Err(VfsError::ReadOnly)
    }
    fn make_dir(&self, _: &VPath) -> Result<(), VfsError> {
        Err(VfsError::ReadOnly)
    }
    fn remove_dir(&self, _: &VPath) -> Result<(), VfsError> {
        Err(VfsError::ReadOnly)
    }
    fn remove_file(&self, _: &VPath) -> Result<(), VfsError> {
        Err(VfsError::ReadOnly)
    }
    fn remove_tree(&self, _: &VPath) -> Result<(), VfsError> {
        Err(VfsError::ReadOnly)
    }
    fn rename(&self, _: &VPath, _: &VPath) -> Result<(), VfsError> {
        Err(VfsError::ReadOnly)
    }
    fn set_modified(&self, _: &VPath, _: i64, _: u32) -> Result<(), VfsError> {
        Err(VfsError::ReadOnly)
    }
    fn set_mode(&self, _: &VPath, _: u32) -> Result<(), VfsError> {
        Err(VfsError::ReadOnly)
    }
    fn symlink(&self, _: &[u8], _: &VPath) -> Result<(), VfsError> {
        Err(VfsError::ReadOnly)
    }
    /// Zero: nothing may be stored.
    fn space(&self, path: &VPath) -> Result<u64, VfsError> {
        self.0.stat(path).map(|_| 0)
    }
    fn combine(&self, _: &VPath, _: &[VPath]) -> Result<Entry, VfsError> {
        Err(VfsError::ReadOnly)
    }
    fn below(&self, path: &VPath) -> Result<Arc<dyn Vfs>, VfsError> {
        Ok(Arc::new(ReadOnly(self.0.below(path)?)))
    }
}

impl<V: Vfs + ?Sized> Vfs for Arc<V> {
    fn stat(&self, path: &VPath) -> Result<Entry, VfsError> {
        (**self).stat(path)
    }
    fn link(&self, path: &VPath) -> Result<Entry, VfsError> {
        (**self).link(path)
    }
    fn partial(&self, path: &VPath) -> Option<Entry> {
        (**self).partial(path)
    }
    fn list(&self, path: &VPath) -> Result<Box<dyn Listing>, VfsError> {
        (**self).list(path)
    }
    fn names(&self, path: &VPath) -> Result<Box<dyn Names>, VfsError> {
        (**self).names(path)
    }
    fn open(&self, path: &VPath) -> Result<(File, Entry), VfsError> {
        (**self).open(path)
    }
    fn create(&self, path: &VPath, how: Write) -> Result<Box<dyn Upload>, VfsError> {
        (**self).create(path, how)
    }
    fn make_dir(&self, path: &VPath) -> Result<(), VfsError> {
        (**self).make_dir(path)
    }
    fn remove_dir(&self, path: &VPath) -> Result<(), VfsError> {
        (**self).remove_dir(path)
    }
    fn remove_file(&self, path: &VPath) -> Result<(), VfsError> {
        (**self).remove_file(path)
    }
    fn remove_tree(&self, path: &VPath) -> Result<(), VfsError> {
        (**self).remove_tree(path)
    }
    fn rename(&self, from: &VPath, to: &VPath) -> Result<(), VfsError> {
        (**self).rename(from, to)
    }
    fn set_modified(&self, path: &VPath, seconds: i64, nanos: u32) -> Result<(), VfsError> {
        (**self).set_modified(path, seconds, nanos)
    }
    fn set_mode(&self, path: &VPath, mode: u32) -> Result<(), VfsError> {
        (**self).set_mode(path, mode)
    }
    fn symlink(&self, target: &[u8], link: &VPath) -> Result<(), VfsError> {
        (**self).symlink(target, link)
    }
    fn space(&self, path: &VPath) -> Result<u64, VfsError> {
        (**self).space(path)
    }
    fn combine(&self, target: &VPath, parts: &[VPath]) -> Result<Entry, VfsError> {
        (**self).combine(target, parts)
    }
    fn below(&self, path: &VPath) -> Result<Arc<dyn Vfs>, VfsError> {
        (**self).below(path)
    }
}
