//! Folders, names, times, modes.

use crate::common::*;
use portway_vfs::{Entry, Kind, ReadOnly, Vfs, Write};
use std::sync::Arc;

pub fn missing_things_are_not_found(fs: &dyn Vfs) {
    let none = p("/none");
    refused(fs.stat(&none), "NotFound");
    refused(fs.list(&none), "NotFound");
    refused(fs.names(&none), "NotFound");
    refused(fs.open(&none), "NotFound");
    refused(fs.remove_file(&none), "NotFound");
    refused(fs.remove_dir(&none), "NotFound");
    refused(fs.remove_tree(&none), "NotFound");
    refused(fs.rename(&none, &p("/x")), "NotFound");
    refused(fs.set_mode(&none, 0o600), "NotFound");
    refused(fs.set_modified(&none, 0, 0), "NotFound");
    refused(fs.space(&none), "NotFound");
    refused(fs.below(&none), "NotFound");
    for how in [Write::Replace, Write::New, Write::Append, Write::At(0)] {
        refused(fs.create(&p("/none/x"), how), "NotFound");
    }
    refused(fs.make_dir(&p("/none/x")), "NotFound");
    refused(fs.symlink(b"x", &p("/none/x")), "NotFound");
}

pub fn files_are_no_folders_and_folders_no_files(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    put(fs, "/f", b"x");
    refused(fs.make_dir(&p("/d")), "Exists");
    refused(fs.make_dir(&p("/f")), "Exists");
    refused(fs.make_dir(&p("/")), "Exists");
    refused(fs.open(&p("/d")), "IsADirectory");
    refused(fs.open(&p("/")), "IsADirectory");
    refused(fs.create(&p("/d"), Write::Replace), "IsADirectory");
    refused(fs.create(&p("/"), Write::Replace), "IsADirectory");
    refused(fs.remove_file(&p("/d")), "IsADirectory");
    for path in ["/f", "/f/x"] {
        refused(fs.list(&p(path)), "NotADirectory");
        refused(fs.names(&p(path)), "NotADirectory");
        refused(fs.remove_dir(&p(path)), "NotADirectory");
        refused(fs.remove_tree(&p(path)), "NotADirectory");
        refused(fs.below(&p(path)), "NotADirectory");
    }
    refused(fs.stat(&p("/f/x")), "NotADirectory");
    refused(fs.create(&p("/f/x"), Write::Replace), "NotADirectory");
    refused(fs.make_dir(&p("/f/x")), "NotADirectory");
    let late = begin(fs, "/late", Write::Replace, b"x");
    fs.make_dir(&p("/late")).unwrap();
    refused(late.commit(), "IsADirectory");
}

pub fn a_list_tells_kind_and_size_and_names_agree(fs: &dyn Vfs) {
    assert_eq!(fs.list(&p("/")).unwrap().count(), 0);
    fs.make_dir(&p("/d")).unwrap();
    put(fs, "/f", b"12345");
    put(fs, "/d/inner", b"1");
    begin(fs, "/broken", Write::Replace, b"1").keep();
    let mut entries: Vec<_> = fs.list(&p("/")).unwrap().map(Result::unwrap).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let seen: Vec<_> = entries.iter().map(|entry| (entry.name.as_slice(), entry.kind)).collect();
    assert_eq!(seen, [(&b"d"[..], Kind::Dir), (&b"f"[..], Kind::File)]);
    assert_eq!(entries[1].size, 5);
    assert_eq!(entries[1], fs.stat(&p("/f")).unwrap());
    assert_eq!(entries[0].mode, 0o755);
    assert_ne!(entries[0].unique, entries[1].unique);
    let mut names: Vec<_> = fs.names(&p("/")).unwrap().map(Result::unwrap).collect();
    names.sort();
    assert_eq!(names, [b"d", b"f"]);
    let root = fs.stat(&p("/")).unwrap();
    assert_eq!((root.name.as_slice(), root.kind), (&b"/"[..], Kind::Dir));
}

pub fn a_folder_is_removed_only_when_empty(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    put(fs, "/d/f", b"x");
    begin(fs, "/d/broken", Write::Replace, b"x").keep();
    refused(fs.remove_dir(&p("/d")), "NotEmpty");
    assert!(fs.partial(&p("/d/broken")).is_some(), "a refusal deletes nothing");
    fs.remove_file(&p("/d/f")).unwrap();
    fs.remove_dir(&p("/d")).unwrap();
    refused(fs.stat(&p("/d")), "NotFound");
}

pub fn broken_uploads_do_not_keep_a_folder(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    begin(fs, "/d/a", Write::Replace, b"x").keep();
    let live = begin(fs, "/d/b", Write::Replace, b"x");
    refused(fs.remove_dir(&p("/d")), "Busy");
    live.keep();
    fs.remove_dir(&p("/d")).unwrap();
}

pub fn deleting_a_broken_upload_by_its_name(fs: &dyn Vfs) {
    let upload = begin(fs, "/f", Write::Replace, b"x");
    refused(fs.remove_file(&p("/f")), "Busy");
    upload.keep();
    fs.remove_file(&p("/f")).unwrap();
    assert!(fs.partial(&p("/f")).is_none());
    refused(fs.remove_file(&p("/f")), "NotFound");
}

pub fn a_tree_is_removed_but_not_what_its_links_lead_to(fs: &dyn Vfs) {
    fs.make_dir(&p("/keep")).unwrap();
    put(fs, "/keep/f", b"x");
    fs.make_dir(&p("/t")).unwrap();
    fs.make_dir(&p("/t/sub")).unwrap();
    put(fs, "/t/sub/f", b"x");
    begin(fs, "/t/sub/broken", Write::Replace, b"x").keep();
    fs.symlink(b"/keep", &p("/t/folder")).unwrap();
    fs.symlink(b"../keep/f", &p("/t/file")).unwrap();
    fs.symlink(b"/t", &p("/tree")).unwrap();
    refused(fs.remove_tree(&p("/tree")), "NotADirectory");
    fs.remove_tree(&p("/t")).unwrap();
    assert_eq!(ls(fs, "/"), ["keep", "tree"]);
    assert_eq!(cat(fs, "/keep/f"), b"x");
}

pub fn a_very_deep_tree_is_removed(fs: &dyn Vfs) {
    let mut path = p("/top");
    for depth in 0..300 {
        fs.make_dir(&path).unwrap();
        path = path.join(if depth % 2 == 0 { b"x" } else { b"y" }).unwrap();
    }
    let file = fs.create(&path, Write::Replace).unwrap();
    send(&*file, b"at the bottom");
    file.commit().unwrap();
    fs.remove_tree(&p("/top")).unwrap();
    assert!(ls(fs, "/").is_empty());
}

pub fn renaming_replaces_files_and_spares_full_folders(fs: &dyn Vfs) {
    // Each row starts from: files a, b; folders empty, full (holds f); link to a.
    let rows = [
        ("/a", "/new", "Ok"),
        ("/a", "/b", "Ok"),
        ("/a", "/a", "Ok"),
        ("/a", "/empty", "IsADirectory"),
        ("/a", "/full", "IsADirectory"),
        ("/a", "/full/f", "Ok"),
        ("/a", "/missing/x", "NotFound"),
        ("/a", "/b/x", "NotADirectory"),
        ("/a", "/link", "Ok"),
        ("/full", "/empty", "Ok"),
        ("/empty", "/full", "NotEmpty"),
        ("/full", "/a", "NotADirectory"),
        ("/full", "/link", "NotADirectory"),
        ("/full", "/full/f/x", "NotADirectory"),
        ("/full", "/full/inside", "BadName"),
        ("/full/f", "/full", "NotEmpty"),
        ("/full", "/new", "Ok"),
        ("/link", "/new", "Ok"),
        ("/", "/new", "Denied"),
        ("/a", "/", "Denied"),
    ];
    for (from, to, want) in rows {
        fs.make_dir(&p("/row")).unwrap();
        let row = fs.below(&p("/row")).unwrap();
        put(&row, "/a", b"content of a");
        put(&row, "/b", b"b");
        row.make_dir(&p("/empty")).unwrap();
        row.make_dir(&p("/full")).unwrap();
        put(&row, "/full/f", b"f");
        row.symlink(b"a", &p("/link")).unwrap();
        let before = find(&row, from);
        let result = row.rename(&p(from), &p(to));
        assert_eq!(outcome(&result), want, "{from} to {to}");
        if result.is_err() {
            assert_eq!(ls(&row, "/"), ["a", "b", "empty", "full", "link"], "{from} to {to}");
            assert_eq!(ls(&row, "/full"), ["f"], "{from} to {to}");
        } else {
            let (before, after) = (before.unwrap(), find(&row, to).unwrap());
            assert_eq!(
                (after.kind, after.size, after.unique),
                (before.kind, before.size, before.unique),
                "{from} to {to}"
            );
            assert!(from == to || find(&row, from).is_none(), "{from} to {to}");
        }
        drop(row);
        fs.remove_tree(&p("/row")).unwrap();
    }
}

/// The entry as its folder lists it.
fn find(fs: &dyn Vfs, path: &str) -> Option<Entry> {
    let path = p(path);
    fs.list(&path.parent()?).unwrap().map(Result::unwrap).find(|entry| Some(&*entry.name) == path.file_name())
}

pub fn times_are_set_to_the_nanosecond(fs: &dyn Vfs) {
    put(fs, "/f", b"x");
    fs.make_dir(&p("/d")).unwrap();
    for path in ["/f", "/d"] {
        for (seconds, nanos) in [(1_000_000_000, 123_456_789), (0, 0), (-1, 999_999_999), (4_000_000_000, 1)]
        {
            fs.set_modified(&p(path), seconds, nanos).unwrap();
            let entry = fs.stat(&p(path)).unwrap();
            assert_eq!((entry.modified, entry.modified_nanos), (seconds, nanos), "{path}");
        }
        refused(fs.set_modified(&p(path), 0, 1_000_000_000), "BadTime");
        refused(fs.set_modified(&p(path), 0, u32::MAX), "BadTime");
        assert_eq!(fs.stat(&p(path)).unwrap().modified, 4_000_000_000);
    }
}

pub fn modes_are_set_without_special_bits(fs: &dyn Vfs) {
    put(fs, "/f", b"x");
    fs.make_dir(&p("/d")).unwrap();
    for path in ["/f", "/d"] {
        for mode in [0o700, 0, 0o777, 0o755] {
            fs.set_mode(&p(path), mode).unwrap();
            assert_eq!(fs.stat(&p(path)).unwrap().mode, mode, "{path}");
        }
        for mode in [0o4755, 0o2755, 0o1777, 0o10000, u32::MAX] {
            refused(fs.set_mode(&p(path), mode), "Denied");
        }
        assert_eq!(fs.stat(&p(path)).unwrap().mode, 0o755);
    }
}

pub fn the_root_itself_cannot_be_changed(fs: &dyn Vfs) {
    put(fs, "/f", b"x");
    let root = p("/");
    refused(fs.remove_dir(&root), "Denied");
    refused(fs.remove_tree(&root), "Denied");
    refused(fs.remove_file(&root), "Denied");
    refused(fs.symlink(b"f", &root), "Denied");
    refused(fs.combine(&root, &[p("/f")]), "IsADirectory");
    assert!(fs.partial(&root).is_none());
    assert_eq!(ls(fs, "/"), ["f"]);
}

pub fn a_read_only_view_refuses_every_change(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    put(fs, "/d/f", b"content");
    begin(fs, "/d/broken", Write::Replace, b"x").keep();
    let all = ReadOnly::new(fs.below(&p("/")).unwrap());
    let home = all.below(&p("/d")).unwrap();
    let all: Arc<dyn Vfs> = Arc::new(all);
    for (view, file, folder) in [(&all, "/d/f", "/d"), (&home, "/f", "/")] {
        assert_eq!(cat(view, file), b"content");
        assert_eq!(ls(view, folder), ["f"]);
        assert_eq!(view.names(&p(folder)).unwrap().count(), 1);
        assert_eq!(view.stat(&p(file)).unwrap().size, 7);
        assert_eq!(view.space(&p(folder)).unwrap(), 0);
        for how in [Write::Replace, Write::New, Write::Append, Write::At(0), Write::At(3)] {
            refused(view.create(&p(file), how), "ReadOnly");
        }
        refused(view.make_dir(&p("/new")), "ReadOnly");
        refused(view.remove_dir(&p(folder)), "ReadOnly");
        refused(view.remove_file(&p(file)), "ReadOnly");
        refused(view.remove_tree(&p(folder)), "ReadOnly");
        refused(view.rename(&p(file), &p("/new")), "ReadOnly");
        refused(view.set_modified(&p(file), 0, 0), "ReadOnly");
        refused(view.set_mode(&p(file), 0o600), "ReadOnly");
        refused(view.symlink(b"x", &p("/new")), "ReadOnly");
        refused(view.combine(&p(file), &[]), "ReadOnly");
    }
    assert_eq!(cat(fs, "/d/f"), b"content");
}

pub fn a_home_keeps_to_itself(fs: &dyn Vfs) {
    put(fs, "/outside", b"x");
    fs.make_dir(&p("/home")).unwrap();
    let home = fs.below(&p("/home")).unwrap();
    put(&home, "/f", b"inside");
    refused(home.stat(&p("/outside")), "NotFound");
    refused(home.stat(&p("/../outside")), "NotFound");
    refused(home.rename(&p("/f"), &p("/../moved")).and_then(|()| fs.stat(&p("/moved"))), "NotFound");
    assert_eq!(cat(fs, "/home/moved"), b"inside");
    fs.rename(&p("/home"), &p("/elsewhere")).unwrap();
    assert_eq!(cat(&home, "/moved"), b"inside", "a home that is renamed stays a home");
    assert_eq!(home.stat(&p("/")).unwrap().name, b"/");
}
