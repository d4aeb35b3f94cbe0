//! What `serve` and `proxy` know alike: the file, overruled by flags, filled up with defaults.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use portway_data::{AnnouncePolicy, BrokerConfig, Network, OwnListeners, PassivePorts, Proof};
use portway_interpreter::Timeouts;
use portway_ops::Limits;

use super::{AddressArg, LogFormatArg, ServiceArgs, TlsMode};

/// Where to listen, how to speak TLS, which data ports to announce, and how long and how much to bear.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) implicit: Vec<SocketAddr>,
    pub(crate) balancers: Vec<Network>,
    pub(crate) tls: TlsMode,
    pub(crate) cert: Option<(PathBuf, PathBuf)>,
    pub(crate) proof: Proof,
    pub(crate) ports: PassivePorts,
    pub(crate) announce: Option<IpAddr>,
    pub(crate) active_source_port: Option<u16>,
    pub(crate) idle_timeout: Duration,
    pub(crate) data_timeout: Duration,
    pub(crate) max_sessions: usize,
    pub(crate) max_sessions_per_address: usize,
    pub(crate) log_format: LogFormatArg,
}

impl ServiceArgs {
    /// Puts these flags over those of a file.
    ///
    /// # Errors
    /// What does not go together.
    pub(crate) fn over(self, file: Self) -> Result<Service> {
        let certificate = match (file.cert, file.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            // Half of it is no wish for a self-signed one.
            (Some(_), None) | (None, Some(_)) => {
                bail!("cert and key belong together; one of them is missing")
            }
        };
        let implicit = either(self.implicit, file.implicit);
        let mut listen = either(self.listen, file.listen);
        if listen.is_empty() && implicit.is_empty() {
            listen.push(SocketAddr::from(([127, 0, 0, 1], 2121)));
        }
        let tls = self.tls.or(file.tls).unwrap_or_default();
        if tls == TlsMode::Off && !implicit.is_empty() {
            bail!("--implicit needs TLS, and --tls is off");
        }
        let ports = self.passive_ports.or(file.passive_ports);
        let AddressArg(announce) = self.passive_address.or(file.passive_address).unwrap_or(AddressArg(None));
        Ok(Service {
            listen,
            implicit,
            balancers: either(self.proxy_protocol, file.proxy_protocol),
            tls,
            cert: self.cert.zip(self.key).or(certificate),
            proof: self.data_proof.or(file.data_proof).unwrap_or_default().proof(),
            ports: ports.map_or(PassivePorts::Auto, |range| PassivePorts::Range(range.0)),
            announce,
            active_source_port: self.active_source_port.or(file.active_source_port).filter(|&port| port != 0),
            idle_timeout: self.idle_timeout.or(file.idle_timeout).unwrap_or(Duration::from_secs(300)),
            data_timeout: self.data_timeout.or(file.data_timeout).unwrap_or(Duration::from_secs(30)),
            max_sessions: self.max_sessions.or(file.max_sessions).unwrap_or(20_000),
            max_sessions_per_address: self
                .max_sessions_per_address
                .or(file.max_sessions_per_address)
                .unwrap_or_default(),
            log_format: self.log_format.or(file.log_format).unwrap_or_default(),
        })
    }
}

impl Service {
    /// How data connections come about. To be called as whom the program stays.
    ///
    /// # Errors
    /// The source port of active mode is beyond our rights.
    pub(crate) fn broker(&self, own_listeners: OwnListeners) -> Result<BrokerConfig> {
        if let Some(port) = self.active_source_port
            && !portway_net::may_connect_from(port)
        {
            bail!(
                "--active-source-port {port} takes CAP_NET_BIND_SERVICE for as long as the program runs, and it is \
                 missing (--run-as gives it away, too): start with AmbientCapabilities=CAP_NET_BIND_SERVICE of \
                 systemd, or lower net.ipv4.ip_unprivileged_port_start"
            );
        }
        Ok(BrokerConfig {
            ports: self.ports.clone(),
            announce: self.announce.map_or_else(AnnouncePolicy::default, AnnouncePolicy::fixed),
            active_source_port: self.active_source_port,
            arrive_within: self.data_timeout,
            proof: self.proof,
            own_listeners,
            ..BrokerConfig::default()
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits::new(self.max_sessions, self.max_sessions_per_address)
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts { idle: self.idle_timeout, data: self.data_timeout, ..Timeouts::default() }
    }
}

/// A list on the command line overrules the file's.
pub(crate) fn either<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}
