//! Rows as a server writes them. Nothing is allocated per row but what `out` grows by.

use super::{ListRow, MlsxFacts, RowKind};
use crate::time::Timestamp;

/// Half of the mean Gregorian year, as `ls` has it: older files show their year in place of the time.
const HALF_A_YEAR: i64 = 31_556_952 / 2;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

impl ListRow {
    /// Appends the row as `ls -l` prints it, with CRLF, for `LIST`.
    ///
    /// Times are UTC; `now` decides between time of day and year. What is unknown is shown as `ls` shows
    /// something harmless: owner and group `ftp`, size 0, one link, 1970. CR, LF and NUL in names become `?`,
    /// so no name can forge a row.
    pub fn write_long(&self, now: Timestamp, out: &mut Vec<u8>) {
        self.write_mode(out);
        out.push(b' ');
        write_padded(out, self.links.unwrap_or(1), 3);
        for who in [&self.owner, &self.group] {
            out.push(b' ');
            let from = out.len();
            write_word(out, who.as_deref().filter(|w| !w.is_empty()).unwrap_or(b"ftp"));
            out.resize(out.len().max(from.saturating_add(8)), b' ');
        }
        out.push(b' ');
        write_padded(out, self.size.unwrap_or(0), 12);
        out.push(b' ');
        write_ls_time(out, self.modified.map_or_else(Timestamp::default, |m| m.at), now);
        out.push(b' ');
        write_line(out, self.shown_name());
        if let (RowKind::Symlink, Some(target)) = (self.kind, &self.target) {
            out.extend_from_slice(b" -> ");
            write_line(out, target);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the row with its facts, with CRLF, for `MLSD` (RFC 3659 §7.2).
    pub fn write_mlsd(&self, facts: MlsxFacts, out: &mut Vec<u8>) {
        self.write_mlst(facts, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the row with its facts and no line end, for the reply to `MLST`, where one space goes before
    /// it (RFC 3659 §7.2).
    ///
    /// Facts that are not wanted or not known are left out. A link's target is told only if its octets
    /// cannot be taken for the end of the fact.
    pub fn write_mlst(&self, facts: MlsxFacts, out: &mut Vec<u8>) {
        let wants = |fact| facts.contains(fact);
        if wants(MlsxFacts::TYPE) {
            out.extend_from_slice(b"type=");
            self.write_type(out);
            out.push(b';');
        }
        if let (true, Some(size)) =
            (wants(MlsxFacts::SIZE) && !self.kind.is_dir() && !self.rounded, self.size)
        {
            out.extend_from_slice(b"size=");
            write_padded(out, size, 0);
            out.push(b';');
        }
        if let (true, Some(modified)) = (wants(MlsxFacts::MODIFY), self.modified) {
            out.extend_from_slice(b"modify=");
            out.extend_from_slice(&modified.at.digits());
            out.push(b';');
        }
        if let (true, Some(created)) = (wants(MlsxFacts::CREATE), self.created) {
            out.extend_from_slice(b"create=");
            out.extend_from_slice(&created.digits());
            out.push(b';');
        }
        if let (true, Some(perm)) = (wants(MlsxFacts::PERM), self.perm) {
            out.extend_from_slice(b"perm=");
            perm.write(out);
            out.push(b';');
        }
        if let (true, Some(mode)) = (wants(MlsxFacts::UNIX_MODE), self.mode) {
            out.extend_from_slice(b"UNIX.mode=0");
            for shift in [6, 3, 0] {
                out.push(octal(mode >> shift));
            }
            if mode & 0o7000 != 0 {
                let at = out.len().saturating_sub(3);
                out.insert(at, octal(mode >> 9));
            }
            out.push(b';');
        }
        for (fact, name, value) in [
            (MlsxFacts::UNIQUE, &b"unique="[..], &self.unique),
            (MlsxFacts::UNIX_OWNER, b"UNIX.owner=", &self.owner),
            (MlsxFacts::UNIX_GROUP, b"UNIX.group=", &self.group),
        ] {
            if let (true, Some(value)) = (wants(fact), value) {
                out.extend_from_slice(name);
                write_word(out, value);
                out.push(b';');
            }
        }
        out.push(b' ');
        write_line(out, &self.name);
    }

    /// Appends the name alone, with CRLF, for `NLST`.
    pub fn write_name(&self, out: &mut Vec<u8>) {
        write_line(out, self.shown_name());
        out.extend_from_slice(b"\r\n");
    }

    /// `ls` knows the two special directories by no other name.
    fn shown_name(&self) -> &[u8] {
        match self.kind {
            RowKind::Cdir => b".",
            RowKind::Pdir => b"..",
            _ => &self.name,
        }
    }

    fn write_type(&self, out: &mut Vec<u8>) {
        let name: &[u8] = match self.kind {
            RowKind::File => b"file",
            RowKind::Dir => b"dir",
            RowKind::Cdir => b"cdir",
            RowKind::Pdir => b"pdir",
            RowKind::Other => b"OS.unix=special",
            RowKind::Symlink => match &self.target {
                Some(target)
                    if !target.is_empty() && target.iter().all(|b| *b > b' ' && !b";=\x7f".contains(b)) =>
                {
                    out.extend_from_slice(b"OS.unix=slink:");
                    target
                }
                _ => b"OS.unix=symlink",
            },
        };
        out.extend_from_slice(name);
    }

    fn write_mode(&self, out: &mut Vec<u8>) {
        let (letter, usual) = match self.kind {
            RowKind::File => (b'-', 0o644),
            RowKind::Dir | RowKind::Cdir | RowKind::Pdir => (b'd', 0o755),
            RowKind::Symlink => (b'l', 0o777),
            RowKind::Other => (b'p', 0o644),
        };
        let mode = self.mode.unwrap_or(usual);
        out.push(letter);
        for (shift, special, mark) in [(6, 0o4000, b's'), (3, 0o2000, b's'), (0, 0o1000, b't')] {
            let bits = mode >> shift;
            out.push(if bits & 4 == 0 { b'-' } else { b'r' });
            out.push(if bits & 2 == 0 { b'-' } else { b'w' });
            out.push(match (mode & special != 0, bits & 1 != 0) {
                (false, false) => b'-',
                (false, true) => b'x',
                (true, true) => mark,
                (true, false) => mark.to_ascii_uppercase(),
            });
        }
    }
}

fn octal(bits: u32) -> u8 {
    b'0' + u8::try_from(bits & 7).unwrap_or(0)
}

/// Ends or empties no line: the octets that could do it become `?`.
fn write_line(out: &mut Vec<u8>, text: &[u8]) {
    let from = out.len();
    out.extend_from_slice(text);
    for octet in out.get_mut(from..).unwrap_or_default() {
        if matches!(octet, b'\r' | b'\n' | 0) {
            *octet = b'?';
        }
    }
}

/// A column or a fact: no octet of it can end it.
fn write_word(out: &mut Vec<u8>, text: &[u8]) {
    let from = out.len();
    out.extend_from_slice(text);
    for octet in out.get_mut(from..).unwrap_or_default() {
        if *octet <= b' ' || matches!(octet, b';' | 0x7f) {
            *octet = b'_';
        }
    }
}

fn write_padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b' '; 20];
    let mut used = 0_usize;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    let from = digits.len().saturating_sub(used.max(width));
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}

fn write_ls_time(out: &mut Vec<u8>, at: Timestamp, now: Timestamp) {
    let [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, i1, i2, ..] = at.digits();
    let month = usize::from((m1 - b'0') * 10 + (m2 - b'0'));
    out.extend_from_slice(MONTHS.get(month.wrapping_sub(1)).copied().unwrap_or(b"Jan"));
    out.extend_from_slice(&[b' ', if d1 == b'0' { b' ' } else { d1 }, d2, b' ']);
    let age = now.unix().saturating_sub(at.unix());
    // A time in the future shows its year, or readers would take it for last year's.
    if (0..HALF_A_YEAR).contains(&age) {
        out.extend_from_slice(&[h1, h2, b':', i1, i2]);
    } else {
        out.extend_from_slice(&[b' ', y1, y2, y3, y4]);
    }
}
