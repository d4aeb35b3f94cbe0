//! A folder on disk and a tree in memory agree on whatever clients do.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use portway_vfs::{Kind, Upload, VPath, Vfs, Write};
use proptest::prelude::*;
use std::fmt::Write as _;

const NAMES: [&str; 3] = ["a", "b", "c"];
const TARGETS: [&str; 7] = ["a", "b/a", "/a", "/b/c", "../a", "../../c", "."];
/// Uploads that may be under way at a time.
const SLOTS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    MakeDir(VPath),
    RemoveDir(VPath),
    RemoveFile(VPath),
    RemoveTree(VPath),
    Rename(VPath, VPath),
    Link(&'static str, VPath),
    SetMode(VPath, u32),
    SetModified(VPath, i64),
    Stat(VPath),
    Names(VPath),
    Read(VPath),
    Partial(VPath),
    Combine(VPath, Vec<VPath>),
    Below(VPath, VPath),
    Begin(usize, VPath, Write, Vec<u8>),
    Send(usize, Vec<u8>),
    Commit(usize),
    Keep(usize),
    Discard(usize),
}

fn path() -> impl Strategy<Value = VPath> {
    proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..4).prop_map(|parts| p(parts.join("/")))
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(b'a'..=b'z', 0..6)
}

fn how() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => Just(Write::Replace),
        1 => Just(Write::New),
        2 => Just(Write::Append),
        3 => (0_u64..8).prop_map(Write::At),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let slot = || 0..SLOTS;
    prop_oneof![
        6 => path().prop_map(Op::MakeDir),
        2 => path().prop_map(Op::RemoveDir),
        2 => path().prop_map(Op::RemoveFile),
        1 => path().prop_map(Op::RemoveTree),
        4 => (path(), path()).prop_map(|(from, to)| Op::Rename(from, to)),
        3 => (proptest::sample::select(&TARGETS[..]), path()).prop_map(|(target, link)| Op::Link(target, link)),
        1 => (path(), proptest::sample::select(vec![0o700, 0o750, 0o777])).prop_map(|(path, mode)| Op::SetMode(path, mode)),
        1 => (path(), 0_i64..2_000_000_000).prop_map(|(path, time)| Op::SetModified(path, time)),
        1 => path().prop_map(Op::Stat),
        1 => path().prop_map(Op::Names),
        1 => path().prop_map(Op::Read),
        1 => path().prop_map(Op::Partial),
        2 => (path(), proptest::collection::vec(path(), 0..3)).prop_map(|(target, parts)| Op::Combine(target, parts)),
        1 => (path(), path()).prop_map(|(home, path)| Op::Below(home, path)),
        12 => (slot(), path(), how(), data()).prop_map(|(slot, path, how, data)| Op::Begin(slot, path, how, data)),
        3 => (slot(), data()).prop_map(|(slot, data)| Op::Send(slot, data)),
        6 => slot().prop_map(Op::Commit),
        2 => slot().prop_map(Op::Keep),
        1 => slot().prop_map(Op::Discard),
    ]
}

/// A storage with uploads under way.
struct Client {
    fixture: Fixture,
    slots: [Option<Box<dyn Upload>>; SLOTS],
}

impl Client {
    fn new(fixture: Fixture) -> Self {
        Self { fixture, slots: [None, None, None] }
    }

    /// Does it, and says what came of it as a client would notice.
    fn act(&mut self, op: &Op) -> String {
        let fs = &*self.fixture.fs;
        match op {
            Op::MakeDir(path) => outcome(&fs.make_dir(path)),
            Op::RemoveDir(path) => outcome(&fs.remove_dir(path)),
            Op::RemoveFile(path) => outcome(&fs.remove_file(path)),
            Op::RemoveTree(path) => outcome(&fs.remove_tree(path)),
            Op::Rename(from, to) => outcome(&fs.rename(from, to)),
            Op::Link(target, link) => outcome(&fs.symlink(target.as_bytes(), link)),
            Op::SetMode(path, mode) => outcome(&fs.set_mode(path, *mode)),
            Op::SetModified(path, time) => {
                let done = outcome(&fs.set_modified(path, *time, 5));
                let now = fs.stat(path).map(|entry| (entry.modified, entry.modified_nanos)).ok();
                format!("{done} {:?}", now.filter(|_| done == "Ok"))
            }
            Op::Stat(path) => {
                let found = fs.stat(path);
                format!("{} {:?}", outcome(&found), found.ok().map(|entry| (entry.name, entry.kind)))
            }
            Op::Names(path) => {
                let names = fs.names(path).map(|names| {
                    let mut names: Vec<_> = names.map(Result::unwrap).collect();
                    names.sort();
                    names
                });
                format!("{} {:?}", outcome(&names), names.ok())
            }
            Op::Read(path) => {
                let read = fs.open(path).map(|(file, _)| std::io::read_to_string(file).unwrap());
                format!("{} {:?}", outcome(&read), read.ok())
            }
            Op::Partial(path) => format!("{:?}", fs.partial(path).map(|entry| (entry.name, entry.size))),
            Op::Combine(target, parts) => {
                let done = fs.combine(target, parts);
                format!("{} {:?}", outcome(&done), done.ok().map(|entry| entry.size))
            }
            Op::Below(home, path) => match fs.below(home) {
                Ok(home) => outcome(&home.stat(path)),
                refused => outcome(&refused),
            },
            Op::Begin(slot, path, how, data) => {
                drop(self.slots[*slot].take());
                let upload = fs.create(path, *how);
                let said =
                    format!("{} {:?}", outcome(&upload), upload.as_ref().ok().map(|upload| upload.start()));
                self.slots[*slot] = upload.ok();
                self.send(*slot, data);
                said
            }
            Op::Send(slot, data) => {
                self.send(*slot, data);
                String::new()
            }
            Op::Commit(slot) => match self.slots[*slot].take() {
                Some(upload) => {
                    let done = upload.commit();
                    format!("{} {:?}", outcome(&done), done.ok().map(|entry| (entry.name, entry.size)))
                }
                None => String::new(),
            },
            Op::Keep(slot) => {
                self.slots[*slot].take().into_iter().for_each(Upload::keep);
                String::new()
            }
            Op::Discard(slot) => {
                self.slots[*slot].take().into_iter().for_each(Upload::discard);
                String::new()
            }
        }
    }

    fn send(&self, slot: usize, data: &[u8]) {
        if let Some(upload) = &self.slots[slot] {
            send(&**upload, data);
        }
    }

    /// Everything a client can find.
    fn all(&self) -> String {
        let mut seen = String::new();
        look(&*self.fixture.fs, &VPath::root(), &mut seen);
        seen
    }
}

fn look(fs: &dyn Vfs, folder: &VPath, seen: &mut String) {
    for name in NAMES {
        let size = fs.partial(&folder.join(name.as_bytes()).unwrap()).map(|partial| partial.size);
        writeln!(seen, "{folder:?} {name} partial {size:?}").unwrap();
    }
    let mut entries: Vec<_> = fs.list(folder).unwrap().map(Result::unwrap).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in entries {
        let path = folder.join(&entry.name).unwrap();
        let size = if entry.kind == Kind::Dir { 0 } else { entry.size };
        writeln!(
            seen,
            "{path:?} {:?} {size} {:o} {:?} {:?}",
            entry.kind, entry.mode, entry.target, entry.resolved
        )
        .unwrap();
        match entry.kind {
            Kind::Dir => look(fs, &path, seen),
            Kind::File => {
                let content = std::io::read_to_string(fs.open(&path).unwrap().0).unwrap();
                writeln!(seen, "{content:?}").unwrap();
            }
            Kind::Symlink | Kind::Other => {}
        }
    }
}

proptest! {
    #[test]
    fn disk_and_memory_agree(ops in proptest::collection::vec(op(), 1..60)) {
        let (mut disk, mut memory) = (Client::new(local()), Client::new(memory()));
        for (step, op) in ops.iter().enumerate() {
            prop_assert_eq!(disk.act(op), memory.act(op), "step {} {:?} of {:#?}", step, op, &ops);
            prop_assert_eq!(disk.all(), memory.all(), "after step {} {:?} of {:#?}", step, op, &ops);
        }
    }
}
