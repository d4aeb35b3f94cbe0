//! Symbolic links inside a root.

use crate::common::*;
use portway_vfs::{Kind, Vfs, Write};

pub fn links_lead_to_places_inside_the_root(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    put(fs, "/d/f", b"content");
    for (link, target) in [
        ("/relative", "d/f"),
        ("/absolute", "/d/f"),
        ("/dots", "../../../d/./f"),
        ("/d/up", "../d/f"),
        ("/chain", "relative"),
        ("/longer", "/d/up"),
    ] {
        fs.symlink(target.as_bytes(), &p(link)).unwrap();
        assert_eq!(cat(fs, link), b"content", "{link}");
        let entry = fs.stat(&p(link)).unwrap();
        assert_eq!((entry.kind, entry.size, entry.target), (Kind::File, 7, None), "{link}");
    }
    fs.symlink(b"d", &p("/folder")).unwrap();
    assert_eq!(cat(fs, "/folder/f"), b"content");
    assert_eq!(ls(fs, "/folder"), ["f", "up"]);
    put(fs, "/folder/new", b"x");
    assert_eq!(cat(fs, "/d/new"), b"x");
    fs.symlink(b"/", &p("/d/root")).unwrap();
    assert_eq!(cat(fs, "/d/root/d/root/d/f"), b"content");
    refused(fs.symlink(b"x", &p("/folder")), "Exists");
    refused(fs.symlink(b"", &p("/empty")), "BadName");
    refused(fs.symlink(b"a\0b", &p("/nul")), "BadName");
    refused(fs.make_dir(&p("/chain")), "Exists");
}

pub fn a_list_shows_links_and_where_they_lead(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    put(fs, "/f", b"content");
    let rows = [
        ("to-dir", "../d", Some(Kind::Dir)),
        ("to-file", "/f", Some(Kind::File)),
        ("to-link", "to-file", Some(Kind::File)),
        ("to-none", "none", None),
        ("to-self", "to-self", None),
        ("to-outside", "/no/such/place", None),
    ];
    fs.make_dir(&p("/links")).unwrap();
    for (name, target, _) in rows {
        fs.symlink(target.as_bytes(), &p("/links").join(name.as_bytes()).unwrap()).unwrap();
    }
    let listed: Vec<_> = fs.list(&p("/links")).unwrap().map(Result::unwrap).collect();
    assert_eq!(listed.len(), rows.len());
    for (name, target, resolved) in rows {
        let entry = listed.iter().find(|entry| entry.name == name.as_bytes()).unwrap();
        assert_eq!(entry.kind, Kind::Symlink, "{name}");
        assert_eq!(entry.target.as_deref(), Some(target.as_bytes()), "{name}");
        assert_eq!(entry.resolved, resolved, "{name}");
        assert_eq!(entry.size, target.len() as u64, "{name}");
        let itself = fs.link(&p("/links").join(name.as_bytes()).unwrap()).unwrap();
        assert_eq!((&itself.name, itself.kind), (&entry.name, entry.kind), "{name}");
        assert_eq!((itself.target, itself.size), (entry.target.clone(), entry.size), "{name}");
    }
    for no_link in ["/", "/d", "/f", "/none"] {
        assert!(fs.link(&p(no_link)).is_err(), "{no_link}");
    }
}

pub fn a_loop_of_links_is_denied(fs: &dyn Vfs) {
    fs.symlink(b"b", &p("/a")).unwrap();
    fs.symlink(b"/a", &p("/b")).unwrap();
    fs.symlink(b"self/x", &p("/self")).unwrap();
    for path in ["/a", "/b", "/self", "/a/x"] {
        refused(fs.stat(&p(path)), "Denied");
        refused(fs.open(&p(path)), "Denied");
        refused(fs.list(&p(path)), "Denied");
        refused(fs.create(&p(path), Write::Replace), "Denied");
    }
    assert_eq!(ls(fs, "/"), ["a", "b", "self"]);
}

pub fn uploads_go_through_links_and_leave_the_link(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    put(fs, "/d/real", b"old");
    fs.symlink(b"d/real", &p("/link")).unwrap();
    fs.symlink(b"/link", &p("/link2")).unwrap();
    let entry = begin(fs, "/link2", Write::Replace, b"new!").commit().unwrap();
    assert_eq!((entry.name.as_slice(), entry.kind, entry.size), (&b"link2"[..], Kind::File, 4));
    begin(fs, "/link", Write::Append, b" more").commit().unwrap();
    assert_eq!(cat(fs, "/d/real"), b"new! more");
    begin(fs, "/link", Write::At(3), b"?").keep();
    assert_eq!(fs.partial(&p("/link")).unwrap().size, 4);
    assert_eq!(fs.partial(&p("/d/real")).unwrap().size, 4);
    begin(fs, "/link", Write::At(4), b"?").commit().unwrap();
    assert_eq!(cat(fs, "/d/real"), b"new??");
    put(fs, "/part", b"+");
    fs.combine(&p("/link"), &[p("/part")]).unwrap();
    assert_eq!(cat(fs, "/d/real"), b"new??+");
    let kinds: Vec<_> = fs.list(&p("/")).unwrap().map(|entry| entry.unwrap().kind).collect();
    assert_eq!(kinds.iter().filter(|&&kind| kind == Kind::Symlink).count(), 2, "both are still links");
    fs.symlink(b"d", &p("/folder")).unwrap();
    refused(fs.create(&p("/folder"), Write::Replace), "IsADirectory");
}

pub fn uploads_through_links_that_lead_nowhere_are_denied(fs: &dyn Vfs) {
    for (link, target) in [("/a", "none"), ("/b", "/no/such/place"), ("/c", "../../etc/passwd-portway-test")]
    {
        fs.symlink(target.as_bytes(), &p(link)).unwrap();
        for how in [Write::Replace, Write::Append, Write::At(0), Write::At(1)] {
            refused(fs.create(&p(link), how), "Denied");
        }
        refused(fs.stat(&p(link)), "NotFound");
    }
    assert_eq!(ls(fs, "/"), ["a", "b", "c"]);
}

pub fn deleting_and_renaming_mean_the_link_itself(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    put(fs, "/d/f", b"x");
    fs.symlink(b"d", &p("/folder")).unwrap();
    fs.symlink(b"d/f", &p("/file")).unwrap();
    refused(fs.remove_dir(&p("/folder")), "NotADirectory");
    fs.rename(&p("/folder"), &p("/folder2")).unwrap();
    fs.rename(&p("/folder/f"), &p("/x")).unwrap_err();
    fs.rename(&p("/folder2/f"), &p("/folder2/g")).unwrap();
    assert_eq!(ls(fs, "/d"), ["g"]);
    fs.remove_file(&p("/folder2")).unwrap();
    fs.remove_file(&p("/file")).unwrap();
    assert_eq!(ls(fs, "/"), ["d"]);
    assert_eq!(cat(fs, "/d/g"), b"x");
}

pub fn a_home_is_its_own_root_for_links(fs: &dyn Vfs) {
    fs.make_dir(&p("/home")).unwrap();
    put(fs, "/secret", b"secret");
    put(fs, "/home/secret", b"mine");
    fs.symlink(b"/secret", &p("/home/absolute")).unwrap();
    fs.symlink(b"../secret", &p("/home/dots")).unwrap();
    fs.symlink(b"../../../../home/secret", &p("/home/far")).unwrap();
    let home = fs.below(&p("/home")).unwrap();
    assert_eq!(cat(&home, "/absolute"), b"mine");
    assert_eq!(cat(&home, "/dots"), b"mine");
    refused(home.open(&p("/far")), "NotFound");
    put(&home, "/dots", b"changed");
    assert_eq!(cat(fs, "/secret"), b"secret");
    assert_eq!(cat(fs, "/home/secret"), b"changed");
    refused(home.below(&p("/..")).and_then(|above| above.stat(&p("/home"))), "NotFound");
}

pub fn links_to_hidden_names_are_not_made(fs: &dyn Vfs) {
    begin(fs, "/f", Write::Replace, b"secret").keep();
    for target in [".portway-part.f", "/.portway-part.f", "x/../.portway-part~2.f", ".portway-part.f/"] {
        refused(fs.symlink(target.as_bytes(), &p("/link")), "BadName");
    }
}
