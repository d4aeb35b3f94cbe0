//! Nothing a client or a neighbour does leads out of the folder that is served.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use portway_vfs::{Kind, LinkPolicy, LocalFs, RootError, Vfs, Write};
use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// A served folder beside one that must never be touched.
struct Yard {
    folder: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("outside/secret"), "secret").unwrap();
        Self { folder }
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }

    fn outside(&self) -> std::path::PathBuf {
        self.folder.path().join("outside")
    }

    fn serve(&self, links: LinkPolicy) -> LocalFs {
        LocalFs::open(self.root(), links).unwrap()
    }

    /// Everything about the folder outside that an attack might change.
    fn state(&self) -> Vec<(String, u32, i64, i64, u64, Vec<u8>)> {
        let mut paths = vec![self.outside()];
        paths.extend(fs::read_dir(self.outside()).unwrap().map(|entry| entry.unwrap().path()));
        paths.sort();
        let state = |path: &Path| {
            let known = path.symlink_metadata().unwrap();
            let content = if known.is_file() { fs::read(path).unwrap() } else { Vec::new() };
            (
                path.display().to_string(),
                known.mode(),
                known.mtime(),
                known.mtime_nsec(),
                known.size(),
                content,
            )
        };
        paths.iter().map(|path| state(path)).collect()
    }
}

/// Stops the other thread of a race, also when an assertion fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Tries to read what is behind `dir`, a folder outside, and `file` in it.
fn peek(fs: &dyn Vfs, dir: &str, file: &str, how: &str) {
    let (dir, file) = (p(dir), p(file));
    assert!(fs.stat(&file).is_err(), "{how}");
    assert!(fs.open(&file).is_err(), "{how}");
    assert!(fs.list(&dir).is_err(), "{how}");
    assert!(fs.names(&dir).is_err(), "{how}");
    assert!(fs.below(&dir).is_err(), "{how}");
    assert!(fs.space(&dir).is_err(), "{how}");
    assert!(fs.partial(&file).is_none(), "{how}");
}

/// Tries to change it, too. For places only that a test may lose, should the jail have a hole.
fn attack(fs: &dyn Vfs, dir: &str, file: &str, how: &str) {
    peek(fs, dir, file, how);
    let (dir, file) = (p(dir), p(file));
    let new = dir.join(b"new").unwrap();
    for write in [Write::Replace, Write::New, Write::Append, Write::At(0), Write::At(3), Write::At(6)] {
        assert!(fs.create(&file, write).is_err(), "{how} {write:?}");
        assert!(fs.create(&new, write).is_err(), "{how} {write:?}");
    }
    assert!(fs.make_dir(&new).is_err(), "{how}");
    assert!(fs.symlink(b"x", &new).is_err(), "{how}");
    assert!(fs.remove_dir(&dir).is_err(), "{how}");
    assert!(fs.remove_tree(&dir).is_err(), "{how}");
    assert!(fs.set_mode(&dir, 0o777).is_err(), "{how}");
    assert!(fs.set_mode(&file, 0o777).is_err(), "{how}");
    assert!(fs.set_modified(&dir, 1, 0).is_err(), "{how}");
    assert!(fs.set_modified(&file, 1, 0).is_err(), "{how}");
    assert!(fs.combine(&p("/own"), std::slice::from_ref(&file)).is_err(), "{how}");
    assert!(fs.combine(&file, &[p("/own")]).is_err(), "{how}");
    if file.parent() == Some(dir.clone()) {
        assert!(fs.remove_file(&file).is_err(), "{how}");
        assert!(fs.rename(&file, &p("/stolen")).is_err(), "{how}");
        assert!(fs.rename(&p("/own"), &file).is_err(), "{how}");
        assert!(fs.rename(&p("/own"), &new).is_err(), "{how}");
    }
}

#[test]
fn no_link_leads_out() {
    for links in [LinkPolicy::InRoot, LinkPolicy::Forbid] {
        let yard = Yard::new();
        let (root, outside) = (yard.root(), yard.outside());
        fs::write(root.join("own"), "own").unwrap();
        fs::create_dir_all(root.join("deep/er")).unwrap();
        symlink(&outside, root.join("absolute")).unwrap();
        symlink(outside.join("secret"), root.join("absolute-file")).unwrap();
        symlink("../outside", root.join("dots")).unwrap();
        symlink("../outside/secret", root.join("dots-file")).unwrap();
        symlink("../../../outside", root.join("deep/er/dots")).unwrap();
        symlink("deep/er/../../../outside", root.join("dots-inside")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("dots", root.join("chain")).unwrap();
        symlink("chain/../../outside", root.join("chain-dots")).unwrap();
        symlink("/proc/self/root", root.join("proc")).unwrap();
        symlink("/proc/self/cwd", root.join("cwd")).unwrap();
        let vfs = yard.serve(links);
        let before = yard.state();
        for (dir, file) in [
            ("/absolute", "/absolute/secret"),
            ("/dots", "/dots/secret"),
            ("/deep/er/dots", "/deep/er/dots/secret"),
            ("/dots-inside", "/dots-inside/secret"),
            ("/up/outside", "/up/outside/secret"),
            ("/chain", "/chain/secret"),
            ("/chain-dots", "/chain-dots/secret"),
            ("/absolute", "/absolute-file"),
            ("/dots", "/dots-file"),
        ] {
            attack(&vfs, dir, file, &format!("{links:?} {dir} {file}"));
        }
        peek(&vfs, "/proc/etc", "/proc/etc/passwd", "root of the process");
        peek(&vfs, "/cwd/tests", "/cwd/Cargo.toml", "folder of the process");
        assert_eq!(yard.state(), before, "{links:?}");
        assert_eq!(fs::read(root.join("own")).unwrap(), b"own");
        for entry in vfs.list(&p("/")).unwrap().map(Result::unwrap) {
            // `up` stops at the root, which is inside.
            let inside = entry.name == b"up" && links == LinkPolicy::InRoot;
            assert!(entry.kind != Kind::Symlink || entry.resolved.is_some() == inside, "{links:?} {entry:?}");
        }
    }
}

#[test]
fn without_links_not_even_inner_ones_are_followed() {
    let yard = Yard::new();
    let root = yard.root();
    fs::create_dir(root.join("dir")).unwrap();
    fs::write(root.join("dir/file"), "content").unwrap();
    fs::write(root.join("own"), "own").unwrap();
    symlink("dir", root.join("link")).unwrap();
    symlink("dir/file", root.join("file-link")).unwrap();
    let vfs = yard.serve(LinkPolicy::Forbid);
    attack(&vfs, "/link", "/link/file", "inner link");
    attack(&vfs, "/link", "/file-link", "inner link to a file");
    refused(vfs.stat(&p("/link")), "Denied");
    refused(vfs.symlink(b"dir", &p("/new")), "Denied");
    assert_eq!(cat(&vfs, "/dir/file"), b"content");
    vfs.rename(&p("/link"), &p("/renamed")).unwrap();
    vfs.remove_file(&p("/renamed")).unwrap();
    assert_eq!(ls(&vfs, "/"), ["dir", "file-link", "own"]);
    let home = vfs.below(&p("/dir")).unwrap();
    refused(home.symlink(b"file", &p("/new")), "Denied");
}

#[test]
fn magic_links_of_proc_are_dead_ends() {
    for links in [LinkPolicy::InRoot, LinkPolicy::Forbid] {
        let vfs = LocalFs::open("/proc/self", links).unwrap();
        assert!(vfs.stat(&p("/status")).is_ok(), "the folder itself is served");
        for path in ["/root", "/cwd", "/exe", "/fd/0", "/root/etc/passwd", "/cwd/Cargo.toml"] {
            refused(vfs.stat(&p(path)), "Denied");
            refused(vfs.open(&p(path)), "Denied");
            refused(vfs.list(&p(path)), "Denied");
        }
        let root =
            vfs.list(&p("/")).unwrap().map(Result::unwrap).find(|entry| entry.name == b"root").unwrap();
        assert_eq!((root.kind, root.resolved), (Kind::Symlink, None));
    }
}

#[test]
fn a_link_swapped_in_at_any_moment_leads_nowhere() {
    for links in [LinkPolicy::InRoot, LinkPolicy::Forbid] {
        for target in ["../outside", "ABSOLUTE"] {
            let yard = Yard::new();
            let root = yard.root();
            fs::create_dir(root.join("flip")).unwrap();
            fs::write(root.join("flip/secret"), "harmless").unwrap();
            fs::write(root.join("own"), "own").unwrap();
            match target {
                "ABSOLUTE" => symlink(yard.outside(), root.join("decoy")).unwrap(),
                target => symlink(target, root.join("decoy")).unwrap(),
            }
            // The same for the last part.
            fs::write(root.join("leaf"), "harmless").unwrap();
            symlink("../outside/secret", root.join("leaf-decoy")).unwrap();
            let vfs = yard.serve(links);
            let before = yard.state();
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        for (one, other) in [("flip", "decoy"), ("leaf", "leaf-decoy")] {
                            let (one, other) = (root.join(one), root.join(other));
                            rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                        }
                    }
                });
                let _stop = StopOnDrop(&stop);
                let mut read = 0;
                for round in 0..1500 {
                    for path in ["/flip/secret", "/leaf"] {
                        if let Ok((file, _)) = vfs.open(&p(path)) {
                            assert_eq!(std::io::read_to_string(file).unwrap(), "harmless", "round {round}");
                            read += 1;
                        }
                        let _ = vfs.set_mode(&p(path), 0o600 + (round % 2) * 0o40);
                        let _ = vfs.set_modified(&p(path), 1_000_000 + i64::from(round), 0);
                        for write in [Write::Replace, Write::Append] {
                            if let Ok(upload) = vfs.create(&p(path), write) {
                                upload.discard();
                            }
                        }
                    }
                    let new = p("/flip/new");
                    if vfs.make_dir(&new).is_ok() {
                        let _ = vfs.remove_dir(&new);
                    }
                    if let Ok(upload) = vfs.create(&p("/flip/upload"), Write::Replace) {
                        send(&*upload, b"x");
                        let _ = upload.commit();
                        let _ = vfs.remove_file(&p("/flip/upload"));
                    }
                    if let Ok(list) = vfs.list(&p("/flip")) {
                        assert!(
                            list.flatten().all(|entry| entry.size != 6),
                            "listed the secret, round {round}"
                        );
                    }
                    let _ = vfs.remove_tree(&new);
                }
                assert!(read > 0, "the race was never won by the honest side, so this proves little");
            });
            assert_eq!(yard.state(), before, "{links:?} {target}");
        }
    }
}

#[test]
fn fifos_sockets_and_devices_are_refused_without_waiting() {
    let yard = Yard::new();
    let root = yard.root();
    rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    symlink("fifo", root.join("link")).unwrap();
    let (done, finished) = mpsc::channel();
    let vfs = yard.serve(LinkPolicy::InRoot);
    let thread = std::thread::spawn(move || {
        let devices = LocalFs::open("/dev", LinkPolicy::InRoot).unwrap();
        for (vfs, path) in [(&vfs, "/fifo"), (&vfs, "/socket"), (&vfs, "/link"), (&devices, "/null")] {
            assert_eq!(vfs.stat(&p(path)).unwrap().kind, Kind::Other, "{path}");
            refused(vfs.open(&p(path)), "Denied");
            for write in [Write::Replace, Write::Append, Write::At(0), Write::At(5)] {
                refused(vfs.create(&p(path), write), "Denied");
            }
            refused(vfs.set_mode(&p(path), 0o600), "Denied");
            refused(vfs.set_modified(&p(path), 0, 0), "Denied");
            refused(vfs.combine(&p("/new"), &[p(path)]), "Denied");
        }
        assert_eq!(ls(&vfs, "/"), ["fifo", "link", "socket"]);
        vfs.rename(&p("/fifo"), &p("/renamed")).unwrap();
        vfs.remove_file(&p("/renamed")).unwrap();
        done.send(()).unwrap();
    });
    let waited = finished.recv_timeout(Duration::from_secs(20));
    assert!(waited.is_ok() || thread.is_finished(), "something waits for the other end of a FIFO");
    thread.join().unwrap();
}

#[test]
fn a_planted_partial_is_neither_followed_nor_overwritten() {
    let yard = Yard::new();
    let (root, secret) = (yard.root(), yard.outside().join("secret"));
    symlink(&secret, root.join(".portway-part.link")).unwrap();
    symlink("own", root.join(".portway-part.inner")).unwrap();
    fs::hard_link(&secret, root.join(".portway-part.hard")).unwrap();
    rustix::fs::mknodat(CWD, root.join(".portway-part.fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::create_dir(root.join(".portway-part.dir")).unwrap();
    fs::write(root.join("own"), "own").unwrap();
    fs::write(root.join(".portway-part.left-over"), "left over").unwrap();
    symlink(".portway-part.left-over", root.join("peep")).unwrap();
    let vfs = yard.serve(LinkPolicy::InRoot);
    for name in ["/link", "/inner", "/hard", "/fifo", "/dir", "/peep"] {
        for write in [Write::Replace, Write::Append, Write::At(2)] {
            assert!(vfs.create(&p(name), write).is_err(), "{name} {write:?}");
        }
    }
    assert_eq!(fs::read(secret).unwrap(), b"secret");
    assert_eq!(fs::read(root.join("own")).unwrap(), b"own");
    assert_eq!(fs::read(root.join(".portway-part.left-over")).unwrap(), b"left over");
}

#[test]
fn a_root_that_cannot_be_served_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = LocalFs::open(folder.path().join("missing"), LinkPolicy::InRoot).unwrap_err();
    assert!(matches!(missing, RootError::Folder(_)));
    assert_eq!(missing.to_string(), "cannot open the folder: no such file or directory");
    fs::write(folder.path().join("file"), "").unwrap();
    let file = LocalFs::open(folder.path().join("file"), LinkPolicy::InRoot).unwrap_err();
    assert_eq!(file.to_string(), "cannot open the folder: not a directory");
}
