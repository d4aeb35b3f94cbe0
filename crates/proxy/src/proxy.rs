//! A proxy that runs.

use std::sync::Arc;

use portway_interpreter::{Acceptor, Listener, Parts, Session as _, Shutdown};
use tokio::sync::Semaphore;

use crate::session::Session;
use crate::{ProxyConfig, Takeover};

/// Passwords that are checked at a time.
const CHECKS: usize = 2;

/// A proxy that is ready to accept; a cheap handle.
#[derive(Clone)]
pub struct Proxy {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) config: ProxyConfig,
    pub(crate) checks: Arc<Semaphore>,
}

impl Proxy {
    /// A proxy with these parts.
    #[must_use]
    pub fn new(parts: Parts, config: ProxyConfig) -> Self {
        let shared = Shared { config, checks: Arc::new(Semaphore::new(CHECKS)) };
        Self { acceptor: Acceptor::new(parts), shared: Arc::new(shared) }
    }

    /// The handle that ends it.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.acceptor.shutdown()
    }

    /// Accepts and serves until [`Shutdown::begin`], see [`Acceptor::serve`]. Returns whether all sessions ended by
    /// themselves.
    pub async fn serve(&self, listeners: Vec<Listener>) -> bool {
        let mut watching = tokio::task::JoinSet::new();
        watching.spawn(crate::health::watch(Arc::clone(&self.shared), Arc::clone(self.acceptor.parts())));
        let shared = Arc::clone(&self.shared);
        let session = move |arrival| {
            let session = Session::open(Arc::clone(&shared), arrival);
            async move {
                if let Some(mut session) = session {
                    session.run().await;
                }
            }
        };
        self.acceptor.serve(listeners, session).await
    }

    /// Serves a session that another part of the program has accepted, by a connection of its own to the server, until
    /// it ends. The limits are those of whoever accepted it. Dropping this cuts the session off.
    pub async fn take_over(&self, takeover: Takeover) {
        if let Some(mut session) = Session::take_over(Arc::clone(&self.shared), &self.acceptor, takeover) {
            session.run().await;
        }
    }
}
