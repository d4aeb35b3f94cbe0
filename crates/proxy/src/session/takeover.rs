//! A session that was under way in the clear, and whose client is about to begin TLS.

use std::sync::Arc;

use portway_proto::{Command, Mechanism};
use tokio::sync::watch;

use super::{End, Session};
use crate::Takeover;
use crate::accept::Shared;

/// What is particular about a session taken over. Its server sees the client's own address.
pub(super) struct Taken {
    /// TLS comes first, on both legs.
    pub(super) implicit: bool,
}

impl Session {
    /// Takes a session over; `None` if its connection has died.
    pub(crate) fn take_over(
        shared: Arc<Shared>,
        ending: watch::Receiver<bool>,
        takeover: Takeover,
    ) -> Option<Self> {
        let Takeover { stream, client, server, seen_as, implicit } = takeover;
        let mut session = Self::open(shared, ending, stream, (client, seen_as), implicit)?;
        session.called = server;
        // Data connections are to be where the client believes the server to be.
        session.local = seen_as.unwrap_or(server);
        session.takeover = Some(Taken { implicit });
        Some(session)
    }

    /// Serves until the end, TLS first.
    pub(crate) async fn run_taken_over(&mut self) {
        if self.takeover.as_ref().is_some_and(|taken| taken.implicit) {
            return self.run(true).await;
        }
        let end = match Box::pin(self.go_on_under_tls()).await {
            Ok(()) => self.serve().await,
            Err(end) => end,
        };
        Box::pin(self.close(end)).await;
    }

    /// The client has its 234 already.
    async fn go_on_under_tls(&mut self) -> Result<(), End> {
        let _ = self.dialogue.command(Command::Auth(Mechanism::Tls));
        self.start_tls().await?;
        self.dialogue.tls_started();
        Ok(())
    }
}
