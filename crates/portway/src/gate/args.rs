//! The flags of `portway gate`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use portway_data::Network;
use portway_nft::paste::Firewall;

use crate::service::ProofArg;

use crate::service::PortRange;

/// `portway gate`.
#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    #[command(subcommand)]
    pub(crate) command: GateCommand,
}

/// What a gate is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum GateCommand {
    /// Take over control connections and open exactly the announced ports (needs root, or CAP_NET_ADMIN)
    Run(Box<RunArgs>),
    /// Show sessions, open holes and refusals of a running gate
    Status(StatusArgs),
    /// Print what to paste into a firewall of your own
    Rules(RulesArgs),
    /// Make certificates: for the gate at the first call, and for a server that may announce ports to it
    Enroll(EnrollArgs),
}

/// The flags of `portway gate run`; each may stand in the configuration file too, and the flag wins.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// How control connections are read: `relay` ends them and writes every line anew; `inspect` holds their packets
    /// in a queue and leaves TCP to the two ends [default: relay]
    #[arg(long, value_enum)]
    pub(crate) engine: Option<Engine>,
    /// With `inspect`: what becomes of connections that began before the gate [default: reset]
    #[arg(long, value_enum)]
    pub(crate) mid_stream: Option<MidStreamArg>,
    /// With `inspect`: also watch over control connections of this host's own servers and clients
    #[arg(long)]
    pub(crate) this_host: bool,
    /// A port of control connections (repeatable) [default: 21]
    #[arg(long = "port", value_name = "PORT")]
    pub(crate) ports: Vec<u16>,
    /// A port of control connections that are under TLS from the first octet on, 990 as a rule; they pass unread, or are bridged
    /// (repeatable) [default: none]
    #[arg(long = "implicit-port", value_name = "PORT")]
    pub(crate) implicit_ports: Vec<u16>,
    /// Take over only what comes in here (repeatable) [default: any interface]
    #[arg(long = "interface", value_name = "NAME")]
    pub(crate) interfaces: Vec<String>,
    /// Connections from this network (a balancer's) begin with a PROXY header, version 1 or 2, and count as those of the
    /// client it names; for `relay` (repeatable) [default: none, and from others it is refused]
    #[arg(long = "proxy-protocol", value_name = "NET")]
    pub(crate) proxy_protocol: Vec<Network>,
    /// What AUTH TLS gets: `pass` (then only announcements by an agent open holes), `refuse`, or `bridge`: TLS ends
    /// at the gate, which verifies the server and stands in for it (see --ca-dir) [default: pass]
    #[arg(long, value_enum)]
    pub(crate) auth_tls: Option<AuthTlsArg>,
    /// With `bridge`: clients are shown certificates in the names of their servers, made by the authority of
    /// `portway proxy ca` in this folder, which they must trust [default: /etc/portway/proxy]
    #[arg(long, value_name = "DIR")]
    pub(crate) ca_dir: Option<PathBuf>,
    /// With `bridge`: servers' certificates must be signed by these authorities, PEM [default: those the system
    /// trusts]
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// With `bridge`: what a client's data connection must show: that it resumes the TLS session of its control
    /// connection, always (`required`) or once the client has shown that it does (`auto`); or its address alone
    /// [default: auto]
    #[arg(long, value_enum)]
    pub(crate) data_proof: Option<ProofArg>,
    /// Refuse CCC, with which a session under TLS becomes readable again
    #[arg(long)]
    pub(crate) no_ccc: bool,
    /// How long a hole waits for its connection, 1 to 60 s [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = crate::service::duration)]
    pub(crate) hole_lifetime: Option<Duration>,
    /// A port that no hole leads to, besides those below 1024 and well-known services (repeatable)
    #[arg(long = "deny-port", value_name = "PORT")]
    pub(crate) deny_ports: Vec<u16>,
    /// Let announcements pass before the login
    #[arg(long)]
    pub(crate) before_login: bool,
    /// Sessions at a time; 0 is no limit [default: 4096]
    #[arg(long, value_name = "N")]
    pub(crate) max_sessions: Option<usize>,
    /// Sessions at a time from one address (IPv6: one /64); 0 is no limit [default: 256]
    #[arg(long, value_name = "N")]
    pub(crate) max_sessions_per_address: Option<usize>,
    /// Holes a second for one client address; 0 is no limit [default: 50]
    #[arg(long, value_name = "N")]
    pub(crate) openings_per_second: Option<u32>,
    /// Failed logins a minute for one client address, as far as they can be read; 0 is no limit [default: 30]
    #[arg(long, value_name = "N")]
    pub(crate) failed_logins_per_minute: Option<u32>,
    /// Holes at a time [default: 4096]
    #[arg(long, value_name = "N")]
    pub(crate) max_holes: Option<usize>,
    /// Holes at a time between one client and one server (IPv6: one /64) [default: 128]
    #[arg(long, value_name = "N")]
    pub(crate) max_holes_per_pair: Option<usize>,
    /// Listen here for servers that announce their ports, over mutual TLS: FTPS passes then (see `enroll`)
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) agent: Option<SocketAddr>,
    /// Where the certificates are that `enroll` made [default: /etc/portway/agent]
    #[arg(long, value_name = "DIR")]
    pub(crate) agent_dir: Option<PathBuf>,
    /// Tell the status here [default: /run/portway/gate.sock]
    #[arg(long, value_name = "FILE")]
    pub(crate) status_socket: Option<PathBuf>,
    /// Read settings from this file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The form of the log on standard error [default: text]
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<crate::service::LogFormatArg>,
}

/// `--engine`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// A transparent relay of the control connection.
    #[default]
    Relay,
    /// Packets held in a queue.
    Inspect,
}

/// `--mid-stream`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MidStreamArg {
    /// They are reset.
    #[default]
    Reset,
    /// They pass unread, and open nothing.
    Pass,
}

/// `--auth-tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthTlsArg {
    /// Passed; from then on the gate is blind.
    #[default]
    Pass,
    /// Refused with the reason.
    Refuse,
    /// Ended at the gate, towards both sides.
    Bridge,
}

/// The flags of `portway gate status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Where the gate tells its status [default: /run/portway/gate.sock]
    #[arg(long, value_name = "FILE")]
    pub(crate) status_socket: Option<PathBuf>,
    /// One JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// The flags of `portway gate enroll`.
#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    /// The server's name; without one only the authority's and the gate's certificates are made
    pub(crate) name: Option<String>,
    /// An address of the server, for which it may speak (repeatable)
    #[arg(long = "address", value_name = "ADDR")]
    pub(crate) addresses: Vec<IpAddr>,
    /// Where to keep them [default: /etc/portway/agent]
    #[arg(long, value_name = "DIR")]
    pub(crate) agent_dir: Option<PathBuf>,
}

/// The flags of `portway gate rules`.
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// nftables, iptables, ufw or firewalld
    #[arg(long, value_name = "NAME", default_value = "nftables", value_parser = firewall)]
    pub(crate) firewall: Firewall,
    /// A port of control connections (repeatable) [default: 21]
    #[arg(long = "port", value_name = "PORT")]
    pub(crate) ports: Vec<u16>,
    /// Data ports, for firewalls that cannot match a mark
    #[arg(long = "data-ports", value_name = "A-B", default_value = "50000-50999")]
    pub(crate) data: PortRange,
}

fn firewall(name: &str) -> Result<Firewall, String> {
    Firewall::read(name).ok_or_else(|| {
        let names = Firewall::ALL.map(Firewall::name).join(", ");
        format!("expected one of {names}")
    })
}
