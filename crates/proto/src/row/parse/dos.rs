//! `DIR` of DOS and Windows, as IIS lists it.

use super::{
    Parsed,
    date::{Clock, Day, Order},
    words::Words,
};
use crate::row::{ListRow, RowKind};

/// Columns from the start of `<DIR>` to the name, in IIS and `cmd` alike.
const NAME_COLUMN: usize = 15;

pub(super) fn parse(line: &[u8]) -> Option<Parsed> {
    let words = Words::new(line);
    let Some(day) = Day::parse(words.get(0)?, Order::ByMark) else {
        return is_heading(line).then_some(Parsed::Heading);
    };
    let mut clock = Clock::parse(words.get(1)?)?;
    let mut at = 2;
    if let Some(half) =
        words.get(at).filter(|h| h.eq_ignore_ascii_case(b"am") || h.eq_ignore_ascii_case(b"pm"))
    {
        clock = clock.half(half)?;
        at += 1;
    }
    let mut row = ListRow { modified: day.at(Some(clock)), ..ListRow::default() };
    row.modified?;
    let field = words.get(at)?;
    if field.starts_with(b"<") && field.ends_with(b">") {
        row.kind = match field.to_ascii_uppercase().as_slice() {
            b"<DIR>" => RowKind::Dir,
            b"<JUNCTION>" | b"<SYMLINK>" | b"<SYMLINKD>" => RowKind::Symlink,
            _ => return None,
        };
        let rest = line.get(words.start(at)?..)?;
        let gap = rest.get(field.len()..NAME_COLUMN).unwrap_or_default();
        let aligned = gap.iter().all(|&b| b == b' ') && rest.len() > NAME_COLUMN;
        let name =
            if aligned { rest.get(NAME_COLUMN..)? } else { rest.get(field.len()..)?.trim_ascii_start() };
        row.name = name.to_vec();
        if row.kind == RowKind::Symlink
            && let Some((name, target)) = link(name)
        {
            row.name = name.to_vec();
            row.target = Some(target.to_vec());
        }
    } else {
        let digits: Vec<u8> = field.iter().copied().filter(|b| !matches!(b, b',' | b'.' | b'\'')).collect();
        row.size = Some(std::str::from_utf8(&digits).ok()?.parse().ok()?);
        row.name = words.after(at)?.to_vec();
    }
    (!row.name.is_empty()).then(|| row.into())
}

/// `name [target]`
fn link(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let open = memchr::memmem::rfind(name, b" [").filter(|&at| at > 0)?;
    let target = name.get(open.checked_add(2)?..)?.strip_suffix(b"]")?;
    Some((name.get(..open)?, target))
}

fn is_heading(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    let counts = text.first().is_some_and(u8::is_ascii_digit)
        && [&b" File(s)"[..], b" Dir(s)"].iter().any(|sum| memchr::memmem::find(text, sum).is_some());
    counts
        || text.starts_with(b"Volume in drive ")
        || text.starts_with(b"Volume Serial Number")
        || text.starts_with(b"Directory of ")
}
