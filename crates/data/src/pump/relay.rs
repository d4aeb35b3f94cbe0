//! From one data connection to another: what a proxy does.

use tokio::io::Interest;

use super::buffer::{Buffer, LARGE};
use super::line::Line;
use super::pipe::Pipe;
use super::{Options, Progress, Received};
use crate::conn::{Stream, Way};
use crate::{DataConn, Failure};

/// Why a relay stopped, and on which of its two connections.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The one that brings the octets.
    #[error("{0}")]
    From(#[source] Failure),
    /// The one that takes them.
    #[error("{0}")]
    To(#[source] Failure),
    /// Neither: whoever sees a copy takes no more of it.
    #[error("{0}")]
    Watcher(#[source] Failure),
}

/// Moves everything that comes on `from` to `to`, unchanged, until the end mark of `from`. Between two plain
/// connections the octets stay in the kernel; otherwise they pass through one buffer. No more than that buffer
/// (or pipe) lies between the two, so that whoever is slow slows the other down.
///
/// Both connections are still open afterwards: [`DataConn::finish`] ends them. Dropping the future aborts the
/// transfer; drop the connections with it. `options.representation`, `compression` and `hash` are of no effect.
///
/// # Errors
/// [`RelayError`] says which connection broke. An end of `from` without its end mark is [`Failure::Truncated`].
pub async fn relay(
    from: &mut DataConn,
    to: &mut DataConn,
    options: Options<'_>,
    progress: &Progress,
) -> Result<Received, RelayError> {
    let Options { stall, limit_rate, .. } = options;
    let inward = Options { stall, ..Options::default() };
    let outward = Options { stall, limit_rate, ..Options::default() };
    // Octets are counted where they leave.
    let arriving = Progress::new();
    let done = {
        let mut source = Line::new(from, Way::Receiving, &inward, &arriving).map_err(RelayError::From)?;
        let mut sink = Line::new(to, Way::Sending, &outward, progress).map_err(RelayError::To)?;
        let plain = matches!((&*source.stream, &*sink.stream), (Stream::Plain(_), Stream::Plain(_)));
        let moved = match plain.then(Pipe::new) {
            Some(Ok(pipe)) => by_kernel(&mut source, &mut sink, pipe).await?,
            // Also without a descriptor to spare.
            _ => by_buffer(&mut source, &mut sink).await?,
        };
        Received { octets: moved, wire: moved }
    };
    from.received_all();
    Ok(done)
}

async fn by_buffer(source: &mut Line<'_>, sink: &mut Line<'_>) -> Result<u64, RelayError> {
    let mut buf = Buffer::of(LARGE as u64);
    let mut total = 0;
    loop {
        let received = source.read(&mut buf).await.map_err(RelayError::From)?;
        let octets = buf.get(..received).unwrap_or_default();
        if octets.is_empty() {
            return Ok(total);
        }
        sink.write_all(octets).await.map_err(RelayError::To)?;
        sink.pace.counted(received);
        total += received as u64;
    }
}

#[cfg(target_os = "linux")]
async fn by_kernel(source: &mut Line<'_>, sink: &mut Line<'_>, pipe: Pipe) -> Result<u64, RelayError> {
    use rustix::pipe::{SpliceFlags, splice};
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    let mut batch = super::batch::Batch::new(source.stream.tcp());
    let mut total = 0;
    loop {
        let granted = sink.pace.allow(pipe.size).await;
        let read = source.when_ready(Interest::READABLE, |stream| {
            Ok(splice(stream, None, &pipe.writer, None, granted, flags)?)
        });
        let received = batch
            .beside(read)
            .await
            .and_then(|received| received.map_err(Failure::of_socket))
            .map_err(RelayError::From)?;
        sink.pace.unused(granted.saturating_sub(received));
        batch.moved(received);
        source.pace.moved(received).await;
        if received == 0 {
            pipe.put_back();
            return Ok(total);
        }
        let mut left = received;
        while left > 0 {
            let sent = sink
                .when_ready(Interest::WRITABLE, |stream| {
                    Ok(splice(&pipe.reader, None, stream, None, left, flags)?)
                })
                .await
                .and_then(|sent| sent.map_err(Failure::of_socket))
                .map_err(RelayError::To)?;
            if sent == 0 {
                return Err(RelayError::To(Failure::PeerClosedEarly));
            }
            left -= sent.min(left);
            sink.pace.counted(sent);
            sink.pace.moved(sent).await;
        }
        total += received as u64;
    }
}

#[cfg(not(target_os = "linux"))]
async fn by_kernel(source: &mut Line<'_>, sink: &mut Line<'_>, _: Pipe) -> Result<u64, RelayError> {
    by_buffer(source, sink).await
}
