//! Handing over sessions that begin TLS to whoever ends TLS on both sides.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::ledger::Ledger;

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
    /// The gate's book about this session.
    pub entrusted: Entrusted,
}

/// The gate's book, as far as it is about one session.
#[derive(Clone, Debug)]
pub struct Entrusted {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) session: u64,
    pub(crate) client: IpAddr,
}

impl Entrusted {
    /// Who logs in.
    pub fn user(&self, name: &[u8]) {
        let name = name.get(..64).unwrap_or(name);
        let user = String::from_utf8_lossy(name).into_owned();
        self.ledger.amend(self.session, |row| row.user = Some(user));
    }

    /// The server has refused a login; whether the client may go on trying.
    #[must_use]
    pub fn login_refused(&self) -> bool {
        let may = self.ledger.login_refused(self.session, self.client);
        if !may {
            self.refuse("too many failed logins");
        }
        may
    }

    /// Writes a refusal down.
    pub fn refuse(&self, why: impl fmt::Display) {
        self.ledger.refuse(self.session, self.client, why);
    }
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
