//! Block mode on its way out, and back in.

use std::io;

use portway_proto::{Block, BlockReader, write_blocks};

use super::Options;
use super::buffer::{Buffer, LARGE};
use super::line::Line;
use super::stages::Incoming;
use crate::Failure;

/// Octets that are held back at most, so that the last block can say that it is the last, and a small file
/// leaves in one piece.
const HELD: usize = 128 * 1024;

/// Puts what is sent into blocks, if the transfer is in block mode.
pub(super) struct Blocks {
    held: Option<Vec<u8>>,
}

impl Blocks {
    pub(super) fn new(on: bool) -> Self {
        Self { held: on.then(Vec::new) }
    }

    pub(super) async fn write(&mut self, line: &mut Line<'_>, octets: &[u8]) -> Result<(), Failure> {
        let Some(held) = &mut self.held else { return line.write_all(octets).await };
        write_blocks(held, octets, false);
        if held.len() >= HELD {
            line.write_all(held).await?;
            held.clear();
        }
        Ok(())
    }

    /// The last octets and the end mark.
    pub(super) async fn end(&mut self, line: &mut Line<'_>, octets: &[u8]) -> Result<(), Failure> {
        let Some(held) = &mut self.held else { return line.write_all(octets).await };
        write_blocks(held, octets, true);
        line.write_all(held).await
    }
}

/// What came behind the end of a file: the beginning of the next. At most 256 KiB, and nothing when there is
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    buf: Buffer,
    from: usize,
    to: usize,
}

/// Takes one file in and returns its length. `ahead` is what came behind the file before, and what comes
/// behind this one.
pub(super) async fn receive_blocks(
    line: &mut Line<'_>,
    options: Options<'_>,
    ahead: &mut Ahead,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, Failure> {
    let mut stages = Incoming::new(options.representation, options.compression);
    let (mut reader, mut hash, mut total) = (BlockReader::new(), options.hash, 0);
    let mut put = |octets: &[u8], line: &mut Line<'_>| {
        if let Some(hash) = &mut hash {
            hash(octets);
        }
        line.pace.counted(octets.len());
        total += octets.len() as u64;
        sink(octets).map_err(Failure::Local)
    };
    loop {
        if ahead.from == ahead.to {
            if ahead.buf.is_empty() {
                ahead.buf = Buffer::of(LARGE as u64);
            }
            (ahead.from, ahead.to) = (0, line.read(&mut ahead.buf).await?);
            if ahead.to == 0 {
                // An end that no mark announces.
                return Err(Failure::Truncated);
            }
        }
        let mut wire = ahead.buf.get(ahead.from..ahead.to).unwrap_or_default();
        let mut ended = false;
        while !ended && let Some(block) = reader.next(&mut wire).map_err(Failure::BadBlock)? {
            match block {
                Block::Data(mut data) => {
                    while let Some(octets) = stages.piece(&mut data)? {
                        put(octets, line)?;
                    }
                }
                Block::End => {
                    put(stages.end()?, line)?;
                    ended = true;
                }
            }
        }
        ahead.from = ahead.to - wire.len();
        if ended {
            if wire.is_empty() {
                *ahead = Ahead::default();
            }
            return Ok(total);
        }
        tokio::task::consume_budget().await;
    }
}
