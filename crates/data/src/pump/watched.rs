//! From one data connection to another, past somebody who has to agree first.

use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::buffer::{Buffer, LARGE};
use super::line::Line;
use super::relay::RelayError;
use super::{Options, Progress, Received};
use crate::conn::Way;
use crate::{DataConn, Failure};

/// Octets at the end of a file that wait for the watcher's verdict; a shorter file waits as a whole.
const HELD: usize = 64 * 1024;

/// Somebody who sees a copy of what is relayed.
pub type Watcher<'a> = &'a mut (dyn AsyncWrite + Send + Unpin);

/// The last 64 KiB of a file (all of a shorter one), which the peer has not got. Dropped, it never does.
#[derive(Debug)]
#[must_use = "the peer lacks the end of its file"]
pub struct Tail {
    buf: Buffer,
    held: Range<usize>,
    left_out: u64,
    sent: u64,
}

/// As [`super::relay`], with a copy for a watcher, who sees octets before the peer does, and without the end of the
/// file, which is the result: so the peer never has a whole file that the watcher has not agreed to. A slow watcher
/// slows the transfer down; one that takes no more is left alone.
///
/// The peer does not get the first `leave_out` octets, which only the watcher sees: who goes on in the middle of a file
/// gets what is part of a whole one that has been agreed to.
///
/// # Errors
/// As [`super::relay`], and [`RelayError::Watcher`] if the watcher takes nothing for `options.stall`.
pub async fn relay_watched(
    from: &mut DataConn,
    to: &mut DataConn,
    options: Options<'_>,
    progress: &Progress,
    watcher: Watcher<'_>,
    leave_out: u64,
) -> Result<Tail, RelayError> {
    let arriving = Progress::new();
    let tail = {
        let inward = Options { stall: options.stall, ..Options::default() };
        let mut source = Line::new(from, Way::Receiving, &inward, &arriving).map_err(RelayError::From)?;
        let mut sink = Line::new(to, Way::Sending, &options, progress).map_err(RelayError::To)?;
        up_to_the_tail(&mut source, &mut sink, (watcher, options.stall), leave_out).await?
    };
    from.received_all();
    Ok(tail)
}

async fn up_to_the_tail(
    source: &mut Line<'_>,
    sink: &mut Line<'_>,
    (watcher, stall): (Watcher<'_>, Duration),
    mut left_out: u64,
) -> Result<Tail, RelayError> {
    let mut watcher = Some(watcher);
    let mut buf = Buffer::of(LARGE as u64);
    let (mut held, mut sent) = (0..0, 0);
    loop {
        if buf.len() - held.end < HELD {
            buf.copy_within(held.clone(), 0);
            held = 0..held.len();
        }
        let room = buf.get_mut(held.end..).unwrap_or_default();
        let received = source.read(room).await.map_err(RelayError::From)?;
        let octets = room.get(..received).unwrap_or_default();
        if octets.is_empty() {
            return Ok(Tail { buf, held, left_out, sent });
        }
        if let Some(watching) = &mut watcher
            && timeout(stall, watching.write_all(octets))
                .await
                .map_err(|_| RelayError::Watcher(Failure::Stalled { quiet: stall }))?
                .is_err()
        {
            watcher = None;
        }
        held.end += received;
        let free = held.len().saturating_sub(HELD);
        let ready = held.start..held.start + free;
        held.start = ready.end;
        sent += send(sink, buf.get(ready).unwrap_or_default(), &mut left_out).await?;
    }
}

/// Sends what lies behind the octets to leave out.
async fn send(sink: &mut Line<'_>, octets: &[u8], left_out: &mut u64) -> Result<u64, RelayError> {
    let skipped = octets.len().min(usize::try_from(*left_out).unwrap_or(usize::MAX));
    *left_out -= skipped as u64;
    let octets = octets.get(skipped..).unwrap_or_default();
    sink.write_all(octets).await.map_err(RelayError::To)?;
    sink.pace.counted(octets.len());
    Ok(octets.len() as u64)
}

impl Tail {
    /// Sends it: the watcher has agreed. `to`, `options` and `progress` are those of [`relay_watched`].
    ///
    /// # Errors
    /// [`RelayError::To`].
    pub async fn release(
        mut self,
        to: &mut DataConn,
        options: Options<'_>,
        progress: &Progress,
    ) -> Result<Received, RelayError> {
        let mut sink = Line::new(to, Way::Sending, &options, progress).map_err(RelayError::To)?;
        let held = self.buf.get(self.held).unwrap_or_default();
        let octets = self.sent + send(&mut sink, held, &mut self.left_out).await?;
        Ok(Received { octets, wire: octets })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::thread;

    use super::super::tests::{noise, pair};
    use super::*;

    /// What the peer has before the verdict, and the connection that would bring the rest.
    async fn before_the_verdict(data: &[u8]) -> (usize, Vec<u8>, Tail, DataConn, std::net::TcpStream) {
        let (mut from, mut writer) = pair();
        let (mut to, mut reader) = pair();
        let sent = data.to_vec();
        let writing = thread::spawn(move || {
            for piece in sent.chunks(10_007) {
                writer.write_all(piece).unwrap();
            }
        });
        let most = data.len().saturating_sub(HELD);
        let reading = thread::spawn(move || {
            let mut got = vec![0; most];
            reader.read_exact(&mut got).unwrap();
            (got, reader)
        });
        let (mut seen, progress) = (Vec::new(), Progress::new());
        let tail =
            relay_watched(&mut from, &mut to, Options::default(), &progress, &mut seen, 0).await.unwrap();
        assert!(seen == data, "the watcher has seen all of {} octets", data.len());
        assert_eq!(progress.octets(), most as u64);
        writing.join().unwrap();
        let (got, reader) = reading.join().unwrap();
        (most, got, tail, to, reader)
    }

    const LENGTHS: [usize; 6] = [0, 1, HELD, HELD + 1, LARGE, 3_000_000];

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_is_whole_only_when_its_tail_is_released() {
        for len in LENGTHS {
            let data = noise(len);
            let (most, mut got, tail, mut to, mut reader) = before_the_verdict(&data).await;
            assert!(got == data[..most], "{len} octets");
            // The connection is open and has nothing more.
            reader.set_nonblocking(true).unwrap();
            assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "{len}");
            reader.set_nonblocking(false).unwrap();
            let received = tail.release(&mut to, Options::default(), &Progress::new()).await.unwrap();
            assert_eq!(received.octets, len as u64);
            to.finish().await.unwrap();
            reader.read_to_end(&mut got).unwrap();
            assert!(got == data, "{len} octets");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn octets_to_leave_out_are_seen_by_the_watcher_alone() {
        let data = noise(500_000);
        for leave_out in [1, 100_000, 450_000, 499_999, 500_000, 600_000_u64] {
            let ((mut from, mut writer), (mut to, mut reader)) = (pair(), pair());
            let (sent, mut seen) = (data.clone(), Vec::new());
            let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
            let reading = thread::spawn(move || {
                let mut got = Vec::new();
                reader.read_to_end(&mut got).unwrap();
                got
            });
            let (options, progress) = (Options::default, Progress::new());
            let tail = relay_watched(&mut from, &mut to, options(), &progress, &mut seen, leave_out).await;
            let received = tail.unwrap().release(&mut to, options(), &progress).await.unwrap();
            to.finish().await.unwrap();
            writing.join().unwrap();
            let wanted = data.get(leave_out as usize..).unwrap_or_default();
            assert!(reading.join().unwrap() == wanted && seen == data, "{leave_out} left out");
            assert_eq!((received.octets, progress.octets()), (wanted.len() as u64, wanted.len() as u64));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_tail_that_is_dropped_never_arrives_and_the_end_is_a_reset() {
        for len in LENGTHS {
            let (_, _, tail, to, mut reader) = before_the_verdict(&noise(len)).await;
            drop((tail, to));
            let mut rest = Vec::new();
            assert!(reader.read_to_end(&mut rest).is_err(), "{len} octets");
            assert!(rest.is_empty(), "{len} octets");
        }
    }

    #[tokio::test]
    async fn a_watcher_that_takes_nothing_is_named_and_one_that_has_left_is_not_asked() {
        for stays in [true, false] {
            let ((mut from, mut writer), (mut to, _reader)) = (pair(), pair());
            writer.write_all(&noise(5000)).unwrap();
            drop(writer);
            let (mut watcher, other_end) = tokio::io::duplex(100);
            let other_end = stays.then_some(other_end);
            let options = Options { stall: Duration::from_millis(200), ..Options::default() };
            let tail = relay_watched(&mut from, &mut to, options, &Progress::new(), &mut watcher, 0).await;
            if stays {
                assert!(matches!(tail, Err(RelayError::Watcher(Failure::Stalled { .. }))), "{tail:?}");
            } else {
                assert_eq!(tail.unwrap().held.len(), 5000);
            }
            drop(other_end);
        }
    }
}
