use proptest::prelude::*;

use super::{RawReply, ReplyError, ReplyLimits, ReplyReader};

fn reply(code: u16, lines: &[&str]) -> RawReply {
    RawReply { code, lines: lines.iter().map(|l| l.as_bytes().to_vec()).collect() }
}

fn fed_by(
    mut reader: ReplyReader,
    data: &[u8],
    cut: usize,
) -> (Vec<Result<RawReply, ReplyError>>, ReplyReader) {
    let mut out = Vec::new();
    for piece in data.chunks(cut.max(1)) {
        reader.feed(piece);
        out.extend(std::iter::from_fn(|| reader.next_reply()));
    }
    (out, reader)
}

fn read(data: &[u8]) -> Vec<Result<RawReply, ReplyError>> {
    fed_by(ReplyReader::new(), data, data.len()).0
}

#[test]
fn replies_of_one_and_many_lines_are_read() {
    for (name, data, expect) in [
        ("one line", &b"220 hello\r\n"[..], vec![reply(220, &["hello"])]),
        ("two replies", b"150 a\r\n226 b\r\n", vec![reply(150, &["a"]), reply(226, &["b"])]),
        ("no text", b"220 \r\n", vec![reply(220, &[""])]),
        ("not even a space", b"220\r\n", vec![reply(220, &[""])]),
        ("spaces stay", b"257  x \r\n", vec![reply(257, &[" x "])]),
        ("many lines", b"211-a\r\n SIZE\r\n\r\n211 z\r\n", vec![reply(211, &["a", " SIZE", "", "z"])]),
        (
            "other digits inside",
            b"123-First\r\nSecond\r\n 234 numbers\r\n226 not the end\r\n1234 x\r\n123end\r\n123 last\r\n",
            vec![reply(
                123,
                &["First", "Second", " 234 numbers", "226 not the end", "1234 x", "123end", "last"],
            )],
        ),
        ("code repeated", b"211-a\r\n211-MLST x\r\n211 z\r\n", vec![reply(211, &["a", "MLST x", "z"])]),
        ("a bare code inside", b"211-a\r\n211\r\n211 z\r\n", vec![reply(211, &["a", "211", "z"])]),
        ("protected", b"631 abc=\r\n", vec![reply(631, &["abc="])]),
        ("odd separator", b"220:hi\r\n", vec![reply(220, &[":hi"])]),
    ] {
        let found: Vec<_> = read(data).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, expect, "{name}");
    }
}

#[test]
fn a_long_reply_may_be_taken_before_its_end_and_its_bounds_hold_all_the_same() {
    let text = b"213-a\r\n b\r\n214 c\r\n d\r\n213 e\r\n";
    for cut in 1..text.len() {
        let (mut reader, mut lines) = (ReplyReader::new(), Vec::new());
        let last = text.chunks(cut).find_map(|piece| {
            reader.feed(piece);
            lines.extend(reader.take_part().into_iter().flat_map(|part| part.lines));
            reader.next_reply()
        });
        lines.extend(last.unwrap().unwrap().lines);
        assert_eq!(lines, [&b"a"[..], b" b", b"214 c", b" d", b"e"], "{cut}");
    }
    let mut reader = ReplyReader::with_limits(ReplyLimits { lines: 10, ..ReplyLimits::default() });
    reader.feed(b"213-a\r\n");
    let mut failed = std::iter::repeat_with(|| {
        reader.feed(b" b\r\n");
        let _ = reader.take_part();
        reader.next_reply()
    });
    assert_eq!(failed.by_ref().take(9).flatten().count(), 0);
    assert_eq!(failed.next().flatten(), Some(Err(ReplyError::TooManyLines { limit: 10 })));
}

#[test]
fn odd_line_ends_and_telnet_do_not_matter() {
    for (name, data) in [
        ("cr cr lf", &b"220-a\r\r\n220 b\r\r\n"[..]),
        ("bare lf", b"220-a\n220 b\n"),
        ("nul before lf", b"220-a\r\0\n220 b\0\r\n"),
        ("nul after lf", b"\x00220-a\r\n\x00220 b\r\n"),
        ("telnet", b"\xff\xfb\x01220-a\r\n22\xff\xf10 b\r\n"),
        ("blank line first", b"\r\n220-a\r\n220 b\r\n"),
    ] {
        assert_eq!(read(data), vec![Ok(reply(220, &["a", "b"]))], "{name}");
    }
    assert_eq!(
        read(b"257 \"\xff\xff\"\r\n"),
        vec![Ok(RawReply { code: 257, lines: vec![b"\"\xff\"".to_vec()] })]
    );
}

#[test]
fn a_lone_cr_in_a_name_forges_no_reply() {
    assert_eq!(read(b"257 \"/a\r230 in\"\r\n"), vec![Ok(reply(257, &["\"/a\r230 in\""]))]);
}

#[test]
fn a_server_that_ends_lines_with_cr_alone_is_known_by_its_pause() {
    let (found, mut reader) = fed_by(ReplyReader::new(), b"220-a\r220 b\r", 5);
    assert_eq!(found, vec![]);
    assert_eq!(reader.finish_by_pause(), Some(Ok(reply(220, &["a", "b"]))));
    reader.feed(b"331 c\r");
    assert_eq!(reader.next_reply(), Some(Ok(reply(331, &["c"]))), "from now on without a pause");
}

#[test]
fn a_pause_ends_a_block_with_another_code() {
    let (found, mut reader) = fed_by(ReplyReader::new(), b"200-a\r\n226 not the end\r\nb\r\n", 3);
    assert_eq!(found, vec![]);
    assert_eq!(reader.finish_by_pause(), None, "the last line is what counts");
    reader.feed(b"226 end");
    assert_eq!(reader.finish_by_pause(), None, "a line cut by the network is no end");
    reader.feed(b"\r\n");
    assert_eq!(reader.next_reply(), None, "not before the pause");
    assert_eq!(reader.finish_by_pause(), Some(Ok(reply(226, &["a", "226 not the end", "b", "end"]))));
    assert!(!reader.has_partial());
}

#[test]
fn a_pause_ends_a_block_with_its_bare_code() {
    let (_, mut reader) = fed_by(ReplyReader::new(), b"211-a\r\n211\r\n", 99);
    assert_eq!(reader.finish_by_pause(), Some(Ok(reply(211, &["a", ""]))));
}

#[test]
fn the_last_words_of_a_closing_server_are_heard() {
    let (found, mut reader) = fed_by(ReplyReader::new(), b"421 too many users", 99);
    assert_eq!((found, reader.finish_by_pause()), (vec![], None));
    assert_eq!(reader.finish_at_end(), Some(Ok(reply(421, &["too many users"]))));
    assert_eq!(reader.finish_at_end(), None);
}

#[test]
fn other_protocols_are_named() {
    for (data, speaks) in [
        (&b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"[..], Some("SSH (use sftp)")),
        (b"HTTP/1.1 400 Bad Request\r\n", Some("HTTP")),
        (b"<html><head>\r\n", Some("HTTP")),
        (b"\x15\x03\x01\x00\x02\x02\x46", Some("TLS (use ftps)")),
        (b"+OK POP3 ready\r\n", Some("POP3")),
        (b"hello\r\n", None),
        (b"22 hello\r\n", None),
        (b"2200 hello\r\n", None),
        (b"999 hello\r\n", None),
        (b"never a line end in this banner", None),
    ] {
        let (mut found, mut reader) = fed_by(ReplyReader::new(), data, 4);
        found.extend(reader.finish_by_pause());
        let [Err(error @ ReplyError::NotFtp { starts_with })] = found.as_slice() else {
            panic!("{data:?}: {found:?}");
        };
        assert!(data.starts_with(starts_with), "{data:?}");
        assert_eq!(error.speaks(), speaks, "{data:?}");
        reader.feed(b"\r\n220 hello\r\n");
        assert_eq!(reader.next_reply(), None, "{data:?}: nothing counts after an error");
    }
}

#[test]
fn babble_between_replies_is_passed_over_but_not_for_ever() {
    let limits = ReplyLimits { lines: 3, ..ReplyLimits::default() };
    let (found, mut reader) =
        fed_by(ReplyReader::with_limits(limits), b"220 a\r\nlibfoo: warning\r\n200 b\r\n", 2);
    assert_eq!(found, vec![Ok(reply(220, &["a"])), Ok(reply(200, &["b"]))]);
    assert_eq!(reader.stray_lines(), 1);
    reader.feed(b"x\r\ny\r\nz\r\n");
    assert_eq!(reader.next_reply(), Some(Err(ReplyError::TooManyLines { limit: 3 })));
}

#[test]
fn a_server_may_not_talk_without_end() {
    let long = [b"220 ".to_vec(), vec![b'a'; 9000]].concat();
    assert_eq!(read(&long), vec![Err(ReplyError::LineTooLong { limit: 8192 })]);

    let fits = [b"220-a\r\n".repeat(9_999), b"220 z\r\n".to_vec()].concat();
    assert_eq!(read(&fits).pop().unwrap().unwrap().lines.len(), 10_000, "a long welcome is no error");
    assert_eq!(read(&b"220-a\r\n".repeat(10_001)), vec![Err(ReplyError::TooManyLines { limit: 10_000 })]);

    let line = [b"220-".to_vec(), vec![b'a'; 8000], b"\r\n".to_vec()].concat();
    assert_eq!(read(&line.repeat(132)), vec![Err(ReplyError::TooLarge { limit: 1024 * 1024 })]);
}

#[test]
fn a_gate_forgives_nothing() {
    for (name, data) in [
        ("bare lf", &b"220 a\n"[..]),
        ("cr cr lf", b"220 a\r\r\n"),
        ("cr inside", b"257 \"a\rb\"\r\n"),
        ("nul", b"220 \0a\r\n"),
    ] {
        assert_eq!(fed_by(ReplyReader::new().strict(), data, 3).0, vec![Err(ReplyError::LineEnd)], "{name}");
    }
    for data in [&b"220 a\r\nbabble\r\n"[..], b"220 a\r\n220\r\n", b"220 a\r\n\r\n", b"220 a\r\n220:x\r\n"] {
        let (found, _) = fed_by(ReplyReader::new().strict(), data, 3);
        assert!(matches!(found.as_slice(), [Ok(_), Err(ReplyError::NotFtp { .. })]), "{data:?}: {found:?}");
    }
    let (_, mut reader) = fed_by(ReplyReader::new().strict(), b"200-a\r\n226 b\r\n", 3);
    assert_eq!((reader.finish_by_pause(), reader.has_partial()), (None, true));
}

#[test]
fn replies_injected_before_tls_are_gone() {
    let mut reader = ReplyReader::new();
    reader.feed(b"234 go\r\n230 in\r\n2");
    assert_eq!(reader.next_reply(), Some(Ok(reply(234, &["go"]))));
    assert_eq!(reader.buffered(), 3);
    assert!(reader.clear());
    assert!(!reader.clear());
    reader.feed(b"200 ok\r\n");
    assert_eq!(reader.next_reply(), Some(Ok(reply(200, &["ok"]))));
}

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"220-"[..]),
        Just(&b"220 "[..]),
        Just(&b"226 "[..]),
        Just(&b"220"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\n"[..]),
        Just(&b"\r"[..]),
        Just(&b"\0"[..]),
        Just(&b"\xff\xf1"[..]),
        Just(&b"x"[..]),
        Just(&b"a line of some length"[..]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn replies_do_not_depend_on_segments(data in soup(), cut in 1_usize..9, strict: bool, line in 4_usize..60) {
        let reader = ReplyReader::with_limits(ReplyLimits { line, lines: 5, octets: 60 });
        let reader = if strict { reader.strict() } else { reader };
        let (mut by_cut, mut a) = fed_by(reader.clone(), &data, cut);
        let (mut at_once, mut b) = fed_by(reader, &data, data.len());
        by_cut.extend(a.finish_at_end());
        at_once.extend(b.finish_at_end());
        prop_assert_eq!(by_cut, at_once);
        prop_assert_eq!((a.buffered(), a.stray_lines()), (b.buffered(), b.stray_lines()));
    }

    #[test]
    fn any_octets_are_survived(data: Vec<u8>, cut in 1_usize..9) {
        let (_, mut reader) = fed_by(ReplyReader::new(), &data, cut);
        reader.finish_by_pause();
        reader.finish_at_end();
    }

    #[test]
    fn a_reply_sent_by_the_book_is_read_as_sent(code in 100_u16..600, lines in proptest::collection::vec("[ -~]{0,30}", 1..9)) {
        let mut wire = String::new();
        let last = lines.len() - 1;
        for (at, line) in lines.iter().enumerate() {
            let start = if at == last { format!("{code} ") } else { format!("{code}-") };
            wire += &format!("{start}{line}\r\n");
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        prop_assert_eq!(read(wire.as_bytes()), vec![Ok(reply(code, &lines))]);
    }
}
