//! `--auth-tls bridge`: sessions under TLS go on at a transparent proxy, which ends TLS on both sides.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use portway_data::{Broker, BrokerConfig, OwnListeners, Proof};
use portway_gate::{Bridge, Entrusted, GateConfig, Handover};
use portway_interpreter::{Parts, Timeouts};
use portway_net::{ClientTls, ClientTlsOptions, Identity, ServerTls, ServerTlsOptions, Trust};
use portway_ops::{Limits, Log, Registry};
use portway_proto::Policy;
use portway_proxy::{
    Allow, Filter, Guesses, Kind, LegConfig, LegTimeouts, Origin, Proxy, ProxyConfig, ServerTlsChoice,
    Takeover, UserLimits, WayChoice,
};

/// What a bridge needs to know besides the gate's settings.
#[derive(Clone, Debug)]
pub(crate) struct BridgeSettings {
    /// The authority of `portway proxy ca`, which clients trust.
    pub(crate) ca_dir: PathBuf,
    /// The authorities that servers' certificates must be signed by; `None` takes the system's.
    pub(crate) upstream_ca: Option<PathBuf>,
    /// What data connections of clients must show.
    pub(crate) proof: Proof,
}

/// Whether both authorities are there, before anything is changed.
pub(super) fn check(settings: &BridgeSettings) -> Result<()> {
    crate::proxy::authority(&settings.ca_dir)?;
    client_tls(settings)?;
    Ok(())
}

fn client_tls(settings: &BridgeSettings) -> Result<ClientTls> {
    let trust = settings.upstream_ca.clone().map(Trust::Only);
    let options = ClientTlsOptions { trust: trust.unwrap_or_default(), ..ClientTlsOptions::default() };
    ClientTls::new(&options).context("--upstream-ca")
}

/// A bridge that shows clients certificates in the name of the server they called, and verifies that server's.
pub(super) fn bridge(settings: &BridgeSettings, gate: &GateConfig, log: &Log) -> Result<Bridge> {
    let leaves = crate::proxy::authority(&settings.ca_dir)?;
    // Never shown: each session gets the certificate of its server.
    let (identity, ..) = Identity::self_signed(&["portway".to_owned()]).context("TLS towards clients")?;
    let tls = ServerTls::new(identity, ServerTlsOptions::default()).context("TLS towards clients")?;
    let client_tls = client_tls(settings)?;
    let broker = Broker::new(BrokerConfig { proof: settings.proof, ..BrokerConfig::default() })
        .context("data ports")?;
    let parts = Parts {
        policy: Arc::new(Policy { tls: true, ..Policy::default() }),
        broker,
        tls: Some(tls),
        balancers: Vec::new(),
        // The gate counts its sessions, these among them.
        limits: Limits::new(0, 0),
        registry: Registry::default(),
        log: log.clone(),
        timeouts: Timeouts { idle: gate.idle, ..Timeouts::default() },
    };
    let config = ProxyConfig {
        kind: Kind::Transparent(Allow::default()),
        door: None,
        user_limits: UserLimits::default(),
        guesses: Guesses::default(),
        leaves: Some(leaves),
        leg: LegConfig {
            tls: ServerTlsChoice::Auto,
            client_tls: Some(client_tls),
            named_authority: settings.upstream_ca.is_some(),
            mode: WayChoice::Auto,
            header: None,
            denied_ports: gate.watch.denied_ports.clone(),
            active_ports: None,
            timeouts: LegTimeouts { connect: gate.connect_within, ..LegTimeouts::default() },
        },
        filter: Filter::default(),
        inspect: None,
        own_listeners: OwnListeners::default(),
    };
    let proxy = Proxy::new(parts, config);
    Ok(Bridge::new(move |handover: Handover| {
        let proxy = proxy.clone();
        let Handover { stream, client, server, seen_as, implicit, entrusted } = handover;
        let origin = Arc::new(Book(entrusted));
        async move { proxy.take_over(Takeover { stream, client, server, seen_as, implicit, origin }).await }
    }))
}

/// The gate goes on keeping the book of a session that it has handed over.
#[derive(Debug)]
struct Book(Entrusted);

impl Origin for Book {
    fn user(&self, name: &[u8]) {
        self.0.user(name);
    }

    fn login_refused(&self) -> bool {
        self.0.login_refused()
    }

    fn refused(&self, why: &str) {
        self.0.refuse(why);
    }
}
