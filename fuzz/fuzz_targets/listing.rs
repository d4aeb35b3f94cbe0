//! Rows of a listing from a hostile server: no panic, and no name that leads out of the folder.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_proto::Timestamp;
use portway_proto::row::{ListRow, MlsxFacts, RowFormat, RowParser};

const HINTS: [RowFormat; 4] = [RowFormat::Auto, RowFormat::Mlsx, RowFormat::Unix, RowFormat::Vms];

fuzz_target!(|data: &[u8]| {
    let Some(now) = Timestamp::from_unix(1_793_787_308, 0) else { return };
    for hint in HINTS {
        let mut parser = RowParser::new(hint);
        let mut rows: Vec<ListRow> = Vec::new();
        for line in data.split_inclusive(|&octet| octet == b'\n') {
            rows.extend(parser.parse_line(line, now).ok().flatten());
        }
        rows.extend(parser.finish());
        rows.iter().for_each(|row| check(row, now));
    }
    if let Ok(row) = ListRow::parse_mlst(data) {
        check(&row, now);
    }
    let _ = MlsxFacts::parse_opts(data);
});

/// What is read can be written, as one line, and its name survives MLSD; only harmless names are called safe.
fn check(row: &ListRow, now: Timestamp) {
    let mut long = Vec::new();
    row.write_long(now, &mut long);
    assert_eq!(long.iter().filter(|&&octet| octet == b'\n').count(), 1, "{row:?}");
    let Some(name) = row.safe_name() else { return };
    assert!(!name.contains(&b'/') && name != b".." && !name.contains(&0), "{row:?}");
    let mut fact_line = Vec::new();
    row.write_mlsd(MlsxFacts::default(), &mut fact_line);
    let again = RowParser::new(RowFormat::Mlsx).parse_line(&fact_line, now);
    let again = again.expect("our own row is understood").expect("and is a row");
    assert_eq!(again.name, row.name, "{:?}", String::from_utf8_lossy(&fact_line));
}
