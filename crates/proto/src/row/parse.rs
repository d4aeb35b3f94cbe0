//! Rows as clients find them: one format by the book, and a dozen that grew wild.

mod date;
mod dos;
mod eplf;
mod mainframe;
mod midrange;
mod mlsx;
mod unix;
mod vms;
mod words;

use super::{ListRow, RowKind};
use crate::time::Timestamp;

/// The shape of a listing's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RowFormat {
    /// To be found out from the lines.
    #[default]
    Auto,
    /// Facts and a name (RFC 3659 §7.2); the answer to `MLSD`.
    Mlsx,
    /// `ls -l` in any dialect; NetWare and NetPresenz as well.
    Unix,
    /// `DIR` of DOS and Windows; IIS.
    Dos,
    /// Easily parsed list format (publicfile, anonftpd).
    Eplf,
    /// OpenVMS `DIRECTORY`.
    Vms,
    /// z/OS data sets, members and jobs; its Unix files come as [`Unix`](Self::Unix).
    Mvs,
    /// z/VM minidisks and directories.
    Zvm,
    /// OS/400, now IBM i.
    Os400,
    /// OS/2.
    Os2,
    /// NonStop Guardian, once Tandem.
    NonStop,
}

impl RowFormat {
    /// Guesses from the text of the reply to `SYST`. Many servers say `UNIX` and list otherwise, so it is
    /// only what is tried first.
    #[must_use]
    pub fn from_syst(text: &[u8]) -> Self {
        const SYSTEMS: &[(&[u8], RowFormat)] = &[
            (b"UNIX", RowFormat::Unix),
            (b"WINDOWS", RowFormat::Dos),
            (b"VMS", RowFormat::Vms),
            (b"OPENVMS", RowFormat::Vms),
            (b"MVS", RowFormat::Mvs),
            (b"Z/VM", RowFormat::Zvm),
            (b"VM/", RowFormat::Zvm),
            (b"VM ", RowFormat::Zvm),
            (b"OS/400", RowFormat::Os400),
            (b"OS/2", RowFormat::Os2),
            (b"NONSTOP", RowFormat::NonStop),
            (b"TANDEM", RowFormat::NonStop),
            (b"NETWARE", RowFormat::Unix),
        ];
        let text = text.trim_ascii().to_ascii_uppercase();
        let found = SYSTEMS.iter().find(|(name, _)| text.starts_with(name));
        found
            .or_else(|| SYSTEMS.iter().find(|(name, _)| memchr::memmem::find(&text, name).is_some()))
            .map_or(Self::Auto, |&(_, format)| format)
    }
}

/// A line that no format explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("line of the listing not understood")]
pub struct RowError;

/// Reads one listing, line by line.
///
/// The first line that is understood fixes the format until the end of the directory, so that no name can
/// pass for a row of another format. Take a new parser for each listing.
#[derive(Clone, Debug)]
pub struct RowParser {
    hint: RowFormat,
    format: Option<RowFormat>,
    mvs: mainframe::Table,
    /// VMS writes long names on a line of their own; the rest follows on the next.
    held: Option<vms::Held>,
}

/// What a format makes of a line.
#[expect(clippy::large_enum_variant, reason = "lives for one line; a box would cost an allocation per row")]
enum Parsed {
    Row(ListRow),
    /// A heading or a sum, and proof of the format.
    Heading,
    /// A line that says nothing about the format either.
    Nothing,
}

impl From<ListRow> for Parsed {
    fn from(mut row: ListRow) -> Self {
        match (row.kind, row.name.as_slice()) {
            (RowKind::Dir, b".") => row.kind = RowKind::Cdir,
            (RowKind::Dir, b"..") => row.kind = RowKind::Pdir,
            _ => {}
        }
        Self::Row(row)
    }
}

/// In this order: formats with the surest signs first.
const ORDER: [RowFormat; 10] = [
    RowFormat::Unix,
    RowFormat::Dos,
    RowFormat::Mlsx,
    RowFormat::Eplf,
    RowFormat::Vms,
    RowFormat::Mvs,
    RowFormat::Os400,
    RowFormat::Os2,
    RowFormat::NonStop,
    RowFormat::Zvm,
];

impl RowParser {
    /// A parser for one listing. `hint` is what is tried first; after `MLSD`, [`RowFormat::Mlsx`] is the only
    /// thing tried.
    #[must_use]
    pub fn new(hint: RowFormat) -> Self {
        let format = (hint == RowFormat::Mlsx).then_some(hint);
        Self { hint, format, mvs: mainframe::Table::default(), held: None }
    }

    /// The format of the listing, once a line has shown it.
    #[must_use]
    pub fn format(&self) -> Option<RowFormat> {
        self.format
    }

    /// Reads one line, with or without its line end. `None` is no row: a blank line, a heading, a sum, or the
    /// first half of a row. `now` tells the year of times that lack one.
    ///
    /// # Errors
    /// [`RowError`] if nothing fits; other lines are not touched by it.
    pub fn parse_line(&mut self, line: &[u8], now: Timestamp) -> Result<Option<ListRow>, RowError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let parsed = match self.format {
            Some(format) => self.parse_as(format, line, now),
            None => {
                let hint = Some(self.hint).filter(|hint| *hint != RowFormat::Auto);
                // A row of MLSD may have no facts at all, which would explain too much.
                let plain = line.first() == Some(&b' ');
                let formats = hint.into_iter().chain(ORDER).filter(|f| !plain || *f != RowFormat::Mlsx);
                let found = formats.into_iter().find_map(|f| Some((f, self.parse_as(f, line, now)?)));
                found.map(|(format, parsed)| {
                    if !matches!(parsed, Parsed::Nothing) {
                        self.format = Some(format);
                    }
                    parsed
                })
            }
        };
        match parsed.ok_or(RowError)? {
            Parsed::Row(row) => Ok(Some(row)),
            Parsed::Heading | Parsed::Nothing => Ok(None),
        }
    }

    /// Ends the listing: the last row, if it was waiting for a second half that never came (VMS).
    pub fn finish(&mut self) -> Option<ListRow> {
        self.held.take().map(vms::Held::into_row)
    }

    fn parse_as(&mut self, format: RowFormat, line: &[u8], now: Timestamp) -> Option<Parsed> {
        match format {
            RowFormat::Auto => None,
            RowFormat::Mlsx => mlsx::parse(line).map(Parsed::Row),
            RowFormat::Unix => unix::parse(line, now),
            RowFormat::Dos => dos::parse(line),
            RowFormat::Eplf => eplf::parse(line),
            RowFormat::Vms => vms::parse(line, &mut self.held),
            RowFormat::Mvs => mainframe::parse_mvs(line, &mut self.mvs),
            RowFormat::Zvm => mainframe::parse_zvm(line),
            RowFormat::Os400 => midrange::parse_os400(line),
            RowFormat::Os2 => midrange::parse_os2(line),
            RowFormat::NonStop => midrange::parse_nonstop(line),
        }
    }
}

impl ListRow {
    /// Reads the line with the facts in a reply to `MLST`, with or without the space before it.
    ///
    /// # Errors
    /// [`RowError`] if there is not one fact, or no name.
    pub fn parse_mlst(line: &[u8]) -> Result<Self, RowError> {
        mlsx::parse(line.strip_prefix(b" ").unwrap_or(line)).ok_or(RowError)
    }
}
