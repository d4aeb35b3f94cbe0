//! How fast a transfer may be, and how slow.

use std::future::poll_fn;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{Options, Progress};
use crate::{Failure, sys};

/// Waiting time over which the floor is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// Octets a transfer may move before other tasks get a turn.
const TURN: usize = 4 * 1024 * 1024;

/// Watches one transfer: stall timer, floor, rate limit, and the progress others see.
///
/// It must not outlive the stream it was made for.
pub(super) struct Pace<'a> {
    progress: &'a Progress,
    socket: RawFd,
    stall: Duration,
    floor: Option<u64>,
    bucket: Option<Bucket>,
    wire: u64,
    tick: Option<Pin<Box<Sleep>>>,
    /// The kernel looks whether the peer lives; that is not set up for transfers that are over before the first tick.
    kept_alive: bool,
    /// Octets on the wire and octets not acknowledged, at the last look.
    seen: (u64, u32),
    quiet_since: Instant,
    /// Time spent waiting for the peer, and octets, since the window began.
    window: (Duration, u64),
    turn: usize,
}

impl<'a> Pace<'a> {
    pub(super) fn new(stream: &impl AsFd, options: &Options<'_>, progress: &'a Progress) -> Self {
        Self {
            progress,
            socket: stream.as_fd().as_raw_fd(),
            stall: options.stall,
            floor: options.floor,
            bucket: options.limit_rate.map(Bucket::new),
            wire: 0,
            tick: None,
            kept_alive: false,
            seen: (0, 0),
            quiet_since: Instant::now(),
            window: (Duration::ZERO, 0),
            turn: 0,
        }
    }

    /// Octets that have moved on the wire.
    pub(super) fn wire(&self) -> u64 {
        self.wire
    }

    /// Waits for the peer: runs `io`, and fails when the connection stands still or is too slow meanwhile.
    pub(super) async fn wait<F: Future>(&mut self, io: F) -> Result<F::Output, Failure> {
        let mut io = pin!(io);
        let mut begun: Option<Instant> = None;
        let result = poll_fn(|cx| {
            if let Poll::Ready(output) = io.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            let since = *begun.get_or_insert_with(|| {
                let now = Instant::now();
                // What held us up before this wait is not the peer's fault.
                self.quiet_since = now;
                now
            });
            let every = (self.stall / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
            loop {
                let tick = self.tick.get_or_insert_with(|| Box::pin(sleep(every)));
                ready!(tick.as_mut().poll(cx));
                if !std::mem::replace(&mut self.kept_alive, true) {
                    sys::keep_alive_raw(self.socket);
                }
                let now = Instant::now();
                tick.as_mut().reset(now + every);
                if let Err(failure) = self.look(now, now - since) {
                    return Poll::Ready(Err(failure));
                }
            }
        })
        .await;
        if let Some(begun) = begun {
            self.window.0 += begun.elapsed();
        }
        result
    }

    /// Takes note of octets on the wire, and lets other tasks have their turn now and then.
    pub(super) async fn moved(&mut self, octets: usize) {
        self.wire += octets as u64;
        self.window.1 += octets as u64;
        self.progress.add_wire(octets);
        self.turn += octets;
        if self.turn >= TURN {
            self.turn = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Takes note of octets of the file.
    pub(super) fn counted(&self, octets: usize) {
        self.progress.add_octets(octets);
    }

    /// How many of `want` octets may move now; waits until it is at least one.
    pub(super) async fn allow(&mut self, want: usize) -> usize {
        match &mut self.bucket {
            None => want,
            Some(bucket) => bucket.take(want).await,
        }
    }

    /// Gives back what [`Self::allow`] granted and was not used.
    pub(super) fn unused(&mut self, octets: usize) {
        if let Some(bucket) = &mut self.bucket {
            bucket.put_back(octets);
        }
    }

    fn look(&mut self, now: Instant, waiting: Duration) -> Result<(), Failure> {
        let unsent = sys::unsent_raw(self.socket).unwrap_or(0);
        if self.seen != (self.wire, unsent) {
            self.seen = (self.wire, unsent);
            self.quiet_since = now;
        } else if now - self.quiet_since >= self.stall {
            return Err(Failure::Stalled { quiet: self.stall });
        }
        let waited = self.window.0 + waiting;
        if let Some(floor) = self.floor
            && waited >= WINDOW.min(self.stall)
        {
            let octets = self.window.1.saturating_sub(u64::from(unsent));
            let rate = (octets as f64 / waited.as_secs_f64()) as u64;
            if rate < floor {
                return Err(Failure::TooSlow { rate, floor });
            }
            self.window = (Duration::ZERO, 0);
        }
        Ok(())
    }
}

/// A token bucket: one token is one octet.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: u64) -> Self {
        let rate = rate.max(1) as f64;
        Self { rate, tokens: Self::burst(rate), at: Instant::now() }
    }

    /// What may pass at once: a twentieth of a second's worth.
    fn burst(rate: f64) -> f64 {
        (rate / 20.0).max(1.0)
    }

    async fn take(&mut self, want: usize) -> usize {
        let burst = Self::burst(self.rate);
        // To go on with every single token would mean tiny segments.
        let enough = burst.min(want as f64).max(1.0);
        loop {
            let now = Instant::now();
            self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.rate).min(burst);
            self.at = now;
            if self.tokens >= enough - 1e-6 {
                let granted = (self.tokens.round() as usize).min(want).max(1);
                self.tokens -= granted as f64;
                return granted;
            }
            let short = (enough - self.tokens) / self.rate;
            sleep_until(now + Duration::from_secs_f64(short).max(Duration::from_millis(1))).await;
        }
    }

    fn put_back(&mut self, octets: usize) {
        self.tokens += octets as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_limit_is_kept_over_time_whatever_the_pieces() {
        for (rate, piece) in
            [(1_u64, 1_usize), (1000, 1), (1000, 65536), (50_000, 333), (10_000_000, 1 << 20)]
        {
            let mut bucket = Bucket::new(rate);
            let start = Instant::now();
            let total = rate * 10;
            let mut moved = 0;
            while moved < total {
                let granted = bucket.take(piece.min((total - moved) as usize)).await;
                assert!(granted >= 1 && granted <= piece);
                moved += granted as u64;
            }
            let took = start.elapsed().as_secs_f64();
            assert!((9.0..=11.0).contains(&took), "{rate} in pieces of {piece} took {took} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_may_be_used_later() {
        let mut bucket = Bucket::new(1000);
        let start = Instant::now();
        for _ in 0..100 {
            let granted = bucket.take(50).await;
            bucket.put_back(granted);
        }
        assert!(start.elapsed() < Duration::from_millis(100));
    }
}
