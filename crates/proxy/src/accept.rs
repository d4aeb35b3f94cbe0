//! Accepting control connections, and ending all of them in good order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_net::Forwarded;
use portway_ops::{Drain, Refused, Shown, Warning};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use crate::session::Session;
use crate::{Listener, ProxyConfig};

/// How long a balancer may take to say whose connection it is.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);

/// Passwords that are checked at a time.
const CHECKS: usize = 2;

/// A proxy that is ready to accept.
#[derive(Clone)]
pub struct Proxy {
    pub(crate) shared: Arc<Shared>,
    pub(crate) drain: Drain,
    pub(crate) ending: watch::Sender<bool>,
}

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) config: ProxyConfig,
    pub(crate) checks: Arc<Semaphore>,
}

/// Asks a [`Proxy`] to end; a cheap handle.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    /// Begins the end: no new sessions, idle ones get 421, transfers may finish.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Proxy {
    /// A proxy with these parts.
    #[must_use]
    pub fn new(config: ProxyConfig) -> Self {
        let shared = Shared { config, checks: Arc::new(Semaphore::new(CHECKS)) };
        Self { shared: Arc::new(shared), drain: Drain::default(), ending: watch::Sender::new(false) }
    }

    /// The handle that ends it.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.ending.clone())
    }

    /// The parts, for whoever shows them.
    #[must_use]
    pub fn config(&self) -> &ProxyConfig {
        &self.shared.config
    }

    /// Accepts until [`Shutdown::begin`], then waits for the sessions, at most as long as
    /// [`Timeouts::drain`](crate::Timeouts) says. Returns whether all of them ended by themselves.
    pub async fn serve(&self, listeners: Vec<Listener>) -> bool {
        let mut accepting = tokio::task::JoinSet::new();
        for listener in listeners {
            let proxy = self.clone();
            accepting.spawn(async move { proxy.accept(listener).await });
        }
        accepting.spawn(crate::health::watch(Arc::clone(&self.shared)));
        let mut ending = self.ending.subscribe();
        // The sender lives in `self`, so the only way out is the request to end.
        let _ = ending.wait_for(|&ending| ending).await;
        accepting.shutdown().await;
        self.drain.begin();
        tokio::time::timeout(self.config().timeouts.drain, self.drain.idle()).await.is_ok()
    }

    async fn accept(&self, listener: Listener) {
        loop {
            match listener.socket.accept().await {
                Ok((stream, peer)) => self.receive(stream, peer, listener.implicit_tls),
                Err(error) if is_connections_own(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: the listener survives, and waits for some to come back.
                    let detail = Shown::from(error.to_string());
                    self.config().log.record(Warning { what: "accept", detail });
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Finds out whose connection it is.
    fn receive(&self, mut stream: TcpStream, peer: SocketAddr, implicit_tls: bool) {
        if !self.config().balancers.iter().any(|network| network.contains(peer.ip())) {
            return self.admit(stream, (peer, None), implicit_tls);
        }
        let proxy = self.clone();
        // The others do not wait for a balancer that is slow to say it.
        tokio::spawn(async move {
            let told = tokio::time::timeout(HEADER_PATIENCE, Forwarded::read(&mut stream)).await;
            match told.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(Some(told)) => proxy.admit(stream, (told.client, Some(told.reached)), implicit_tls),
                // A health check of the balancer's own.
                Ok(None) => proxy.admit(stream, (peer, None), implicit_tls),
                Err(error) => {
                    let detail = format!("{} sent no PROXY header and was closed: {error}", peer.ip());
                    let detail = Shown::from(detail);
                    proxy.config().log.record(Warning { what: "proxy_header", detail });
                }
            }
        });
    }

    fn admit(&self, stream: TcpStream, from: (SocketAddr, Option<SocketAddr>), implicit_tls: bool) {
        let (peer, _) = from;
        let Some(draining) = self.drain.ticket() else { return };
        let config = self.config();
        let place = match config.limits.admit(peer.ip()) {
            Ok(place) => place,
            Err(refusal) => {
                config.log.record(Refused {
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
        let shared = Arc::clone(&self.shared);
        let Some(mut session) = Session::open(shared, self.ending.subscribe(), stream, from, implicit_tls)
        else {
            return;
        };
        tokio::spawn(async move {
            session.run(implicit_tls).await;
            drop(session);
            drop((place, draining));
        });
    }
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
