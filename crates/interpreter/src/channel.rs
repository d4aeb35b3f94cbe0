//! How the next data connection will come about, until a transfer takes it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use portway_data::{DataConn, Dial, Failure, Offer};
use portway_ops::{DataFailed, Shown};
use portway_proto::{Reply, Verb, Vetted};
use tokio::time::Instant;

use crate::ControlConnection;

/// How the next data connection will come about.
pub enum Pending {
    /// Nothing was announced.
    Nothing,
    /// PASV and EPSV: the client connects.
    Offer(Verb, Box<Offer>),
    /// PORT and EPRT: we connect.
    Dial(Verb, Box<Dial>),
    /// Block mode: the data connection of the transfer before, and whose port it came by.
    Kept(Box<Kept>),
}

/// A data connection that stays between transfers (RFC 959 §3.3). It has proved whose it is.
pub struct Kept {
    /// The connection.
    pub conn: Box<DataConn>,
    /// The verb that made it.
    pub verb: &'static str,
    /// What was announced for it.
    pub announced: Option<SocketAddr>,
}

impl Pending {
    /// The verb that made it; empty if none did.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Offer(verb, _) | Self::Dial(verb, _) => verb.name(),
            Self::Kept(kept) => kept.verb,
        }
    }

    /// What was announced, by whomever.
    #[must_use]
    pub fn announced(&self) -> Option<SocketAddr> {
        match self {
            Self::Nothing => None,
            Self::Offer(_, offer) => Some(offer.announce()),
            Self::Dial(_, dial) => Some(dial.to()),
            Self::Kept(kept) => kept.announced,
        }
    }

    /// Where the client said that it listens.
    #[must_use]
    pub fn announced_by_client(&self) -> Option<SocketAddr> {
        match self {
            Self::Dial(_, dial) => Some(dial.to()),
            _ => None,
        }
    }

    /// The data connection, as soon as it is there.
    ///
    /// # Errors
    /// Why it did not come about before the deadline.
    pub async fn connect(self, deadline: Instant) -> Result<DataConn, Failure> {
        match self {
            Self::Offer(_, offer) => offer.take(deadline).await,
            Self::Dial(_, dial) => dial.connect(deadline).await,
            Self::Kept(kept) => Ok(*kept.conn),
            Self::Nothing => Err(Failure::NoSocket(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Lets go of it after its transfer was refused. A connection that has come is taken in first, since one that
    /// still queues would be reset.
    pub async fn dismiss(mut self) {
        let mut arriving = pin!(self.arrive());
        poll_fn(|cx| {
            let _ = arriving.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Takes in a data connection as soon as it comes: some clients wait for our part of the TLS handshake before
    /// they send the command. Never returns while nothing can come.
    pub(crate) async fn arrive(&mut self) {
        match self {
            Self::Offer(_, offer) if !offer.has_arrived() => {
                if offer.arrive().await.is_err() {
                    // Out of descriptors. The transfer will say so; until then the control channel goes on.
                    std::future::pending::<()>().await;
                }
            }
            _ => std::future::pending().await,
        }
    }
}

impl ControlConnection {
    /// PASV and EPSV: the reply leaves when the port is open, pinhole included.
    pub(crate) async fn offer(&mut self, verb: Verb) -> Reply {
        // The old port is given back first, so that it may be given again.
        self.pending = Pending::Nothing;
        match self.parts.broker.offer(&self.party()).await {
            Ok(offer) => {
                let reply = self.dialogue.offered(verb, offer.announced());
                self.pending = Pending::Offer(verb, Box::new(offer));
                reply
            }
            Err(error) => {
                self.log_no_channel(verb.name(), None, error.cause(), &error);
                Reply::new(error.code(), format_args!("{error}."))
            }
        }
    }

    /// PORT and EPRT, the address vetted.
    pub(crate) async fn target(&mut self, verb: Verb, to: Vetted) -> Reply {
        self.pending = Pending::Nothing;
        match self.parts.broker.expect(&self.party(), to).await {
            Ok(dial) => {
                self.pending = Pending::Dial(verb, Box::new(dial));
                self.dialogue.targeted()
            }
            Err(error) => {
                self.log_no_channel(verb.name(), None, error.cause(), &error);
                Reply::new(error.code(), format_args!("{error}."))
            }
        }
    }

    /// What a client is told about a data connection that did not come about, the administrator is told, too.
    pub fn log_no_channel(
        &self,
        mode: &'static str,
        announced: Option<SocketAddr>,
        cause: &'static str,
        error: &dyn std::fmt::Display,
    ) {
        self.record(DataFailed {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            mode,
            announced,
            cause,
            detail: Shown::from(error.to_string()),
        });
    }
}
