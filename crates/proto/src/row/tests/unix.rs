use super::*;

const FILE: RowKind = RowKind::File;
const DIR: RowKind = RowKind::Dir;

#[test]
fn ls_is_read_in_every_dialect() {
    check(
        RowFormat::Auto,
        &[
            (
                b"-rw-r--r--   1 owner    group         213 Jan 20 07:56 a.txt",
                FILE,
                Some(213),
                "202401200756",
                b"a.txt",
            ),
            (
                b"-rw-r--r--   1 owner    group         213 Aug 26  1976 a.txt",
                FILE,
                Some(213),
                "19760826",
                b"a.txt",
            ),
            (
                b"-rw-r--r--   1 owner    group         213 Aug 26 16:31 last year",
                FILE,
                Some(213),
                "202308261631",
                b"last year",
            ),
            (
                b"-rw-r--r--   1 owner    group         213 Mar  2 11:00 zone ahead",
                FILE,
                Some(213),
                "202403021100",
                b"zone ahead",
            ),
            (
                b"-rw-r--r--   1 owner    group         213 Mar  2 13:00 too far ahead",
                FILE,
                Some(213),
                "202303021300",
                b"too far ahead",
            ),
            (
                b"drwxr-xr-x   2 0        0            4096 Feb 29 00:00 leap",
                DIR,
                Some(4096),
                "202402290000",
                b"leap",
            ),
            (
                b"drwxr-xr-x+  2 0        0            4096 Jan  1  2020 acl",
                DIR,
                Some(4096),
                "20200101",
                b"acl",
            ),
            (
                b"-rw-r--r--.  1 0        0            4096 Jan  1  2020 selinux",
                FILE,
                Some(4096),
                "20200101",
                b"selinux",
            ),
            (
                b"-rw-r--r--@  1 0        0            4096 Jan  1  2020 mac",
                FILE,
                Some(4096),
                "20200101",
                b"mac",
            ),
            (
                b"-rw-r--r--   1 owner    1803128 Jul 10 10:18 no-group",
                FILE,
                Some(1803128),
                "202307101018",
                b"no-group",
            ),
            (
                b"-rw-r--r--  owner group 1803128 Jul 10 10:18 no-links",
                FILE,
                Some(1803128),
                "202307101018",
                b"no-links",
            ),
            (
                b"-rw-r--r-- 1803128 Jul 10 10:18 nothing-but-size",
                FILE,
                Some(1803128),
                "202307101018",
                b"nothing-but-size",
            ),
            (b"-rw-r--r--1000 owner group 12 Jul 10 10:18 wide", FILE, Some(12), "202307101018", b"wide"),
            (
                b"drwxr-xr-x 2 joe Domain Users 4096 Jan  1  2020 windows group",
                DIR,
                Some(4096),
                "20200101",
                b"windows group",
            ),
            (b"  123456 -rw-r--r-- 1 o g 5 Jan  1  2020 inode", FILE, Some(5), "20200101", b"inode"),
            (
                b"  123456 8 -rw-r--r-- 1 o g 5 Jan  1  2020 inode and blocks",
                FILE,
                Some(5),
                "20200101",
                b"inode and blocks",
            ),
            (
                b"crw-rw-rw-   1 root root       1,   3 Jan  1  2020 null",
                RowKind::Other,
                None,
                "20200101",
                b"null",
            ),
            (
                b"brw-rw----   1 root disk       8,0 Jan  1  2020 sda",
                RowKind::Other,
                None,
                "20200101",
                b"sda",
            ),
            (b"prw-r--r--   1 o g 0 Jan  1  2020 pipe", RowKind::Other, Some(0), "20200101", b"pipe"),
            (b"-rwsr-sr-t   1 o g 0 Jan  1  2020 bits", FILE, Some(0), "20200101", b"bits"),
            (b"drwx------   2 u g 4096 Jan  1  2020 .", RowKind::Cdir, Some(4096), "20200101", b"."),
            (b"drwx------   2 u g 4096 Jan  1  2020 ..", RowKind::Pdir, Some(4096), "20200101", b".."),
            (b"drwx------   2 u g 4096 Jan  1  2020 marked/", DIR, Some(4096), "20200101", b"marked"),
            (
                b"-rw-r--r-- 1 u g 5 Jan  1  2020 12:30 appointment",
                FILE,
                Some(5),
                "20200101",
                b"12:30 appointment",
            ),
            (
                b"-rw-r--r-- 1 u g 5 Jan  1 10:20 5 Jan  2 10:30 x",
                FILE,
                Some(5),
                "202401011020",
                b"5 Jan  2 10:30 x",
            ),
            (
                b"-rw-r--r-- 1 u g 5 Jan  1 10:20:30 2024 bsd long",
                FILE,
                Some(5),
                "20240101102030",
                b"bsd long",
            ),
            (b"-rw-r--r-- 1 u g 5 2024-01-31 10:20 iso", FILE, Some(5), "202401311020", b"iso"),
            (
                b"-rw-r--r-- 1 u g 5 2024-01-31  iso without time",
                FILE,
                Some(5),
                "20240131",
                b"iso without time",
            ),
            (b"-rw-r--r-- 1 u g 5 01-31 10:20 iso short", FILE, Some(5), "202401311020", b"iso short"),
            (
                b"-rw-r--r-- 1 u g 5 2024-01-31 10:20:30.123456789 +0530 full",
                FILE,
                Some(5),
                "20240131045030",
                b"full",
            ),
            (b"-rw-r--r-- 1 u g 5 2024-01-31 10:20:30 -0100 full", FILE, Some(5), "20240131112030", b"full"),
            (b"-rw-r--r-- 1 u g 1.2K Jan  1  2020 human", FILE, Some(1228), "20200101", b"human"),
            (b"-rw-r--r-- 1 u g 4,0M Jan  1  2020 human", FILE, Some(4194304), "20200101", b"human"),
            (b"-rw-r--r-- 1 u g 1,234,567 Jan  1  2020 commas", FILE, Some(1234567), "20200101", b"commas"),
            (
                b"-rw-r--r-- 1 u g 99999999999999999999 Jan  1  2020 too large",
                FILE,
                None,
                "20200101",
                b"too large",
            ),
            (b"-rw-r--r-- 1 u g 5 31 Jan 2024 day first", FILE, Some(5), "20240131", b"day first"),
            (b"-rw-r--r-- 1 u g 5 31. Jan 10:20 day first", FILE, Some(5), "202401311020", b"day first"),
            (b"-rw-r--r-- 1 u g 5 Dez 24  2023 deutsch", FILE, Some(5), "20231224", b"deutsch"),
            ("-rw-r--r-- 1 u g 5 Mär 24  2023 deutsch".as_bytes(), FILE, Some(5), "20230324", b"deutsch"),
            (b"-rw-r--r-- 1 u g 5 M\xe4r 24  2023 latin", FILE, Some(5), "20230324", b"latin"),
            (
                "-rw-r--r-- 1 u g 5 févr. 24  2023 français".as_bytes(),
                FILE,
                Some(5),
                "20230224",
                "français".as_bytes(),
            ),
            (
                "-rw-r--r-- 1 u g 5 24 août 10:20 français".as_bytes(),
                FILE,
                Some(5),
                "202308241020",
                "français".as_bytes(),
            ),
            ("-rw-r--r-- 1 u g 5 juil. 24  2023 f".as_bytes(), FILE, Some(5), "20230724", b"f"),
            (b"-rw-r--r-- 1 u g 5 ene 24  2023 es", FILE, Some(5), "20230124", b"es"),
            ("-rw-r--r-- 1 u g 5 янв 24  2023 ru".as_bytes(), FILE, Some(5), "20230124", b"ru"),
            ("-rw-r--r-- 1 u g 5 8月 24 10:20 ja".as_bytes(), FILE, Some(5), "202308241020", b"ja"),
            ("-rw-r--r-- 1 u g 5 8月 24日 10:20 ja".as_bytes(), FILE, Some(5), "202308241020", b"ja"),
            ("-rw-r--r-- 1 u g 5 8月24日 2022 ja".as_bytes(), FILE, Some(5), "20220824", b"ja"),
            ("-rw-r--r-- 1 u g 5 8月 24日 2022年 ja".as_bytes(), FILE, Some(5), "20220824", b"ja"),
            ("-rw-r--r-- 1 u g 5 2022年 8月 24日 zh".as_bytes(), FILE, Some(5), "20220824", b"zh"),
            (b"-rw-r--r-- 1 u g 5 8\xd4\xc2 24 10:20 gbk", FILE, Some(5), "202308241020", b"gbk"),
            (b"-rw-r--r-- 1 u g 5 8\x8c\x8e 24 2022 sjis", FILE, Some(5), "20220824", b"sjis"),
            (
                "-rw-r--r-- 1 u g 5 24日 8月 2022 day first".as_bytes(),
                FILE,
                Some(5),
                "20220824",
                b"day first",
            ),
            ("-rw-r--r-- 1 u g 5 8월 24 2022 ko".as_bytes(), FILE, Some(5), "20220824", b"ko"),
            (
                b"d [R----F--] supervisor            512       Jan 16 18:53    login",
                DIR,
                Some(512),
                "202401161853",
                b"login",
            ),
            (b"d [R----F--] supervisor 512 Jan 16 18:53 netware", DIR, Some(512), "202401161853", b"netware"),
            (
                b"- [RWCEAFMS] rhesus 214059 Oct 20 15:27 cx.exe",
                FILE,
                Some(214059),
                "202310201527",
                b"cx.exe",
            ),
            (
                b"-[RWCEAFMS] 1 rhesus 214059 Oct 20 15:27 cx.exe",
                FILE,
                Some(214059),
                "202310201527",
                b"cx.exe",
            ),
            (
                b"-------r--         326  1391972  1392298 Nov 22  1995 MegaPhone.sit",
                FILE,
                Some(1392298),
                "19951122",
                b"MegaPhone.sit",
            ),
            (
                b"drwxrwxr-x               folder        2 May 10  1996 network",
                DIR,
                Some(2),
                "19960510",
                b"network",
            ),
            (b"-rw-r--r--\t1\tu\tg\t5\tJan\t1\t2020\ttabs", FILE, Some(5), "20200101", b"tabs"),
        ],
    );
}

#[test]
fn names_keep_every_octet() {
    for name in [
        &b" leading"[..],
        b"   three",
        b"trailing ",
        b" ",
        b"a  b",
        b"a\tb",
        b"\xff\xfe\x80",
        b"a -> b",
        b"-rw",
        b"total 5",
        b"Jan 1 2020 x",
        b"'\"`$(x)",
        b"..hidden",
        b"x;1",
        b"*",
    ] {
        for date in ["Jan  1  2020", "Jan  1 10:20", "2020-01-01 10:20"] {
            let line = [b"-rw-r--r-- 1 u g 5 ", date.as_bytes(), b" ", name].concat();
            assert_eq!(row(&line).name, name, "{date}");
        }
    }
}

#[test]
fn only_links_have_targets() {
    let link = row(b"lrwxrwxrwx 1 u g 7 Jan  1  2020 a b -> ../c d");
    assert_eq!(
        (link.kind, link.name, link.target),
        (RowKind::Symlink, b"a b".to_vec(), Some(b"../c d".to_vec()))
    );
    let bare = row(b"lrwxrwxrwx 1 u g 7 Jan  1  2020 a");
    assert_eq!((bare.name, bare.target), (b"a".to_vec(), None));
    assert_eq!(row(b"-rw-r--r-- 1 u g 7 Jan  1  2020 a -> b").name, b"a -> b");
}

#[test]
fn columns_before_the_size_are_told_apart() {
    for (line, links, owner, group) in [
        (&b"-rw-r--r-- 3 joe staff 5 Jan  1  2020 x"[..], Some(3), Some("joe"), Some("staff")),
        (b"-rw-r--r-- 3 joe 5 Jan  1  2020 x", Some(3), Some("joe"), None),
        (b"-rw-r--r-- joe staff 5 Jan  1  2020 x", None, Some("joe"), Some("staff")),
        (b"-rw-r--r-- 3 joe Domain Users 5 Jan  1  2020 x", Some(3), Some("joe"), Some("Domain Users")),
        (b"crw-r--r-- 3 joe staff 1, 3 Jan  1  2020 x", Some(3), Some("joe"), Some("staff")),
        (b"-rw-r--r-- 5 Jan  1  2020 x", None, None, None),
    ] {
        let row = row(line);
        let text = |bytes: Option<Vec<u8>>| bytes.map(|b| String::from_utf8(b).unwrap());
        let found = (row.links, text(row.owner), text(row.group));
        assert_eq!(
            found,
            (links, owner.map(Into::into), group.map(Into::into)),
            "{}",
            String::from_utf8_lossy(line)
        );
    }
}

#[test]
fn permission_bits_are_read() {
    for (text, mode) in [
        ("-rw-r--r--", 0o644),
        ("-rwxr-xr-x", 0o755),
        ("----------", 0),
        ("-rwsr-sr-t", 0o7755),
        ("-rwSr-Sr-T", 0o7644),
        ("-rw-r-lr--", 0o2644),
    ] {
        assert_eq!(row(format!("{text} 1 u g 5 Jan  1  2020 x").as_bytes()).mode, Some(mode), "{text}");
    }
}

#[test]
fn times_in_the_servers_zone_are_marked() {
    assert!(row(b"-rw-r--r-- 1 u g 5 Jan  1 10:20 x").modified.unwrap().local);
    assert!(!row(b"-rw-r--r-- 1 u g 5 2024-01-31 10:20:30 +0000 x").modified.unwrap().local);
    assert!(row(b"-rw-r--r-- 1 u g 1.2K Jan  1  2020 x").rounded);
    assert!(!row(b"-rw-r--r-- 1 u g 1,200 Jan  1  2020 x").rounded);
}

#[test]
fn sums_and_blanks_are_no_rows_and_fix_nothing() {
    let mut parser = RowParser::new(RowFormat::Auto);
    for line in [
        &b""[..],
        b"\r\n",
        b"   ",
        b"total 12",
        b"total 4.0K",
        b"total 4 KB",
        b"total: 5",
        b"insgesamt 12",
        "итого 12".as_bytes(),
        "合計 12".as_bytes(),
    ] {
        assert_eq!(parser.parse_line(line, now()), Ok(None), "{}", String::from_utf8_lossy(line));
        assert_eq!(parser.format(), None);
    }
}

#[test]
fn the_29th_of_february_is_found_in_the_last_leap_year() {
    let mut parser = RowParser::new(RowFormat::Unix);
    let line = b"-rw-r--r-- 1 u g 5 Feb 29 10:20 x";
    for (now, expect) in [
        ("20230601000000", "202002291020"),
        ("19040101000000", "189602291020"),
        ("00000601000000", "000002291020"),
    ] {
        assert_eq!(when(&parser.parse_line(line, at(now)).unwrap().unwrap()), expect);
    }
}

#[test]
fn what_is_no_row_is_an_error_and_harms_no_other_line() {
    let mut parser = RowParser::new(RowFormat::Auto);
    for line in [
        &b"ls: x: Permission denied"[..],
        b"-rw-r--r--",
        b"-rw-r--r-- 1 u g 5 Jan  1  2020",
        b"-rw-r--r-- 1 u g 5 Jan  1  2020 ",
        b"-rw-r--r-- 1 u g 5 Jan 32  2020 x",
        b"-rw-r--r-- 1 u g 5 Xyz 1  2020 x",
        b"-rw-r--r-- 1 u g 5 Jan 1 25:00 x",
        b"-rwzr--r-- 1 u g 5 Jan  1  2020 x",
        b"hello world",
    ] {
        assert_eq!(parser.parse_line(line, now()), Err(RowError), "{}", String::from_utf8_lossy(line));
    }
    assert!(parser.parse_line(b"-rw-r--r-- 1 u g 5 Jan  1  2020 x", now()).unwrap().is_some());
}
