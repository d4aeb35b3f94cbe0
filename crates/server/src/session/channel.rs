//! How the next data connection will come about, until a transfer takes it.

use std::net::SocketAddr;

use portway_data::{DataConn, Dial, Offer, Party};
use portway_ops::{DataFailed, Shown};
use portway_proto::{Protection, Reply, Verb, Vetted};

use super::Session;

/// How the next data connection will come about.
pub(super) enum Pending {
    Nothing,
    Offer(Verb, Box<Offer>),
    Dial(Verb, Box<Dial>),
    /// Block mode: the data connection of the transfer before, and whose port it came by.
    Kept(Box<Kept>),
}

/// A data connection that stays between transfers (RFC 959 §3.3). It has proved whose it is.
pub(super) struct Kept {
    pub(super) conn: Box<DataConn>,
    pub(super) verb: &'static str,
    pub(super) announced: Option<SocketAddr>,
}

impl Pending {
    /// The verb that made it.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Offer(verb, _) | Self::Dial(verb, _) => verb.name(),
            Self::Kept(kept) => kept.verb,
        }
    }

    pub(super) fn announced(&self) -> Option<SocketAddr> {
        match self {
            Self::Nothing => None,
            Self::Offer(_, offer) => Some(offer.announce()),
            Self::Dial(_, dial) => Some(dial.to()),
            Self::Kept(kept) => kept.announced,
        }
    }
}

impl Pending {
    /// Where the client said that it listens.
    pub(super) fn announced_by_client(&self) -> Option<SocketAddr> {
        match self {
            Self::Dial(_, dial) => Some(dial.to()),
            _ => None,
        }
    }
}

impl Session {
    fn party(&self) -> Party {
        Party {
            peer: self.peer,
            local: self.local,
            reached: self.reached,
            tls: self.tls.clone().filter(|_| self.dialogue.protection() == Protection::Private),
            history: self.history.clone(),
        }
    }

    /// PASV and EPSV: the reply leaves when the port is open, pinhole included.
    pub(super) async fn offer(&mut self, verb: Verb) -> Reply {
        // The old port is given back first, so that it may be given again.
        self.pending = Pending::Nothing;
        match self.shared.broker.offer(&self.party()).await {
            Ok(offer) => {
                let reply = self.dialogue.offered(verb, offer.announced());
                self.pending = Pending::Offer(verb, Box::new(offer));
                reply
            }
            Err(error) => {
                self.log_no_channel(verb, error.cause(), &error);
                Reply::new(error.code(), format_args!("{error}."))
            }
        }
    }

    /// PORT and EPRT, the address vetted.
    pub(super) async fn target(&mut self, verb: Verb, to: Vetted) -> Reply {
        self.pending = Pending::Nothing;
        match self.shared.broker.expect(&self.party(), to).await {
            Ok(dial) => {
                self.pending = Pending::Dial(verb, Box::new(dial));
                self.dialogue.targeted()
            }
            Err(error) => {
                self.log_no_channel(verb, error.cause(), &error);
                Reply::new(error.code(), format_args!("{error}."))
            }
        }
    }

    /// What a client is told about a port that was not opened, the administrator is told, too.
    fn log_no_channel(&self, verb: Verb, cause: &'static str, error: &dyn std::fmt::Display) {
        self.shared.log.record(DataFailed {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            mode: verb.name(),
            announced: None,
            cause,
            detail: Shown::from(error.to_string()),
        });
    }
}

/// Takes in a data connection as soon as it comes: some clients wait for our part of the TLS handshake before
/// they send the command. Never returns while nothing can come.
pub(super) async fn arrive(pending: &mut Pending) {
    match pending {
        Pending::Offer(_, offer) if !offer.has_arrived() => {
            if offer.arrive().await.is_err() {
                // Out of descriptors. The transfer will say so; until then the control channel goes on.
                std::future::pending::<()>().await;
            }
        }
        _ => std::future::pending().await,
    }
}
