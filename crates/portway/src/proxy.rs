//! `portway proxy`: flags and configuration become a running proxy.

mod args;
mod ca;
mod commands;
mod config;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use portway_accounts::{Accounts, Rights, Secret, Throttle};
use portway_data::{Broker, OwnListeners};
use portway_interpreter::{Door, Parts};
use portway_net::{ClientTls, ClientTlsOptions, ServerTls, ServerTlsOptions, Trust};
use portway_ops::{Log, Registry, Sink};
use portway_proto::Policy;
use portway_proxy::{Guesses, Kind, LegConfig, LegTimeouts, Proxy, ProxyConfig, UserLimits};

use crate::out;
use crate::service::{TlsMode, runtime, signals, stopped, tls};
pub(crate) use args::{CA_DIR, ProxyArgs};
use args::{ProxyCommand, UpstreamTls};
pub(crate) use ca::load as authority;
use config::Settings;

/// Runs until it is told to end.
pub(crate) fn run(args: ProxyArgs) -> Result<ExitCode> {
    if let Some(ProxyCommand::Ca(args)) = &args.command {
        return ca::make(args);
    }
    let settings = Settings::gather(args)?;
    if matches!(settings.kind, Kind::Transparent(_)) {
        // Before there is a second thread. Rules that bring connections here are the administrator's.
        crate::privileges::keep(crate::privileges::TRANSPARENT).context("cannot give up privileges")?;
    }
    let runtime = runtime()?;
    let ended = runtime.block_on(proxy(settings));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn proxy(settings: Settings) -> Result<ExitCode> {
    let service = &settings.service;
    let log = Log::new(service.log_format.into(), Sink::stderr()).context("the log cannot be started")?;
    let identity = tls::identity(service)?;
    let client_side = match &identity {
        Some(found) => {
            Some(ServerTls::new(found.identity.clone(), ServerTlsOptions::default()).context("TLS")?)
        }
        None => None,
    };
    let own = OwnListeners::default();
    let ports = service.open(&own, &log, |addr| listen(&settings.kind, addr))?;
    let broker = Broker::new(service.broker(own.clone())?).context("passive ports")?;
    let accounts = accounts(&settings)?;
    let leg = leg(&settings)?;
    let what = match settings.kind {
        Kind::Forward(_) => "forward",
        Kind::Reverse(_) => "reverse",
        Kind::Transparent(_) => "transparent",
    };
    let parts = Parts {
        policy: Arc::new(Policy {
            tls: client_side.is_some(),
            tls_required: service.tls == TlsMode::Required,
            ..Policy::default()
        }),
        broker,
        tls: client_side,
        balancers: service.balancers.clone(),
        limits: service.limits(),
        registry: Registry::default(),
        log: log.clone(),
        timeouts: service.timeouts(),
    };
    let config = ProxyConfig {
        kind: settings.kind,
        door: accounts.map(|accounts| Door::new(accounts, Throttle::default())),
        leaves: settings.ca_dir.as_deref().map(ca::load).transpose()?,
        leg,
        user_limits: UserLimits::new(settings.user_limits.clone()),
        guesses: Guesses::default(),
        inspect: settings.inspect.clone(),
        filter: settings.filter.clone(),
        own_listeners: own,
    };
    let proxy = Proxy::new(parts, config);
    tell(what, &ports.addresses, identity.as_ref());
    let watching = tokio::spawn(signals(proxy.shutdown(), log.clone(), || {}, || {}));
    let clean = proxy.serve(ports.listeners).await;
    watching.abort();
    Ok(stopped(&log, clean))
}

/// Without the right to bear others' addresses a transparent proxy still serves what is redirected to it.
fn listen(kind: &Kind, addr: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    match kind {
        Kind::Transparent(_) => portway_net::listen_transparent(addr).or_else(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => portway_net::listen(addr),
            _ => Err(error),
        }),
        _ => portway_net::listen(addr),
    }
}

/// What is printed when the proxy is ready: for a person, and for scripts the lines that begin with `listening`.
fn tell(what: &str, listeners: &[(SocketAddr, bool)], identity: Option<&tls::Found>) {
    let mut text = format!("portway {} is a {what} proxy\n", env!("CARGO_PKG_VERSION"));
    for (addr, implicit) in listeners {
        let scheme = if *implicit { "ftps" } else { "ftp" };
        text.push_str(&format!("listening {scheme}://{addr}\n"));
    }
    match identity {
        Some(found) => {
            text.push_str(&format!("TLS       SHA-256 {}\n", found.identity.fingerprint_sha256()));
        }
        None => text.push_str("TLS       off towards clients\n"),
    }
    text.push_str("stop      Ctrl-C; running transfers may end\n");
    out::print(text);
}

fn accounts(settings: &Settings) -> Result<Option<Accounts>> {
    if settings.users.is_empty() {
        return Ok(None);
    }
    let mut accounts = Accounts::new().context("accounts")?;
    for user in &settings.users {
        let password = user.password.as_deref();
        let password = password.with_context(|| format!("--user {}: expected NAME:PASSWORD", user.name))?;
        let secret = Secret::new(password.as_bytes());
        accounts = accounts.user(&user.name, &secret, Rights::FULL).context("--user")?;
    }
    Ok(Some(accounts))
}

fn leg(settings: &Settings) -> Result<LegConfig> {
    let client_tls = match (&settings.upstream_ca, settings.upstream_tls) {
        (_, UpstreamTls::Off) => None,
        (Some(file), _) => {
            let options =
                ClientTlsOptions { trust: Trust::Only(file.clone()), ..ClientTlsOptions::default() };
            Some(ClientTls::new(&options).context("--upstream-ca")?)
        }
        (None, UpstreamTls::Required) => {
            Some(ClientTls::new(&ClientTlsOptions::default()).context("TLS towards servers")?)
        }
        // A machine without authorities of its own may still be a proxy for plain sessions.
        (None, UpstreamTls::Auto) => ClientTls::new(&ClientTlsOptions::default()).ok(),
    };
    Ok(LegConfig {
        tls: settings.upstream_tls.into(),
        client_tls,
        named_authority: settings.upstream_ca.is_some(),
        mode: settings.upstream_mode.into(),
        header: settings.upstream_header.map(Into::into),
        denied_ports: BTreeSet::new(),
        active_ports: settings.upstream_active_ports.clone(),
        timeouts: LegTimeouts::default(),
    })
}
