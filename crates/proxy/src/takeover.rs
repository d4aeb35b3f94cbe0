//! Sessions that another part of the program has accepted, and hands over when they begin TLS.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

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
    /// Whoever accepted it.
    pub origin: Arc<dyn Origin>,
}

/// Keeps the book of a session that it has handed over.
pub trait Origin: fmt::Debug + Send + Sync {
    /// Who logs in.
    fn user(&self, name: &[u8]);
    /// The server has refused a login. Whether the client may go on trying.
    fn login_refused(&self) -> bool;
    /// Something was refused, for this reason.
    fn refused(&self, why: &str);
}
