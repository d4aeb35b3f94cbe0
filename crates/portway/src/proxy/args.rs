//! The flags of `portway proxy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use portway_proxy::{Balance, ProxyHeader, Rule, ServerTlsChoice, Target, VerbPattern, WayChoice};
use serde::Deserialize;

use crate::client::Rate;
use crate::serve::UserArg;
use crate::service::{PortRange, ServiceArgs};

/// Where the authority of `ca` is kept unless told otherwise.
pub(crate) const CA_DIR: &str = "/etc/portway/proxy";

/// The flags; each may stand in the configuration file too, and the flag wins.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ProxyArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ProxyCommand>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Go where clients say: USER name@host, OPEN host or SITE host
    #[arg(long, group = "kind")]
    pub(crate) forward: bool,
    /// Go only there: a network, a host name or *.domain (repeatable) [default: every public address]
    #[arg(long, value_name = "NET|NAME", conflicts_with = "reverse")]
    pub(crate) allow: Vec<Rule>,
    /// Be the server that clients see, in front of this one or several: ftp://, ftpes:// or ftps:// (repeatable)
    #[arg(long, value_name = "URL", group = "kind")]
    pub(crate) reverse: Vec<Target>,
    /// How sessions are spread over several servers [default: round-robin]
    #[arg(long, value_enum)]
    pub(crate) balance: Option<BalanceArg>,
    /// Stand in the way unseen: go where the client's connection was on its way to
    #[arg(long, group = "kind")]
    pub(crate) transparent: bool,
    /// An account of the proxy itself, asked for before anything else (with --forward, repeatable)
    #[arg(long = "user", value_name = "NAME:PASSWORD")]
    pub(crate) users: Vec<UserArg>,
    /// Refuse every change
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Let this command of the shell look into each file that passes: it reads a copy on its standard input; exit
    /// status 0 passes the file, any other breaks the transfer off with 550 and the command's first line of output.
    /// PORTWAY_VERB, _PATH, _USER, _CLIENT and _SERVER are in its environment
    #[arg(long, value_name = "CMD")]
    pub(crate) inspect_command: Option<String>,
    /// The same by an ICAP server (RFC 3507), such as c-icap in front of ClamAV: downloads as RESPMOD, uploads as REQMOD.
    /// Where it cannot be asked, or would change a file, nothing passes
    #[arg(long, value_name = "icap://HOST[:PORT]/SERVICE", conflicts_with = "inspect_command")]
    pub(crate) inspect_icap: Option<String>,
    /// Sessions that one user may have at a time [default: no limit]
    #[arg(long, value_name = "N")]
    pub(crate) max_sessions_per_user: Option<usize>,
    /// Octets per second for each transfer, as 500K or 2M [default: no limit]
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<Rate>,
    /// Keep this command back from servers: a verb, `SITE CHMOD`, or a class: @write, @read, @list, @active,
    /// @passive (repeatable; the configuration file has rules by argument and user)
    #[arg(long, value_name = "VERB")]
    pub(crate) deny: Vec<VerbPattern>,
    /// TLS towards servers: `auto` as the client's, `required`, or `off` [default: auto]
    #[arg(long, value_enum, value_name = "auto|required|off")]
    pub(crate) upstream_tls: Option<UpstreamTls>,
    /// Servers' certificates must be signed by these authorities, PEM [default: those the system trusts]
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// Who opens the servers' data connections: the proxy (passive) or the server (active) [default: auto]
    #[arg(long, value_enum, value_name = "auto|passive|active")]
    pub(crate) upstream_mode: Option<UpstreamMode>,
    /// Listen on these ports for servers in active mode [default: any]
    #[arg(long, value_name = "A-B")]
    pub(crate) upstream_active_ports: Option<PortRange>,
    /// Tell servers by a PROXY header whose connection it is; data connections still come from this proxy
    #[arg(long, value_enum, value_name = "v1|v2")]
    pub(crate) upstream_proxy_header: Option<HeaderArg>,
    /// Show clients a certificate in the name of the server they ask for, made by the authority of `portway proxy ca`
    /// in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "cert")]
    pub(crate) ca_dir: Option<PathBuf>,
    /// Read settings from this file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What a proxy may be asked instead of running.
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Make an authority for `--ca-dir`; clients that are to be looked into must trust its certificate
    Ca(CaArgs),
}

/// `portway proxy ca`.
#[derive(Debug, Args)]
pub(crate) struct CaArgs {
    /// Where the authority is kept
    #[arg(default_value = CA_DIR)]
    pub(crate) dir: PathBuf,
}

/// `--balance`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BalanceArg {
    /// In turn.
    #[default]
    RoundRobin,
    /// To the server with the fewest sessions.
    LeastConnections,
}

/// `--upstream-tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UpstreamTls {
    /// A client under TLS gets TLS all the way or no session; one in the clear gets it if --upstream-ca is given and the server has it.
    #[default]
    Auto,
    /// Always.
    Required,
    /// Never, also behind clients under TLS.
    Off,
}

/// `--upstream-proxy-header`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HeaderArg {
    /// A line of text.
    V1,
    /// Octets.
    V2,
}

impl From<HeaderArg> for ProxyHeader {
    fn from(arg: HeaderArg) -> Self {
        match arg {
            HeaderArg::V1 => Self::V1,
            HeaderArg::V2 => Self::V2,
        }
    }
}

/// `--upstream-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UpstreamMode {
    /// The proxy connects; if that does not work, the server.
    #[default]
    Auto,
    /// The proxy connects to the server (EPSV, PASV).
    Passive,
    /// The server connects to the proxy (EPRT, PORT).
    Active,
}

impl From<BalanceArg> for Balance {
    fn from(arg: BalanceArg) -> Self {
        match arg {
            BalanceArg::RoundRobin => Self::RoundRobin,
            BalanceArg::LeastConnections => Self::LeastConnections,
        }
    }
}

impl From<UpstreamTls> for ServerTlsChoice {
    fn from(arg: UpstreamTls) -> Self {
        match arg {
            UpstreamTls::Auto => Self::Auto,
            UpstreamTls::Required => Self::Required,
            UpstreamTls::Off => Self::Off,
        }
    }
}

impl From<UpstreamMode> for WayChoice {
    fn from(arg: UpstreamMode) -> Self {
        match arg {
            UpstreamMode::Auto => Self::Auto,
            UpstreamMode::Passive => Self::Passive,
            UpstreamMode::Active => Self::Active,
        }
    }
}
