//! Block mode (RFC 959 §3.4.2): files do not depend on how the network cuts them, and nothing is made up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_proto::{Block, BlockError, BlockReader, write_blocks};

fuzz_target!(|data: &[u8]| {
    let whole = files(data, data.len());
    for cut in [1, 2, 7] {
        assert_eq!(whole, files(data, cut), "cut into {cut}");
    }
    let Ok((read, rest)) = whole else { return };
    assert!(read.iter().map(Vec::len).sum::<usize>() + rest.len() <= data.len());
    let mut wire = Vec::new();
    read.iter().for_each(|file| write_blocks(&mut wire, file, true));
    assert_eq!(files(&wire, wire.len()), Ok((read, Vec::new())), "what was read can be sent");
});

type Files = (Vec<Vec<u8>>, Vec<u8>);

fn files(data: &[u8], cut: usize) -> Result<Files, BlockError> {
    let (mut files, mut file, mut reader) = (Vec::new(), Vec::new(), BlockReader::new());
    for mut piece in data.chunks(cut.max(1)) {
        while let Some(block) = reader.next(&mut piece)? {
            match block {
                Block::Data(data) => {
                    assert!(!data.is_empty());
                    file.extend_from_slice(data);
                }
                Block::End => files.push(std::mem::take(&mut file)),
            }
        }
        assert!(piece.is_empty(), "a reader takes all it is given");
    }
    Ok((files, file))
}
