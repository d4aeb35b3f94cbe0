//! Stopping without breaking anything off: no new work, and wait for what runs.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// A graceful stop; a cheap handle, clone it freely.
///
/// Sessions hold a [`DrainTicket`]; once [`begin`](Self::begin) was called, [`idle`](Self::idle) (or
/// [`wait`](Self::wait) on a thread) ends when the last ticket is back. Runs under any runtime or none.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    draining: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    out: usize,
    wakers: Vec<Waker>,
}

/// Something that a stop waits for; given back when dropped.
#[derive(Debug)]
pub struct DrainTicket {
    shared: Arc<Shared>,
}

impl Drain {
    /// Takes a ticket, or `None` once the drain has begun: take nothing on then.
    pub fn ticket(&self) -> Option<DrainTicket> {
        let mut state = self.shared.lock();
        // Read under the lock that `begin` takes: no ticket is given out behind its back.
        if self.is_draining() {
            return None;
        }
        state.out += 1;
        Some(DrainTicket { shared: Arc::clone(&self.shared) })
    }

    /// Begins to drain; a second call changes nothing.
    pub fn begin(&self) {
        let mut state = self.shared.lock();
        self.shared.draining.store(true, Ordering::Release);
        self.shared.tell_if_idle(&mut state);
    }

    /// Whether [`begin`](Self::begin) was called. Cheap; ask before each command.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }

    /// Tickets that are out.
    pub fn out(&self) -> usize {
        self.shared.lock().out
    }

    /// Ends when the drain has begun and all tickets are back.
    pub fn idle(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        poll_fn(move |context| {
            let mut state = shared.lock();
            if shared.is_idle(&state) {
                return Poll::Ready(());
            }
            if !state.wakers.iter().any(|known| known.will_wake(context.waker())) {
                state.wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Blocks this thread until the drain has begun and all tickets are back, for at most `patience`.
    ///
    /// Returns whether they are.
    pub fn wait(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.lock();
        while !self.shared.is_idle(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self, state: &State) -> bool {
        state.out == 0 && self.draining.load(Ordering::Acquire)
    }

    fn tell_if_idle(&self, state: &mut State) {
        if self.is_idle(state) {
            state.wakers.drain(..).for_each(Waker::wake);
            self.changed.notify_all();
        }
    }
}

impl Drop for DrainTicket {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.out = state.out.saturating_sub(1);
        self.shared.tell_if_idle(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Wake};

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_drain_ends_with_the_last_ticket_and_hands_out_no_more() {
        let drain = Drain::default();
        let (first, second) = (drain.ticket().unwrap(), drain.ticket().unwrap());
        assert!(!drain.is_draining());
        drain.begin();
        assert!(drain.is_draining() && drain.ticket().is_none());
        drop(first);
        assert!(!drain.wait(Duration::ZERO), "one is still out");
        let waiter = std::thread::spawn({
            let drain = drain.clone();
            move || drain.wait(LONG)
        });
        drop(second);
        assert!(waiter.join().unwrap());
        assert_eq!(drain.out(), 0);
    }

    #[test]
    fn no_ticket_out_means_nothing_until_the_drain_begins() {
        let drain = Drain::default();
        assert!(!drain.wait(Duration::ZERO));
        drop(drain.ticket());
        assert!(!drain.wait(Duration::ZERO));
        drain.begin();
        assert!(drain.wait(Duration::ZERO));
    }

    #[test]
    fn every_waiting_task_is_woken_exactly_when_the_last_ticket_returns() {
        #[derive(Default)]
        struct Counter(AtomicUsize);
        impl Wake for Counter {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (drain, counters) = (Drain::default(), [Arc::new(Counter::default()), Arc::default()]);
        let ticket = drain.ticket().unwrap();
        let (mut one, mut two) = (pin!(drain.idle()), pin!(drain.idle()));
        let wakers = counters.clone().map(Waker::from);
        for _ in 0..3 {
            assert!(one.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
            assert!(two.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
        }
        drain.begin();
        assert_eq!(counters[0].0.load(Ordering::Relaxed), 0);
        drop(ticket);
        for (counter, future) in counters.iter().zip([one, two]) {
            assert_eq!(counter.0.load(Ordering::Relaxed), 1);
            assert!({ future }.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }
    }

    #[test]
    fn tickets_taken_and_returned_on_many_threads_are_all_waited_for() {
        let drain = Drain::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| while drain.ticket().is_some() {});
            }
            drain.begin();
            assert!(drain.wait(LONG));
        });
        assert_eq!(drain.out(), 0);
    }
}
