use proptest::prelude::*;

use super::{LineError, LineReader};

fn lines(reader: &mut LineReader) -> Vec<Result<Vec<u8>, LineError>> {
    std::iter::from_fn(|| reader.next_line()).collect()
}

fn fed_by(mut reader: LineReader, data: &[u8], cut: usize) -> (Vec<Result<Vec<u8>, LineError>>, bool, usize) {
    let mut out = Vec::new();
    for piece in data.chunks(cut.max(1)) {
        reader.feed(piece);
        out.extend(lines(&mut reader));
    }
    (out, reader.take_interrupt(), reader.buffered())
}

fn read(data: &[u8]) -> Vec<Result<Vec<u8>, LineError>> {
    fed_by(LineReader::new(), data, data.len()).0
}

fn ok(line: &[u8]) -> Result<Vec<u8>, LineError> {
    Ok(line.to_vec())
}

#[test]
fn lines_come_without_their_ends() {
    for (name, data, expect) in [
        ("crlf", &b"NOOP\r\nQUIT\r\n"[..], vec![ok(b"NOOP"), ok(b"QUIT")]),
        ("bare lf", b"NOOP\nQUIT\n", vec![ok(b"NOOP"), ok(b"QUIT")]),
        ("empty", b"\r\n\n", vec![ok(b""), ok(b"")]),
        ("half a line is no line", b"NOOP\r\nQU", vec![ok(b"NOOP")]),
        ("cr nul is a cr in a name", b"MKD a\r\0b\r\n", vec![ok(b"MKD a\rb")]),
        ("bytes stay bytes", b"CWD \xe4\xf6\r\n", vec![ok(b"CWD \xe4\xf6")]),
        ("spaces stay", b"CWD  a \r\n", vec![ok(b"CWD  a ")]),
    ] {
        assert_eq!(read(data), expect, "{name}");
    }
}

#[test]
fn a_faulty_line_costs_one_error_and_the_session_lives() {
    for (name, data, error) in [
        ("nul", &b"US\0ER x\r\nNOOP\r\n"[..], LineError::Nul),
        ("bare cr", b"MKD a\rb\r\nNOOP\r\n", LineError::BareCr),
        ("cr cr lf", b"MKD a\r\r\nNOOP\r\n", LineError::BareCr),
        ("many faults, one error", b"a\0\rb\0\0\rc\r\nNOOP\r\n", LineError::Nul),
    ] {
        assert_eq!(read(data), vec![Err(error), ok(b"NOOP")], "{name}");
    }
}

#[test]
fn a_gate_refuses_every_line_end_but_crlf() {
    let strict = |data: &[u8]| fed_by(LineReader::new().strict(), data, data.len()).0;
    assert_eq!(strict(b"NOOP\nQUIT\r\n"), vec![Err(LineError::BareLf), ok(b"QUIT")]);
    assert_eq!(strict(b"MKD a\r\0PORT 1,2\r\nQUIT\r\n"), vec![Err(LineError::BareCr), ok(b"QUIT")]);
}

#[test]
fn telnet_commands_vanish_wherever_they_stand() {
    for (name, data, expect) in [
        ("doubled 255 is one", &b"CWD \xff\xffx\r\n"[..], &b"CWD \xffx"[..]),
        ("options", b"\xff\xfb\x01\xff\xfc\x02\xff\xfd\x03\xff\xfe\x04NOOP\r\n", b"NOOP"),
        ("option named like a line end", b"NO\xff\xfd\nOP\r\n", b"NOOP"),
        ("are you there, in the middle", b"NO\xff\xf6OP\r\n", b"NOOP"),
        ("between cr and lf", b"NOOP\r\xff\xf1\n", b"NOOP"),
        ("subnegotiation with a line inside", b"\xff\xfa\x18\x00QUIT\r\n\xff\xff\xff\xf0NOOP\r\n", b"NOOP"),
        ("255 of a name nobody doubled", b"CWD \xffo\r\n", b"CWD \xffo"),
    ] {
        let (lines, interrupted, _) = fed_by(LineReader::new(), data, data.len());
        assert_eq!(lines, vec![ok(expect)], "{name}");
        assert!(!interrupted, "{name}");
    }
}

#[test]
fn abor_is_found_in_every_spelling_of_the_interrupt() {
    for (name, data) in [
        ("ip and mark in line", &b"\xff\xf4\xff\xf2ABOR\r\n"[..]),
        ("ip only", b"\xff\xf4ABOR\r\n"),
        ("mark only", b"\xff\xf2ABOR\r\n"),
        ("mark lost out of band", b"\xff\xf4\xffABOR\r\n"),
        ("iac of the mark lost out of band", b"\xff\xf4\xf2ABOR\r\n"),
        ("twice", b"\xff\xf4\xff\xf2\xff\xf4\xff\xf2ABOR\r\n"),
    ] {
        let (lines, interrupted, left) = fed_by(LineReader::new(), data, data.len());
        assert_eq!((lines, interrupted, left), (vec![ok(b"ABOR")], true, 0), "{name}");
    }
}

#[test]
fn an_interrupt_is_known_before_the_lines_are_taken() {
    let mut reader = LineReader::new();
    reader.feed(b"NOOP\r\n\xff\xf4\xff\xf2");
    assert!(reader.take_interrupt());
    assert!(!reader.take_interrupt(), "told once");
    assert!(reader.has_pending());
}

#[test]
fn the_limit_counts_the_line_end_and_holds_no_more_than_itself() {
    let long = |n: usize| [vec![b'A'; n], b"\r\nNOOP\r\n".to_vec()].concat();
    let limited = || LineReader::new().with_limit(10);
    assert_eq!(fed_by(limited(), &long(8), 1).0, vec![ok(b"AAAAAAAA"), ok(b"NOOP")]);
    assert_eq!(fed_by(limited(), &long(9), 1).0, vec![Err(LineError::TooLong { limit: 10 }), ok(b"NOOP")]);

    let mut reader = limited();
    reader.feed(&[b'A'; 60_000]);
    assert_eq!(reader.line.capacity(), 0, "an over-long line keeps no text");
    assert!(!reader.has_pending());
}

#[test]
fn a_flood_ends_the_reader_for_good() {
    for flood in [&b"A"[..], b"\xff\xf1", b"\xff\xfa\x18", b"\0", b"\r\0"] {
        let mut reader = LineReader::new();
        for _ in 0..70_000 {
            reader.feed(flood);
        }
        reader.feed(b"\r\nNOOP\r\n");
        assert_eq!(lines(&mut reader), vec![Err(LineError::Flood { limit: 65536 })], "{flood:?}");
        assert_eq!(reader.clear(), 0);
        reader.feed(b"NOOP\r\n");
        assert!(!reader.has_pending());
    }
    assert!(LineError::Flood { limit: 1 }.is_fatal() && !LineError::Nul.is_fatal());
}

#[test]
fn commands_injected_before_tls_are_counted_and_gone() {
    let mut reader = LineReader::new();
    reader.feed(b"AUTH TLS\r\nNOOP\r\nDE\xff");
    assert_eq!(reader.next_line(), Some(ok(b"AUTH TLS")));
    assert_eq!(reader.buffered(), 8, "an unfinished Telnet command is not counted yet");
    assert_eq!(reader.clear(), 8);
    reader.feed(b"QUIT\r\n");
    assert_eq!(lines(&mut reader), vec![ok(b"QUIT")]);
}

#[test]
fn an_idle_reader_holds_no_heap() {
    let mut reader = LineReader::new();
    reader.feed(b"NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n");
    assert_eq!(lines(&mut reader).len(), 5);
    assert_eq!((reader.ready.capacity(), reader.line.capacity(), reader.buffered()), (0, 0, 0));
}

/// Octets in which everything that matters to a line comes often.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        Just(b'\r'),
        Just(b'\n'),
        Just(0),
        Just(255),
        Just(240),
        Just(242),
        Just(244),
        Just(250),
        Just(253),
        Just(b'A'),
        any::<u8>()
    ];
    proptest::collection::vec(octet, 0..200)
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_segments(data in soup(), cut in 1_usize..9, strict: bool, limit in 2_usize..40) {
        let reader = LineReader::new().with_limit(limit).with_flood_limit(60);
        let reader = if strict { reader.strict() } else { reader };
        prop_assert_eq!(fed_by(reader.clone(), &data, cut), fed_by(reader, &data, data.len()));
    }

    #[test]
    fn no_line_holds_what_a_line_cannot(data in soup()) {
        for line in fed_by(LineReader::new().strict(), &data, 7).0.into_iter().flatten() {
            prop_assert!(!line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        }
    }

    #[test]
    fn any_text_comes_back_when_sent_by_the_book(text in "[^\r\n\0]{0,300}", latin in proptest::collection::vec(128_u8.., 0..9)) {
        let line = [text.as_bytes(), &latin].concat();
        let mut wire: Vec<u8> = line.iter().flat_map(|&b| if b == 255 { vec![b, b] } else { vec![b] }).collect();
        wire.extend(b"\r\n");
        prop_assert_eq!(read(&wire), vec![Ok(line)]);
    }
}
