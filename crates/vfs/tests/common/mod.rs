//! Shorthand for tests of storage; each test program uses its own part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::needless_pass_by_value)]

use portway_vfs::{Entry, LinkPolicy, LocalFs, MemFs, Upload, VPath, Vfs, VfsError, Write};
use std::io::{Read, Write as _};
use std::sync::Arc;

/// A storage, and what must outlive it.
pub struct Fixture {
    pub fs: Arc<dyn Vfs>,
    pub folder: Option<tempfile::TempDir>,
}

pub fn local() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let fs = Arc::new(LocalFs::open(folder.path(), LinkPolicy::InRoot).unwrap());
    Fixture { fs, folder: Some(folder) }
}

pub fn memory() -> Fixture {
    Fixture { fs: Arc::new(MemFs::new()), folder: None }
}

/// A home inside a storage, two folders down.
pub fn home_in(outer: Fixture) -> Fixture {
    outer.fs.make_dir(&p("/homes")).unwrap();
    outer.fs.make_dir(&p("/homes/alice")).unwrap();
    let fs = outer.fs.below(&p("/homes")).unwrap().below(&p("/alice")).unwrap();
    Fixture { fs: Arc::new(fs), folder: outer.folder }
}

pub fn p(path: impl AsRef<[u8]>) -> VPath {
    VPath::resolve(&VPath::root(), path.as_ref()).unwrap()
}

pub fn begin(fs: &dyn Vfs, path: &str, how: Write, data: &[u8]) -> Box<dyn Upload> {
    let upload = fs.create(&p(path), how).unwrap();
    send(&*upload, data);
    upload
}

pub fn send(upload: &dyn Upload, data: &[u8]) {
    upload.file().write_all(data).unwrap();
}

pub fn put(fs: &dyn Vfs, path: &str, data: &[u8]) -> Entry {
    begin(fs, path, Write::Replace, data).commit().unwrap()
}

pub fn cat(fs: &dyn Vfs, path: &str) -> Vec<u8> {
    let mut content = Vec::new();
    fs.open(&p(path)).unwrap().0.read_to_end(&mut content).unwrap();
    content
}

pub fn ls(fs: &dyn Vfs, path: &str) -> Vec<String> {
    let mut names: Vec<_> = fs
        .list(&p(path))
        .unwrap()
        .map(|entry| String::from_utf8_lossy(&entry.unwrap().name).into_owned())
        .collect();
    names.sort();
    names
}

/// The name of the variant, to compare outcomes.
pub fn outcome<T>(result: &Result<T, VfsError>) -> String {
    match result {
        Ok(_) => "Ok".into(),
        Err(error) => format!("{error:?}").split('(').next().unwrap_or_default().into(),
    }
}

#[track_caller]
pub fn refused<T>(result: Result<T, VfsError>, want: &str) {
    assert_eq!(outcome(&result), want);
}
