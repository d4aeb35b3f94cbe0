use super::*;
use crate::row::{MlsxFacts, Perm};

fn sample() -> ListRow {
    ListRow {
        size: Some(1_234_567),
        modified: Some(at("20240229123456").into()),
        created: Some(at("20200101000000")),
        mode: Some(0o640),
        links: Some(2),
        owner: Some(b"joe".to_vec()),
        group: Some(b"staff".to_vec()),
        unique: Some(b"801g2".to_vec()),
        perm: Some(Perm::RETRIEVE | Perm::DELETE | Perm::RENAME),
        ..ListRow::new("a file", RowKind::File)
    }
}

fn long(row: &ListRow) -> String {
    let mut out = Vec::new();
    row.write_long(now(), &mut out);
    String::from_utf8(out).unwrap()
}

fn mlsd(row: &ListRow, facts: MlsxFacts) -> String {
    let mut out = Vec::new();
    row.write_mlsd(facts, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn rows_look_as_ls_prints_them() {
    assert_eq!(long(&sample()), "-rw-r-----   2 joe      staff         1234567 Feb 29 12:34 a file\r\n");
    let old = ListRow { modified: Some(at("20230101000000").into()), ..sample() };
    assert_eq!(long(&old), "-rw-r-----   2 joe      staff         1234567 Jan  1  2023 a file\r\n");
    let future = ListRow { modified: Some(at("20240301120001").into()), ..sample() };
    assert_eq!(long(&future), "-rw-r-----   2 joe      staff         1234567 Mar  1  2024 a file\r\n");
    let link = ListRow { target: Some(b"../b".to_vec()), ..ListRow::new("a", RowKind::Symlink) };
    assert_eq!(long(&link), "lrwxrwxrwx   1 ftp      ftp                 0 Jan  1  1970 a -> ../b\r\n");
    let tmp = ListRow { mode: Some(0o7767), ..ListRow::new("/x/tmp", RowKind::Cdir) };
    assert_eq!(long(&tmp), "drwsrwSrwt   1 ftp      ftp                 0 Jan  1  1970 .\r\n");
    let wide = ListRow {
        links: Some(u64::MAX),
        size: Some(u64::MAX),
        owner: Some(b"a very long name".to_vec()),
        ..sample()
    };
    assert_eq!(
        long(&wide),
        "-rw-r----- 18446744073709551615 a_very_long_name staff    18446744073709551615 Feb 29 12:34 a file\r\n"
    );
}

#[test]
fn rows_have_the_facts_that_were_asked_for() {
    assert_eq!(
        mlsd(&sample(), MlsxFacts::ALL),
        "type=file;size=1234567;modify=20240229123456;create=20200101000000;perm=dfr;UNIX.mode=0640;unique=801g2;\
         UNIX.owner=joe;UNIX.group=staff; a file\r\n"
    );
    assert_eq!(mlsd(&sample(), MlsxFacts::NONE), " a file\r\n");
    assert_eq!(mlsd(&sample(), MlsxFacts::SIZE), "size=1234567; a file\r\n");
    assert_eq!(
        mlsd(&ListRow::new("d", RowKind::Dir), MlsxFacts::ALL),
        "type=dir; d\r\n",
        "unknown facts are left out"
    );
    let sticky = ListRow { mode: Some(0o1777), ..ListRow::new("tmp", RowKind::Dir) };
    assert_eq!(mlsd(&sticky, MlsxFacts::UNIX_MODE), "UNIX.mode=01777; tmp\r\n");
    let link = |target: &str| ListRow { target: Some(target.into()), ..ListRow::new("l", RowKind::Symlink) };
    assert_eq!(mlsd(&link("/x"), MlsxFacts::TYPE), "type=OS.unix=slink:/x; l\r\n");
    assert_eq!(mlsd(&link("/x;type=dir"), MlsxFacts::TYPE), "type=OS.unix=symlink; l\r\n");
    assert_eq!(mlsd(&link("/x y"), MlsxFacts::TYPE), "type=OS.unix=symlink; l\r\n");
}

#[test]
fn no_name_can_forge_a_row() {
    let evil = b"x\r\n-rw-r--r--   1 root root 5 Jan  1  2020 forged\0";
    let row = ListRow {
        name: evil.to_vec(),
        target: Some(evil.to_vec()),
        owner: Some(b"a b\nc".to_vec()),
        group: Some(b"\r;x".to_vec()),
        unique: Some(b"a; b\r\n".to_vec()),
        ..ListRow::new("", RowKind::Symlink)
    };
    let mut out = Vec::new();
    row.write_long(now(), &mut out);
    row.write_mlsd(MlsxFacts::ALL, &mut out);
    row.write_name(&mut out);
    assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 3);
    assert_eq!(out.iter().filter(|&&b| b == b'\r').count(), 3);
    assert!(!out.contains(&0));
    let mlsd = mlsd(&row, MlsxFacts::UNIQUE | MlsxFacts::UNIX_GROUP);
    assert!(mlsd.starts_with("unique=a__b__;UNIX.group=__x; x??-rw"), "{mlsd}");
}

#[test]
fn names_go_out_as_they_are() {
    let mut out = Vec::new();
    ListRow::new(b" a\xff\xfe ".to_vec(), RowKind::File).write_name(&mut out);
    assert_eq!(out, b" a\xff\xfe \r\n", "255 is doubled on control channels only");
}

#[test]
fn feat_and_opts_speak_of_the_same_facts() {
    assert_eq!(
        MlsxFacts::default().feat(),
        "MLST type*;size*;modify*;create;perm*;unique*;UNIX.mode*;UNIX.owner;UNIX.group;"
    );
    let chosen = MlsxFacts::parse_opts(b"Type;SIZE;unix.MODE;x.nonsense;");
    assert_eq!(chosen, MlsxFacts::TYPE | MlsxFacts::SIZE | MlsxFacts::UNIX_MODE);
    assert_eq!(chosen.opts_reply(), "MLST OPTS type;size;UNIX.mode;");
    assert_eq!(MlsxFacts::parse_opts(b"size"), MlsxFacts::SIZE, "a last semicolon may be missing");
    for none in [&b""[..], b" ", b";;", b"nonsense;"] {
        assert_eq!(MlsxFacts::parse_opts(none), MlsxFacts::NONE);
    }
    assert_eq!(MlsxFacts::NONE.opts_reply(), "MLST OPTS");
}

#[test]
fn perm_letters_come_in_order() {
    let mut out = Vec::new();
    Perm::parse(b"wRpZ9mlfedca").write(&mut out);
    assert_eq!(out, b"acdeflmprw");
}

#[test]
fn a_hundred_thousand_rows_need_no_memory_of_their_own() {
    let row = sample();
    let mut out = Vec::with_capacity(256);
    let room = out.as_ptr();
    for _ in 0..100_000 {
        out.clear();
        row.write_long(now(), &mut out);
        row.write_mlsd(MlsxFacts::ALL, &mut out);
    }
    assert_eq!(out.as_ptr(), room, "rows are written into the caller's buffer");
}
