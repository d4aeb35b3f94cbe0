//! One control connection, and what any server does with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_data::{History, Party};
use portway_net::{Control, ControlChannel, ControlTls};
use portway_ops::{Event, SessionClosed, SessionEntry, SessionOpened, SessionState, Shown, TlsFailed};
use portway_proto::{Action, Channel, Code, LineError, Protection, Reply, ServerSession};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::accept::Place;
use crate::{Arrival, End, Parts, Pending};

/// What a client has at least for its part in beginning or ending TLS.
const TLS_PATIENCE: Duration = Duration::from_secs(10);

/// A control connection and all that goes with it.
pub struct ControlConnection {
    /// Lines in, replies out.
    pub control: ControlChannel,
    /// Judges what the client says.
    pub dialogue: ServerSession,
    /// The session's row for operators.
    pub entry: SessionEntry,
    /// The client.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// What a balancer says the client connected to.
    pub reached: Option<SocketAddr>,
    /// Whether TLS comes before the greeting.
    pub implicit_tls: bool,
    /// How the next data connection will come about.
    pub pending: Pending,
    /// How long silence is borne once somebody is logged in. Default [`Timeouts::idle`](crate::Timeouts).
    pub idle: Duration,
    /// What all sessions share.
    pub parts: Arc<Parts>,
    tls: Option<ControlTls>,
    history: History,
    since: Instant,
    /// Who is not logged in by then is sent away.
    login_by: Instant,
    ending: watch::Receiver<bool>,
    /// The last that is given back.
    _place: Place,
}

impl ControlConnection {
    /// The connection, entered in the registry and in the log; `None` if it has died in the queue, and nobody is there
    /// to serve.
    #[must_use]
    pub fn open(arrival: Arrival) -> Option<Self> {
        let Arrival { stream, peer, reached, implicit_tls, parts, ending, place } = arrival;
        let local = stream.local_addr().ok()?;
        let _ = portway_net::prepare_control(&stream);
        let idle = parts.timeouts.idle;
        let connection = Self {
            control: ControlChannel::new(Control::from(stream), idle),
            dialogue: ServerSession::new(Arc::clone(&parts.policy), peer.ip(), implicit_tls),
            entry: parts.registry.enter(peer),
            peer,
            local,
            reached,
            implicit_tls,
            pending: Pending::Nothing,
            idle,
            tls: None,
            history: History::new(),
            since: Instant::now(),
            login_by: Instant::now() + parts.timeouts.login,
            ending,
            parts,
            _place: place,
        };
        connection.record(SessionOpened {
            session: connection.entry.id(),
            peer: peer.ip().to_canonical(),
            port: peer.port(),
            local,
            implicit_tls,
        });
        Some(connection)
    }

    /// Waits for octets from the client, taking in a data connection that comes early. `Some` if something else came
    /// first: what `beside` waits for. Cheap to be in: an idle session costs little more than this.
    ///
    /// # Errors
    /// The end of the session; the client has been told why, where there is somebody to tell.
    pub async fn wait<T>(&mut self, beside: impl Future<Output = T>) -> Result<Option<T>, End> {
        let nobody = self.dialogue.user().is_none();
        let quiet = Instant::now() + self.idle;
        let quiet = if nobody { self.login_by.min(quiet) } else { quiet };
        self.in_time()?;
        let mut beside = std::pin::pin!(beside);
        loop {
            tokio::select! {
                biased;
                read = self.control.read() => return match read {
                    Ok(true) => Ok(None),
                    Ok(false) => Err(End::PEER_CLOSED),
                    Err(_) => Err(End::RESET),
                },
                () = self.pending.arrive() => {}
                other = &mut beside => return Ok(Some(other)),
                () = tokio::time::sleep_until(quiet) => {
                    self.control.queue(&Reply::new(Code::UNAVAILABLE, "No command for too long; closing."));
                    return Err(End::IDLE);
                }
                _ = self.ending.wait_for(|&ending| ending) => {
                    self.control.queue(&Reply::new(Code::UNAVAILABLE, "The service is shutting down."));
                    return Err(End::SHUTDOWN);
                }
            }
        }
    }

    /// Who chatters without pause is never found waiting.
    ///
    /// # Errors
    /// Nobody has logged in by now, and the time for that is over.
    pub(crate) fn in_time(&mut self) -> Result<(), End> {
        if self.dialogue.user().is_none() && Instant::now() >= self.login_by {
            self.say(Code::UNAVAILABLE, "No login for too long; closing.");
            return Err(End::IDLE);
        }
        Ok(())
    }

    /// Does what the dialogue decided where it concerns the connection alone; gives everything else back.
    ///
    /// # Errors
    /// The end of the session.
    pub async fn perform<'a>(&mut self, action: Action<'a>) -> Result<Option<Action<'a>>, End> {
        let reply = match action {
            Action::Reply(reply) => reply,
            Action::Close(reply) => {
                let end = if reply.code() == Code::CLOSING { End::QUIT } else { End::REFUSED };
                self.control.queue(&reply);
                return Err(end);
            }
            Action::StopTls(reply) => return self.stop_tls(&reply).await.map(|()| None),
            Action::Offer(verb) => self.offer(verb).await,
            Action::Target(verb, vetted) => self.target(verb, vetted).await,
            other => return Ok(Some(other)),
        };
        self.answer(&reply);
        Ok(None)
    }

    /// Queues the reply to a command. A port that the dialogue no longer counts on is free at once.
    pub fn answer(&mut self, reply: &Reply) {
        if self.dialogue.channel() == Channel::None {
            self.pending = Pending::Nothing;
        }
        self.control.queue(reply);
    }

    /// Queues a reply.
    pub fn say(&mut self, code: Code, text: impl std::fmt::Display) {
        self.control.queue(&Reply::new(code, text));
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The client is gone, or reads nothing.
    pub async fn flush(&mut self) -> Result<(), End> {
        self.control.flush().await.map_err(|_| End::RESET)
    }

    /// Answers a line that is none.
    ///
    /// # Errors
    /// It was one too many, or too long to be borne.
    pub fn bad_line(&mut self, error: LineError) -> Result<(), End> {
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

    /// Sends the 234 to AUTH and forgets what was agreed in the clear (RFC 4217 §4); TLS comes next.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn promise_tls(&mut self, reply: &Reply) -> Result<(), End> {
        self.control.queue(reply);
        self.flush().await?;
        self.pending = Pending::Nothing;
        Ok(())
    }

    /// Shakes hands; `None` if TLS is off after all. After AUTH the caller tells the dialogue.
    ///
    /// # Errors
    /// It did not come about; the log says why.
    pub async fn start_tls(&mut self, tls: Option<ControlTls>) -> Result<(), End> {
        let Some(tls) = tls else { return Err(End::TLS) };
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
        self.record(TlsFailed {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            channel: "control",
            detail: Shown::from(failed),
        });
        Err(End::TLS)
    }

    /// CCC (RFC 4217 §6).
    async fn stop_tls(&mut self, reply: &Reply) -> Result<(), End> {
        self.control.queue(reply);
        self.flush().await?;
        match tokio::time::timeout(self.idle.min(TLS_PATIENCE), self.control.stop_tls()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(End::TLS),
        }
        self.dialogue.tls_stopped();
        Ok(())
    }

    /// Whose session it is from now on: for operators, and for the tickets that data connections show.
    pub fn belongs_to(&mut self, user: Option<&[u8]>) {
        self.entry.set_user(user.map(Shown::from));
        if let Some(tls) = &self.tls {
            tls.belong_to(user);
        }
    }

    /// The time to log in begins anew. Not for who was nobody, or a stranger could stay for ever.
    pub fn may_log_in_again(&mut self) {
        self.idle = self.parts.timeouts.idle;
        self.login_by = Instant::now() + self.parts.timeouts.login;
    }

    /// Whose data connections the broker opens.
    pub(crate) fn party(&self) -> Party {
        Party {
            peer: self.peer,
            local: self.local,
            reached: self.reached.map(|reached| reached.ip()),
            tls: self.tls.clone().filter(|_| self.dialogue.protection() == Protection::Private),
            history: self.history.clone(),
        }
    }

    /// An event for the log.
    pub fn record(&self, event: impl Into<Event>) {
        self.parts.log.record(event);
    }

    /// Logs the end and closes the connection, the last replies first.
    pub async fn close(&mut self, user: Option<Shown>, end: End) {
        self.entry.set_state(SessionState::Closing);
        self.pending = Pending::Nothing;
        let (bytes_in, bytes_out) = self.entry.bytes();
        self.record(SessionClosed {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            user,
            reason: end.0,
            seconds: self.since.elapsed().into(),
            bytes_in,
            bytes_out,
        });
        self.control.close().await;
    }
}
