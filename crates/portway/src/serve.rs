//! `portway serve`: flags and configuration become a running server.

mod args;
mod config;
mod pinholes;
mod summary;
mod tls;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use portway_accounts::{Accounts, Rights, Secret, Throttle};
use portway_data::{AnnouncePolicy, Broker, BrokerConfig, OwnListeners};
use portway_net::ServerTls;
use portway_ops::{Limits, Listening, Log, Notice, Registry, Shown, Sink, Start, Warning, Xferlog};
use portway_proto::Policy;
use portway_server::{Listener, Server, ServerConfig, Timeouts};
use portway_vfs::{LinkPolicy, LocalFs, Vfs};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use args::{LogFormatArg, ServeArgs, duration};
use args::{TlsMode, UserArg};
use config::Settings;

/// Runs until it is told to end.
pub(crate) fn run(args: ServeArgs) -> Result<ExitCode> {
    let settings = Settings::gather(args)?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let ended = runtime.block_on(serve(settings));
    // What still runs on a thread of its own, such as the removal of a tree, has had its time in the drain.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(settings: Settings) -> Result<ExitCode> {
    let root = std::fs::canonicalize(&settings.directory)
        .with_context(|| format!("cannot serve {}", settings.directory.display()))?;
    let log = open_log(&settings)?;
    let (accounts, shown_users) = accounts(&settings)?;
    let identity = tls::identity(&settings)?;
    let tls = match &identity {
        Some(found) => Some(ServerTls::new(found.identity.clone(), tls::options(&settings)).context("TLS")?),
        None => None,
    };
    let filter = pinholes::start(&settings.pinholes, settings.agent_dir.as_ref())?;
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
    let server = Server::new(ServerConfig {
        policy: Arc::new(Policy {
            tls: tls.is_some(),
            tls_required,
            ccc: settings.ccc,
            advertise_deflate: settings.advertise_mode_z,
            ..Policy::default()
        }),
        accounts: Arc::new(accounts),
        throttle: Throttle::default(),
        storage,
        broker,
        tls,
        limits: Limits::new(settings.max_sessions, settings.max_sessions_per_address),
        registry: Registry::default(),
        log: log.clone(),
        timeouts: Timeouts {
            idle: settings.idle_timeout,
            data: settings.data_timeout,
            ..Timeouts::default()
        },
    });
    let addresses: Vec<_> = listeners.iter().map(|(addr, listener)| (*addr, listener.implicit_tls)).collect();
    summary::print(&settings, &root, &addresses, &shown_users, identity.as_ref());
    let watching = tokio::spawn(signals(server.clone(), settings.clone(), log.clone()));
    let clean = server.serve(listeners.into_iter().map(|(_, listener)| listener).collect()).await;
    watching.abort();
    let detail = if clean { "all sessions have ended" } else { "the last transfers were cut off" };
    log.record(Notice { what: "stopped", detail: Shown::from(detail) });
    log.flush(Duration::from_secs(2));
    Ok(ExitCode::SUCCESS)
}

/// SIGHUP reloads certificate and log files; the first SIGINT or SIGTERM drains, the second ends at once.
async fn signals(server: Server, settings: Settings, log: Log) -> Result<()> {
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
        server.shutdown().begin();
    }
}

/// Takes the certificate files anew; bad ones change nothing.
fn reload(server: &Server, settings: &Settings, log: &Log) {
    let Some(tls) = &server.config().tls else { return };
    match tls::identity(settings) {
        Ok(Some(found)) => {
            tls.reload(found.identity);
            log.record(Notice { what: "reloaded", detail: Shown::from("certificate and log files") });
        }
        Ok(None) => {}
        Err(error) => {
            let detail = format!("the certificate was not reloaded and the old one stays: {error:#}");
            log.record(Warning { what: "certificate", detail: Shown::from(detail) });
        }
    }
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

/// A user's name, and his password if it was made for this run.
type ShownUser = (String, Option<String>);

/// The accounts, and what to show of them: a generated password is shown once, a given one never.
fn accounts(settings: &Settings) -> Result<(Accounts, Vec<ShownUser>)> {
    let mut accounts = Accounts::new().context("accounts")?;
    let mut shown = Vec::new();
    for UserArg { name, password } in &settings.users {
        let (secret, generated) = match password {
            Some(password) => (Secret::new(password.as_bytes()), None),
            None => {
                let secret = Secret::generate().context("no password could be made")?;
                let text = String::from_utf8_lossy(secret.expose_octets()).into_owned();
                (secret, Some(text))
            }
        };
        accounts = accounts.user(name, &secret, Rights::FULL).context("--user")?;
        shown.push((name.clone(), generated));
    }
    if settings.anonymous {
        accounts = accounts.anonymous(Rights::READ_ONLY);
    }
    Ok((accounts, shown))
}

/// As many descriptors as the system allows; a session needs one, a transfer two or three more.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
