//! MODE B, block mode (RFC 959 §3.4.2): a file is a row of blocks, the last of which says so, and the data
//! connection stays for the next one.

/// Octets of data that one block holds at most: its count has 16 bits.
pub const BLOCK_MOST: usize = 65_535;

/// Descriptor bits (RFC 959 §3.4.2). End of record means nothing in file structure.
const END_OF_RECORD: u8 = 128;
const END_OF_FILE: u8 = 64;
const SUSPECT: u8 = 32;
const RESTART_MARKER: u8 = 16;

/// Appends `octets` in blocks; with `end`, the last of them ends the file, and an empty one does if there are
/// no octets.
pub fn write_blocks(out: &mut Vec<u8>, octets: &[u8], end: bool) {
    let mut pieces = octets.chunks(BLOCK_MOST).peekable();
    if pieces.peek().is_none() && end {
        out.extend_from_slice(&[END_OF_FILE, 0, 0]);
    }
    while let Some(piece) = pieces.next() {
        let last = end && pieces.peek().is_none();
        // A piece is no longer than 65,535 octets.
        let [high, low] = (piece.len() as u16).to_be_bytes();
        out.extend_from_slice(&[if last { END_OF_FILE } else { 0 }, high, low]);
        out.extend_from_slice(piece);
    }
}

/// What a piece of the wire holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// Octets of the file, never none.
    Data(&'a [u8]),
    /// The file has ended; what follows on the wire belongs to the next one.
    End,
}

/// Why this is no block mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Bits that RFC 959 leaves undefined: these are no blocks, or the place in them is lost.
    #[error("a block header with the undefined bits {0:#04x}")]
    Undefined(u8),
    /// The sender itself doubts the data.
    #[error("a block marked as suspected of errors")]
    Suspect,
}

/// Reads blocks, however the network cuts them.
#[derive(Clone, Debug, Default)]
pub struct BlockReader {
    header: [u8; 3],
    /// Octets of the header that have come.
    have: usize,
    /// Octets of the block that have not.
    left: usize,
}

impl BlockReader {
    /// In front of the first block of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next thing that `wire` holds, which is shortened by it; `None` when `wire` is used up. Restart
    /// markers are passed over: positions are REST's (RFC 3659 §5).
    ///
    /// # Errors
    /// [`BlockError`]: close the connection, since nobody knows where the next file begins.
    pub fn next<'w>(&mut self, wire: &mut &'w [u8]) -> Result<Option<Block<'w>>, BlockError> {
        loop {
            while self.have < 3 {
                let Some((&first, rest)) = wire.split_first() else { return Ok(None) };
                *wire = rest;
                if let Some(octet) = self.header.get_mut(self.have) {
                    *octet = first;
                }
                self.have += 1;
                if self.have == 3 {
                    self.left = self.begin()?;
                }
            }
            let [descriptor, ..] = self.header;
            if self.left == 0 {
                self.have = 0;
                if descriptor & END_OF_FILE != 0 {
                    return Ok(Some(Block::End));
                }
                continue;
            }
            if wire.is_empty() {
                return Ok(None);
            }
            let (data, rest) = wire.split_at(self.left.min(wire.len()));
            *wire = rest;
            self.left -= data.len();
            if descriptor & RESTART_MARKER == 0 {
                return Ok(Some(Block::Data(data)));
            }
        }
    }

    /// Whether nothing of a block has come: the only place where a connection may end.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.have == 0
    }

    fn begin(&self) -> Result<usize, BlockError> {
        let [descriptor, high, low] = self.header;
        let undefined = descriptor & !(END_OF_RECORD | END_OF_FILE | SUSPECT | RESTART_MARKER);
        if undefined != 0 {
            return Err(BlockError::Undefined(undefined));
        }
        if descriptor & SUSPECT != 0 {
            return Err(BlockError::Suspect);
        }
        Ok(usize::from(u16::from_be_bytes([high, low])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All files in a row of pieces, and what is left of the last one.
    fn files<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Vec<Vec<u8>>, Vec<u8>), BlockError> {
        let (mut files, mut file, mut reader) = (Vec::new(), Vec::new(), BlockReader::new());
        for mut piece in pieces {
            while let Some(block) = reader.next(&mut piece)? {
                match block {
                    Block::Data(data) => file.extend_from_slice(data),
                    Block::End => {
                        assert!(reader.is_between());
                        files.push(std::mem::take(&mut file));
                    }
                }
            }
        }
        Ok((files, file))
    }

    #[test]
    fn what_the_rfc_shows_is_read() {
        for (name, wire, read) in [
            ("one block", &b"\x40\x00\x03abc"[..], Ok((vec![b"abc".to_vec()], vec![]))),
            ("empty file", b"\x40\x00\x00", Ok((vec![vec![]], vec![]))),
            ("end of its own", b"\x00\x00\x01a\x40\x00\x00", Ok((vec![b"a".to_vec()], vec![]))),
            ("records", b"\x80\x00\x01a\xc0\x00\x01b", Ok((vec![b"ab".to_vec()], vec![]))),
            ("a restart marker", b"\x10\x00\x02mm\x40\x00\x01a", Ok((vec![b"a".to_vec()], vec![]))),
            ("no end", b"\x00\x00\x02a", Ok((vec![], b"a".to_vec()))),
            ("empty blocks", b"\x00\x00\x00\x00\x00\x00\x40\x00\x00", Ok((vec![vec![]], vec![]))),
            ("doubt", b"\x20\x00\x01a", Err(BlockError::Suspect)),
            ("stream mode by mistake", b"hello", Err(BlockError::Undefined(8))),
        ] {
            assert_eq!(files([wire]), read, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn files_survive_however_the_wire_is_cut(
            contents in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..300), 0..8),
            large in 0_usize..150_000,
            cut in 1_usize..70_000,
        ) {
            let contents: Vec<Vec<u8>> = contents.into_iter().chain([vec![7; large]]).collect();
            let mut wire = Vec::new();
            for content in &contents {
                let (front, back) = content.split_at(content.len() / 3);
                write_blocks(&mut wire, front, false);
                write_blocks(&mut wire, back, true);
            }
            proptest::prop_assert_eq!(files(wire.chunks(cut)), Ok((contents, vec![])));
        }

        #[test]
        fn any_octets_are_blocks_or_an_error_and_never_more_than_came(
            wire in proptest::collection::vec(proptest::num::u8::ANY, 0..2000),
            cut in 1_usize..100,
        ) {
            let whole = files([wire.as_slice()]);
            proptest::prop_assert_eq!(&files(wire.chunks(cut)), &whole);
            if let Ok((read, rest)) = whole {
                proptest::prop_assert!(read.iter().map(Vec::len).sum::<usize>() + rest.len() <= wire.len());
            }
        }
    }
}
