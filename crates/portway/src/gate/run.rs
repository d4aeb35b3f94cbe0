//! `portway gate run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use portway_agent::AgentServer;
use portway_gate::{Agents, Bridge, Gate, Inspect, Ledger, Prepared, PreparedInspect, Status};
use portway_net::ServerTls;
use portway_nft::{Held, Remote};
use portway_ops::{Log, Notice, Shown, Sink};
use portway_proto::watch::AuthTls;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Engine, RunArgs};
use super::config::Settings;
use super::helper::Helper;
use crate::privileges;

/// Runs until it is told to end.
pub(crate) fn run(args: RunArgs) -> Result<ExitCode> {
    let settings = Settings::gather(args)?;
    crate::service::raise_descriptor_limit();
    // What has to be right before anything is changed.
    if let (Some(_), dir) = (settings.agent, settings.agent_dir.as_ref()) {
        super::enroll::gate_tls(dir)?;
    }
    settings.bridge.as_ref().map(super::bridge::check).transpose()?;
    let queue = (settings.engine == Engine::Inspect).then_some(settings.inspect.queue);
    let (helper, kernel, held) = Helper::start(&settings.gate, queue)?;
    let apart = helper.apart;
    let done = prepare(&settings, kernel, held).and_then(|prepared| {
        // Before there is a second thread, and before a stranger is heard.
        let kept = privileges::keep(privileges::TRANSPARENT);
        let runtime = kept.and_then(|()| tokio::runtime::Builder::new_multi_thread().enable_all().build());
        match runtime {
            Ok(runtime) => runtime.block_on(gate(settings, prepared, apart)),
            Err(error) => {
                prepared.give_up();
                Err(error).context("cannot give up privileges and begin")
            }
        }
    });
    helper.end();
    done
}

/// An engine, all of whose rules are in place.
enum Ready {
    Relay(Prepared),
    Inspect(PreparedInspect),
}

enum Running {
    Relay(Gate),
    Inspect(Inspect),
}

fn prepare(settings: &Settings, kernel: Remote, held: Option<Held>) -> Result<Ready> {
    let config = settings.gate.clone();
    Ok(match held {
        None => Ready::Relay(Prepared::relay(config, kernel)?),
        Some(held) => Ready::Inspect(PreparedInspect::new(config, settings.inspect.clone(), kernel, held)?),
    })
}

impl Ready {
    fn give_up(self) {
        match self {
            Self::Relay(prepared) => prepared.give_up(),
            Self::Inspect(prepared) => prepared.give_up(),
        }
    }
}

impl Running {
    fn start(ready: Ready, bridge: Option<Bridge>, log: Log) -> Result<Self> {
        Ok(match ready {
            Ready::Relay(prepared) => Self::Relay(Gate::start(prepared, bridge, log)?),
            Ready::Inspect(prepared) => Self::Inspect(Inspect::start(prepared, log)),
        })
    }

    fn ledger(&self) -> Arc<Ledger> {
        match self {
            Self::Relay(gate) => gate.ledger(),
            Self::Inspect(inspect) => inspect.ledger(),
        }
    }

    async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        match self {
            Self::Relay(gate) => gate.run(stop).await,
            Self::Inspect(inspect) => inspect.run(stop).await,
        }
        .map_err(Into::into)
    }
}

async fn gate(settings: Settings, ready: Ready, apart: bool) -> Result<ExitCode> {
    let log = Log::new(settings.log_format.into(), Sink::stderr()).context("the log cannot be started")?;
    if !apart {
        let detail =
            "portway-holed is not beside this program; a second process of it changes the packet filter";
        log.record(Notice { what: "helper", detail: Shown::from(detail.to_owned()) });
    }
    let (agents, bridge, status) = match around(&settings, &log) {
        Ok(around) => around,
        Err(error) => {
            ready.give_up();
            return Err(error);
        }
    };
    let ports = settings.gate.ports.clone();
    let auth_tls = match settings.gate.watch.auth_tls {
        AuthTls::Refuse => "AUTH TLS refused",
        AuthTls::Bridge => "AUTH TLS bridged",
        AuthTls::Pass => "AUTH TLS passed",
    };
    let running = Running::start(ready, bridge, log.clone())?;
    let ledger = running.ledger();
    let telling = tokio::spawn(status.serve(Arc::clone(&ledger)));
    let listening = agents.map(|(listener, tls)| {
        let keeper = Arc::new(Agents::new(ledger));
        tokio::spawn(AgentServer::new(listener, tls, keeper).serve())
    });
    {
        use std::io::Write as _;
        // A closed standard output is no reason not to run.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "portway gate {}", env!("CARGO_PKG_VERSION"));
        let _ = writeln!(out, "watching  ports {ports:?}, {auth_tls}; IPv4 and IPv6");
        if let Some(at) = settings.agent {
            let _ = writeln!(out, "agents    {at}");
        }
        let _ = writeln!(out, "status    portway gate status");
        let _ = writeln!(out, "ready");
        let _ = out.flush();
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let ended = running.run(stop).await;
    for task in [Some(telling), listening].into_iter().flatten() {
        task.abort();
        let _ = task.await;
    }
    if ended.is_ok() {
        log.record(Notice { what: "stopped", detail: Shown::from("rules and holes are gone") });
    }
    log.flush(Duration::from_secs(2));
    ended.map(|()| ExitCode::SUCCESS)
}

/// What stands around an engine: where agents announce, who bridges, who tells the status.
type Around = (Option<(TcpListener, ServerTls)>, Option<Bridge>, Status);

fn around(settings: &Settings, log: &Log) -> Result<Around> {
    let agents = match settings.agent {
        Some(at) => Some(agents(at, settings.agent_dir.as_ref())?),
        None => None,
    };
    let bridge = settings.bridge.as_ref().map(|it| super::bridge::bridge(it, &settings.gate, log));
    let status = Status::listen(&settings.status_socket)
        .with_context(|| format!("cannot listen on {}", settings.status_socket.display()))?;
    Ok((agents, bridge.transpose()?, status))
}

fn agents(at: SocketAddr, dir: Option<&PathBuf>) -> Result<(TcpListener, ServerTls)> {
    let tls = super::enroll::gate_tls(dir)?;
    let listener = portway_net::listen(at).with_context(|| format!("cannot listen on {at} for agents"))?;
    Ok((listener, tls))
}
