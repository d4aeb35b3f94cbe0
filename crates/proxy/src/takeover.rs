//! Sessions that another part of the program has accepted, and hands over when they begin TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::Proxy;
use crate::session::Session;

/// A control connection on which the client begins TLS next.
#[derive(Debug)]
pub struct Takeover {
    /// The connection to the client.
    pub stream: TcpStream,
    /// The client; the server is connected to with its address, so the way back must lead here.
    pub client: SocketAddr,
    /// The server.
    pub server: SocketAddr,
    /// What the client believes to be the server's address, where that is translated.
    pub seen_as: Option<SocketAddr>,
    /// TLS comes before the greeting; else the client has had the 234 to its AUTH.
    pub implicit: bool,
}

impl Proxy {
    /// Serves such a session until it ends, by a connection of its own to the server. The limits are those of
    /// whoever accepted it. Dropping this cuts the session off.
    pub async fn take_over(&self, takeover: Takeover) {
        let Some(_draining) = self.drain.ticket() else { return };
        let (shared, ending) = (Arc::clone(&self.shared), self.ending.subscribe());
        if let Some(mut session) = Session::take_over(shared, ending, takeover) {
            session.run_taken_over().await;
        }
    }
}
