//! What only a real disk has: crashes, neighbours, other file systems, very large folders.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use portway_vfs::{Durability, LinkPolicy, LocalFs, Vfs, VfsError, Write};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, Write as _};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const FEW_HANDLES_FOLDER: &str = "PORTWAY_VFS_TEST_FEW_HANDLES";
const CRASH_FOLDER: &str = "PORTWAY_VFS_TEST_FOLDER";

fn serve(folder: &tempfile::TempDir) -> LocalFs {
    LocalFs::open(folder.path(), LinkPolicy::InRoot).unwrap()
}

fn hidden(folder: &tempfile::TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with(".portway")).collect()
}

/// Not a test of its own: the process that crashes below.
#[test]
fn a_process_that_uploads_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CRASH_FOLDER) else { return };
    let vfs = LocalFs::open(folder, LinkPolicy::InRoot).unwrap();
    let first = begin(&vfs, "/f", Write::Replace, b"0123");
    let second = begin(&vfs, "/f", Write::Replace, b"abc");
    println!("uploading");
    let _ = std::io::stdin().read(&mut [0]);
    drop((first, second));
}

#[test]
fn what_a_crash_leaves_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_uploads_until_it_is_killed", "--nocapture"])
        .env(CRASH_FOLDER, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("uploading")), "the other process never got so far");
    refused(vfs.create(&p("/f"), Write::At(4)), "Busy");
    refused(vfs.remove_file(&p("/f")), "Busy");
    victim.kill().unwrap();
    victim.wait().unwrap();

    refused(vfs.stat(&p("/f")), "NotFound");
    assert!(ls(&vfs, "/").is_empty());
    assert_eq!(vfs.partial(&p("/f")).unwrap().size, 4);
    let resumed = begin(&vfs, "/f", Write::At(4), b"4567");
    put(&vfs, "/f", b"meanwhile"); // takes over what the second upload of the other process left
    resumed.commit().unwrap();
    assert_eq!(cat(&vfs, "/f"), b"01234567");
    assert!(hidden(&folder).is_empty(), "{:?}", hidden(&folder));
}

#[test]
fn a_left_over_does_not_stop_the_next_upload_of_that_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".portway-part.f"), "left over").unwrap();
    fs::write(folder.path().join(".portway-part.empty"), "").unwrap();
    let vfs = serve(&folder);
    put(&vfs, "/f", b"new");
    assert_eq!(cat(&vfs, "/f"), b"new");
    begin(&vfs, "/empty", Write::New, b"x").commit().unwrap();
    assert!(hidden(&folder).is_empty());
}

#[test]
fn only_the_first_of_several_broken_uploads_stays() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    let uploads = [b"one", b"two", b"ten"].map(|data| begin(&vfs, "/f", Write::Replace, data));
    assert_eq!(hidden(&folder).len(), 3);
    drop(uploads);
    assert_eq!(hidden(&folder), [".portway-part.f"]);
}

/// Not a test of its own: the process with few handles below.
#[test]
fn a_process_with_few_handles_removes_a_tree() {
    let Some(folder) = std::env::var_os(FEW_HANDLES_FOLDER) else { return };
    let vfs = LocalFs::open(folder, LinkPolicy::InRoot).unwrap();
    let few = rustix::process::Rlimit { current: Some(128), maximum: Some(128) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
    vfs.remove_tree(&p("/top")).unwrap();
}

#[test]
fn a_deep_tree_costs_few_handles() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("top").join("d/".repeat(400))).unwrap();
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_with_few_handles_removes_a_tree"])
        .env(FEW_HANDLES_FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_partial_is_for_the_server_only_until_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder).umask(0o027);
    let upload = begin(&vfs, "/f", Write::Replace, b"x");
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode(".portway-part.f"), 0o600);
    assert_eq!(upload.commit().unwrap().mode, 0o640);
    assert_eq!(mode("f"), 0o640);
    vfs.make_dir(&p("/d")).unwrap();
    assert_eq!(mode("d"), 0o750);
    vfs.below(&p("/d")).unwrap().make_dir(&p("/inner")).unwrap();
    assert_eq!(mode("d/inner"), 0o750);
}

#[test]
fn a_partial_deleted_by_somebody_else_is_not_mistaken_for_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    let first = begin(&vfs, "/f", Write::Replace, b"first");
    fs::remove_file(folder.path().join(".portway-part.f")).unwrap();
    let second = begin(&vfs, "/f", Write::Replace, b"second");
    refused(first.commit(), "NotFound");
    let third = begin(&vfs, "/g", Write::Replace, b"third");
    fs::remove_file(folder.path().join(".portway-part.g")).unwrap();
    let fourth = begin(&vfs, "/g", Write::Replace, b"fourth");
    third.discard();
    fourth.commit().unwrap();
    assert_eq!(cat(&vfs, "/g"), b"fourth");
    second.commit().unwrap();
    assert_eq!(cat(&vfs, "/f"), b"second");
}

#[test]
fn durable_uploads_are_uploads_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder).durability(Durability::Data);
    put(&vfs, "/f", b"01");
    begin(&vfs, "/f", Write::Append, b"23").commit().unwrap();
    begin(&vfs, "/f", Write::At(1), b"x").commit().unwrap();
    assert_eq!(cat(&vfs, "/f"), b"0x");
}

#[test]
fn many_uploads_and_readers_of_one_name_never_see_a_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    put(&vfs, "/f", &[b'0'; 64 * 1024]);
    let reads = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..6_u8 {
            let (vfs, fill) = (&vfs, b'a' + writer);
            scope.spawn(move || {
                for round in 0..40 {
                    let upload = vfs.create(&p("/f"), Write::Replace).unwrap();
                    for _ in 0..4 {
                        send(&*upload, &[fill; 16 * 1024]);
                    }
                    match (round + writer) % 4 {
                        0 => upload.keep(),
                        1 => upload.discard(),
                        _ => assert_eq!(upload.commit().unwrap().size, 64 * 1024),
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let content = cat(&vfs, "/f");
                    assert_eq!(content.len(), 64 * 1024);
                    assert!(content.iter().all(|&b| b == content[0]), "a mixture");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(reads.into_inner(), 400);
    assert!(hidden(&folder).iter().all(|name| name == ".portway-part.f"), "{:?}", hidden(&folder));
    if let Some(partial) = vfs.partial(&p("/f")) {
        assert_eq!(partial.size, 64 * 1024, "two uploads wrote to one partial");
    }
}

#[test]
fn of_many_who_want_a_new_name_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    for round in 0..100 {
        let name = format!("/new-{round}");
        let winners: Vec<_> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        let upload = vfs.create(&p(&name), Write::New)?;
                        send(&*upload, b"x");
                        upload.commit()
                    })
                })
                .collect();
            tries.into_iter().map(|one| one.join().unwrap()).filter(Result::is_ok).collect()
        });
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(cat(&vfs, &name), b"x");
    }
    assert!(hidden(&folder).is_empty());
}

#[test]
fn appends_by_many_keep_every_line_whole() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    put(&vfs, "/log", b"");
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let vfs = &vfs;
            scope.spawn(move || {
                let line = [vec![b'a' + writer; 99], vec![b'\n']].concat();
                for _ in 0..50 {
                    let upload = loop {
                        match vfs.create(&p("/log"), Write::Append) {
                            Ok(upload) => break upload,
                            Err(VfsError::Busy) => std::thread::yield_now(),
                            Err(other) => panic!("{other}"),
                        }
                    };
                    send(&*upload, &line[..50]);
                    send(&*upload, &line[50..]);
                    upload.commit().unwrap();
                }
            });
        }
    });
    let log = cat(&vfs, "/log");
    assert_eq!(log.len(), 4 * 50 * 100);
    for line in log.chunks(100) {
        assert!(line[..99].iter().all(|&b| b == line[0]) && line[99] == b'\n');
    }
}

#[test]
fn a_hundred_thousand_entries_are_read_as_they_are_asked_for() {
    const COUNT: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    for number in 0..COUNT {
        File::create(folder.path().join(format!("file-{number:06}"))).unwrap();
    }
    assert_eq!(vfs.names(&p("/")).unwrap().filter(Result::is_ok).count(), COUNT);

    let mut names = vfs.names(&p("/")).unwrap();
    let mut entries = vfs.list(&p("/")).unwrap();
    let whole = vfs.list(&p("/")).unwrap();
    assert_eq!(whole.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.size == 0)).count(), COUNT);
    names.next().unwrap().unwrap();
    entries.next().unwrap().unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // Whoever reads ahead still knows the names; one piece of some 32 KiB is what may be held.
    let held = names.filter(Result::is_ok).count();
    assert!(held < 2000, "{held} names were held in memory");
    assert_eq!(entries.map(Result::unwrap).count(), 0, "vanished entries are skipped");
}

#[test]
fn a_folder_removed_while_it_is_listed_ends_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    vfs.make_dir(&p("/d")).unwrap();
    for number in 0..5000 {
        File::create(folder.path().join(format!("d/file-{number}"))).unwrap();
    }
    let mut list = vfs.list(&p("/d")).unwrap();
    list.next().unwrap().unwrap();
    vfs.remove_tree(&p("/d")).unwrap();
    assert_eq!(list.map(Result::unwrap).count(), 0);
}

#[test]
fn a_time_that_the_disk_cannot_hold_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    put(&vfs, "/f", b"x");
    vfs.set_modified(&p("/f"), 1_000_000_000, 7).unwrap();
    // Years 0, 1700, 2500, 9999, and far beyond.
    for seconds in [-62_167_219_200, -8_520_336_000, 16_725_225_600, 253_402_300_799, i64::MIN, i64::MAX] {
        let result = vfs.set_modified(&p("/f"), seconds, 5);
        let now = vfs.stat(&p("/f")).unwrap();
        match result {
            Ok(()) => assert_eq!((now.modified, now.modified_nanos), (seconds, 5)),
            Err(VfsError::BadTime) => assert_eq!((now.modified, now.modified_nanos), (1_000_000_000, 7)),
            Err(other) => panic!("{seconds}: {other}"),
        }
        vfs.set_modified(&p("/f"), 1_000_000_000, 7).unwrap();
    }
}

#[test]
fn a_rename_to_another_file_system_is_refused() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    if fs::metadata(here.path()).unwrap().dev() == fs::metadata(there.path()).unwrap().dev() {
        eprintln!("SKIPPED: the temporary folder and /dev/shm are one file system");
        return;
    }
    fs::write(here.path().join("f"), "content").unwrap();
    let vfs = LocalFs::open("/", LinkPolicy::InRoot).unwrap();
    let path = |folder: &tempfile::TempDir| {
        let real = folder.path().canonicalize().unwrap().join("f");
        p(std::os::unix::ffi::OsStrExt::as_bytes(real.as_os_str()))
    };
    refused(vfs.rename(&path(&here), &path(&there)), "CrossDevice");
    assert!(here.path().join("f").exists() && !there.path().join("f").exists());
    // COMB copies, so it may cross.
    vfs.combine(&path(&there), &[path(&here)]).unwrap();
    assert_eq!(fs::read(there.path().join("f")).unwrap(), b"content");
}

#[test]
fn the_file_of_an_upload_takes_a_splice() {
    let folder = tempfile::tempdir().unwrap();
    let vfs = serve(&folder);
    put(&vfs, "/f", b"01");
    let upload = vfs.create(&p("/f"), Write::Append).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"23").unwrap();
    let moved =
        rustix::pipe::splice(&reader, None, upload.file(), None, 2, rustix::pipe::SpliceFlags::empty())
            .unwrap();
    assert_eq!(moved, 2);
    assert_eq!(upload.file().stream_position().unwrap(), 4);
    upload.commit().unwrap();
    assert_eq!(cat(&vfs, "/f"), b"0123");
}

#[test]
fn space_is_what_the_disk_says() {
    let folder = tempfile::tempdir().unwrap();
    let room = serve(&folder).space(&p("/")).unwrap();
    assert!(room > 0 && room < u64::MAX / 2, "{room}");
}
