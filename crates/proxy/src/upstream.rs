//! The leg towards the server: one control connection, as its client.

use std::net::SocketAddr;

use portway_net::{
    ClientControlTls, ClientTls, Control, Forwarded, TlsError, connect_as, connect_first, prepare_control,
};
use portway_proto::client::{ClientSession, CommandId};
use portway_proto::{Command, Mechanism, Protection, RawReply};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use crate::{LegConfig, LegTimeouts, ProxyHeader};

mod data;
mod dialogue;
mod error;

pub(crate) use data::Opened;
pub(crate) use dialogue::Said;
pub(crate) use error::{Lost, NoServer, shown};

/// A session with a server on behalf of one client.
#[derive(Debug)]
pub(crate) struct Upstream {
    control: Control,
    session: ClientSession,
    host: String,
    peer: SocketAddr,
    local: SocketAddr,
    tls: Option<ClientControlTls>,
    greeting: RawReply,
    leg: LegConfig,
    timeouts: LegTimeouts,
    ways: data::Ways,
    ahead: Option<Box<data::Ahead>>,
    /// The server sees the client's address, not ours.
    bears_client: bool,
    /// Replies since the last one that decided something.
    chatter: u32,
}

/// Where to, and how.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// The name (or address) that the certificate must bear.
    pub(crate) host: String,
    /// Its addresses, judged.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) tls: Wanted,
    /// Both ends of the client's connection.
    pub(crate) client: Option<Forwarded>,
    /// Connect with this address, which is the client's: the server sees who it is.
    pub(crate) bears: Option<SocketAddr>,
}

/// Whether and how TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    /// AUTH TLS; in the clear if the server has none.
    IfOffered,
    /// AUTH TLS or no session.
    Explicit,
    /// From the first octet.
    Implicit,
}

impl Upstream {
    /// Connects, and begins TLS; the login is the client's.
    pub(crate) async fn open(goal: &Goal, leg: &LegConfig) -> Result<Self, NoServer> {
        let timeouts = leg.timeouts;
        let late = || NoServer::Lost(Lost::Silent(timeouts.connect));
        timeout(timeouts.connect, Self::reach(goal, leg)).await.map_err(|_| late())?
    }

    async fn reach(goal: &Goal, leg: &LegConfig) -> Result<Self, NoServer> {
        let timeouts = leg.timeouts;
        let connected = match (goal.bears, goal.addresses.first()) {
            (Some(client), Some(&to)) => match connect_as(client, to).await {
                Ok(stream) => Ok((stream, to)),
                Err(source) => Err(Some((to, source))),
            },
            _ => connect_first(&goal.addresses, timeouts.connect).await.map(|(stream, to, _)| (stream, to)),
        };
        let (stream, to) = match connected {
            Ok(connected) => connected,
            Err(Some((to, source))) => return Err(NoServer::Unreachable { to, source }),
            Err(None) => return Err(NoServer::NoneLeft),
        };
        let of_socket = |source| NoServer::Unreachable { to, source };
        prepare_control(&stream).map_err(of_socket)?;
        let (peer, local) = (stream.peer_addr().map_err(of_socket)?, stream.local_addr().map_err(of_socket)?);
        let mut upstream = Self {
            control: Control::from(stream),
            session: ClientSession::new(),
            host: goal.host.clone(),
            peer,
            local,
            tls: None,
            greeting: RawReply::default(),
            leg: leg.clone(),
            timeouts,
            ways: data::Ways::new(leg.mode, peer.ip()),
            ahead: None,
            bears_client: goal.bears.is_some(),
            chatter: 0,
        };
        if let (Some(client), Some(form)) = (goal.client, leg.header) {
            let header = match form {
                ProxyHeader::V1 => client.emit_text(),
                ProxyHeader::V2 => client.emit(),
            };
            upstream.control.write_all(&header).await.map_err(Lost::Broken)?;
        }
        if goal.tls == Wanted::Implicit {
            upstream = upstream.start_tls().await?;
        }
        upstream.greet().await?;
        if matches!(goal.tls, Wanted::Explicit | Wanted::IfOffered) {
            let reply = upstream.call(&Command::Auth(Mechanism::Tls)).await?;
            match reply.code {
                234 | 334 => upstream = upstream.start_tls().await?,
                500..=599 if goal.tls == Wanted::IfOffered => {}
                _ => return Err(NoServer::NoTls(reply)),
            }
        }
        Ok(upstream)
    }

    async fn greet(&mut self) -> Result<(), NoServer> {
        let deadline = Instant::now() + self.timeouts.connect;
        loop {
            let answer = self.answer(deadline).await?;
            if answer.id != CommandId::GREETING {
                return Err(Lost::OutOfStep(answer.reply).into());
            }
            if answer.reply.code >= 400 {
                return Err(NoServer::Refused(answer.reply));
            }
            if !answer.fits {
                return Err(Lost::OutOfStep(answer.reply).into());
            }
            if answer.last {
                self.greeting = answer.reply;
                return Ok(());
            }
        }
    }

    async fn start_tls(mut self) -> Result<Self, NoServer> {
        if self.session.tls_started() {
            return Err(NoServer::Injected);
        }
        let missing = || {
            TlsError::Setup("this proxy knows no authority to check servers' certificates with; the proxy's administrator may name one by --upstream-ca".to_owned())
        };
        let client: &ClientTls = self.leg.client_tls.as_ref().ok_or_else(missing)?;
        let tls = client.control(&self.host)?;
        self.control = self.control.connect_tls(&tls).await?;
        self.tls = Some(tls);
        Ok(self)
    }

    /// Has the server encrypt data, once it has let the user in.
    pub(crate) async fn protect(&mut self) -> Result<(), NoServer> {
        if self.tls.is_none() {
            return Ok(());
        }
        // RFC 4217 §8: PBSZ comes before PROT. Its refusal shows in PROT's.
        self.call(&Command::Pbsz(0)).await?;
        let reply = self.call(&Command::Prot(Protection::Private)).await?;
        if reply.code >= 300 { Err(NoServer::NoDataTls(reply)) } else { Ok(()) }
    }

    /// The server's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our end of the control connection.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The server as it was named.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// What the server greeted us with.
    pub(crate) fn greeting(&self) -> &RawReply {
        &self.greeting
    }

    /// The version of TLS; `None` in clear.
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        self.control.tls().map(|tls| tls.version)
    }

    /// TLS for data connections.
    pub(crate) fn data_tls(&self) -> Option<ClientControlTls> {
        self.tls.clone()
    }

    /// Whether REST must be sent before a transfer from this offset.
    pub(crate) fn needs_rest(&self, offset: u64) -> bool {
        self.session.needs_rest(offset)
    }
}
