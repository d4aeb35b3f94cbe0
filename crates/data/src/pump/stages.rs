//! What lies between the octets of a file and those of the wire: line ends and compression.

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};
use portway_proto::{FromNetwork, ToNetwork};

use super::{Compression, Representation};
use crate::Failure;

/// Output of the compressor and decompressor per step.
const STEP: usize = 64 * 1024;

/// From file to wire.
pub(super) struct Outgoing {
    ascii: Option<ToNetwork>,
    zip: Option<Compress>,
    text: Vec<u8>,
    packed: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new(representation: Representation, compression: Compression) -> Self {
        let ascii = match representation {
            Representation::Binary => None,
            Representation::Ascii => Some(ToNetwork::new()),
            Representation::AsciiFrom(restart) => Some(restart.to_network().1),
        };
        let zip = match compression {
            Compression::None => None,
            Compression::Deflate(level) => Some(Compress::new(flate2::Compression::new(level.min(9)), true)),
        };
        Self { ascii, zip, text: Vec::new(), packed: Vec::new() }
    }

    /// What of `octets` goes on the wire now.
    pub(super) fn push<'a>(&'a mut self, octets: &'a [u8]) -> Result<&'a [u8], Failure> {
        let octets = match &mut self.ascii {
            None => octets,
            Some(ascii) => {
                self.text.clear();
                ascii.convert(octets, &mut self.text);
                &self.text
            }
        };
        match &mut self.zip {
            None => Ok(octets),
            Some(zip) => pack(zip, octets, FlushCompress::None, &mut self.packed),
        }
    }

    /// What goes on the wire at the end of the file.
    pub(super) fn end(&mut self) -> Result<&[u8], Failure> {
        match &mut self.zip {
            None => Ok(&[]),
            Some(zip) => pack(zip, &[], FlushCompress::Finish, &mut self.packed),
        }
    }
}

fn pack<'a>(
    zip: &mut Compress,
    mut octets: &[u8],
    flush: FlushCompress,
    packed: &'a mut Vec<u8>,
) -> Result<&'a [u8], Failure> {
    packed.clear();
    loop {
        packed.reserve(STEP);
        let (before, room) = (zip.total_in(), packed.capacity());
        let status = zip.compress_vec(octets, packed, flush).map_err(|_| Failure::Damaged)?;
        let taken = usize::try_from(zip.total_in() - before).unwrap_or(usize::MAX);
        octets = octets.get(taken..).unwrap_or_default();
        let finished = match flush {
            FlushCompress::Finish => status == Status::StreamEnd,
            _ => octets.is_empty() && packed.len() < room,
        };
        if finished {
            return Ok(packed);
        }
    }
}

/// From wire to file.
pub(super) struct Incoming {
    ascii: Option<FromNetwork>,
    zip: Option<Decompress>,
    /// The compressed data have begun; a connection that brings nothing at all is an empty file.
    begun: bool,
    ended: bool,
    text: Vec<u8>,
    unpacked: Vec<u8>,
}

impl Incoming {
    pub(super) fn new(representation: Representation, compression: Compression) -> Self {
        let ascii = match representation {
            Representation::Binary => None,
            Representation::Ascii => Some(FromNetwork::new()),
            Representation::AsciiFrom(restart) => Some(restart.from_network().1),
        };
        let zip = match compression {
            Compression::None => None,
            Compression::Deflate(_) => Some(Decompress::new(true)),
        };
        Self { ascii, zip, begun: false, ended: false, text: Vec::new(), unpacked: Vec::new() }
    }

    /// Takes octets off the front of `wire` and returns what they mean, at most 64 KiB of compressed data's
    /// meaning at a time; `None` once `wire` is used up.
    pub(super) fn piece<'a, 'w: 'a>(&'a mut self, wire: &mut &'w [u8]) -> Result<Option<&'a [u8]>, Failure> {
        let octets = match &mut self.zip {
            None if wire.is_empty() => return Ok(None),
            None => std::mem::take(wire),
            Some(zip) => {
                self.begun |= !wire.is_empty();
                self.unpacked.clear();
                self.unpacked.reserve(STEP);
                if self.ended {
                    return if wire.is_empty() { Ok(None) } else { Err(Failure::Damaged) };
                }
                let before = zip.total_in();
                let status = zip
                    .decompress_vec(wire, &mut self.unpacked, FlushDecompress::None)
                    .map_err(|_| Failure::Damaged)?;
                let taken = usize::try_from(zip.total_in() - before).unwrap_or(usize::MAX);
                *wire = wire.get(taken..).unwrap_or_default();
                self.ended = status == Status::StreamEnd;
                match (self.unpacked.is_empty(), wire.is_empty()) {
                    (true, true) => return Ok(None),
                    (true, false) if taken == 0 => return Err(Failure::Damaged),
                    _ => &self.unpacked,
                }
            }
        };
        Ok(Some(match &mut self.ascii {
            None => octets,
            Some(ascii) => {
                self.text.clear();
                ascii.convert(octets, &mut self.text);
                &self.text
            }
        }))
    }

    /// The last octets, when the wire has ended.
    pub(super) fn end(&mut self) -> Result<&[u8], Failure> {
        if self.zip.is_some() && self.begun && !self.ended {
            return Err(Failure::Truncated);
        }
        self.text.clear();
        if let Some(ascii) = &mut self.ascii {
            ascii.finish(&mut self.text);
        }
        Ok(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn out(data: &[u8], cut: usize, representation: Representation, compression: Compression) -> Vec<u8> {
        let mut stage = Outgoing::new(representation, compression);
        let mut wire = Vec::new();
        for piece in data.chunks(cut) {
            wire.extend_from_slice(stage.push(piece).unwrap());
        }
        wire.extend_from_slice(stage.end().unwrap());
        wire
    }

    fn back(
        wire: &[u8],
        cut: usize,
        representation: Representation,
        compression: Compression,
    ) -> Result<Vec<u8>, Failure> {
        let mut stage = Incoming::new(representation, compression);
        let mut data = Vec::new();
        for mut octets in wire.chunks(cut) {
            while let Some(piece) = stage.piece(&mut octets)? {
                data.extend_from_slice(piece);
            }
        }
        data.extend_from_slice(stage.end()?);
        Ok(data)
    }

    #[test]
    fn compressed_data_cut_short_or_followed_by_more_is_not_complete() {
        let wire =
            out(b"some text, some text, some text", 5, Representation::Binary, Compression::Deflate(6));
        let read = |wire: &[u8]| back(wire, 3, Representation::Binary, Compression::Deflate(6));
        assert_eq!(read(&wire).unwrap(), b"some text, some text, some text");
        assert!(matches!(read(&wire[..wire.len() - 1]), Err(Failure::Truncated)));
        assert!(matches!(read(&[&wire[..], b"x"].concat()), Err(Failure::Damaged)));
        assert!(matches!(read(b"this is no zlib data"), Err(Failure::Damaged)));
        assert_eq!(read(b"").unwrap(), b"", "some clients send nothing at all for an empty file");
    }

    #[test]
    fn two_megabytes_of_nothing_unpack_in_bounded_steps() {
        let wire = out(&vec![0; 2 << 20], 1 << 20, Representation::Binary, Compression::Deflate(1));
        let mut stage = Incoming::new(Representation::Binary, Compression::Deflate(1));
        let (mut octets, mut total) = (&wire[..], 0);
        while let Some(piece) = stage.piece(&mut octets).unwrap() {
            assert!(piece.len() <= 2 * STEP);
            total += piece.len();
        }
        assert_eq!(total, 2 << 20);
    }

    proptest! {
        // Debug builds of the compressor are slow.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_wire_does_not_depend_on_how_the_file_is_cut_nor_the_file_on_how_the_wire_is(
            data in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..1500),
            (a, b, c) in (1_usize..700, 1_usize..700, 1_usize..700),
            ascii: bool,
            zip in proptest::option::of(0_u32..10),
        ) {
            let representation = if ascii { Representation::Ascii } else { Representation::Binary };
            let compression = zip.map_or(Compression::None, Compression::Deflate);
            let wire = out(&data, a, representation, compression);
            let other = out(&data, b, representation, compression);
            let plain = |wire: &[u8]| back(wire, c, Representation::Binary, compression).unwrap();
            prop_assert_eq!(plain(&wire), plain(&other));
            let one = back(&wire, b, representation, compression).unwrap();
            prop_assert_eq!(&one, &back(&wire, c, representation, compression).unwrap());
            if !ascii {
                prop_assert_eq!(one, data);
            }
        }

        #[test]
        fn no_input_makes_the_decompressor_panic_or_hang(wire: Vec<u8>, cut in 1_usize..50) {
            let _ = back(&wire, cut, Representation::Ascii, Compression::Deflate(6));
        }
    }
}
