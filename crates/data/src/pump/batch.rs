//! Fewer wake-ups while much arrives.
//!
//! Who reads as fast as octets come is woken for every segment and moves little each time. While a transfer is fast, the
//! kernel is asked to wake it for 128 KiB at least; as soon as it is not, for every octet, so that a pause holds nothing
//! back for longer than a beat or two.

use std::future::poll_fn;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::sys;

/// What is waited for in a fast transfer.
const BATCH: usize = 128 * 1024;

/// How often the rate is looked at.
const BEAT: Duration = Duration::from_millis(10);

/// What is fast, in octets per beat: 50 MiB/s, where 128 KiB are there after 2.5 ms.
const FAST: u64 = 512 * 1024;

/// Transfers that have moved less set no timer.
const LARGE: u64 = 1024 * 1024;

/// Watches the rate of what a plain socket brings. It must not outlive the socket.
pub(super) struct Batch {
    socket: RawFd,
    beat: Option<Pin<Box<Sleep>>>,
    since: Instant,
    /// Octets since then; all of them before the first beat.
    moved: u64,
    on: bool,
}

impl Batch {
    pub(super) fn new(stream: &TcpStream) -> Self {
        Self { socket: stream.as_raw_fd(), beat: None, since: Instant::now(), moved: 0, on: false }
    }

    /// Takes note of octets that came.
    pub(super) fn moved(&mut self, octets: usize) {
        self.moved += octets as u64;
        if self.beat.is_none() && self.moved >= LARGE {
            (self.beat, self.since, self.moved) = (Some(Box::pin(sleep(BEAT))), Instant::now(), 0);
        }
    }

    /// Waits for `read`, and looks at the rate meanwhile. Who never has to wait needs no larger batches.
    pub(super) async fn beside<F: Future>(&mut self, read: F) -> F::Output {
        let mut read = pin!(read);
        poll_fn(|cx| {
            if let Poll::Ready(output) = read.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            while let Some(beat) = &mut self.beat
                && beat.as_mut().poll(cx).is_ready()
            {
                let now = Instant::now();
                beat.as_mut().reset(now + BEAT);
                self.look(now);
            }
            Poll::Pending
        })
        .await
    }

    fn look(&mut self, now: Instant) {
        let beats = (now - self.since).as_secs_f64() / BEAT.as_secs_f64();
        let fast = self.moved as f64 >= FAST as f64 * beats;
        if fast != self.on && sys::wake_at_raw(self.socket, if fast { BATCH } else { 1 }) {
            self.on = fast;
        }
        (self.since, self.moved) = (now, 0);
    }
}
