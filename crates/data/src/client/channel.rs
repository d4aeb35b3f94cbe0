//! What a client has of a data connection before the transfer command.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Link, LinkError, Listening};

/// A data channel as far as it can be before the transfer command.
#[derive(Debug)]
pub enum Channel {
    /// Passive mode: it stands.
    Link(Link),
    /// Active mode: the server is to connect here.
    Listening(Listening),
}

impl Channel {
    /// Where the connection leads: the server's port in passive mode, ours in active mode.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Link(link) => link.facts().peer,
            Self::Listening(listening) => listening.addr(),
        }
    }

    /// The connection; in active mode that of the server at `from`, which has so long to make it.
    ///
    /// # Errors
    /// [`LinkError::NobodyCame`], in active mode.
    pub async fn link(self, from: IpAddr, within: Duration) -> Result<Link, LinkError> {
        match self {
            Self::Link(link) => Ok(link),
            Self::Listening(mut listening) => listening.accept(from, within).await,
        }
    }
}
