//! What a server is made of.

use std::sync::Arc;

use portway_interpreter::{Acceptor, Door, Listener, Parts, Shutdown};
use portway_vfs::Vfs;

use crate::session::Session;
use crate::turns::Turns;

/// What a server has besides the [`Parts`] of all who play one.
pub struct ServerConfig {
    /// Who may log in.
    pub door: Door,
    /// What is served; a user sees it from his home on.
    pub storage: Arc<dyn Vfs>,
}

/// A server that is ready to accept; a cheap handle.
#[derive(Clone)]
pub struct Server {
    acceptor: Acceptor,
    shared: Arc<ServerConfig>,
    turns: Arc<Turns>,
}

impl Server {
    /// A server with these parts.
    #[must_use]
    pub fn new(parts: Parts, config: ServerConfig) -> Self {
        Self { acceptor: Acceptor::new(parts), shared: Arc::new(config), turns: Arc::new(Turns::new()) }
    }

    /// The handle that ends it.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.acceptor.shutdown()
    }

    /// What it shares with every role, for whoever shows it.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        self.acceptor.parts()
    }

    /// What is its own.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        &self.shared
    }

    /// Accepts and serves until [`Shutdown::begin`], see [`Acceptor::serve`]. Returns whether all sessions ended by
    /// themselves.
    pub async fn serve(&self, listeners: Vec<Listener>) -> bool {
        let (shared, turns) = (Arc::clone(&self.shared), Arc::clone(&self.turns));
        self.acceptor
            .serve(listeners, move |arrival| Session::open(Arc::clone(&shared), Arc::clone(&turns), arrival))
            .await
    }
}
