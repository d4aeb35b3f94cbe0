//! `ls -l` and its kin. The columns are found from the time, the one thing all dialects have: what stands
//! before it is a size, and what follows it, after exactly one space, is the name.

use super::{
    Parsed,
    date::{LsTime, ls_time},
    words::Words,
};
use crate::{
    row::{ListRow, RowKind},
    time::Timestamp,
};

pub(super) fn parse(line: &[u8], now: Timestamp) -> Option<Parsed> {
    let words = Words::new(line);
    if is_total(&words) {
        return Some(Parsed::Nothing);
    }
    // `ls -i` and `ls -s` put numbers first.
    let first = (0..3).find(|&at| !words.get(at).is_some_and(|w| w.iter().all(u8::is_ascii_digit)))?;
    let (mut row, columns) = mode_column(&words, first)?;
    let (size, time) = (columns..words.len()).find_map(|at| {
        size_column(&words, at)?;
        Some((at, ls_time(&words, at.checked_add(1)?, now)?))
    })?;
    let LsTime { modified, last, padded } = time;
    row.modified = Some(modified);
    let split = size > columns && words.get(size.checked_sub(1)?).is_some_and(|w| w.ends_with(b","));
    if !split {
        (row.size, row.rounded) = size_column(&words, size)?;
    }
    owners(&mut row, &words, columns, if split { size - 1 } else { size });
    let mut name = words.after(last)?;
    // NetWare has four spaces there.
    if row.mode.is_none() {
        name = name.trim_ascii_start();
    }
    if padded && name.first() == Some(&b' ') {
        name = name.get(1..).filter(|n| !n.is_empty())?;
    }
    if row.kind == RowKind::Symlink
        && let Some(arrow) = memchr::memmem::find(name, b" -> ")
    {
        row.target = name.get(arrow.saturating_add(4)..).map(<[u8]>::to_vec);
        name = name.get(..arrow).filter(|n| !n.is_empty())?;
    }
    // `ls -F` marks directories.
    if row.kind == RowKind::Dir && name.len() > 1 {
        name = name.strip_suffix(b"/").unwrap_or(name);
    }
    row.name = name.to_vec();
    Some(row.into())
}

/// `total 12`, in any language.
fn is_total(words: &Words<'_>) -> bool {
    let (Some(word), Some(sum)) = (words.get(0), words.get(1)) else { return false };
    let number = sum.first().is_some_and(u8::is_ascii_digit) && size_of(sum).is_some();
    let wordy = word.iter().all(|b| b.is_ascii_alphabetic() || !b.is_ascii() || *b == b':');
    let unit = words.get(2).is_none_or(|unit| unit.len() <= 3 && word.eq_ignore_ascii_case(b"total"));
    number && wordy && unit && words.len() <= 3 && word.len() > 1
}

/// Reads the column of type and permissions; the number is the first word after it.
fn mode_column(words: &Words<'_>, at: usize) -> Option<(ListRow, usize)> {
    let word = words.get(at)?;
    let (&letter, rest) = word.split_first()?;
    let kind = match letter {
        // Contiguous, migrated, and other files by name only.
        b'-' | b'C' | b'M' | b'm' | b'f' | b'F' | b'x' | b'?' => RowKind::File,
        b'd' => RowKind::Dir,
        b'l' => RowKind::Symlink,
        b'b' | b'c' | b'p' | b's' | b'D' | b'P' | b'n' | b'w' | b'e' => RowKind::Other,
        _ => return None,
    };
    let row = ListRow { kind, ..ListRow::default() };
    // NetWare has rights in brackets: `d [RWCEAFMS]`, with or without the space.
    let next = at.checked_add(1)?;
    let rights = if rest.is_empty() { words.get(next) } else { Some(rest) };
    if let Some(rights) = rights.and_then(|r| r.strip_prefix(b"[")?.strip_suffix(b"]")) {
        let known = rights.iter().all(|b| b"-RWCEAFMS ".contains(b));
        let columns = if rest.is_empty() { next.checked_add(1)? } else { next };
        return known.then_some((row, columns));
    }
    let bits = rest.get(..9)?;
    let mode = bits.chunks(3).zip([0o4000, 0o2000, 0o1000]).try_fold(0_u32, |mode, (three, special)| {
        let &[r, w, x] = three else { return None };
        let bit = |octet, letter, value| match octet {
            b'-' => Some(0),
            o if o == letter => Some(value),
            _ => None,
        };
        let execute = match x {
            b'-' => 0,
            b'x' => 1,
            b's' | b't' => 1 | special,
            b'S' | b'T' | b'l' | b'L' => special,
            _ => return None,
        };
        Some(mode << 3 & 0o777 | mode & 0o7000 | bit(r, b'r', 4)? | bit(w, b'w', 2)? | execute)
    })?;
    // What may follow: `+`, `.`, `@` for more rights, or a link count too wide for its column.
    let tail = rest.get(9..).unwrap_or_default();
    if !tail.iter().all(|b| b"+.@*".contains(b) || b.is_ascii_digit()) {
        return None;
    }
    Some((ListRow { mode: Some(mode), ..row }, next))
}

fn size_column(words: &Words<'_>, at: usize) -> Option<(Option<u64>, bool)> {
    let word = words.get(at)?;
    size_of(word).or_else(|| is_device(word).then_some((None, false)))
}

/// `8,0`: major and minor number of a device, where a file has its size. They may be two words, too.
fn is_device(word: &[u8]) -> bool {
    let mut parts = word.split(|&b| b == b',');
    parts.all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit)) && word.contains(&b',')
}

/// `1234`, `1,234`, `1.2K`, `4,0M`. `None` outside if that is no size, inside if it is too large for one.
fn size_of(word: &[u8]) -> Option<(Option<u64>, bool)> {
    let digits = word.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'\'')).count();
    let (number, unit) = word.split_at_checked(digits)?;
    if !number.first()?.is_ascii_digit() || !number.last()?.is_ascii_digit() {
        return None;
    }
    let power = match unit.to_ascii_uppercase().as_slice() {
        b"" => 0,
        b"B" => 0,
        b"K" | b"KB" | b"KIB" => 1,
        b"M" | b"MB" | b"MIB" => 2,
        b"G" | b"GB" | b"GIB" => 3,
        b"T" | b"TB" | b"TIB" => 4,
        b"P" => 5,
        _ => return None,
    };
    let mark = number.iter().rposition(|b| !b.is_ascii_digit());
    let tail = mark.map_or(0, |mark| number.len().saturating_sub(mark).saturating_sub(1));
    if power == 0 && mark.is_some() && tail != 3 {
        return None;
    }
    let value = number
        .iter()
        .filter(|b| b.is_ascii_digit())
        .try_fold(0_u64, |n, b| n.checked_mul(10)?.checked_add(u64::from(b - b'0')));
    if power == 0 {
        return Some((value, false));
    }
    let scale = 10_u128.checked_pow(u32::try_from(tail).ok()?)?;
    let bytes = value.and_then(|v| u64::try_from((u128::from(v) << (10 * power)) / scale).ok());
    Some((bytes, true))
}

/// What stands between the mode and the size: links, owner and group, as many of them as there are.
fn owners(row: &mut ListRow, words: &Words<'_>, mut at: usize, end: usize) {
    let number = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|w| w.parse().ok());
    if at < end
        && let Some(links) = words.get(at).and_then(number)
    {
        row.links = Some(links);
        at += 1;
    }
    if at < end {
        row.owner = words.get(at).map(<[u8]>::to_vec);
        at += 1;
    }
    // Groups of Windows domains have spaces in their names.
    if at < end {
        row.group = words.join(at, end - 1).map(<[u8]>::to_vec);
    }
}
