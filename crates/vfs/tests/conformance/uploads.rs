//! Uploads: atomic, resumable, never mixed.

use crate::common::*;
use portway_vfs::{Upload, Vfs, Write};
use std::io::Read;

pub fn a_file_appears_when_its_upload_is_complete(fs: &dyn Vfs) {
    let upload = begin(fs, "/f", Write::Replace, b"content");
    assert_eq!(upload.start(), 0);
    refused(fs.stat(&p("/f")), "NotFound");
    refused(fs.open(&p("/f")), "NotFound");
    assert!(ls(fs, "/").is_empty(), "an upload under way is not listed");
    let entry = upload.commit().unwrap();
    assert_eq!((entry.name.as_slice(), entry.size, entry.mode), (&b"f"[..], 7, 0o644));
    assert_eq!(fs.stat(&p("/f")).unwrap(), entry);
    assert_eq!(cat(fs, "/f"), b"content");
    assert!(fs.partial(&p("/f")).is_none());
}

pub fn a_new_file_appears_with_the_mode_it_was_given_and_a_replaced_one_keeps_its_own(fs: &dyn Vfs) {
    for (mode, what) in [(0o640, "a new file"), (0o600, "one that replaces it")] {
        let mut upload = fs.create(&p("/f"), Write::Replace).unwrap();
        upload.set_new_mode(mode);
        assert_eq!(upload.commit().unwrap().mode, 0o640, "{what}");
        assert_eq!(fs.stat(&p("/f")).unwrap().mode, 0o640, "{what}");
    }
}

pub fn a_reader_keeps_the_content_it_opened(fs: &dyn Vfs) {
    put(fs, "/f", b"old content");
    let (mut before, _) = fs.open(&p("/f")).unwrap();
    let upload = begin(fs, "/f", Write::Replace, b"new");
    assert_eq!(cat(fs, "/f"), b"old content", "a reader who comes during the upload");
    upload.commit().unwrap();
    let mut content = Vec::new();
    before.read_to_end(&mut content).unwrap();
    assert_eq!(content, b"old content");
    assert_eq!(cat(fs, "/f"), b"new");
}

pub fn a_broken_upload_resumes_at_its_size(fs: &dyn Vfs) {
    drop(begin(fs, "/f", Write::Replace, b"0123"));
    refused(fs.stat(&p("/f")), "NotFound");
    assert!(ls(fs, "/").is_empty());
    assert_eq!(fs.names(&p("/")).unwrap().count(), 0);
    let partial = fs.partial(&p("/f")).unwrap();
    assert_eq!((partial.name.as_slice(), partial.size), (&b"f"[..], 4));
    let upload = fs.create(&p("/f"), Write::At(4)).unwrap();
    assert_eq!(upload.start(), 4);
    send(&*upload, b"456");
    upload.commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"0123456");
    assert!(fs.partial(&p("/f")).is_none());
}

pub fn an_append_continues_a_broken_upload(fs: &dyn Vfs) {
    begin(fs, "/f", Write::Replace, b"01").keep();
    let upload = begin(fs, "/f", Write::Append, b"23");
    assert_eq!(upload.start(), 2);
    upload.keep();
    begin(fs, "/f", Write::Append, b"45").commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"012345");
}

pub fn resuming_drops_what_lies_beyond_the_offset(fs: &dyn Vfs) {
    begin(fs, "/f", Write::Replace, b"0123456789").keep();
    begin(fs, "/f", Write::At(3), b"x").commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"012x");
}

pub fn an_offset_beyond_what_is_stored_is_refused(fs: &dyn Vfs) {
    refused(fs.create(&p("/f"), Write::At(1)), "BadOffset");
    put(fs, "/f", b"0123");
    begin(fs, "/g", Write::Replace, b"0123").keep();
    for path in ["/f", "/g"] {
        for offset in [5, 1 << 62, 1 << 63, u64::MAX] {
            refused(fs.create(&p(path), Write::At(offset)), "BadOffset");
        }
    }
    assert_eq!(cat(fs, "/f"), b"0123");
    assert_eq!(fs.partial(&p("/g")).unwrap().size, 4, "a refusal loses nothing");
}

pub fn an_offset_inside_a_complete_file_keeps_its_start(fs: &dyn Vfs) {
    put(fs, "/f", b"0123456789");
    let upload = begin(fs, "/f", Write::At(4), b"x");
    assert_eq!(upload.start(), 4);
    assert_eq!(cat(fs, "/f"), b"0123456789", "readers see the old file until the new one is complete");
    upload.commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"0123x");

    drop(fs.create(&p("/f"), Write::At(2)).unwrap());
    assert!(fs.partial(&p("/f")).is_none(), "a copy to which nothing was added is not worth keeping");
    drop(begin(fs, "/f", Write::At(2), b"yy"));
    assert_eq!(fs.partial(&p("/f")).unwrap().size, 4);
    assert_eq!(cat(fs, "/f"), b"0123x");
    begin(fs, "/f", Write::At(3), b"z").commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"01yz", "the broken upload is continued, not the complete file");
}

pub fn an_offset_at_the_very_end_extends_the_file(fs: &dyn Vfs) {
    let first = put(fs, "/f", b"0123");
    let entry = begin(fs, "/f", Write::At(4), b"45").commit().unwrap();
    assert_eq!((entry.unique, entry.size), (first.unique, 6));
    assert_eq!(cat(fs, "/f"), b"012345");
}

pub fn offset_zero_replaces(fs: &dyn Vfs) {
    begin(fs, "/f", Write::Replace, b"broken").keep();
    begin(fs, "/f", Write::At(0), b"ab").commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"ab");
}

pub fn an_append_extends_a_complete_file_for_all_to_see(fs: &dyn Vfs) {
    put(fs, "/f", b"01");
    let upload = begin(fs, "/f", Write::Append, b"23");
    assert_eq!(upload.start(), 2);
    assert_eq!(cat(fs, "/f"), b"0123");
    upload.keep();
    assert_eq!(cat(fs, "/f"), b"0123", "broken off, what arrived stays");
    begin(fs, "/f", Write::Append, b"45").discard();
    assert_eq!(fs.stat(&p("/f")).unwrap().size, 6);
    assert_eq!(ls(fs, "/"), ["f"]);
}

pub fn an_append_to_nothing_makes_the_file(fs: &dyn Vfs) {
    begin(fs, "/f", Write::Append, b"01").commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"01");
}

pub fn a_second_append_at_the_same_time_is_busy(fs: &dyn Vfs) {
    put(fs, "/f", b"01");
    let first = begin(fs, "/f", Write::Append, b"a");
    refused(fs.create(&p("/f"), Write::Append), "Busy");
    refused(fs.create(&p("/f"), Write::At(3)), "Busy");
    drop(first);
    begin(fs, "/f", Write::Append, b"b").commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"01ab");
}

pub fn two_uploads_of_one_name_never_mix(fs: &dyn Vfs) {
    let first = begin(fs, "/f", Write::Replace, b"aaaa");
    let second = begin(fs, "/f", Write::Replace, b"bb");
    let third = begin(fs, "/f", Write::Replace, b"c");
    send(&*first, b"aaaa");
    send(&*second, b"bb");
    assert!(ls(fs, "/").is_empty());
    second.commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"bbbb");
    first.commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"aaaaaaaa");
    third.commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"c", "the last to complete wins");
    assert_eq!(ls(fs, "/"), ["f"]);
    fs.remove_file(&p("/f")).unwrap();
    refused(fs.remove_file(&p("/f")), "NotFound");
}

pub fn the_second_of_two_broken_uploads_leaves_nothing(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    let first = begin(fs, "/d/f", Write::Replace, b"first");
    let second = begin(fs, "/d/f", Write::Replace, b"the second");
    drop(first);
    drop(second);
    assert_eq!(fs.partial(&p("/d/f")).unwrap().size, 5);
    fs.remove_file(&p("/d/f")).unwrap();
    fs.remove_dir(&p("/d")).unwrap();
}

pub fn resuming_an_upload_under_way_is_busy(fs: &dyn Vfs) {
    let upload = begin(fs, "/f", Write::Replace, b"0123");
    assert_eq!(fs.partial(&p("/f")).unwrap().size, 4, "its size can be asked for, though");
    refused(fs.create(&p("/f"), Write::At(2)), "Busy");
    refused(fs.create(&p("/f"), Write::Append), "Busy");
    drop(upload);
    assert_eq!(fs.create(&p("/f"), Write::At(2)).unwrap().start(), 2);
}

pub fn a_new_name_must_be_free(fs: &dyn Vfs) {
    put(fs, "/file", b"x");
    fs.make_dir(&p("/dir")).unwrap();
    fs.symlink(b"nowhere", &p("/link")).unwrap();
    begin(fs, "/broken", Write::Replace, b"x").keep();
    let under_way = begin(fs, "/live", Write::New, b"x");
    for path in ["/file", "/dir", "/link", "/broken", "/live"] {
        refused(fs.create(&p(path), Write::New), "Exists");
    }
    under_way.commit().unwrap();
    assert_eq!(cat(fs, "/live"), b"x");
    assert_eq!(fs.partial(&p("/broken")).unwrap().size, 1, "somebody else's broken upload is still there");
}

pub fn a_new_name_lost_to_somebody_else_is_no_replacement(fs: &dyn Vfs) {
    let new = begin(fs, "/f", Write::New, b"mine");
    put(fs, "/f", b"theirs");
    refused(new.commit(), "Exists");
    assert_eq!(cat(fs, "/f"), b"theirs");
    assert!(fs.partial(&p("/f")).is_none());
}

pub fn an_upload_without_data_leaves_nothing_when_broken(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    for how in [Write::Replace, Write::New, Write::Append] {
        drop(fs.create(&p("/d/f"), how).unwrap());
        assert!(fs.partial(&p("/d/f")).is_none(), "{how:?}");
    }
    fs.create(&p("/d/f"), Write::Replace).unwrap().commit().unwrap();
    assert_eq!(cat(fs, "/d/f"), b"", "but an empty file is a file");
}

pub fn a_discarded_upload_leaves_nothing(fs: &dyn Vfs) {
    put(fs, "/f", b"old");
    begin(fs, "/f", Write::Replace, b"new").discard();
    assert!(fs.partial(&p("/f")).is_none());
    assert_eq!(cat(fs, "/f"), b"old");
}

pub fn a_fresh_upload_forgets_the_broken_one(fs: &dyn Vfs) {
    begin(fs, "/f", Write::Replace, b"a long broken upload").keep();
    begin(fs, "/f", Write::Replace, b"short").commit().unwrap();
    assert_eq!(cat(fs, "/f"), b"short");
    assert!(fs.partial(&p("/f")).is_none());
}

pub fn hidden_names_are_refused_everywhere(fs: &dyn Vfs) {
    begin(fs, "/f", Write::Replace, b"secret").keep();
    put(fs, "/plain", b"x");
    for hidden in ["/.portway-part.f", "/.portway-part~2.f", "/.portway-part.d/x"] {
        let hidden = p(hidden);
        refused(fs.stat(&hidden), "BadName");
        refused(fs.open(&hidden), "BadName");
        refused(fs.list(&hidden), "BadName");
        refused(fs.names(&hidden), "BadName");
        for how in [Write::Replace, Write::New, Write::Append, Write::At(0), Write::At(1)] {
            refused(fs.create(&hidden, how), "BadName");
        }
        refused(fs.make_dir(&hidden), "BadName");
        refused(fs.remove_dir(&hidden), "BadName");
        refused(fs.remove_file(&hidden), "BadName");
        refused(fs.remove_tree(&hidden), "BadName");
        refused(fs.rename(&hidden, &p("/stolen")), "BadName");
        refused(fs.rename(&p("/plain"), &hidden), "BadName");
        refused(fs.set_modified(&hidden, 0, 0), "BadName");
        refused(fs.set_mode(&hidden, 0o777), "BadName");
        refused(fs.symlink(b"plain", &hidden), "BadName");
        refused(fs.combine(&hidden, &[p("/plain")]), "BadName");
        refused(fs.combine(&p("/plain"), std::slice::from_ref(&hidden)), "BadName");
        refused(fs.below(&hidden), "BadName");
        assert!(fs.partial(&hidden).is_none());
    }
    assert_eq!(fs.partial(&p("/f")).unwrap().size, 6);
}

pub fn the_permission_bits_of_a_replaced_file_stay(fs: &dyn Vfs) {
    put(fs, "/f", b"old");
    fs.set_mode(&p("/f"), 0o640).unwrap();
    assert_eq!(put(fs, "/f", b"new").mode, 0o640);
    assert_eq!(fs.stat(&p("/f")).unwrap().mode, 0o640);
    assert_eq!(begin(fs, "/f", Write::At(1), b"new").commit().unwrap().mode, 0o640);
}

pub fn names_may_be_any_bytes_up_to_255(fs: &dyn Vfs) {
    let plain: Vec<Vec<u8>> = vec![
        b"\xff\xfe\x80".to_vec(),
        b"line\nbreak".to_vec(),
        b" leading and trailing ".to_vec(),
        b"...".to_vec(),
        b"-rf".to_vec(),
        b"a\\b".to_vec(),
        vec![b'x'; 241],
        vec![b'x'; 242],
        vec![0xe4; 255],
    ];
    for name in &plain {
        let path = p(name);
        let send_part = |how, data: &[u8]| {
            let upload = fs.create(&path, how).unwrap();
            send(&*upload, data);
            upload
        };
        send_part(Write::Replace, b"01").keep();
        let other = send_part(Write::Replace, b"z");
        let second = send_part(Write::Replace, b"y");
        drop((other, second));
        send_part(Write::Replace, b"012").keep();
        send_part(Write::At(2), b"2").commit().unwrap();
        assert_eq!(fs.stat(&path).unwrap().name, *name);
        assert_eq!(fs.stat(&path).unwrap().size, 3);
    }
    let mut listed: Vec<_> = fs.names(&p("/")).unwrap().map(Result::unwrap).collect();
    listed.sort();
    let mut want = plain;
    want.sort();
    assert_eq!(listed, want);
    let too_long = p(vec![b'x'; 256]);
    refused(fs.create(&too_long, Write::Replace), "NameTooLong");
    refused(fs.make_dir(&too_long), "NameTooLong");
    refused(fs.stat(&too_long), "NameTooLong");
}

pub fn parts_combine_into_one_file(fs: &dyn Vfs) {
    put(fs, "/p1", b"one ");
    put(fs, "/p2", b"");
    put(fs, "/p3", b"three");
    let entry = fs.combine(&p("/all"), &[p("/p1"), p("/p2"), p("/p3")]).unwrap();
    assert_eq!((entry.name.as_slice(), entry.size), (&b"all"[..], 9));
    assert_eq!(cat(fs, "/all"), b"one three");
    assert_eq!(ls(fs, "/"), ["all"]);
    put(fs, "/p4", b" four");
    fs.combine(&p("/all"), &[p("/p4")]).unwrap();
    assert_eq!(cat(fs, "/all"), b"one three four");
    assert_eq!(ls(fs, "/"), ["all"]);
}

pub fn a_combination_with_a_problem_changes_nothing(fs: &dyn Vfs) {
    put(fs, "/all", b"all");
    put(fs, "/p1", b"one");
    fs.make_dir(&p("/d")).unwrap();
    refused(fs.combine(&p("/all"), &[p("/p1"), p("/missing")]), "NotFound");
    refused(fs.combine(&p("/all"), &[p("/p1"), p("/p1")]), "BadName");
    refused(fs.combine(&p("/all"), &[p("/p1"), p("/all")]), "BadName");
    refused(fs.combine(&p("/all"), &[p("/p1"), p("/d")]), "IsADirectory");
    refused(fs.combine(&p("/d"), &[p("/p1")]), "IsADirectory");
    let growing = begin(fs, "/p1", Write::Append, b"");
    refused(fs.combine(&p("/all"), &[p("/p1")]), "Busy");
    drop(growing);
    assert_eq!((cat(fs, "/all"), cat(fs, "/p1")), (b"all".to_vec(), b"one".to_vec()));
    assert_eq!(ls(fs, "/"), ["all", "d", "p1"]);
    assert!(fs.partial(&p("/all")).is_none());
}

pub fn an_upload_into_a_removed_folder_fails(fs: &dyn Vfs) {
    fs.make_dir(&p("/d")).unwrap();
    let upload: Box<dyn Upload> = begin(fs, "/d/f", Write::Replace, b"x");
    fs.remove_tree(&p("/d")).unwrap();
    refused(upload.commit(), "NotFound");
    refused(fs.stat(&p("/d")), "NotFound");
}
