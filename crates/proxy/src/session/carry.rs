//! The data of one transfer: both legs' connections, and the octets between them.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use portway_data::{
    Channel, DataConn, Facts, Failure, LinkError, Options, Progress, RelayError, relay, relay_watched,
};
use portway_net::ClientControlTls;
use tokio::time::Instant;

use crate::inspect::Inspection;
use portway_interpreter::Pending;

/// Which way the octets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the server to the client.
    Down,
    /// From the client to the server.
    Up,
}

/// What the control connections and the data tell each other. It wakes nobody: one task polls both, and a task that
/// wakes itself is handed to another thread.
#[derive(Debug, Default)]
pub(super) struct Start {
    begun: AtomicBool,
    client_is_here: AtomicBool,
}

impl Start {
    /// The server has said that it begins.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Whether the client's data connection stood before the server began.
    pub(super) fn client_is_here(&self) -> bool {
        self.client_is_here.load(Ordering::Relaxed)
    }

    async fn begun(&self) {
        poll_fn(|_| if self.begun.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// What is needed to move the data of one transfer.
pub(super) struct Carry {
    pub(super) way: Way,
    pub(super) client: Pending,
    pub(super) server: Channel,
    pub(super) server_tls: Option<ClientControlTls>,
    pub(super) server_ip: IpAddr,
    /// How long a data connection may take to come, or stand still.
    pub(super) patience: Duration,
    /// Octets per second at most.
    pub(super) limit_rate: Option<u64>,
    /// Who looks into the file.
    pub(super) inspection: Option<Inspection>,
    /// Octets at the beginning that only the inspection sees.
    pub(super) leave_out: u64,
}

/// How it ended.
pub(super) struct Carried {
    /// The connection that takes the octets, still open: what the other leg says about the transfer decides
    /// whether it ends well.
    pub(super) sink: Option<DataConn>,
    pub(super) facts: BothFacts,
    pub(super) result: Result<(), Broken>,
}

/// How the two connections came about, as far as they did.
#[derive(Clone, Debug, Default)]
pub(super) struct BothFacts {
    pub(super) client: Option<(Facts, bool)>,
    pub(super) server: Option<(Facts, bool)>,
}

/// What broke, and on whose leg.
#[derive(Debug)]
pub(super) enum Broken {
    Client(Failure),
    Server(String, &'static str),
    /// The inspection refused it, with this reason.
    Content(String),
}

impl Broken {
    /// Of a failure on the server's side.
    pub(super) fn server(failure: &Failure) -> Self {
        Self::Server(format!("on the server's side, {failure}"), failure.cause())
    }
}

impl Carry {
    /// Gets both connections and moves the octets. Dropping the future is ABOR: both are reset.
    ///
    /// `start` tells when the server has said that it begins. A client in active mode is connected to only
    /// then, so that no connection tells it of a transfer that never was.
    pub(super) async fn run(self, start: &Start, progress: &Progress) -> Carried {
        let Self {
            way,
            client,
            server,
            server_tls,
            server_ip,
            patience,
            limit_rate,
            mut inspection,
            leave_out,
        } = self;
        let mut facts = BothFacts::default();
        let server_side = async {
            let link = server.link(server_ip, patience).await.map_err(|error| no_link(&error))?;
            let conn = link.ready(server_tls.as_ref(), patience).await;
            let mut conn = conn.map_err(|failure| Broken::server(&failure))?;
            // Held, so that dropping it is no end of file.
            conn.hold();
            Ok(conn)
        };
        let client_side = async { take(client, start, patience).await.map_err(Broken::Client) };
        let (server, client) = match both(server_side, client_side).await {
            Ok(both) => both,
            Err((sink, broken)) => {
                // Held, so that the drop is a reset.
                drop(sink);
                return Carried { sink: None, facts, result: Err(broken) };
            }
        };
        facts.server = Some((server.facts().clone(), server.tls().is_some()));
        facts.client = Some((client.facts().clone(), client.tls().is_some()));
        let (mut from, mut to) = match way {
            Way::Down => (server, client),
            Way::Up => (client, server),
        };
        // Whatever ends it before its time is a reset, also before the first octet.
        to.hold();
        let (from_client, to_client) = (way == Way::Up, way == Way::Down);
        let on = |client: bool, failure: Failure| {
            if client { Broken::Client(failure) } else { Broken::server(&failure) }
        };
        let blame = |error: RelayError| match error {
            RelayError::From(failure) => on(from_client, failure),
            RelayError::To(failure) => on(to_client, failure),
            RelayError::Watcher(failure) => Broken::Content(format!("on the inspection's side, {failure}")),
        };
        let options = || Options { stall: patience, limit_rate, ..Options::default() };
        let result = async {
            let held = match &mut inspection {
                None => relay(&mut from, &mut to, options(), progress).await.map(|_| None).map_err(blame)?,
                Some(inspection) => {
                    // Taken out, so that a refusal can be waited for meanwhile.
                    let Some(mut input) = inspection.input.take() else {
                        return Err(Broken::Content("it takes no octets".to_owned()));
                    };
                    let tail = tokio::select! {
                        biased;
                        reason = inspection.refuses() => return Err(Broken::Content(reason)),
                        tail = relay_watched(&mut from, &mut to, options(), progress, &mut input, leave_out)
                            => tail,
                    };
                    Some((inspection, tail.map_err(blame)?))
                }
            };
            // The end mark is answered at once: some servers wait for that before they say 226.
            from.finish().await.map_err(|failure| on(from_client, failure))?;
            let Some((inspection, tail)) = held else { return Ok(()) };
            inspection.verdict().await.map_err(Broken::Content)?;
            tail.release(&mut to, options(), progress).await.map(drop).map_err(blame)
        };
        let result = result.await;
        let sink = result.is_ok().then_some(to);
        Carried { sink, facts, result }
    }
}

fn no_link(error: &LinkError) -> Broken {
    Broken::Server(format!("on the server's side, no data connection came: {error}"), "nobody_came")
}

/// The client's connection, once the server has begun.
async fn take(client: Pending, start: &Start, patience: Duration) -> Result<DataConn, Failure> {
    match client {
        Pending::Offer(_, mut offer) => {
            // A client may wait for our part of the TLS handshake before anything else.
            tokio::select! {
                () = start.begun() => {}
                arrived = offer.arrive() => {
                    arrived?;
                    start.client_is_here.store(true, Ordering::Relaxed);
                    start.begun().await;
                }
            }
            offer.take(Instant::now() + patience).await
        }
        other => {
            start.begun().await;
            other.connect(Instant::now() + patience).await
        }
    }
}

/// Both connections, or the first failure with whatever connection to the server there is.
async fn both(
    server: impl Future<Output = Result<DataConn, Broken>>,
    client: impl Future<Output = Result<DataConn, Broken>>,
) -> Result<(DataConn, DataConn), (Option<DataConn>, Broken)> {
    let (mut server, mut client) = (std::pin::pin!(server), std::pin::pin!(client));
    tokio::select! {
        done = &mut server => {
            let server = done.map_err(|broken| (None, broken))?;
            match client.await {
                Ok(client) => Ok((server, client)),
                Err(broken) => Err((Some(server), broken)),
            }
        }
        done = &mut client => {
            let client = done.map_err(|broken| (None, broken))?;
            match server.await {
                Ok(server) => Ok((server, client)),
                Err(broken) => Err((None, broken)),
            }
        }
    }
}
