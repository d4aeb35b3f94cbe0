//! The easily parsed list format of publicfile and anonftpd: `+facts,<TAB>name`.

use super::Parsed;
use crate::{
    row::{ListRow, RowKind},
    time::Timestamp,
};

pub(super) fn parse(line: &[u8]) -> Option<Parsed> {
    let tab = memchr::memchr(b'\t', line)?;
    let (facts, name) = line.split_at(tab);
    let facts = facts.strip_prefix(b"+")?;
    let name = name.get(1..).filter(|n| !n.is_empty())?;
    let mut row = ListRow::new(name, RowKind::Other);
    for fact in facts.split(|&b| b == b',') {
        let Some((&letter, value)) = fact.split_first() else { continue };
        let text = std::str::from_utf8(value).unwrap_or_default();
        match letter {
            b'/' => row.kind = RowKind::Dir,
            b'r' if row.kind != RowKind::Dir => row.kind = RowKind::File,
            b's' => row.size = text.parse().ok(),
            b'm' => row.modified = text.parse().ok().and_then(|t| Timestamp::from_unix(t, 0)).map(Into::into),
            b'i' => row.unique = Some(value.to_vec()),
            b'u' => {
                let mode = text.strip_prefix('p').and_then(|mode| u32::from_str_radix(mode, 8).ok());
                row.mode = mode.map(|mode| mode & 0o7777).or(row.mode);
            }
            // Facts of later versions.
            _ => {}
        }
    }
    Some(row.into())
}
