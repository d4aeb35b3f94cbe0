mod emit;
mod properties;
mod safe;
mod unix;
mod wild;

use super::{ListRow, Modified, Precision, RowError, RowFormat, RowKind, RowParser};
use crate::time::Timestamp;

/// 2024-03-01 12:00:00 UTC.
fn now() -> Timestamp {
    at("20240301120000")
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text.as_bytes()).unwrap()
}

fn parse_as(hint: RowFormat, line: &[u8]) -> Result<Option<ListRow>, RowError> {
    RowParser::new(hint).parse_line(line, now())
}

fn row(line: &[u8]) -> ListRow {
    let shown = || String::from_utf8_lossy(line).into_owned();
    let parsed = parse_as(RowFormat::Auto, line).unwrap_or_else(|e| panic!("{e}: {}", shown()));
    parsed.unwrap_or_else(|| panic!("no row: {}", shown()))
}

/// The time as text, `-` if there is none; shorter by what is not known.
fn when(row: &ListRow) -> String {
    let Some(Modified { at, precision, .. }) = row.modified else { return "-".into() };
    let text = at.to_string();
    text[..match precision {
        Precision::Day => 8,
        Precision::Minute => 12,
        Precision::Second => 14,
    }]
        .to_owned()
}

/// A line, and what has to be found in it: kind, size, time, name.
type Case<'a> = (&'a [u8], RowKind, Option<u64>, &'a str, &'a [u8]);

fn check(hint: RowFormat, cases: &[Case<'_>]) {
    for &(line, kind, size, time, name) in cases {
        let shown = String::from_utf8_lossy(line);
        let row = match parse_as(hint, line) {
            Ok(Some(row)) => row,
            other => panic!("{other:?}: {shown}"),
        };
        let found = (row.kind, row.size, when(&row), String::from_utf8_lossy(&row.name).into_owned());
        let expect = (kind, size, time.to_owned(), String::from_utf8_lossy(name).into_owned());
        assert_eq!(found, expect, "{shown}");
        assert_eq!(row.name, name, "{shown}");
    }
}
