//! Settings of a gate: the configuration file, overruled by flags, filled up with defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use portway_data::Network;
use portway_gate::{GateConfig, GateError, InspectConfig, MidStream, STATUS_SOCKET};
use portway_nft::Reach;
use portway_proto::watch::AuthTls;
use serde::Deserialize;

use super::args::{AuthTlsArg, Engine, MidStreamArg, RunArgs};
use super::bridge::BridgeSettings;
use crate::service::{LogFormatArg, ProofArg, duration, either, texts};

/// Everything `gate run` needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) engine: Engine,
    pub(crate) inspect: InspectConfig,
    pub(crate) gate: GateConfig,
    /// With `--auth-tls bridge`.
    pub(crate) bridge: Option<BridgeSettings>,
    /// Where to listen for agents, and where their certificates are.
    pub(crate) agent: Option<SocketAddr>,
    pub(crate) agent_dir: Option<PathBuf>,
    pub(crate) status_socket: PathBuf,
    pub(crate) log_format: LogFormatArg,
}

/// The file: the flags' names with underscores, in the plural where they are repeatable. Unknown keys are
/// refused, so that a typo is no setting.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    engine: Option<Engine>,
    mid_stream: Option<MidStreamArg>,
    this_host: bool,
    ports: Vec<u16>,
    implicit_ports: Vec<u16>,
    interfaces: Vec<String>,
    #[serde(deserialize_with = "texts")]
    proxy_protocol: Vec<Network>,
    auth_tls: Option<AuthTlsArg>,
    ca_dir: Option<PathBuf>,
    upstream_ca: Option<PathBuf>,
    data_proof: Option<ProofArg>,
    no_ccc: bool,
    hole_lifetime: Option<String>,
    deny_ports: Vec<u16>,
    before_login: bool,
    max_sessions: Option<usize>,
    max_sessions_per_address: Option<usize>,
    openings_per_second: Option<u32>,
    failed_logins_per_minute: Option<u32>,
    max_holes: Option<usize>,
    max_holes_per_pair: Option<usize>,
    agent: Option<SocketAddr>,
    agent_dir: Option<PathBuf>,
    status_socket: Option<PathBuf>,
    log_format: Option<LogFormatArg>,
}

impl Settings {
    /// Reads the file, if one is named, and puts the flags over it.
    pub(crate) fn gather(args: RunArgs) -> Result<Self> {
        let file = args.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let engine = args.engine.or(file.engine).unwrap_or_default();
        let mid_stream = args.mid_stream.or(file.mid_stream).unwrap_or_default();
        if mid_stream != MidStreamArg::default() && engine == Engine::Relay {
            bail!("--mid-stream is for --engine inspect: the relay resets what it did not begin");
        }
        let this_host = args.this_host || file.this_host;
        if this_host && engine == Engine::Relay {
            bail!("--this-host is for --engine inspect: the relay takes over what passes through");
        }
        let mut gate = GateConfig::default();
        if this_host {
            gate.holes.reach = Reach::Both;
        }
        let ports = either(args.ports, file.ports);
        if !ports.is_empty() {
            gate.ports = ports;
        }
        gate.implicit_ports = either(args.implicit_ports, file.implicit_ports);
        if let Some(both) = gate.ports.iter().find(|port| gate.implicit_ports.contains(port)) {
            bail!("port {both} is either plain or under TLS from the first octet on");
        }
        if gate.ports.iter().chain(&gate.implicit_ports).any(|port| *port == 0) {
            bail!("port 0 is no port of control connections");
        }
        gate.interfaces = either(args.interfaces, file.interfaces);
        if let Some(bad) = gate.interfaces.iter().find(|name| !is_interface(name)) {
            bail!("{bad:?} is no name of an interface");
        }
        gate.balancers = either(args.proxy_protocol, file.proxy_protocol);
        if !gate.balancers.is_empty() && engine == Engine::Inspect {
            bail!("--proxy-protocol is for --engine relay: a queue takes nothing out of a connection");
        }
        gate.watch.auth_tls = match args.auth_tls.or(file.auth_tls).unwrap_or_default() {
            AuthTlsArg::Pass => AuthTls::Pass,
            AuthTlsArg::Refuse => AuthTls::Refuse,
            AuthTlsArg::Bridge if engine == Engine::Inspect => return Err(GateError::Bridge.into()),
            AuthTlsArg::Bridge => AuthTls::Bridge,
        };
        let bridge = bridge(
            gate.watch.auth_tls,
            args.ca_dir.or(file.ca_dir),
            args.upstream_ca.or(file.upstream_ca),
            args.data_proof.or(file.data_proof),
        )?;
        gate.watch.ccc = !(args.no_ccc || file.no_ccc);
        gate.watch.login_first = !(args.before_login || file.before_login);
        if let Some(lifetime) = lifetime(args.hole_lifetime, file.hole_lifetime.as_deref())? {
            gate.watch.within = lifetime;
        }
        let denied = either(args.deny_ports, file.deny_ports);
        gate.watch.denied_ports.extend(&denied);
        gate.holes.denied_ports.extend(&denied);
        set(&mut gate.max_sessions, args.max_sessions.or(file.max_sessions));
        let each = args.max_sessions_per_address.or(file.max_sessions_per_address);
        set(&mut gate.max_sessions_per_client, each);
        set(&mut gate.openings_per_second, args.openings_per_second.or(file.openings_per_second));
        let failed = args.failed_logins_per_minute.or(file.failed_logins_per_minute);
        set(&mut gate.failed_logins_per_minute, failed);
        if let Some(most) = args.max_holes.or(file.max_holes) {
            gate.holes.total = most.clamp(1, 65_536);
            gate.layout.size = u32::try_from(gate.holes.total).unwrap_or(u32::MAX);
        }
        let pair = args.max_holes_per_pair.or(file.max_holes_per_pair);
        set(&mut gate.holes.per_pair, pair.map(|most| most.max(1)));
        let mid_stream = match mid_stream {
            MidStreamArg::Reset => MidStream::Reset,
            MidStreamArg::Pass => MidStream::Pass,
        };
        Ok(Self {
            engine,
            inspect: InspectConfig { mid_stream, this_host, ..InspectConfig::default() },
            gate,
            bridge,
            agent: args.agent.or(file.agent),
            agent_dir: args.agent_dir.or(file.agent_dir),
            status_socket: args.status_socket.or(file.status_socket).unwrap_or_else(|| STATUS_SOCKET.into()),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
        })
    }
}

/// Leaves a default where nothing else is wanted.
fn set<T>(place: &mut T, wanted: Option<T>) {
    if let Some(wanted) = wanted {
        *place = wanted;
    }
}

/// What only a bridge needs, and nobody else may ask for.
fn bridge(
    auth_tls: AuthTls,
    ca_dir: Option<PathBuf>,
    upstream_ca: Option<PathBuf>,
    proof: Option<ProofArg>,
) -> Result<Option<BridgeSettings>> {
    if auth_tls == AuthTls::Bridge {
        let ca_dir = ca_dir.unwrap_or_else(|| crate::proxy::CA_DIR.into());
        let proof = proof.unwrap_or_default().proof();
        return Ok(Some(BridgeSettings { ca_dir, upstream_ca, proof }));
    }
    if ca_dir.is_some() || upstream_ca.is_some() || proof.is_some() {
        bail!("--ca-dir, --upstream-ca and --data-proof are for --auth-tls bridge");
    }
    Ok(None)
}

fn lifetime(flag: Option<Duration>, file: Option<&str>) -> Result<Option<Duration>> {
    let lifetime = match (flag, file) {
        (Some(time), _) => time,
        (None, Some(text)) => duration(text).map_err(|why| anyhow!("hole_lifetime: {why}"))?,
        (None, None) => return Ok(None),
    };
    if !(1..=60).contains(&lifetime.as_secs()) {
        bail!("--hole-lifetime is 1s to 60s");
    }
    Ok(Some(lifetime))
}

/// What the kernel takes for a name, less what has a meaning in a ruleset.
fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@' | b'*'))
}

fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))
}
