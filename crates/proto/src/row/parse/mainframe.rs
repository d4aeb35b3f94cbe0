//! z/OS and z/VM. Their sizes are tracks, records and blocks, so none is told here.

use super::{
    Parsed,
    date::{Clock, Day, Order},
    words::Words,
};
use crate::row::{ListRow, RowKind};

/// Which of its tables z/OS prints; the heading tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Table {
    #[default]
    DataSets,
    /// Members of a partitioned data set; statistics may be lacking.
    Members,
    /// Jobs, and the files they spooled.
    Jobs,
}

pub(super) fn parse_mvs(line: &[u8], table: &mut Table) -> Option<Parsed> {
    let words = Words::new(line);
    if let Some(found) = heading(&words) {
        *table = found;
        return Some(Parsed::Heading);
    }
    match table {
        Table::DataSets => data_set(&words),
        Table::Members => member(&words),
        Table::Jobs => job(&words),
    }
    .map(Into::into)
}

fn heading(words: &Words<'_>) -> Option<Table> {
    let is = |at, text: &[u8]| words.get(at).is_some_and(|w| w.eq_ignore_ascii_case(text));
    if is(0, b"Volume") && is(1, b"Unit") {
        Some(Table::DataSets)
    } else if is(0, b"Name") && (is(1, b"VV.MM") || is(1, b"Size")) {
        Some(Table::Members)
    } else if is(0, b"JOBNAME") && is(1, b"JOBID") {
        Some(Table::Jobs)
    } else {
        None
    }
}

/// `volume unit referred extents used recfm lrecl blksize organisation name`; the middle may be lacking.
///
/// The date is that of the last reading, which is nobody's idea of a modification.
fn data_set(words: &Words<'_>) -> Option<ListRow> {
    let last = words.len().checked_sub(1).filter(|&last| last > 0)?;
    let name = words.get(last)?;
    let name = name.strip_prefix(b"'").and_then(|n| n.strip_suffix(b"'")).unwrap_or(name);
    if !is_data_set(name) {
        return None;
    }
    let is = |at, text: &[u8]| words.get(at).is_some_and(|w| w.eq_ignore_ascii_case(text));
    if is(0, b"Pseudo") && is(1, b"Directory") {
        return Some(ListRow::new(name, RowKind::Dir));
    }
    let away = [&b"MIGRAT"[..], b"MIGRATED", b"ARCIVE", b"ARCHIVE", b"TAPE"].iter().any(|text| is(0, text));
    if away || (is(0, b"Not") && is(1, b"Mounted")) || is(1, b"Tape") {
        return Some(ListRow::new(name, RowKind::File));
    }
    let unit = words.get(1)?;
    if last < 3 || unit.len() != 4 || !unit.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let kind = match words.get(last - 1)? {
        b"PO" | b"PO-E" | b"POU" => RowKind::Dir,
        b"PS" | b"PS-E" | b"PS-L" | b"PSU" | b"DA" => RowKind::File,
        b"VS" | b"VSAM" | b"GDG" | b"PATH" | b"AIX" | b"HFS" | b"ZFS" | b"IS" | b"**" | b"??" => {
            RowKind::Other
        }
        _ => return None,
    };
    Some(ListRow::new(name, kind))
}

fn is_data_set(name: &[u8]) -> bool {
    let known = |b: &u8| b.is_ascii_alphanumeric() || b"@#$.-".contains(b);
    !name.is_empty()
        && name.len() <= 44
        && name.iter().all(known)
        && !name.first().is_some_and(u8::is_ascii_digit)
}

/// `name version created changed time size …`, or the name alone.
fn member(words: &Words<'_>) -> Option<ListRow> {
    let name = words.get(0).filter(|n| n.len() <= 8 && is_data_set(n))?;
    let mut row = ListRow::new(name, RowKind::File);
    if let (Some(changed), Some(clock)) = (words.get(3), words.get(4))
        && let (Some(day), Some(clock)) = (Day::parse(changed, Order::ByMark), Clock::parse(clock))
    {
        row.modified = day.at(Some(clock));
    }
    Some(row)
}

/// `jobname jobid owner status …`: what can be retrieved goes by the job's number.
fn job(words: &Words<'_>) -> Option<ListRow> {
    let id =
        words.get(1).filter(|id| id.starts_with(b"J") || id.starts_with(b"T") || id.starts_with(b"S"))?;
    if !id.iter().rev().take(4).all(u8::is_ascii_digit) {
        return None;
    }
    let mut row = ListRow::new(id, RowKind::File);
    row.owner = words.get(2).map(<[u8]>::to_vec);
    Some(row)
}

/// `name type format lrecl records blocks date time owner`, or `name DIR - - - - date time -`.
pub(super) fn parse_zvm(line: &[u8]) -> Option<Parsed> {
    let words = Words::new(line);
    let (name, extension, format) = (words.get(0)?, words.get(1)?, words.get(2)?);
    let day = Day::parse(words.get(6)?, Order::ByMark)?;
    let clock = Clock::parse(words.get(7)?)?;
    let counts =
        (3..6).all(|at| words.get(at).is_some_and(|w| w == b"-" || w.iter().all(u8::is_ascii_digit)));
    if !counts || !matches!(format, b"F" | b"V" | b"-" | b"DIR") {
        return None;
    }
    let mut row = if extension == b"DIR" || format == b"DIR" {
        ListRow::new(name, RowKind::Dir)
    } else {
        ListRow::new([name, b".", extension].concat(), RowKind::File)
    };
    row.modified = day.at(Some(clock));
    row.owner = words.get(8).filter(|o| *o != b"-").map(<[u8]>::to_vec);
    Some(row.into())
}
