//! A proxy that runs.

use std::sync::Arc;

use portway_interpreter::{Acceptor, Listener, Parts, Session as _, Shutdown};

use crate::session::Session;
use crate::{ProxyConfig, Takeover};

/// A proxy that is ready to accept; a cheap handle.
#[derive(Clone)]
pub struct Proxy {
    acceptor: Acceptor,
    config: Arc<ProxyConfig>,
}

impl Proxy {
    /// A proxy with these parts.
    #[must_use]
    pub fn new(parts: Parts, config: ProxyConfig) -> Self {
        Self { acceptor: Acceptor::new(parts), config: Arc::new(config) }
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
        watching.spawn(crate::health::watch(Arc::clone(&self.config), Arc::clone(self.acceptor.parts())));
        let config = Arc::clone(&self.config);
        self.acceptor.serve(listeners, move |arrival| Session::open(Arc::clone(&config), arrival)).await
    }

    /// Serves a session that another part of the program has accepted, by a connection of its own to the server, until
    /// it ends. The limits are those of whoever accepted it. Dropping this cuts the session off.
    pub async fn take_over(&self, takeover: Takeover) {
        if let Some(mut session) = Session::take_over(Arc::clone(&self.config), &self.acceptor, takeover) {
            session.run().await;
        }
    }
}
