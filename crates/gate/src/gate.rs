//! The gate as a whole: listeners, rules, sessions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use portway_nft::Remote;
use portway_ops::{Limits, Log, Notice, Shown};
use portway_proto::watch::AuthTls;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::intercept::{self, InterceptError};
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
}

/// What a gate needs CAP_NET_ADMIN for, done; from here on the helper has it alone.
#[derive(Debug)]
pub struct Prepared {
    config: GateConfig,
    kernel: Remote,
    listeners: Vec<std::net::TcpListener>,
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
    pub(crate) fn new(config: GateConfig, kernel: Remote, log: Log) -> Self {
        let ledger = Ledger::new(kernel, config.openings_per_second, log)
            .with_failed_logins(config.failed_logins_per_minute);
        let limits = Limits::new(config.max_sessions, config.max_sessions_per_client);
        Self { config, ledger: Arc::new(ledger), limits, bridge: None }
    }
}

/// Why a gate does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Bridging means ending TLS on both sides, which takes an engine that ends connections, and a [`Bridge`].
    #[error("--auth-tls bridge ends TLS at the gate, and --engine inspect ends nothing; use --engine relay")]
    Bridge,
    /// Rules and routes.
    #[error(transparent)]
    Intercept(#[from] InterceptError),
    /// The helper has ended, or does not answer.
    #[error(
        "the helper of the packet filter has ended, so that nothing can be opened; control connections are refused \
         until the gate is started again"
    )]
    Helper,
    /// A listener that bears addresses of others.
    #[error("no transparent listener (CAP_NET_ADMIN or CAP_NET_RAW is needed): {0}")]
    Listen(#[source] io::Error),
}

impl Prepared {
    /// Makes listeners and rules ready; from then on new control connections wait for [`Gate::run`]. Needs
    /// CAP_NET_ADMIN.
    ///
    /// # Errors
    /// [`GateError`]; nothing is left behind.
    pub fn relay(config: GateConfig, mut kernel: Remote) -> Result<Self, GateError> {
        let v4 = socket::listen(false).map_err(GateError::Listen)?;
        // A host without IPv6 needs no gate for it.
        let v6 = socket::listen(true).ok();
        let port = |listener: &std::net::TcpListener| listener.local_addr().map(|addr| addr.port()).ok();
        let ports = [port(&v4), v6.as_ref().and_then(port)];
        if let Err(error) = intercept::install(&config, ports) {
            let _ = kernel.leave();
            return Err(error.into());
        }
        // They are as they are to be; if they cannot be looked after, the first sweep says so.
        let _ = kernel.mended();
        Ok(Self { config, kernel, listeners: [Some(v4), v6].into_iter().flatten().collect() })
    }

    /// Takes the rules away again.
    pub fn give_up(mut self) {
        let _ = self.kernel.leave();
    }
}

impl Gate {
    /// Makes sessions possible, with a bridge exactly if the configuration says [`AuthTls::Bridge`].
    ///
    /// # Errors
    /// [`GateError`]; nothing is left behind.
    pub fn start(prepared: Prepared, bridge: Option<Bridge>, log: Log) -> Result<Self, GateError> {
        let Prepared { config, mut kernel, listeners } = prepared;
        let listening = listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<Vec<_>>>();
        let listeners = match listening.map_err(GateError::Listen) {
            Ok(listeners) if (config.watch.auth_tls == AuthTls::Bridge) == bridge.is_some() => listeners,
            other => {
                let _ = kernel.leave();
                return Err(other.err().unwrap_or(GateError::Bridge));
            }
        };
        let families = if listeners.len() > 1 { "IPv4 and IPv6" } else { "IPv4" };
        let detail = format!("control ports {:?}, {families}", config.ports);
        log.record(Notice { what: "gate", detail: Shown::from(detail) });
        let mut shared = Shared::new(config, kernel, log);
        shared.bridge = bridge;
        Ok(Self { shared: Arc::new(shared), listeners })
    }

    /// The book: for the status, and for agents of servers.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.shared.ledger)
    }

    /// Relays until `stop` is ready; then sessions are cut, holes closed, and rules taken away.
    ///
    /// # Errors
    /// [`GateError::Helper`]: there is no helper any more, and control connections are refused by the rules that it
    /// has left.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), GateError> {
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(accept(Arc::clone(&self.shared), listener));
        }
        let ledger = Arc::clone(&self.shared.ledger);
        let alone = async {
            while ledger.sweep() {
                tokio::time::sleep(SWEEP).await;
            }
        };
        let ended = tokio::select! {
            () = stop => Ok(()),
            () = alone => Err(GateError::Helper),
        };
        // As long as a session lives, its packets must come here: the rules go last.
        tasks.shutdown().await;
        if ended.is_ok() {
            self.shared.ledger.finish();
        }
        ended
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
