//! Announcements of servers, checked against what the gate knows.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use portway_agent::{Agent, Denied, Gatekeeper, Opened};
use portway_nft::RemoteError;
use portway_proto::Expected;

use crate::ledger::{Asking, Ledger, NotOpened};

/// Stands for a hole that needs none.
const NONE: u64 = 0;

/// Opens holes for servers, for clients whose control connection passes this gate.
#[derive(Debug)]
pub struct Agents {
    ledger: Arc<Ledger>,
}

impl Agents {
    /// Over the book of a gate.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

impl Gatekeeper for Agents {
    fn open(&self, agent: &Agent, client: IpAddr, want: Expected) -> Result<Opened, Denied> {
        let to_server = want.from == client;
        let server = if to_server { want.to().ip() } else { want.from };
        let session = self.ledger.session_between(client, server, want.control).map_err(|why| {
            self.ledger.refuse(0, client, &why);
            Denied::Rule(why)
        })?;
        let hidden = !to_server && session.client_seen_as.is_some();
        if hidden && !session.opaque {
            // We have read the announcement, and what the server repeats is the port that we gave it.
            return Ok(Opened { hole: NONE, announce: None });
        }
        // The server may know the client by another address than the packets bear here.
        let (from, to) = match (to_server, hidden) {
            (true, _) => (session.client.ip(), want.to()),
            (false, true) => (want.from, SocketAddr::new(session.client.ip(), want.to().port())),
            (false, false) => (want.from, want.to()),
        };
        let shown = hidden.then(|| self.ledger.shown_port());
        let nat = session.nat(to_server, to, shown);
        // Held by the agent's connection: a client's other sessions between the same hosts are no concern of it.
        let asking = Asking {
            holder: Ledger::holder(agent.connection),
            session: session.session,
            by: agent.name.clone(),
            client: session.client.ip().to_canonical(),
            announced: nat.announced,
            translate: nat.translate,
        };
        match self.ledger.open(asking, from, to, want.within) {
            Ok(hole) => Ok(Opened { hole, announce: nat.announced }),
            Err(NotOpened::Holes(RemoteError::Refused(why))) => Err(Denied::Rule(why)),
            Err(other) => Err(Denied::Failed(other.to_string())),
        }
    }

    fn close(&self, agent: &Agent, hole: u64) {
        self.ledger.close(hole, Ledger::holder(agent.connection));
    }

    fn end(&self, agent: &Agent) {
        self.ledger.release(Ledger::holder(agent.connection));
    }

    fn refused(&self, who: IpAddr, why: &str) {
        self.ledger.refuse(0, who, why);
    }
}
