//! A session that was under way in the clear, and whose client is about to begin TLS.

use std::sync::Arc;

use portway_interpreter::{Acceptor, End};
use portway_proto::{Command, Mechanism};

use super::Session;
use crate::{Origin, ProxyConfig, Takeover};

/// What is particular about a session taken over. Its server sees the client's own address.
pub(super) struct Taken {
    /// TLS comes first, on both legs.
    pub(super) implicit: bool,
    /// Whoever accepted it.
    pub(super) origin: Arc<dyn Origin>,
}

impl Session {
    /// Takes a session over; `None` if its connection has died, or sessions end.
    pub(crate) fn take_over(
        config: Arc<ProxyConfig>,
        acceptor: &Acceptor,
        takeover: Takeover,
    ) -> Option<Self> {
        let Takeover { stream, client, server, seen_as, implicit, origin } = takeover;
        let mut session = Self::open(config, acceptor.take_over(stream, client, seen_as, implicit)?)?;
        session.called = server;
        // Data connections are to be where the client believes the server to be.
        session.client.local = seen_as.unwrap_or(server);
        session.takeover = Some(Taken { implicit, origin });
        Some(session)
    }

    /// Whoever accepted the session is told that something was refused.
    pub(super) fn tell_origin(&self, why: &str) {
        if let Some(taken) = &self.takeover {
            taken.origin.refused(why);
        }
    }

    /// The client has its 234 already.
    pub(super) async fn go_on_under_tls(&mut self) -> Result<(), End> {
        let _ = self.client.dialogue.command(Command::Auth(Mechanism::Tls));
        self.start_tls().await?;
        self.client.dialogue.tls_started();
        Ok(())
    }
}
