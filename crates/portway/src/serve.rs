//! `portway serve`: flags and configuration become a running server.

mod args;
mod config;
mod confine;
mod pinholes;
mod summary;
mod users;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use portway_accounts::Throttle;
use portway_admin::{Admin, Facts};
use portway_data::{Broker, BrokerConfig, OwnListeners};
use portway_interpreter::{Door, Parts};
use portway_net::{ServerTls, ServerTlsOptions};
use portway_ops::{Listening, Log, Notice, Registry, Shown, Sink, Start, Warning, Xferlog};
use portway_proto::Policy;
use portway_server::{Server, ServerConfig};
use portway_vfs::{LinkPolicy, LocalFs, Vfs};

use crate::service::{TlsMode, runtime, signals, stopped, tls};
pub(crate) use args::{PinholesArg, ServeArgs, UserArg};
use config::Settings;
use confine::{Reach, RunAs};
pub(crate) use pinholes::start as start_pinholes;

/// Runs until it is told to end.
pub(crate) fn run(args: ServeArgs) -> Result<ExitCode> {
    let settings = Settings::gather(args)?;
    let run_as = settings.run_as.as_deref().map(RunAs::find).transpose()?;
    let confined = settings.landlock && reach(&settings).confine()?;
    let runtime = runtime()?;
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
    let service = &settings.service;
    let identity = tls::identity(service)?;
    let tls = match &identity {
        Some(found) => Some(ServerTls::new(found.identity.clone(), tls_options(&settings)).context("TLS")?),
        None => None,
    };
    let filter = || pinholes::start(&settings.pinholes, settings.agent_dir.as_ref());
    // The keys to a gate may be root's alone to read.
    let early = matches!(settings.pinholes, args::PinholesArg::Agent(_)).then(filter).transpose()?;
    let own = OwnListeners::default();
    let ports = service.open(&own, &log, portway_net::listen)?;
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
    let broker = Broker::new(BrokerConfig { pinholes: filter.pinholes, ..service.broker(own)? })
        .context("passive ports")?;
    let local = LocalFs::open(&root, LinkPolicy::InRoot).context("storage")?.umask(umask(settings.umask));
    let storage: Arc<dyn Vfs> =
        if settings.read_only { Arc::new(local.read_only()) } else { Arc::new(local) };
    let parts = Parts {
        policy: Arc::new(Policy {
            tls: tls.is_some(),
            tls_required: service.tls == TlsMode::Required,
            ccc: settings.ccc,
            advertise_deflate: settings.advertise_mode_z,
            // Only a gate can say what a translated client means.
            translated_clients: matches!(settings.pinholes, args::PinholesArg::Agent(_)),
            ..Policy::default()
        }),
        broker,
        tls,
        limits: service.limits(),
        registry: Registry::default(),
        balancers: service.balancers.clone(),
        log: log.clone(),
        timeouts: service.timeouts(),
    };
    let door = Door::new(accounts, Throttle::default());
    let server = Server::new(parts, ServerConfig { door, storage });
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
    summary::print(&settings, &root, &ports.addresses, &shown_users, identity.as_ref());
    let watching = tokio::spawn({
        let (server, settings, log) = (server.clone(), settings.clone(), log.clone());
        let drains = move || facts.drain_begins();
        signals(server.shutdown(), log.clone(), move || reload(&server, &settings, &log), drains)
    });
    let clean = server.serve(ports.listeners).await;
    watching.abort();
    Ok(stopped(&log, clean))
}

/// What new files do not get. The process's own is what folders are made by, so the two are one.
fn umask(wanted: Option<args::Umask>) -> u32 {
    use rustix::fs::Mode;
    use rustix::process::umask;
    // It can only be read by setting it.
    let wanted =
        wanted.map_or_else(|| umask(Mode::RWXG | Mode::RWXO), |wanted| Mode::from_raw_mode(wanted.0));
    umask(wanted);
    wanted.as_raw_mode() & 0o777
}

/// Takes the users and the certificate files anew; bad ones change nothing.
fn reload(server: &Server, settings: &Settings, log: &Log) {
    match settings.with_users_of_file().and_then(|now| now.map(|now| users::accounts(&now)).transpose()) {
        Ok(Some((accounts, _))) => {
            // Who is logged in stays so.
            server.config().door.replace(accounts);
            log.record(Notice { what: "reloaded", detail: Shown::from("users") });
        }
        Ok(None) => {}
        Err(error) => {
            let detail = format!("the users were not read again and the old ones stay: {error:#}");
            log.record(Warning { what: "users", detail: Shown::from(detail) });
        }
    }
    let (Some(tls), Some(given)) = (&server.parts().tls, &settings.service.cert) else {
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
    if settings.service.cert.is_none() {
        reach.change.extend(tls::state_dir());
    }
    let files = settings.service.cert.iter().flat_map(|(cert, key)| [cert, key]);
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
    let service = &settings.service;
    let range = match &service.ports {
        portway_data::PassivePorts::Range(range) => Some(range.clone()),
        _ => None,
    };
    let listen = if service.listen.is_empty() { &service.implicit } else { &service.listen };
    Ok(crate::doctor::of_portway(
        listen,
        range,
        service.announce,
        (service.tls != TlsMode::Off, service.cert.clone().map(|(cert, _)| cert)),
        (service.max_sessions, matches!(settings.pinholes, PinholesArg::Nft(_))),
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
    if settings.service.cert.is_some() {
        let identity = tls::identity(&settings.service)?;
        ServerTls::new(identity.context("no certificate")?.identity, tls_options(&settings))
            .context("TLS")?;
    }
    settings.run_as.as_deref().map(RunAs::find).transpose()?;
    Ok(())
}

/// How the server speaks TLS.
fn tls_options(settings: &Settings) -> ServerTlsOptions {
    let mut options = ServerTlsOptions::default();
    options.client_ca.clone_from(&settings.client_ca);
    options
}

fn open_log(settings: &Settings) -> Result<Log> {
    let format = settings.service.log_format.into();
    match &settings.xferlog {
        Some(path) => {
            let xferlog = Xferlog::open(path).with_context(|| format!("cannot write {}", path.display()))?;
            Log::with_xferlog(format, Sink::stderr(), xferlog)
        }
        None => Log::new(format, Sink::stderr()),
    }
    .context("the log cannot be started")
}
