//! Rows of `MLSD` and `MLST` (RFC 3659 §7.2), and what servers have made of them.

use crate::{
    row::{ListRow, Perm, RowKind},
    time::Timestamp,
};

pub(super) fn parse(line: &[u8]) -> Option<ListRow> {
    let (facts, name) = split(line)?;
    let mut row = ListRow::new(name, RowKind::File);
    // A row without facts is a row (RFC 3659 §7.2), but facts that are none mean another format.
    let mut known = facts.is_empty();
    for fact in facts.split(|&b| b == b';') {
        let Some(equals) = memchr::memchr(b'=', fact) else { continue };
        let (key, value) = fact.split_at(equals);
        known |= set(&mut row, &key.to_ascii_lowercase(), value.get(1..).unwrap_or_default());
    }
    known.then_some(row)
}

/// Facts and name: exactly one space is between them, and further ones belong to the name.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut space = memchr::memchr(b' ', line)?;
    // A link's target may have spaces of its own; then only the space after a semicolon will do.
    let fact = line.get(..space)?.rsplit(|&b| b == b';').next().unwrap_or_default();
    if fact.get(..14).is_some_and(|f| f.eq_ignore_ascii_case(b"type=os.unix=s"))
        && let Some(end) = memchr::memmem::find(line, b"; ")
    {
        space = end.checked_add(1)?;
    }
    let name = line.get(space.checked_add(1)?..).filter(|n| !n.is_empty())?;
    Some((line.get(..space)?, name))
}

/// Takes over a fact; `false` if it is none that any server writes.
fn set(row: &mut ListRow, key: &[u8], value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let bytes = || (!value.is_empty()).then(|| value.to_vec());
    match key {
        b"type" => set_type(row, value),
        b"size" => row.size = text.parse().ok(),
        // Some servers tell the size of a directory by this name.
        b"sizd" => row.size = row.size.or(text.parse().ok()),
        b"modify" => row.modified = Timestamp::parse_lenient(value).map(Into::into),
        b"create" => row.created = Timestamp::parse_lenient(value),
        b"perm" => row.perm = Some(Perm::parse(value)),
        b"unique" => row.unique = bytes(),
        b"unix.mode" => row.mode = u32::from_str_radix(text, 8).ok().map(|mode| mode & 0o7777),
        b"unix.owner" | b"unix.ownername" => row.owner = bytes(),
        b"unix.group" | b"unix.groupname" => row.group = bytes(),
        b"unix.uid" => row.owner = row.owner.take().or_else(bytes),
        b"unix.gid" => row.group = row.group.take().or_else(bytes),
        b"unix.nlink" => row.links = text.parse().ok(),
        b"lang" | b"media-type" | b"charset" => {}
        _ => return key.starts_with(b"unix.") || key.starts_with(b"win32.") || key.starts_with(b"x."),
    }
    true
}

fn set_type(row: &mut ListRow, value: &[u8]) {
    let lower = value.to_ascii_lowercase();
    row.kind = match lower.as_slice() {
        b"file" => RowKind::File,
        b"dir" => RowKind::Dir,
        b"cdir" => RowKind::Cdir,
        b"pdir" => RowKind::Pdir,
        other if other.starts_with(b"os.unix=slink") || other.starts_with(b"os.unix=symlink") => {
            let target = memchr::memchr(b':', value).and_then(|colon| value.get(colon.checked_add(1)?..));
            row.target = target.filter(|t| !t.is_empty()).map(<[u8]>::to_vec);
            RowKind::Symlink
        }
        _ => RowKind::Other,
    };
}
