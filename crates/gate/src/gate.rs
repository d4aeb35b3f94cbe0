//! The gate as a whole: listeners, rules, sessions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use portway_nft::{Filter, FilterError, Flows, Holes, OwnAddresses, Translations};
use portway_ops::{Limits, Log, Notice, Shown};
use portway_proto::watch::AuthTls;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::intercept::{GATE_TABLE, Intercept, InterceptError};
use crate::ledger::Ledger;
use crate::{Bridge, GateConfig, session, socket};

/// How often holes that nobody uses or closes are looked after, for the log; the kernel shuts them in time.
const SWEEP: Duration = Duration::from_millis(250);
/// How long we wait when the system has no descriptor left for another connection.
const BREATH: Duration = Duration::from_millis(100);

/// A gate that is ready to run.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    /// Dropped last: as long as a session lives, its packets must come here.
    _intercept: Intercept,
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: GateConfig,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) limits: Limits,
    /// Who ends TLS, with [`AuthTls::Bridge`].
    pub(crate) bridge: Option<Bridge>,
}

impl Shared {
    /// For an engine whose rules are in place.
    ///
    /// # Errors
    /// [`GateError::Intercept`].
    pub(crate) fn new(config: GateConfig, filter: Filter, log: Log) -> Result<Self, GateError> {
        let holes = Holes::new(filter, config.holes.clone(), OwnAddresses::of_this_host());
        let translations = Translations::of(GATE_TABLE).map_err(InterceptError::Netlink)?;
        let ledger = Ledger::new(holes, translations, config.openings_per_second, log)
            .with_failed_logins(config.failed_logins_per_minute);
        // Without them the log only lacks octets.
        let ledger = Arc::new(match Flows::marked(config.layout.mark) {
            Ok(flows) => ledger.with_flows(flows),
            Err(_) => ledger,
        });
        let limits = Limits::new(config.max_sessions, config.max_sessions_per_client);
        Ok(Self { config, ledger, limits, bridge: None })
    }
}

/// Why a gate does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Bridging means ending TLS on both sides, which takes an engine that ends connections, and a [`Bridge`].
    #[error("--auth-tls bridge ends TLS at the gate, and --engine inspect ends nothing; use --engine relay")]
    Bridge,
    /// The packet filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Rules and routes.
    #[error(transparent)]
    Intercept(#[from] InterceptError),
    /// No queue for packets.
    #[error("no packet queue (CAP_NET_ADMIN is needed): {0}")]
    Queue(#[source] io::Error),
    /// A listener that bears addresses of others.
    #[error("no transparent listener (CAP_NET_ADMIN or CAP_NET_RAW is needed): {0}")]
    Listen(#[source] io::Error),
}

impl Gate {
    /// Makes holes, listeners and rules ready, with a bridge exactly if the configuration says [`AuthTls::Bridge`]; from then on new control connections wait for [`run`](Self::run).
    ///
    /// # Errors
    /// [`GateError`]; nothing is left behind.
    pub fn start(config: GateConfig, bridge: Option<Bridge>, log: Log) -> Result<Self, GateError> {
        if (config.watch.auth_tls == AuthTls::Bridge) != bridge.is_some() {
            return Err(GateError::Bridge);
        }
        let filter = Filter::install(&config.layout)?;
        let v4 = socket::listen(false).map_err(GateError::Listen)?;
        // A host without IPv6 needs no gate for it.
        let v6 = socket::listen(true).ok();
        let port = |listener: &TcpListener| listener.local_addr().map(|addr| addr.port()).ok();
        let ports = [port(&v4), v6.as_ref().and_then(port)];
        let intercept = Intercept::install(&config, ports)?;
        let detail =
            format!("control ports {:?}, IPv4{}", config.ports, if v6.is_some() { " and IPv6" } else { "" });
        log.record(Notice { what: "gate", detail: Shown::from(detail) });
        let mut shared = Shared::new(config, filter, log)?;
        shared.bridge = bridge;
        let shared = Arc::new(shared);
        Ok(Self { shared, listeners: [Some(v4), v6].into_iter().flatten().collect(), _intercept: intercept })
    }

    /// The book: for the status, and for agents of servers.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.shared.ledger)
    }

    /// Relays until `stop` is ready; then sessions are cut, holes closed, and rules taken away.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(accept(Arc::clone(&self.shared), listener));
        }
        let ledger = Arc::clone(&self.shared.ledger);
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                ledger.sweep();
            }
        });
        stop.await;
        tasks.shutdown().await;
        self.shared.ledger.finish();
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => {
                    // How a session ended is in the log already; a broken connection is nobody's fault here.
                    sessions.spawn(session::run(Arc::clone(&shared), stream, client));
                }
                Err(_) => tokio::time::sleep(BREATH).await,
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}
