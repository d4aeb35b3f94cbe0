//! OS/400, OS/2 and NonStop.

use super::{
    Parsed,
    date::{Clock, Day, Order},
    words::Words,
};
use crate::row::{ListRow, RowKind};

/// Columns from the start of the type to the name on OS/400.
const NAME_COLUMN: usize = 11;

/// `owner size date time *TYPE name`; members of files have neither size nor time.
pub(super) fn parse_os400(line: &[u8]) -> Option<Parsed> {
    let words = Words::new(line);
    let at = (1..=4).find(|&at| words.get(at).is_some_and(|w| w.len() > 1 && w.starts_with(b"*")))?;
    let kind = match words.get(at)? {
        b"*DIR" | b"*DDIR" | b"*LIB" | b"*FLR" | b"*FOLDER" => RowKind::Dir,
        kind if kind.get(1..)?.iter().all(u8::is_ascii_alphanumeric) => RowKind::File,
        _ => return None,
    };
    let rest = line.get(words.start(at)?..)?;
    let gap = rest.get(words.get(at)?.len()..NAME_COLUMN).unwrap_or_default();
    let aligned = !gap.is_empty() && gap.iter().all(|&b| b == b' ') && rest.len() > NAME_COLUMN;
    let name = if aligned { rest.get(NAME_COLUMN..)? } else { words.after(at)?.trim_ascii_start() };
    let mut row = ListRow::new(name, kind);
    // Libraries and files with members are entered; a slash marks them.
    if let Some(name) = name.strip_suffix(b"/").filter(|n| !n.is_empty()) {
        row.name = name.to_vec();
        row.kind = RowKind::Dir;
    }
    row.owner = words.get(0).map(<[u8]>::to_vec);
    match at {
        4 => {
            row.size = Some(std::str::from_utf8(words.get(1)?).ok()?.parse().ok()?);
            let day = Day::parse(words.get(2)?, Order::YearFirst)?;
            row.modified = day.at(Some(Clock::parse(words.get(3)?)?));
        }
        1 => {}
        _ => return None,
    }
    (!row.name.is_empty()).then(|| row.into())
}

/// `size attributes date time name`.
pub(super) fn parse_os2(line: &[u8]) -> Option<Parsed> {
    let words = Words::new(line);
    let size = std::str::from_utf8(words.get(0)?).ok()?.parse().ok()?;
    let attribute = |at| words.get(at).is_some_and(|w: &[u8]| w.iter().all(|b| b"DIRASH".contains(b)));
    let at = (1..6).find(|&at| !attribute(at))?;
    let day = Day::parse(words.get(at)?, Order::ByMark)?;
    let clock = Clock::parse(words.get(at + 1)?)?;
    let name = words.after(at + 1)?;
    // Two spaces stand before the name.
    let name = name.strip_prefix(b" ").unwrap_or(name);
    let dir = (1..at).any(|at| words.get(at) == Some(b"DIR"));
    let mut row = ListRow::new(name, if dir { RowKind::Dir } else { RowKind::File });
    row.size = (!dir).then_some(size);
    row.modified = day.at(Some(clock));
    (!row.name.is_empty()).then(|| row.into())
}

/// `name code[O] size date time owner "security"`.
pub(super) fn parse_nonstop(line: &[u8]) -> Option<Parsed> {
    let words = Words::new(line);
    let name = words.get(0)?;
    if name == b"File" && words.get(1) == Some(b"Code") {
        return Some(Parsed::Heading);
    }
    if name.len() > 8
        || !name.iter().all(u8::is_ascii_alphanumeric)
        || !words.get(1)?.first()?.is_ascii_digit()
    {
        return None;
    }
    // An open file has an O after its code.
    let at = if words.get(2)? == b"O" { 3 } else { 2 };
    let size = std::str::from_utf8(words.get(at)?).ok()?.parse().ok()?;
    let day = Day::parse_named(words.get(at + 1)?)?;
    let clock = Clock::parse(words.get(at + 2)?)?;
    let mut row = ListRow::new(name, RowKind::File);
    row.size = Some(size);
    row.modified = day.at(Some(clock));
    // The owner is `group, user`, with a space for want of digits.
    let last =
        (at + 3..words.len()).take_while(|&at| !words.get(at).is_some_and(|w| w.starts_with(b"\""))).last();
    let owner = last.and_then(|last| words.join(at + 3, last));
    row.owner = owner.map(|o| o.iter().copied().filter(|&b| b != b' ').collect());
    Some(row.into())
}
