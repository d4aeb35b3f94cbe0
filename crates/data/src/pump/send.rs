//! From a file or a listing to the peer.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::Interest;

use super::blocks::Blocks;
use super::buffer::{Buffer, LARGE};
use super::disk::Disk;
use super::line::Line;
use super::stages::Outgoing;
use super::{Digest, Options, Progress, Sent};
use crate::conn::{Stream, Way};
use crate::{DataConn, Failure};

/// What one `sendfile(2)` moves at most; more keeps the task from others for too long.
const AT_ONCE: u64 = 1024 * 1024;

/// Rows of a listing that are collected before they are sent; the first ones leave sooner.
const ROWS: usize = 64 * 1024;
const FIRST_ROWS: usize = 4 * 1024;

/// How long rows are collected before other tasks get a turn.
const TURN: Duration = Duration::from_millis(5);

/// Sends `len` octets of `file` from octet `from` on; `None`: up to where the file ends now. The position of
/// `file` does not matter and does not change.
///
/// Dropping the future aborts the transfer; drop the connection with it.
///
/// # Errors
/// [`Failure::Shrunk`] if the file ends before `len`; else what became of the connection, or
/// [`Failure::Local`] if the file cannot be read.
pub async fn send_file(
    conn: &mut DataConn,
    file: &File,
    from: u64,
    len: Option<u64>,
    options: Options<'_>,
    progress: &Progress,
) -> Result<Sent, Failure> {
    let len = match len {
        Some(len) => Some(len),
        None => file_len(file).map_err(Failure::Local)?.map(|size| size.saturating_sub(from)),
    };
    let mut line = Line::new(conn, Way::Sending, &options, progress)?;
    if let (Stream::Plain(_), Some(len), true) = (&*line.stream, len, options.straight())
        && cfg!(target_os = "linux")
    {
        return by_kernel(&mut line, file, from, len).await;
    }
    by_buffer(&mut line, file, from, len, options).await
}

/// The size of a regular file. `None` for what has none: pipes, devices, and the files of `/proc`, which say 0.
fn file_len(file: &File) -> io::Result<Option<u64>> {
    let meta = file.metadata()?;
    Ok((meta.is_file() && meta.len() > 0).then_some(meta.len()))
}

async fn by_kernel(line: &mut Line<'_>, file: &File, from: u64, len: u64) -> Result<Sent, Failure> {
    let mut disk = Disk::new();
    let (mut at, mut left) = (from, len);
    while left > 0 {
        let granted = line.pace.allow(left.min(AT_ONCE) as usize).await;
        disk.look_ahead(file, at, granted as u64);
        let disk = &mut disk;
        let sent = line
            .when_ready(Interest::WRITABLE, |stream| disk.run(|| sendfile(stream, file, &mut at, granted)))
            .await?;
        match sent {
            Ok(0) => return Err(Failure::Shrunk { missing: left }),
            Ok(sent) => {
                left -= sent as u64;
                line.pace.unused(granted - sent.min(granted));
                line.pace.counted(sent);
                line.pace.moved(sent).await;
            }
            // A file system that cannot do it says so at once.
            Err(error) if at == from && cannot(&error) => {
                return by_buffer(line, file, from, Some(len), Options::default()).await;
            }
            Err(error) => return Err(Failure::of_either(error)),
        }
    }
    Ok(Sent { octets: len, wire: line.pace.wire() })
}

#[cfg(target_os = "linux")]
fn sendfile(stream: &tokio::net::TcpStream, file: &File, at: &mut u64, count: usize) -> io::Result<usize> {
    Ok(rustix::fs::sendfile(stream, file, Some(at), count)?)
}

#[cfg(not(target_os = "linux"))]
fn sendfile(_: &tokio::net::TcpStream, _: &File, _: &mut u64, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

fn cannot(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

async fn by_buffer(
    line: &mut Line<'_>,
    file: &File,
    from: u64,
    len: Option<u64>,
    options: Options<'_>,
) -> Result<Sent, Failure> {
    let (mut disk, straight) = (Disk::new(), options.straight());
    let mut stages = Outgoing::new(options.representation, options.compression);
    let mut hash: Option<Digest<'_>> = options.hash;
    let mut blocks = Blocks::new(options.blocks);
    let mut buf = Buffer::of(len.unwrap_or(LARGE as u64));
    let (mut at, mut left) = (from, len);
    while left != Some(0) {
        let want = left.map_or(buf.len(), |left| left.min(buf.len() as u64) as usize);
        let buf = buf.get_mut(..want).unwrap_or_default();
        let read = match disk.read_at(file, buf, at) {
            Ok(0) => match left {
                Some(missing) => return Err(Failure::Shrunk { missing }),
                None => break,
            },
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Local(error)),
        };
        let octets = buf.get(..read).unwrap_or_default();
        if let Some(hash) = &mut hash {
            hash(octets);
        }
        if straight && left == Some(read as u64) {
            line.write_last(octets).await?;
        } else {
            blocks.write(line, stages.push(octets)?).await?;
        }
        line.pace.counted(read);
        at += read as u64;
        left = left.map(|left| left - read as u64);
    }
    blocks.end(line, stages.end()?).await?;
    Ok(Sent { octets: at - from, wire: line.pace.wire() })
}

/// Sends what `produce` appends to its buffer, piece by piece, until it returns `false`. Made for listings: it
/// is called for one row, or some, at a time, and not called again before 64 KiB have left. Memory stays bounded
/// if each call appends little.
///
/// # Errors
/// What became of the connection, or [`Failure::Local`] with the error of `produce`.
pub async fn send_stream(
    conn: &mut DataConn,
    mut produce: impl FnMut(&mut Vec<u8>) -> io::Result<bool>,
    options: Options<'_>,
    progress: &Progress,
) -> Result<Sent, Failure> {
    let mut line = Line::new(conn, Way::Sending, &options, progress)?;
    let mut disk = Disk::new();
    let mut stages = Outgoing::new(options.representation, options.compression);
    let mut hash: Option<Digest<'_>> = options.hash;
    let mut blocks = Blocks::new(options.blocks);
    let mut rows = Vec::new();
    let (mut more, mut enough, mut octets) = (true, FIRST_ROWS, 0);
    while more {
        rows.clear();
        // Rows are stat(2) calls; on a slow file system they wait as reads do.
        disk.run(|| -> io::Result<()> {
            let since = Instant::now();
            while more && rows.len() < enough && since.elapsed() < TURN {
                more = produce(&mut rows)?;
            }
            Ok(())
        })
        .map_err(Failure::Local)?;
        enough = (enough * 2).min(ROWS);
        if let Some(hash) = &mut hash {
            hash(&rows);
        }
        blocks.write(&mut line, stages.push(&rows)?).await?;
        line.pace.counted(rows.len());
        octets += rows.len() as u64;
        // A pattern that fits nothing makes no rows and must not keep the thread all the same.
        tokio::task::yield_now().await;
    }
    blocks.end(&mut line, stages.end()?).await?;
    Ok(Sent { octets, wire: line.pace.wire() })
}
