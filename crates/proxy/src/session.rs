//! One client and, once it has said where it wants to go, one server.

mod aim;
mod carry;
mod channel;
mod command;
mod content;
mod entrance;
mod ruled;
mod takeover;
mod transfer;
mod verdict;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_data::History;
use portway_net::{Control, ControlChannel, ControlTls, Left, Received};
use portway_ops::{
    SessionClosed, SessionEntry, SessionOpened, SessionState, Shown, TlsFailed, UpstreamFailed,
};
use portway_proto::{Action, Channel, Code, Command, LineError, RawReply, Reply, ServerSession};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroize;

use crate::accept::Shared;
use crate::login::Login;
use crate::routes::Place;
use crate::upstream::{Lost, Upstream};
use crate::{Filter, Kind};
use channel::{Pending, arrive};

/// What a client has at least for its part in beginning or ending TLS.
const TLS_PATIENCE: Duration = Duration::from_secs(10);

/// The state that belongs to one control connection.
pub(crate) struct Session {
    shared: Arc<Shared>,
    control: ControlChannel,
    /// What the client says that concerns its own leg.
    dialogue: ServerSession,
    entry: SessionEntry,
    peer: SocketAddr,
    local: SocketAddr,
    /// What a balancer says the client connected to.
    reached: Option<SocketAddr>,
    /// Where the client's connection was on its way to; our own address but for a transparent proxy.
    called: SocketAddr,
    /// Another part of this program has accepted it.
    takeover: Option<takeover::Taken>,
    tls: Option<ControlTls>,
    history: History,
    pending: Pending,
    login: Login,
    /// HOST (RFC 7151), which a reverse proxy may choose by.
    host: Option<Vec<u8>>,
    upstream: Option<Box<Server>>,
    filter: Filter,
    since: Instant,
    /// Who is not logged in by then is sent away.
    login_by: Instant,
    ending: watch::Receiver<bool>,
}

/// The leg towards the server.
struct Server {
    leg: Upstream,
    /// The name given to USER there.
    user: Vec<u8>,
    features: Option<RawReply>,
    /// The name that was let in, by which rules are chosen; empty before.
    accepted: Vec<u8>,
    /// The directory as the server told it, until something may have changed it.
    directory: Option<Vec<u8>>,
    _place: Option<Place>,
}

/// Why a session ended; the word goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End(&'static str);

impl End {
    const QUIT: Self = Self("quit");
    const IDLE: Self = Self("idle");
    const PEER_CLOSED: Self = Self("peer_closed");
    const RESET: Self = Self("reset");
    const SHUTDOWN: Self = Self("shutdown");
    const FLOOD: Self = Self("line_too_long");
    const REFUSED: Self = Self("refused");
    const TLS: Self = Self("tls_failed");
    const SERVER_LOST: Self = Self("server_lost");
}

impl From<Left> for End {
    fn from(left: Left) -> Self {
        match left {
            Left::Closed => Self::PEER_CLOSED,
            Left::Reset => Self::RESET,
        }
    }
}

impl Session {
    /// A session on a fresh connection; `None` if that has died in the queue, and nobody is there to serve.
    pub(crate) fn open(
        shared: Arc<Shared>,
        ending: watch::Receiver<bool>,
        stream: TcpStream,
        (peer, reached): (SocketAddr, Option<SocketAddr>),
        implicit_tls: bool,
    ) -> Option<Self> {
        let local = stream.local_addr().ok()?;
        let _ = portway_net::prepare_control(&stream);
        let called = portway_net::translated_from(&stream, local).unwrap_or(local);
        let config = &shared.config;
        let guarded = config.accounts.is_some() && matches!(config.kind, Kind::Forward(_));
        let session = Self {
            dialogue: ServerSession::new(Arc::clone(&config.policy), peer.ip(), implicit_tls),
            entry: config.registry.enter(peer),
            control: ControlChannel::new(Control::from(stream), config.timeouts.idle),
            peer,
            local,
            reached,
            called,
            takeover: None,
            tls: None,
            history: History::new(),
            pending: Pending::Nothing,
            login: Login::new(guarded),
            host: None,
            upstream: None,
            filter: config.filter.clone(),
            since: Instant::now(),
            login_by: Instant::now() + config.timeouts.login,
            ending,
            shared,
        };
        session.shared.config.log.record(SessionOpened {
            session: session.entry.id(),
            peer: peer.ip().to_canonical(),
            port: peer.port(),
            local,
            implicit_tls,
        });
        Some(session)
    }

    /// Serves until the end. What an idle session does not need is boxed.
    pub(crate) async fn run(&mut self, implicit_tls: bool) {
        let end = match Box::pin(self.greet(implicit_tls)).await {
            Ok(()) => self.serve().await,
            Err(end) => end,
        };
        Box::pin(self.close(end)).await;
    }

    async fn greet(&mut self, implicit_tls: bool) -> Result<(), End> {
        if implicit_tls {
            self.start_tls().await?;
        }
        let text = match self.shared.config.kind {
            Kind::Forward(_) => "portway FTP proxy ready: log in as name@host, or send OPEN host.",
            Kind::Reverse(_) | Kind::Transparent(_) => "FTP server ready.",
        };
        self.say(Code::READY, text);
        Ok(())
    }

    async fn serve(&mut self) -> End {
        loop {
            if let Err(end) = Box::pin(self.serve_what_is_here()).await {
                return end;
            }
            if let Err(end) = self.wait().await {
                return end;
            }
        }
    }

    async fn serve_what_is_here(&mut self) -> Result<(), End> {
        while let Some(received) = self.control.take_line() {
            match received {
                Received::Line(mut line) => {
                    let done = self.line(&line).await;
                    if matches!(Command::parse(&line), Ok(Command::Pass(_) | Command::Acct(_))) {
                        line.zeroize();
                    }
                    done?;
                }
                Received::Bad(error) => self.bad_line(error)?,
            }
            if self.control.must_flush() {
                self.control.flush().await.map_err(|_| End::RESET)?;
            }
        }
        self.control.flush().await.map_err(|_| End::RESET)
    }

    /// Waits for octets from the client, taking in a data connection that comes early, and noticing a server
    /// that leaves.
    async fn wait(&mut self) -> Result<(), End> {
        let idle = Instant::now() + self.shared.config.timeouts.idle;
        let quiet = if self.dialogue.user().is_some() { idle } else { self.login_by.min(idle) };
        // Who chatters without pause is never found waiting.
        if self.dialogue.user().is_none() && Instant::now() >= self.login_by {
            self.control.queue(&Reply::new(Code::UNAVAILABLE, "No login for too long; closing."));
            return Err(End::IDLE);
        }
        let lost = loop {
            tokio::select! {
                biased;
                read = self.control.read() => return match read {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(End::PEER_CLOSED),
                    Err(_) => Err(End::RESET),
                },
                () = arrive(&mut self.pending) => {}
                lost = left_by(&mut self.upstream) => break lost,
                () = tokio::time::sleep_until(quiet) => {
                    self.control.queue(&Reply::new(Code::UNAVAILABLE, "No command for too long; closing."));
                    return Err(End::IDLE);
                }
                _ = self.ending.wait_for(|&ending| ending) => {
                    self.control.queue(&Reply::new(Code::UNAVAILABLE, "The proxy is shutting down."));
                    return Err(End::SHUTDOWN);
                }
            }
        };
        self.server_lost(&lost)?;
        self.control.flush().await.map_err(|_| End::RESET)
    }

    /// Does what the dialogue decided about the client's own leg.
    async fn act(&mut self, action: Action<'_>) -> Result<(), End> {
        let reply = match action {
            Action::Reply(reply) => reply,
            Action::Close(reply) => {
                let end = if reply.code() == Code::CLOSING { End::QUIT } else { End::REFUSED };
                self.control.queue(&reply);
                return Err(end);
            }
            Action::StartTls(reply) => return self.auth(&reply).await,
            Action::StopTls(reply) => {
                self.control.queue(&reply);
                self.control.flush().await.map_err(|_| End::RESET)?;
                match tokio::time::timeout(TLS_PATIENCE, self.control.stop_tls()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Err(End::TLS),
                }
                self.dialogue.tls_stopped();
                return Ok(());
            }
            Action::Offer(verb) => self.offer(verb).await,
            Action::Target(verb, vetted) => self.target(verb, vetted).await,
            Action::Reinitialize(reply) => {
                self.leave_server();
                self.forget_client();
                reply
            }
            _ => Reply::new(Code::NOT_IMPLEMENTED, "The proxy does not serve this command."),
        };
        // A port that the dialogue no longer counts on is free at once.
        if self.dialogue.channel() == Channel::None {
            self.pending = Pending::Nothing;
        }
        self.control.queue(&reply);
        Ok(())
    }

    fn bad_line(&mut self, error: LineError) -> Result<(), End> {
        if error.is_fatal() {
            self.say(Code::UNAVAILABLE, format_args!("{error}; closing."));
            return Err(End::FLOOD);
        }
        match self.dialogue.bad_line(format_args!("{error}.")) {
            Action::Close(reply) => {
                self.control.queue(&reply);
                Err(End::REFUSED)
            }
            Action::Reply(reply) => {
                self.control.queue(&reply);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn auth(&mut self, reply: &Reply) -> Result<(), End> {
        self.control.queue(reply);
        self.control.flush().await.map_err(|_| End::RESET)?;
        // What was agreed in the clear is forgotten (RFC 4217 §4), the server included.
        self.pending = Pending::Nothing;
        self.leave_server();
        self.forget_client();
        self.start_tls().await?;
        self.dialogue.tls_started();
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let config = &self.shared.config;
        let Some(server) = &config.tls else { return Err(End::TLS) };
        let tls = match &config.leaves {
            Some(leaves) => {
                let called = self.reached.unwrap_or(self.called).ip().to_canonical();
                server.control_as(leaves, &called.to_string())
            }
            None => server.control(),
        };
        let limit = self.login_by.max(Instant::now() + TLS_PATIENCE);
        let shaken = tokio::select! {
            shaken = tokio::time::timeout_at(limit, self.control.start_tls(&tls)) => shaken,
            _ = self.ending.wait_for(|&ending| ending) => return Err(End::SHUTDOWN),
        };
        let failed = match shaken {
            Ok(Ok(0)) => {
                self.tls = Some(tls);
                return Ok(());
            }
            Ok(Ok(octets)) => {
                format!("{octets} octets came in the clear behind AUTH TLS; the connection is closed")
            }
            Ok(Err(error)) => error.to_string(),
            Err(_late) => "the handshake took too long".to_owned(),
        };
        self.shared.config.log.record(TlsFailed {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            channel: "control",
            detail: Shown::from(failed),
        });
        Err(End::TLS)
    }

    /// The server is gone. The client is told at once; at a forward proxy it may go on to another server.
    fn server_lost(&mut self, lost: &Lost) -> Result<(), End> {
        self.log_lost(lost);
        self.leave_server();
        if matches!(self.shared.config.kind, Kind::Forward(_)) {
            self.say(
                Code::UNAVAILABLE,
                format_args!("{lost}; OPEN a server or log in as name@host to go on."),
            );
            return Ok(());
        }
        self.say(Code::UNAVAILABLE, format_args!("{lost}; closing."));
        Err(End::SERVER_LOST)
    }

    fn log_lost(&self, lost: &Lost) {
        let Some(server) = &self.upstream else { return };
        self.shared.config.log.record(UpstreamFailed {
            session: self.entry.id(),
            host: Shown::from(server.leg.host()),
            server: Some(server.leg.peer()),
            cause: "lost",
            detail: Shown::from(lost.to_string()),
        });
    }

    /// Forgets the server and all that belongs to the login there.
    fn leave_server(&mut self) {
        self.pending = Pending::Nothing;
        self.filter = self.shared.config.filter.clone();
        if self.dialogue.user().is_some() {
            self.login_by = Instant::now() + self.shared.config.timeouts.login;
        }
        let _ = self.dialogue.command(Command::Rein);
        self.entry.set_user(None);
        if let Some(tls) = &self.tls {
            tls.belong_to(None);
        }
        if let Some(server) = self.upstream.take() {
            tokio::spawn(server.leg.quit());
        }
    }

    /// REIN and AUTH: the client is a new one (RFC 959 §4.1.1), to the proxy as well.
    fn forget_client(&mut self) {
        self.login = Login::new(self.login.is_guarded());
    }

    fn say(&mut self, code: Code, text: impl std::fmt::Display) {
        self.control.queue(&Reply::new(code, text));
    }

    /// Passes a server's reply on.
    fn pass_reply(&mut self, raw: &RawReply) {
        let reply = Reply::passed_on(raw)
            .unwrap_or_else(|| Reply::new(Code::LOCAL_ERROR, "The server sent a reply without a code."));
        self.control.queue(&reply);
    }

    async fn close(&mut self, end: End) {
        self.entry.set_state(SessionState::Closing);
        let (bytes_in, bytes_out) = self.entry.bytes();
        self.shared.config.log.record(SessionClosed {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            user: self.dialogue.user().map(Shown::from),
            reason: end.0,
            seconds: self.since.elapsed().into(),
            bytes_in,
            bytes_out,
        });
        self.leave_server();
        self.control.close().await;
    }
}

/// Waits for the server to end the session; for ever while there is none.
async fn left_by(upstream: &mut Option<Box<Server>>) -> Lost {
    match upstream {
        Some(server) => server.leg.ends().await,
        None => std::future::pending().await,
    }
}
