//! From the peer into a file or any other sink.

use std::fs::File;
use std::io::{self, Write};

use tokio::io::Interest;

use super::blocks::receive_blocks;
use super::buffer::{Buffer, LARGE};
use super::disk::Disk;
use super::line::Line;
use super::pipe::Pipe;
use super::stages::Incoming;
use super::{Options, Progress, Received};
use crate::conn::{Stream, Way};
use crate::{DataConn, Failure};

/// Writes what the peer sends to `file`, at its position, until the peer's end mark: FIN on a plain connection,
/// close_notify under TLS. A TLS connection that ends without it is never complete.
///
/// Dropping the future aborts the transfer; drop the connection with it.
///
/// # Errors
/// What became of the connection, or [`Failure::Local`] with the error of the file (ENOSPC, EDQUOT, EIO).
/// What was written stays.
pub async fn receive_file(
    conn: &mut DataConn,
    file: &File,
    options: Options<'_>,
    progress: &Progress,
) -> Result<Received, Failure> {
    if options.blocks {
        let mut disk = Disk::new();
        return receive_stream(conn, |octets| disk.run(|| (&*file).write_all(octets)), options, progress)
            .await;
    }
    let straight = options.straight() && cfg!(target_os = "linux");
    let mut line = Line::new(conn, Way::Receiving, &options, progress)?;
    let mut disk = Disk::new();
    let mut received = None;
    if let (Stream::Plain(_), true) = (&*line.stream, straight) {
        received = by_kernel(&mut line, file, &mut disk).await?;
    }
    let received = match received {
        Some(received) => received,
        None => {
            let before = line.pace.wire();
            let octets =
                by_buffer(&mut line, options, |octets| disk.run(|| (&*file).write_all(octets))).await?;
            Received { octets: before + octets, wire: line.pace.wire() }
        }
    };
    conn.received_all();
    Ok(received)
}

/// Hands what the peer sends to `sink`, in order, until the peer's end mark.
///
/// # Errors
/// As [`receive_file`]; an error of `sink` is a [`Failure::Local`].
pub async fn receive_stream(
    conn: &mut DataConn,
    sink: impl FnMut(&[u8]) -> io::Result<()>,
    options: Options<'_>,
    progress: &Progress,
) -> Result<Received, Failure> {
    let mut ahead = std::mem::take(&mut conn.ahead);
    let mut line = Line::new(conn, Way::Receiving, &options, progress)?;
    let octets = if options.blocks {
        receive_blocks(&mut line, options, &mut ahead, sink).await?
    } else {
        by_buffer(&mut line, options, sink).await?
    };
    let wire = line.pace.wire();
    conn.ahead = ahead;
    conn.received_all();
    Ok(Received { octets, wire })
}

async fn by_buffer(
    line: &mut Line<'_>,
    options: Options<'_>,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, Failure> {
    let mut stages = Incoming::new(options.representation, options.compression);
    let mut hash = options.hash;
    let mut buf = Buffer::of(LARGE as u64);
    let mut total = 0;
    loop {
        let received = line.read(&mut buf).await?;
        let mut wire = buf.get(..received).unwrap_or_default();
        let ended = wire.is_empty();
        let mut next = if ended { Some(stages.end()?) } else { stages.piece(&mut wire)? };
        while let Some(octets) = next {
            if let Some(hash) = &mut hash {
                hash(octets);
            }
            sink(octets).map_err(Failure::Local)?;
            line.pace.counted(octets.len());
            total += octets.len() as u64;
            if ended {
                return Ok(total);
            }
            // A small piece may unpack to much; others have their turn in between.
            tokio::task::consume_budget().await;
            next = stages.piece(&mut wire)?;
        }
    }
}

/// Moves everything by `splice(2)`; `None` if the file cannot do that. What has arrived by then is in the file.
#[cfg(target_os = "linux")]
async fn by_kernel(line: &mut Line<'_>, file: &File, disk: &mut Disk) -> Result<Option<Received>, Failure> {
    use rustix::pipe::{SpliceFlags, splice};
    // Without a descriptor to spare it goes by a buffer.
    let Ok(pipe) = Pipe::new() else { return Ok(None) };
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        let granted = line.pace.allow(pipe.size).await;
        let received = line
            .when_ready(Interest::READABLE, |stream| {
                Ok(splice(stream, None, &pipe.writer, None, granted, flags)?)
            })
            .await?
            .map_err(Failure::of_socket)?;
        line.pace.unused(granted.saturating_sub(received));
        if received == 0 {
            pipe.put_back();
            return Ok(Some(Received { octets: line.pace.wire(), wire: line.pace.wire() }));
        }
        let mut left = received;
        while left > 0 {
            match disk.run(|| splice(&pipe.reader, None, file, None, left, SpliceFlags::MOVE)) {
                Ok(0) => return Err(Failure::Local(io::ErrorKind::WriteZero.into())),
                Ok(written) => left -= written.min(left),
                Err(rustix::io::Errno::INTR) => {}
                // Files opened for appending, and some file systems, cannot be spliced into.
                Err(rustix::io::Errno::INVAL) => {
                    disk.run(|| copy_out(&pipe, file, left)).map_err(Failure::Local)?;
                    line.pace.counted(received);
                    line.pace.moved(received).await;
                    return Ok(None);
                }
                Err(error) => return Err(Failure::Local(error.into())),
            }
        }
        line.pace.counted(received);
        line.pace.moved(received).await;
    }
}

#[cfg(not(target_os = "linux"))]
async fn by_kernel(_: &mut Line<'_>, _: &File, _: &mut Disk) -> Result<Option<Received>, Failure> {
    Ok(None)
}

/// Empties the pipe into the file by way of a buffer.
fn copy_out(pipe: &Pipe, mut file: &File, mut left: usize) -> io::Result<()> {
    let mut buf = Buffer::of(LARGE as u64);
    while left > 0 {
        let read = rustix::io::read(&pipe.reader, &mut *buf)?;
        file.write_all(buf.get(..read).unwrap_or_default())?;
        left = left.saturating_sub(read.max(1));
    }
    Ok(())
}
