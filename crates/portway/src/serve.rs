//! `portway serve`: flags and configuration become a running server.

mod args;
mod config;
mod confine;
mod pinholes;
mod summary;
pub(crate) mod tls;
mod users;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use portway_accounts::Throttle;
use portway_admin::{Admin, Facts};
use portway_data::{AnnouncePolicy, Broker, BrokerConfig, OwnListeners};
use portway_interpreter::{Listener, Parts, Timeouts};
use portway_net::ServerTls;
use portway_ops::{Limits, Listening, Log, Notice, Registry, Shown, Sink, Start, Warning, Xferlog};
use portway_proto::Policy;
use portway_server::{Server, ServerConfig};
use portway_vfs::{LinkPolicy, LocalFs, Vfs};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use args::TlsMode;
pub(crate) use args::{
    AddressArg, LogFormatArg, PinholesArg, PortRange, ProofArg, ServeArgs, UserArg, duration,
};
use config::Settings;
use confine::{Reach, RunAs};
pub(crate) use pinholes::start as start_pinholes;

/// Runs until it is told to end.
pub(crate) fn run(args: ServeArgs) -> Result<ExitCode> {
    let settings = Settings::gather(args)?;
    raise_descriptor_limit();
    let run_as = settings.run_as.as_deref().map(RunAs::find).transpose()?;
    let confined = settings.landlock && reach(&settings).confine()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let ended = runtime.block_on(serve(settings, run_as, confined));
    // What still runs on a thread of its own, such as the removal of a tree, has had its time in the drain.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(settings: Settings, run_as: Option<RunAs>, confined: bool) -> Result<ExitCode> {
    let root = std::fs::canonicalize(&settings.directory)
        .with_context(|| format!("cannot serve {}", settings.directory.display()))?;
    let log = open_log(&settings)?;
    let (accounts, shown_users) = users::accounts(&settings)?;
    let identity = tls::identity(&settings)?;
    let tls = match &identity {
        Some(found) => Some(ServerTls::new(found.identity.clone(), tls::options(&settings)).context("TLS")?),
        None => None,
    };
    let filter = || pinholes::start(&settings.pinholes, settings.agent_dir.as_ref());
    // The keys to a gate may be root's alone to read.
    let early = matches!(settings.pinholes, args::PinholesArg::Agent(_)).then(filter).transpose()?;
    let own = OwnListeners::default();
    let mut listeners = Vec::new();
    let plain = settings.listen.iter().map(|addr| (addr, false));
    for (&addr, implicit_tls) in plain.chain(settings.implicit.iter().map(|addr| (addr, true))) {
        let socket = portway_net::listen(addr).with_context(|| format!("cannot listen on {addr}"))?;
        let bound = socket.local_addr().context("the listener has no address")?;
        own.add(bound);
        log.record(Listening { what: if implicit_tls { "ftps" } else { "ftp" }, address: bound });
        listeners.push((bound, Listener { socket, implicit_tls }));
    }
    let admin = match settings.admin {
        Some(address) => {
            let admin = Admin::bind(address).await.context("--admin")?;
            log.record(Listening { what: "admin", address: admin.address() });
            Some(admin)
        }
        None => None,
    };
    if let Some(user) = &run_as {
        // The ports are open; nothing else needs root.
        user.take_effect()?;
    }
    // The packet filter is opened by whom we have become, now as later, or not at all.
    let filter = match (early, &run_as) {
        (Some(filter), _) => filter,
        (None, Some(_)) => filter().context("--run-as gives root's rights away")?,
        (None, None) => filter()?,
    };
    log.record(Start {
        version: env!("CARGO_PKG_VERSION"),
        root: Shown::from(root.to_string_lossy().as_ref()),
    });
    if let Some(detail) = filter.detail {
        log.record(Notice { what: "pinholes", detail: Shown::from(detail) });
    }
    let broker = Broker::new(BrokerConfig {
        pinholes: filter.pinholes,
        ports: settings.ports.clone(),
        announce: match settings.announce {
            Some(address) => AnnouncePolicy::fixed(address),
            None => AnnouncePolicy::default(),
        },
        arrive_within: settings.data_timeout,
        proof: settings.proof,
        own_listeners: own,
        ..BrokerConfig::default()
    })
    .context("passive ports")?;
    let local = LocalFs::open(&root, LinkPolicy::InRoot).context("storage")?;
    let storage: Arc<dyn Vfs> =
        if settings.read_only { Arc::new(local.read_only()) } else { Arc::new(local) };
    let tls_required = settings.tls == TlsMode::Required;
    let parts = Parts {
        policy: Arc::new(Policy {
            tls: tls.is_some(),
            tls_required,
            ccc: settings.ccc,
            advertise_deflate: settings.advertise_mode_z,
            // Only a gate can say what a translated client means.
            translated_clients: matches!(settings.pinholes, args::PinholesArg::Agent(_)),
            ..Policy::default()
        }),
        broker,
        tls,
        limits: Limits::new(settings.max_sessions, settings.max_sessions_per_address),
        registry: Registry::default(),
        balancers: settings.balancers.clone(),
        log: log.clone(),
        timeouts: Timeouts {
            idle: settings.idle_timeout,
            data: settings.data_timeout,
            ..Timeouts::default()
        },
    };
    let accounts = ArcSwap::from_pointee(accounts);
    let server = Server::new(parts, ServerConfig { accounts, throttle: Throttle::default(), storage });
    let watched = log.clone();
    let facts = Facts::new(server.parts().registry.clone(), log.clone())
        .with_verdict(move || watched.diagnosis().verdict());
    if let Some(admin) = admin {
        tokio::spawn(admin.serve(facts.clone()));
    }
    if !confined {
        let why = if settings.landlock { "this kernel has no landlock" } else { "landlock is off" };
        log.record(Notice { what: "not_confined", detail: Shown::from(why) });
    }
    let addresses: Vec<_> = listeners.iter().map(|(addr, listener)| (*addr, listener.implicit_tls)).collect();
    summary::print(&settings, &root, &addresses, &shown_users, identity.as_ref());
    let watching = tokio::spawn(signals(server.clone(), settings.clone(), log.clone(), facts));
    let clean = server.serve(listeners.into_iter().map(|(_, listener)| listener).collect()).await;
    watching.abort();
    let detail = if clean { "all sessions have ended" } else { "the last transfers were cut off" };
    log.record(Notice { what: "stopped", detail: Shown::from(detail) });
    log.flush(Duration::from_secs(2));
    Ok(ExitCode::SUCCESS)
}

/// SIGHUP reloads certificate and log files; the first SIGINT or SIGTERM drains, the second ends at once.
async fn signals(server: Server, settings: Settings, log: Log, facts: Facts) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ending = false;
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                log.reopen();
                reload(&server, &settings, &log);
                continue;
            }
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if ending {
            log.flush(Duration::from_millis(200));
            std::process::exit(130);
        }
        ending = true;
        log.record(Notice {
            what: "draining",
            detail: Shown::from("no new sessions; running transfers may end"),
        });
        facts.drain_begins();
        server.shutdown().begin();
    }
}

/// Takes the users and the certificate files anew; bad ones change nothing.
fn reload(server: &Server, settings: &Settings, log: &Log) {
    match settings.with_users_of_file().and_then(|now| now.map(|now| users::accounts(&now)).transpose()) {
        Ok(Some((accounts, _))) => {
            // Who is logged in stays so.
            server.config().accounts.store(Arc::new(accounts));
            log.record(Notice { what: "reloaded", detail: Shown::from("users") });
        }
        Ok(None) => {}
        Err(error) => {
            let detail = format!("the users were not read again and the old ones stay: {error:#}");
            log.record(Warning { what: "users", detail: Shown::from(detail) });
        }
    }
    let (Some(tls), Some(given)) = (&server.parts().tls, &settings.cert) else {
        // A certificate that was made here stays: the folder where it is kept may be out of reach by now, and
        // clients that have believed it would refuse another.
        log.record(Notice { what: "reloaded", detail: Shown::from("log files") });
        return;
    };
    match tls::find(Some(given)) {
        Ok(found) => {
            tls.reload(found.identity);
            log.record(Notice { what: "reloaded", detail: Shown::from("certificate and log files") });
        }
        Err(error) => {
            let detail = format!("the certificate was not reloaded and the old one stays: {error:#}");
            log.record(Warning { what: "certificate", detail: Shown::from(detail) });
        }
    }
}

/// What the server needs of the file system, from start to end.
fn reach(settings: &Settings) -> Reach {
    let mut reach = Reach { change: vec![settings.directory.clone()], read: Vec::new() };
    reach.change.extend(settings.xferlog.as_deref().map(Reach::folder_of));
    if settings.cert.is_none() {
        reach.change.extend(tls::state_dir());
    }
    let files = settings.cert.iter().flat_map(|(cert, key)| [cert, key]);
    let files = files.chain(&settings.client_ca).chain(&settings.file);
    reach.read.extend(files.map(|path| Reach::folder_of(path)));
    reach.read.extend(settings.agent_dir.clone());
    reach
}

/// What `portway doctor --server` looks at: a configuration file, or the defaults.
pub(crate) fn setup(file: Option<&Path>) -> Result<portway_doctor::setup::SetUp> {
    let settings = match file {
        Some(file) => Settings::of_file(file)?,
        None => Settings::gather(ServeArgs::default())?,
    };
    let range = match &settings.ports {
        portway_data::PassivePorts::Range(range) => Some(range.clone()),
        _ => None,
    };
    let listen = if settings.listen.is_empty() { &settings.implicit } else { &settings.listen };
    Ok(crate::doctor::of_portway(
        listen,
        range,
        settings.announce,
        (settings.tls != TlsMode::Off, settings.cert.map(|(cert, _)| cert)),
        (settings.max_sessions, settings.pinholes != PinholesArg::None),
    ))
}

/// Whether a server would start with this file, as far as a file can tell.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(file: &Path) -> Result<()> {
    let settings = Settings::of_file(file)?;
    std::fs::read_dir(&settings.directory)
        .with_context(|| format!("directory {}", settings.directory.display()))?;
    users::accounts(&settings)?;
    if settings.cert.is_some() {
        let identity = tls::identity(&settings)?;
        ServerTls::new(identity.context("no certificate")?.identity, tls::options(&settings))
            .context("TLS")?;
    }
    settings.run_as.as_deref().map(RunAs::find).transpose()?;
    Ok(())
}

fn open_log(settings: &Settings) -> Result<Log> {
    let format = settings.log_format.into();
    match &settings.xferlog {
        Some(path) => {
            let xferlog = Xferlog::open(path).with_context(|| format!("cannot write {}", path.display()))?;
            Log::with_xferlog(format, Sink::stderr(), xferlog)
        }
        None => Log::new(format, Sink::stderr()),
    }
    .context("the log cannot be started")
}

/// As many descriptors as the system allows; a session needs one, a transfer two or three more.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
