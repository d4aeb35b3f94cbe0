//! Holes that somebody came through, until his connection is over: then it is known what went through.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use portway_nft::{Flow, Key, Remote};

use crate::rows::HoleRow;

/// How often a connection that still runs is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often a connection that is not found is looked for, before we give it up.
const TRIES: u8 = 3;

/// Connections under way.
#[derive(Debug, Default)]
pub(crate) struct Trails {
    running: Vec<Trail>,
    /// Connections that have their hole already; the kernel remembers them for minutes after their end.
    claimed: HashSet<u32>,
}

/// One connection.
#[derive(Debug)]
struct Trail {
    row: HoleRow,
    key: Key,
    opened: Instant,
    flow: Option<Flow>,
    tries: u8,
    next: Instant,
}

/// What is known of a hole in the end.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) row: HoleRow,
    pub(crate) flow: Option<Flow>,
    /// Since the hole was opened.
    pub(crate) lived: Duration,
}

impl Trails {
    /// Somebody came through this hole.
    pub(crate) fn follow(&mut self, row: HoleRow, opened: Instant, now: Instant) {
        let key = Key::new(row.from, row.to);
        self.running.push(Trail { row, key, opened, flow: None, tries: 0, next: now });
    }

    /// Those whose connections are over by now.
    pub(crate) fn over(&mut self, kernel: &mut Remote, now: Instant) -> Vec<Trace> {
        self.find(kernel, now);
        let mut over = Vec::new();
        self.running.retain_mut(|trail| {
            if trail.next <= now
                && let Some(flow) = &mut trail.flow
                && !flow.over
            {
                trail.next = now + LOOK;
                match kernel.look(flow) {
                    Ok(Some(latest)) => *flow = latest,
                    // Forgotten, or nobody can say: what was seen last is all there is.
                    Ok(None) | Err(_) => flow.over = true,
                }
            }
            let done = trail.flow.is_some_and(|flow| flow.over) || trail.tries >= TRIES;
            if done {
                over.push(trail.end(now));
            }
            !done
        });
        over
    }

    /// All of them, over or not: the gate ends.
    pub(crate) fn finish(&mut self, kernel: &mut Remote, now: Instant) -> Vec<Trace> {
        self.find(kernel, now);
        self.running.drain(..).map(|trail| trail.end(now)).collect()
    }

    /// Finds the connections of those that have none yet.
    fn find(&mut self, kernel: &mut Remote, now: Instant) {
        if self.running.iter().all(|trail| trail.flow.is_some()) {
            return;
        }
        let Ok(all) = kernel.flows() else {
            self.running.iter_mut().for_each(|trail| trail.tries = TRIES);
            return;
        };
        self.claimed.retain(|id| all.iter().any(|flow| flow.id == *id));
        for trail in self.running.iter_mut().filter(|trail| trail.flow.is_none()) {
            trail.flow =
                all.iter().find(|flow| flow.fits(&trail.key) && !self.claimed.contains(&flow.id)).copied();
            match trail.flow {
                Some(flow) => {
                    self.claimed.insert(flow.id);
                    trail.next = now + LOOK;
                }
                None => trail.tries += 1,
            }
        }
    }
}

impl Trail {
    fn end(&self, now: Instant) -> Trace {
        Trace { row: self.row.clone(), flow: self.flow, lived: now.saturating_duration_since(self.opened) }
    }
}
