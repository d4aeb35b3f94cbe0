//! Accepting control connections, and ending all of them in good order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_data::Network;
use portway_net::Forwarded;
use portway_ops::{Drain, DrainTicket, Refused, Shown, Ticket, Warning};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::{Parts, Session};

/// How long a balancer may take to say whose connection it is.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);

/// Shorter than any time limit of a transfer; and how often to look whether somebody is there.
const BEAT: Duration = Duration::from_millis(200);
const NOBODY: Duration = Duration::from_secs(2);

/// A port that is open for control connections.
#[derive(Debug)]
pub struct Listener {
    /// Bound and listening.
    pub socket: TcpListener,
    /// Whether TLS comes before the greeting.
    pub implicit_tls: bool,
}

/// Accepts control connections; a cheap handle.
#[derive(Clone)]
pub struct Acceptor {
    parts: Arc<Parts>,
    drain: Drain,
    ending: watch::Sender<bool>,
}

/// Asks an [`Acceptor`] to end; a cheap handle.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

/// A connection that was let in and has its place among the sessions until it is dropped.
pub struct Arrival {
    /// The connection; nothing was said on it.
    pub stream: TcpStream,
    /// The client.
    pub peer: SocketAddr,
    /// What a balancer says the client connected to.
    pub reached: Option<SocketAddr>,
    /// Whether TLS comes before the greeting.
    pub implicit_tls: bool,
    pub(crate) parts: Arc<Parts>,
    pub(crate) ending: watch::Receiver<bool>,
    pub(crate) place: Place,
}

/// What is given back when the session is over.
pub(crate) struct Place {
    _counted: Option<Ticket>,
    _draining: DrainTicket,
}

impl Shutdown {
    /// Begins the end: no new sessions, idle ones get 421, transfers may finish.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Acceptor {
    /// An acceptor for sessions with these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), drain: Drain::default(), ending: watch::Sender::new(false) }
    }

    /// The parts that all sessions share.
    #[must_use]
    pub fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// The handle that ends it.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.ending.clone())
    }

    /// Accepts until [`Shutdown::begin`], each connection a task that runs the session that `open` makes of it; then
    /// waits for the sessions, at most as long as [`Timeouts::drain`](crate::Timeouts) says. Returns whether all of them
    /// ended by themselves.
    pub async fn serve<S: Session + 'static>(
        &self,
        listeners: Vec<Listener>,
        open: impl Fn(Arrival) -> Option<S> + Clone + Send + Sync + 'static,
    ) -> bool {
        let mut accepting = tokio::task::JoinSet::new();
        for listener in listeners {
            let (acceptor, open) = (self.clone(), open.clone());
            accepting.spawn(async move { acceptor.accept(listener, open).await });
        }
        accepting.spawn(beat(Arc::clone(&self.parts)));
        let mut ending = self.ending.subscribe();
        // The sender lives in `self`, so the only way out is the request to end.
        let _ = ending.wait_for(|&ending| ending).await;
        accepting.shutdown().await;
        self.drain.begin();
        tokio::time::timeout(self.parts.timeouts.drain, self.drain.idle()).await.is_ok()
    }

    /// A connection that another part of the program has accepted, by limits of its own; `None` while sessions end.
    #[must_use]
    pub fn take_over(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        reached: Option<SocketAddr>,
        implicit_tls: bool,
    ) -> Option<Arrival> {
        let place = Place { _counted: None, _draining: self.drain.ticket()? };
        Some(self.arrival(stream, (peer, reached), implicit_tls, place))
    }

    async fn accept<S: Session + 'static>(
        &self,
        listener: Listener,
        open: impl Fn(Arrival) -> Option<S> + Clone + Send + Sync + 'static,
    ) {
        loop {
            match listener.socket.accept().await {
                Ok((stream, peer)) => self.receive(stream, peer, listener.implicit_tls, open.clone()),
                Err(error) if is_connections_own(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: the listener survives, and waits for some to come back.
                    let detail = Shown::from(error.to_string());
                    self.parts.log.record(Warning { what: "accept", detail });
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Finds out whose connection it is.
    fn receive<S: Session + 'static>(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        implicit_tls: bool,
        open: impl Fn(Arrival) -> Option<S> + Send + Sync + 'static,
    ) {
        if !is_balancer(&self.parts.balancers, peer) {
            return self.admit(stream, (peer, None), implicit_tls, open);
        }
        let acceptor = self.clone();
        // The others do not wait for a balancer that is slow to say it.
        tokio::spawn(async move {
            match forwarded(&acceptor.parts.balancers, &mut stream, peer).await {
                Ok(told) => {
                    let from = told.map_or((peer, None), |told| (told.client, Some(told.reached)));
                    acceptor.admit(stream, from, implicit_tls, open);
                }
                Err(error) => {
                    let detail = format!("{} sent no PROXY header and was closed: {error}", peer.ip());
                    let detail = Shown::from(detail);
                    acceptor.parts.log.record(Warning { what: "proxy_header", detail });
                }
            }
        });
    }

    fn admit<S: Session + 'static>(
        &self,
        stream: TcpStream,
        from: (SocketAddr, Option<SocketAddr>),
        implicit_tls: bool,
        open: impl Fn(Arrival) -> Option<S>,
    ) {
        let (peer, _) = from;
        let Some(draining) = self.drain.ticket() else { return };
        let counted = match self.parts.limits.admit(peer.ip()) {
            Ok(counted) => counted,
            Err(refusal) => {
                self.parts.log.record(Refused {
                    session: None,
                    peer: peer.ip(),
                    what: "session",
                    why: refusal.word(),
                });
                if !implicit_tls {
                    tokio::spawn(refuse(stream, format!("421 Sorry, {refusal}.\r\n")));
                }
                return;
            }
        };
        let place = Place { _counted: Some(counted), _draining: draining };
        let Some(mut session) = open(self.arrival(stream, from, implicit_tls, place)) else { return };
        tokio::spawn(async move { session.run().await });
    }

    fn arrival(
        &self,
        stream: TcpStream,
        (peer, reached): (SocketAddr, Option<SocketAddr>),
        implicit_tls: bool,
        place: Place,
    ) -> Arrival {
        let (parts, ending) = (Arc::clone(&self.parts), self.ending.subscribe());
        Arrival { stream, peer, reached, implicit_tls, parts, ending, place }
    }
}

/// Keeps a timer near while there are sessions. Every transfer sets timers, and one that is due before all others wakes
/// the thread that waits for octets, so that it waits less long: two more threads' turns for each small file.
async fn beat(parts: Arc<Parts>) {
    loop {
        let pause = if parts.registry.is_empty() { NOBODY } else { BEAT };
        tokio::time::sleep(pause).await;
    }
}

/// Whose connection it is that comes from `peer`, by the PROXY header of a listed balancer. `None` where nobody stands
/// in between: `peer` is not listed, or it is a health check of the balancer's own.
///
/// # Errors
/// No header that counts, within 5 s.
pub async fn forwarded(
    balancers: &[Network],
    stream: &mut TcpStream,
    peer: SocketAddr,
) -> io::Result<Option<Forwarded>> {
    if !is_balancer(balancers, peer) {
        return Ok(None);
    }
    let told = tokio::time::timeout(HEADER_PATIENCE, Forwarded::read(stream)).await;
    told.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn is_balancer(balancers: &[Network], peer: SocketAddr) -> bool {
    balancers.iter().any(|network| network.contains(peer.ip()))
}

/// The greeting of one who may not stay; what cannot be sent at once is not sent.
async fn refuse(mut stream: TcpStream, text: String) {
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

/// Errors that accept(2) hands on from a connection that died in the queue.
fn is_connections_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
