//! Octets from a client: lines do not depend on how the network cuts them, and what is emitted parses to itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_proto::{Command, LineError, LineReader};

fuzz_target!(|data: &[u8]| {
    let whole = lines(&mut LineReader::new(), data, data.len());
    for cut in [1, 7] {
        assert_eq!(whole, lines(&mut LineReader::new(), data, cut), "cut into {cut}");
    }
    let strict = lines(&mut LineReader::new().strict(), data, data.len());
    assert_eq!(strict, lines(&mut LineReader::new().strict(), data, 3));
    for line in whole.into_iter().flatten() {
        assert!(!line.contains(&b'\n'));
        check(&line);
    }
});

fn lines(reader: &mut LineReader, data: &[u8], cut: usize) -> Vec<Result<Vec<u8>, LineError>> {
    let mut lines = Vec::new();
    for piece in data.chunks(cut.max(1)) {
        reader.feed(piece);
        while let Some(line) = reader.next_line() {
            lines.push(line);
        }
        assert!(reader.buffered() <= 1 << 20, "a line is held that should have been given up");
    }
    lines
}

/// A command that is understood and can be sent is one line that is understood as the same command.
fn check(line: &[u8]) {
    let Ok(command) = Command::parse(line) else { return };
    let mut sent = Vec::new();
    if command.emit(&mut sent).is_err() {
        return;
    }
    let mut reader = LineReader::new().strict().with_limit(1 << 16).with_flood_limit(1 << 17);
    reader.feed(&sent);
    let again = reader.next_line().expect("a command is a line").expect("a line of the strict kind");
    assert!(reader.next_line().is_none(), "one command, one line: {sent:?}");
    assert_eq!(Command::parse(&again).as_ref(), Ok(&command), "{sent:?}");
}
