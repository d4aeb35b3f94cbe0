//! OpenVMS `DIRECTORY`: `FILE.EXT;1  blocks  date  [owner]  (protection)`, with long names on a line of
//! their own.

use super::{
    Parsed,
    date::{Clock, Day},
    words::Words,
};
use crate::row::{ListRow, RowKind};

/// Octets in a block.
const BLOCK: u64 = 512;

/// A row that cannot be given out yet.
#[derive(Clone, Debug)]
pub(super) struct Held {
    row: ListRow,
    /// Only the name has come so far.
    half: bool,
}

impl Held {
    pub(super) fn into_row(self) -> ListRow {
        self.row
    }
}

pub(super) fn parse(line: &[u8], held: &mut Option<Held>) -> Option<Parsed> {
    let words = Words::new(line);
    let first = words.get(0)?;
    if is_heading(&words, first) {
        return Some(Parsed::Heading);
    }
    if line.first() == Some(&b' ')
        && let Some(Held { row, half: true }) = held
    {
        details(row, &words, 0)?;
        return held.take().map(|held| held.row.into());
    }
    let mut row = named(first)?;
    let half = words.len() == 1;
    if !half && !refused(line) {
        details(&mut row, &words, 1)?;
    }
    // A name that is followed by another name had no second half.
    match held.take() {
        None if half => *held = Some(Held { row, half }),
        None => return Some(row.into()),
        Some(earlier) => {
            *held = Some(Held { row, half });
            return Some(earlier.row.into());
        }
    }
    Some(Parsed::Heading)
}

/// A row of a name with its version. A directory is entered by its name without `.DIR;1`.
fn named(word: &[u8]) -> Option<ListRow> {
    let semicolon = memchr::memrchr(b';', word)?;
    let (name, version) = word.split_at(semicolon);
    let version = version.get(1..).filter(|v| !v.is_empty() && v.iter().all(u8::is_ascii_digit));
    version.filter(|_| name.contains(&b'.'))?;
    let stem = name.len().checked_sub(4).and_then(|at| name.split_at_checked(at));
    match stem {
        Some((stem, dir)) if dir.eq_ignore_ascii_case(b".DIR") && !stem.is_empty() => {
            Some(ListRow::new(stem, RowKind::Dir))
        }
        _ => Some(ListRow::new(word, RowKind::File)),
    }
}

/// Blocks, date, time, owner, from a word on. Some systems leave columns out.
fn details(row: &mut ListRow, words: &Words<'_>, mut at: usize) -> Option<()> {
    if let Some(blocks) = words.get(at).and_then(blocks) {
        row.size = blocks.checked_mul(BLOCK).filter(|_| row.kind == RowKind::File);
        row.rounded = row.size.is_some();
        at += 1;
    }
    let day = Day::parse_named(words.get(at)?)?;
    let clock = words.get(at + 1).and_then(Clock::parse);
    row.modified = day.at(clock);
    at += if clock.is_some() { 2 } else { 1 };
    let owner = words.get(at).and_then(|w| w.strip_prefix(b"[")?.strip_suffix(b"]"));
    row.owner = owner.filter(|o| !o.is_empty()).map(<[u8]>::to_vec);
    Some(())
}

/// `5`, or `5/9`: used and allocated.
fn blocks(word: &[u8]) -> Option<u64> {
    let used = word.split(|&b| b == b'/').next()?;
    std::str::from_utf8(used).ok()?.parse().ok()
}

/// A file this user may not look at is named all the same.
fn refused(line: &[u8]) -> bool {
    let text = line.to_ascii_lowercase();
    [&b"%rms-e-"[..], b"no privilege", b"insufficient privilege"]
        .iter()
        .any(|words| memchr::memmem::find(&text, words).is_some())
}

fn is_heading(words: &Words<'_>, first: &[u8]) -> bool {
    let sum =
        first.eq_ignore_ascii_case(b"Total") && words.get(1).is_some_and(|w| w.eq_ignore_ascii_case(b"of"));
    let grand = first.eq_ignore_ascii_case(b"Grand")
        && words.get(1).is_some_and(|w| w.eq_ignore_ascii_case(b"total"));
    let place = first.eq_ignore_ascii_case(b"Directory")
        && words.get(1).is_some_and(|w| w.contains(&b'[') || w.ends_with(b":"));
    sum || grand || place
}
