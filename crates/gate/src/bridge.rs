//! Handing over sessions that begin TLS to whoever ends TLS on both sides.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpStream;

/// A control connection that the gate has taken over, and on which the client begins TLS next.
#[derive(Debug)]
pub struct Handover {
    /// The connection to the client. The one to the server is closed: whoever looks into a session verifies the
    /// server first, by a connection of his own.
    pub stream: TcpStream,
    /// The client.
    pub client: SocketAddr,
    /// The server.
    pub server: SocketAddr,
    /// What the client believes the server's address to be, where it is translated.
    pub seen_as: Option<SocketAddr>,
    /// TLS comes before the greeting; else the client has had the server's 234 to its AUTH.
    pub implicit: bool,
}

/// Ends TLS on both sides of a session. The session counts as one of the gate's until the future ends, and is cut
/// off when that is dropped.
#[derive(Clone)]
pub struct Bridge(Arc<dyn Fn(Handover) -> Session + Send + Sync>);

type Session = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Bridge {
    /// A bridge that serves each session by `serve`.
    pub fn new<F>(serve: impl Fn(Handover) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |handover| Box::pin(serve(handover))))
    }

    pub(crate) async fn serve(&self, handover: Handover) {
        (self.0)(handover).await;
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bridge")
    }
}
