//! One client and, once it has said where it wants to go, one server.

mod aim;
mod carry;
mod command;
mod content;
mod entrance;
mod ruled;
mod takeover;
mod transfer;
mod verdict;

use std::net::SocketAddr;
use std::sync::Arc;

use portway_interpreter::{Arrival, ControlConnection, End, Pending};
use portway_ops::{Shown, UpstreamFailed};
use portway_proto::{Action, Code, Command, RawReply, Reply};

use crate::ProxyConfig;
use crate::leftovers::Owner;
use crate::login::Login;
use crate::quota::Allowance;
use crate::routes::Place;
use crate::upstream::{Lost, Upstream};
use crate::{Filter, Kind};

/// The state that belongs to one control connection.
pub(crate) struct Session {
    config: Arc<ProxyConfig>,
    /// The leg towards the client: what it says about that is judged there.
    client: ControlConnection,
    /// Where the client's connection was on its way to; our own address but for a transparent proxy.
    called: SocketAddr,
    /// Another part of this program has accepted it.
    takeover: Option<takeover::Taken>,
    login: Login,
    /// What the account at the proxy may have.
    account: Allowance,
    /// HOST (RFC 7151), which a reverse proxy may choose by.
    host: Option<Vec<u8>>,
    upstream: Option<Box<Server>>,
    /// Servers that were connected to since the last of them let the client in.
    calls: u32,
    filter: Filter,
}

/// The leg towards the server.
struct Server {
    leg: Upstream,
    /// The name given to USER there.
    user: Vec<u8>,
    features: Option<RawReply>,
    /// The name that was let in, by which rules are chosen; empty before.
    accepted: Vec<u8>,
    /// Its last word about the login was that an account comes next (332).
    wants_account: bool,
    /// The directory as the server told it, until something may have changed it.
    directory: Option<Vec<u8>>,
    _place: Option<Place>,
    /// What its user may have.
    allowance: Allowance,
}

impl Server {
    /// Whose files the session makes.
    fn owner(&self) -> Owner {
        Owner { server: self.leg.peer(), user: self.accepted.clone() }
    }
}

impl portway_interpreter::Session for Session {
    fn client(&mut self) -> &mut ControlConnection {
        &mut self.client
    }

    async fn greet(&mut self) -> Result<(), End> {
        if self.takeover.as_ref().is_some_and(|taken| !taken.implicit) {
            return self.go_on_under_tls().await;
        }
        if self.client.implicit_tls {
            self.start_tls().await?;
        }
        let text = match self.config.kind {
            Kind::Forward(_) => "portway FTP proxy ready: log in as name@host, or send OPEN host.",
            Kind::Reverse(_) | Kind::Transparent(_) => "FTP server ready.",
        };
        self.client.say(Code::READY, text);
        Ok(())
    }

    async fn line(&mut self, line: &[u8]) -> Result<(), End> {
        self.judge_line(line).await
    }

    /// Also notices a server that leaves.
    async fn wait(&mut self) -> Result<(), End> {
        let Some(lost) = self.client.wait(left_by(&mut self.upstream)).await? else { return Ok(()) };
        self.server_lost(&lost)?;
        self.client.flush().await
    }

    async fn close(&mut self, end: End) {
        let user = self.client.dialogue.user().map(Shown::from);
        self.leave_server();
        self.client.close(user, end).await;
    }
}

impl Session {
    /// A session on a fresh connection; `None` if that has died in the queue, and nobody is there to serve.
    pub(crate) fn open(config: Arc<ProxyConfig>, arrival: Arrival) -> Option<Self> {
        let local = arrival.stream.local_addr().ok()?;
        let called = portway_net::translated_from(&arrival.stream, local).unwrap_or(local);
        let guarded = config.door.is_some() && matches!(config.kind, Kind::Forward(_));
        Some(Self {
            client: ControlConnection::open(arrival)?,
            called,
            takeover: None,
            login: Login::new(guarded),
            account: Allowance::default(),
            host: None,
            upstream: None,
            calls: 0,
            filter: config.filter.clone(),
            config,
        })
    }

    /// Does what the dialogue decided about the client's own leg.
    async fn act(&mut self, action: Action<'_>) -> Result<(), End> {
        let reply = match self.client.perform(action).await? {
            None => return Ok(()),
            Some(Action::StartTls(reply)) => return self.auth(&reply).await,
            Some(Action::Reinitialize(reply)) => {
                self.leave_server();
                self.forget_client();
                reply
            }
            Some(_) => Reply::new(Code::NOT_IMPLEMENTED, "The proxy does not serve this command."),
        };
        self.client.answer(&reply);
        Ok(())
    }

    async fn auth(&mut self, reply: &Reply) -> Result<(), End> {
        self.client.promise_tls(reply).await?;
        // What was agreed in the clear is forgotten (RFC 4217 §4), the server included.
        self.leave_server();
        self.forget_client();
        self.start_tls().await?;
        self.client.dialogue.tls_started();
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let tls = self.client.parts.tls.as_ref().map(|server| match &self.config.leaves {
            Some(leaves) => {
                let called = self.client.reached.unwrap_or(self.called).ip().to_canonical();
                server.control_as(leaves, &called.to_string())
            }
            None => server.control(),
        });
        self.client.start_tls(tls).await
    }

    /// The server is gone. The client is told at once; at a forward proxy it may go on to another server.
    fn server_lost(&mut self, lost: &Lost) -> Result<(), End> {
        self.log_lost(lost);
        self.leave_server();
        if matches!(self.config.kind, Kind::Forward(_)) {
            self.client.say(
                Code::UNAVAILABLE,
                format_args!("{lost}; OPEN a server or log in as name@host to go on."),
            );
            return Ok(());
        }
        self.client.say(Code::UNAVAILABLE, format_args!("{lost}; closing."));
        Err(End::SERVER_LOST)
    }

    fn log_lost(&self, lost: &Lost) {
        let Some(server) = &self.upstream else { return };
        self.client.record(UpstreamFailed {
            session: self.client.entry.id(),
            host: Shown::from(server.leg.host()),
            server: Some(server.leg.peer()),
            cause: "lost",
            detail: Shown::from(lost.to_string()),
        });
    }

    /// Forgets the server and all that belongs to the login there.
    fn leave_server(&mut self) {
        self.client.pending = Pending::Nothing;
        self.filter = self.config.filter.clone();
        if self.client.dialogue.user().is_some() {
            self.client.may_log_in_again();
        }
        let _ = self.client.dialogue.command(Command::Rein);
        self.client.belongs_to(None);
        if let Some(server) = self.upstream.take() {
            tokio::spawn(server.leg.quit());
        }
    }

    /// REIN and AUTH: the client is a new one (RFC 959 §4.1.1), to the proxy as well.
    fn forget_client(&mut self) {
        self.login = Login::new(self.login.is_guarded());
        self.account = Allowance::default();
    }

    /// Passes a server's reply on.
    fn pass_reply(&mut self, raw: &RawReply) {
        let reply = Reply::passed_on(raw)
            .unwrap_or_else(|| Reply::new(Code::LOCAL_ERROR, "The server sent a reply without a code."));
        self.client.control.queue(&reply);
    }
}

/// Waits for the server to end the session; for ever while there is none.
async fn left_by(upstream: &mut Option<Box<Server>>) -> Lost {
    match upstream {
        Some(server) => server.leg.ends().await,
        None => std::future::pending().await,
    }
}
