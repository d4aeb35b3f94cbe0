//! One control connection from greeting to goodbye.

mod channel;
mod doctor;
mod job;
mod login;
mod transfer;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portway_data::History;
use portway_net::{Control, ControlChannel, ControlTls, Left, Received};
use portway_ops::{SessionClosed, SessionEntry, SessionOpened, SessionState, Shown, TlsFailed};
use portway_proto::{Action, Channel, Code, LineError, Reply, ServerSession};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroize;

use crate::ServerConfig;
use crate::storage::User;
use crate::turns::Turns;
use channel::{Pending, arrive};

/// What a client has at least for its part in beginning or ending TLS.
const TLS_PATIENCE: Duration = Duration::from_secs(10);

/// The state that belongs to one control connection.
pub(crate) struct Session {
    shared: Arc<ServerConfig>,
    turns: Arc<Turns>,
    control: ControlChannel,
    dialogue: ServerSession,
    entry: SessionEntry,
    peer: SocketAddr,
    local: SocketAddr,
    /// What a balancer says the client connected to.
    reached: Option<IpAddr>,
    tls: Option<ControlTls>,
    history: History,
    user: Option<Box<User>>,
    pending: Pending,
    /// For SITE DOCTOR; boxed once there is something.
    seen: Option<Box<doctor::Seen>>,
    /// SITE IDLE may change it.
    idle: Duration,
    since: Instant,
    /// Who is not logged in by then is sent away.
    login_by: Instant,
    ending: watch::Receiver<bool>,
}

/// Why a session ended; the word goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End(&'static str);

impl End {
    const QUIT: Self = Self("quit");
    const IDLE: Self = Self("idle");
    const PEER_CLOSED: Self = Self("peer_closed");
    const RESET: Self = Self("reset");
    const SHUTDOWN: Self = Self("shutdown");
    const FLOOD: Self = Self("line_too_long");
    const REFUSED: Self = Self("refused");
    const TLS: Self = Self("tls_failed");
}

impl Session {
    /// A session on a fresh connection; `None` if that has died in the queue, and nobody is there to serve.
    pub(crate) fn open(
        (shared, turns, ending): (Arc<ServerConfig>, Arc<Turns>, watch::Receiver<bool>),
        stream: TcpStream,
        (peer, reached): (SocketAddr, Option<IpAddr>),
        implicit_tls: bool,
    ) -> Option<Self> {
        let local = stream.local_addr().ok()?;
        let _ = portway_net::prepare_control(&stream);
        let (policy, idle) = (Arc::clone(&shared.policy), shared.timeouts.idle);
        let session = Self {
            dialogue: ServerSession::new(policy, peer.ip(), implicit_tls),
            entry: shared.registry.enter(peer),
            control: ControlChannel::new(Control::from(stream), idle),
            peer,
            local,
            reached,
            tls: None,
            history: History::new(),
            user: None,
            pending: Pending::Nothing,
            seen: None,
            idle,
            since: Instant::now(),
            login_by: Instant::now() + shared.timeouts.login,
            ending,
            shared,
            turns,
        };
        session.shared.log.record(SessionOpened {
            session: session.entry.id(),
            peer: peer.ip().to_canonical(),
            port: peer.port(),
            local,
            implicit_tls,
        });
        Some(session)
    }

    /// Serves until the end. Everything that an idle session does not need is boxed: its future is what it
    /// costs.
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
        self.control.queue(&Reply::new(Code::READY, "portway FTP server ready."));
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

    /// Serves the lines that have been read, replies queued, so that a client that sends many at once gets
    /// its replies in few segments.
    async fn serve_what_is_here(&mut self) -> Result<(), End> {
        while let Some(received) = self.control.take_line() {
            match received {
                Received::Line(mut line) => {
                    let action = self.dialogue.line(&line);
                    let secret = matches!(action, Action::Verify { .. });
                    let done = self.act(action).await;
                    if secret {
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

    /// Waits for octets from the client, taking in a data connection that comes early.
    async fn wait(&mut self) -> Result<(), End> {
        let quiet = if self.user.is_some() {
            Instant::now() + self.idle
        } else {
            self.login_by.min(Instant::now() + self.idle)
        };
        // Who chatters without pause is never found waiting.
        if self.user.is_none() && Instant::now() >= self.login_by {
            self.control.queue(&Reply::new(Code::UNAVAILABLE, "No login for too long; closing."));
            return Err(End::IDLE);
        }
        loop {
            tokio::select! {
                biased;
                read = self.control.read() => return match read {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(End::PEER_CLOSED),
                    Err(_) => Err(End::RESET),
                },
                () = arrive(&mut self.pending) => {}
                () = tokio::time::sleep_until(quiet) => {
                    self.control.queue(&Reply::new(Code::UNAVAILABLE, "No command for too long; closing."));
                    return Err(End::IDLE);
                }
                _ = self.ending.wait_for(|&ending| ending) => {
                    self.control.queue(&Reply::new(Code::UNAVAILABLE, "The server is shutting down."));
                    return Err(End::SHUTDOWN);
                }
            }
        }
    }

    /// Does what the dialogue decided.
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
                let patience = self.idle.min(TLS_PATIENCE);
                match tokio::time::timeout(patience, self.control.stop_tls()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Err(End::TLS),
                }
                self.dialogue.tls_stopped();
                return Ok(());
            }
            Action::Verify { user, secret } => return self.log_in(&user, secret).await,
            Action::Offer(verb) => self.offer(verb).await,
            Action::Target(verb, vetted) => self.target(verb, vetted).await,
            Action::Transfer(transfer) => return self.transfer(&transfer).await,
            Action::Perform(command) => match &mut self.user {
                Some(user) => attended(&mut self.control, user.perform(command, &self.dialogue)).await?,
                None => not_logged_in(),
            },
            Action::RenameFrom(path) => match &self.user {
                Some(user) => match attended(&mut self.control, user.can_rename(path)).await? {
                    Ok(()) => self.dialogue.rename_from(path),
                    Err(reply) => reply,
                },
                None => not_logged_in(),
            },
            Action::Rename { from, to } => match &self.user {
                Some(user) => user.rename(&from, to),
                None => not_logged_in(),
            },
            Action::Idle(seconds) => self.site_idle(seconds),
            Action::Doctor => {
                let (who, announced) = ((self.peer, self.local), self.pending.announced_by_client());
                let told = doctor::tell(&mut self.seen, who, self.dialogue.protection(), announced);
                attended(&mut self.control, told).await?
            }
            Action::Status => self.dialogue.status(&[format!("Idle timeout {} s", self.idle.as_secs())]),
            Action::Reinitialize(reply) => reply,
            _ => Reply::new(Code::NOT_IMPLEMENTED, "This command is not served."),
        };
        // A port that the dialogue no longer counts on is free at once.
        if self.dialogue.channel() == Channel::None {
            self.pending = Pending::Nothing;
        }
        if self.dialogue.user().is_none() {
            self.forget_user();
        }
        self.control.queue(&reply);
        Ok(())
    }

    fn bad_line(&mut self, error: LineError) -> Result<(), End> {
        if error.is_fatal() {
            self.control.queue(&Reply::new(Code::UNAVAILABLE, format_args!("{error}; closing.")));
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
        self.pending = Pending::Nothing;
        self.forget_user();
        self.start_tls().await?;
        self.dialogue.tls_started();
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let Some(tls) = self.shared.tls.as_ref().map(portway_net::ServerTls::control) else {
            return Err(End::TLS);
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
        self.shared.log.record(TlsFailed {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            channel: "control",
            detail: Shown::from(failed),
        });
        Err(End::TLS)
    }

    /// REIN, USER and AUTH after a login: all that was the user's goes, and the time to log in begins anew. Not
    /// for who was nobody, or a stranger could stay for ever.
    fn forget_user(&mut self) {
        if self.user.take().is_some() {
            self.entry.set_user(None);
            if let Some(tls) = &self.tls {
                tls.belong_to(None);
            }
            self.idle = self.shared.timeouts.idle;
            self.login_by = Instant::now() + self.shared.timeouts.login;
        }
    }

    fn site_idle(&mut self, seconds: Option<u64>) -> Reply {
        let most = self.shared.timeouts.idle.max(Duration::from_secs(7200));
        match seconds {
            None => Reply::new(Code::OK, format_args!("Idle timeout is {} s.", self.idle.as_secs())),
            Some(seconds) if (30..=most.as_secs()).contains(&seconds) => {
                self.idle = Duration::from_secs(seconds);
                Reply::new(Code::OK, format_args!("Idle timeout is {seconds} s now."))
            }
            Some(_) => Reply::new(
                Code::BAD_PARAMETER,
                format_args!("SITE IDLE: from 30 to {} seconds.", most.as_secs()),
            ),
        }
    }

    async fn close(&mut self, end: End) {
        self.entry.set_state(SessionState::Closing);
        self.pending = Pending::Nothing;
        let (bytes_in, bytes_out) = self.entry.bytes();
        self.shared.log.record(SessionClosed {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            user: self.user.as_ref().map(|user| Shown::from(user.principal.name.as_str())),
            reason: end.0,
            seconds: self.since.elapsed().into(),
            bytes_in,
            bytes_out,
        });
        self.control.close().await;
    }
}

/// Waits for work to be done, or for the client to leave: then the work is dropped.
async fn attended<T>(control: &mut ControlChannel, work: impl Future<Output = T>) -> Result<T, End> {
    control.attend(work).await.map_err(|left| match left {
        Left::Closed => End::PEER_CLOSED,
        Left::Reset => End::RESET,
    })
}

fn not_logged_in() -> Reply {
    Reply::new(Code::NOT_LOGGED_IN, "Please log in with USER and PASS.")
}
