use super::*;

#[test]
fn names_that_lead_out_of_the_target_are_refused() {
    for name in [
        &b""[..],
        b".",
        b"..",
        b"/",
        b"/etc/passwd",
        b"a/b",
        b"../x",
        b"a/..",
        b"..\\x",
        b"a\\..\\..\\x",
        b"\\",
        b"\\\\host\\share",
        b"\\windows",
        b"C:\\windows",
        b"a\0b",
        b"a\r\nDELE x",
        b"a\n",
        b"..\\",
    ] {
        assert_eq!(ListRow::new(name, RowKind::File).safe_name(), None, "{}", String::from_utf8_lossy(name));
    }
}

#[test]
fn odd_but_harmless_names_are_kept() {
    for name in [
        &b"a"[..],
        b"...",
        b"..a",
        b"a..",
        b".hidden",
        b" ",
        b"a b",
        b"-rf",
        b"C:",
        b"a\\b",
        b"\xff",
        b"a:b",
        b"~",
        b"*",
    ] {
        assert_eq!(
            ListRow::new(name, RowKind::Dir).safe_name(),
            Some(name),
            "{}",
            String::from_utf8_lossy(name)
        );
    }
}
