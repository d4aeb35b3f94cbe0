//! `portway gate run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use portway_agent::AgentServer;
use portway_gate::{Agents, Gate, Inspect, Status};
use portway_net::ServerTls;
use portway_ops::{Log, Notice, Shown, Sink};
use portway_proto::watch::AuthTls;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Engine, RunArgs};
use super::config::Settings;

/// Runs until it is told to end.
pub(crate) fn run(args: RunArgs) -> Result<ExitCode> {
    let settings = Settings::gather(args)?;
    crate::service::raise_descriptor_limit();
    super::privileges::keep_network_only().context("cannot give up privileges")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(gate(settings))
}

async fn gate(settings: Settings) -> Result<ExitCode> {
    let log = Log::new(settings.log_format.into(), Sink::stderr()).context("the log cannot be started")?;
    let agents = match settings.agent {
        Some(at) => Some(agents(at, settings.agent_dir.as_ref())?),
        None => None,
    };
    let bridge = settings.bridge.as_ref().map(|it| super::bridge::bridge(it, &settings.gate, &log));
    let bridge = bridge.transpose()?;
    let status = Status::listen(&settings.status_socket)
        .with_context(|| format!("cannot listen on {}", settings.status_socket.display()))?;
    let ports = settings.gate.ports.clone();
    let auth_tls = match settings.gate.watch.auth_tls {
        AuthTls::Refuse => "AUTH TLS refused",
        AuthTls::Bridge => "AUTH TLS bridged",
        AuthTls::Pass => "AUTH TLS passed",
    };
    let (relay, inspect) = match settings.engine {
        Engine::Relay => (Some(Gate::start(settings.gate, bridge, log.clone())?), None),
        Engine::Inspect => (None, Some(Inspect::start(settings.gate, &settings.inspect, log.clone())?)),
    };
    let book = || relay.as_ref().map(Gate::ledger).or_else(|| inspect.as_ref().map(Inspect::ledger));
    let ledger = book().context("no engine")?;
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
    match (relay, inspect) {
        (Some(relay), _) => relay.run(stop).await,
        (None, Some(inspect)) => inspect.run(stop).await,
        (None, None) => {}
    }
    for task in [Some(telling), listening].into_iter().flatten() {
        task.abort();
        let _ = task.await;
    }
    log.record(Notice { what: "stopped", detail: Shown::from("rules and holes are gone") });
    log.flush(Duration::from_secs(2));
    Ok(ExitCode::SUCCESS)
}

fn agents(at: SocketAddr, dir: Option<&PathBuf>) -> Result<(TcpListener, ServerTls)> {
    let tls = super::enroll::gate_tls(dir)?;
    let listener = portway_net::listen(at).with_context(|| format!("cannot listen on {at} for agents"))?;
    Ok((listener, tls))
}
