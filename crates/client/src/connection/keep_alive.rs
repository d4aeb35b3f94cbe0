//! Signs of life on the control connection while a transfer runs.
//!
//! A NAT or a server that counts idle time drops a control connection that is silent for the whole of a long
//! transfer; then the 226 never comes. NOOP is the cure, and a danger: some servers answer it at once, some
//! behind the 226, some never. The first two are told apart by [`ClientSession`]; after the third the connection
//! is given up, since no later reply could be matched with its command.
//!
//! [`ClientSession`]: portway_proto::client::ClientSession

use std::time::Duration;

use portway_proto::Command;
use portway_proto::client::{CommandId, Event};
use tokio::time::Instant;

use super::Connection;
use crate::{Error, Phase};

/// How long answers to NOOP may come behind the 226.
const LATE: Duration = Duration::from_secs(2);

/// The signs of life of one transfer.
pub(super) struct KeepAlive {
    every: Option<Duration>,
    due: Instant,
    unanswered: Vec<CommandId>,
}

impl KeepAlive {
    /// When the next one is due; far away if none is wanted.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether any are wanted.
    pub(super) fn is_on(&self) -> bool {
        self.every.is_some()
    }

    /// Notes an answer that may be to one of them.
    pub(super) fn answered(&mut self, id: CommandId) {
        self.unanswered.retain(|noop| *noop != id);
    }
}

impl Connection {
    /// Begins with a transfer.
    pub(super) fn keep_alive(&self) -> KeepAlive {
        let every = self.settings.reach.keep_alive.filter(|_| !self.swallows_noop);
        KeepAlive { every, due: Instant::now() + every.unwrap_or_default(), unanswered: Vec::new() }
    }

    /// Sends one.
    pub(super) async fn nudge(&mut self, keep: &mut KeepAlive) -> Result<(), Error> {
        keep.due = Instant::now() + keep.every.unwrap_or(Duration::from_secs(60));
        keep.unanswered.push(self.queue(&Command::Noop)?);
        self.flush(Phase::FinalReply).await
    }

    /// Waits for the answers that come behind the 226. Without them the connection is of no more use.
    pub(super) async fn hear_out(&mut self, keep: &mut KeepAlive) {
        let deadline = Instant::now() + self.data_budget(LATE);
        while self.is_usable() && !keep.unanswered.is_empty() {
            match self.event(deadline).await {
                Ok(Some(Event::Answer(answer))) => keep.answered(answer.id),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    self.trace.note("the server swallows NOOP during transfers: none any more");
                    (self.broken, self.swallows_noop) = (true, true);
                }
            }
        }
    }
}
