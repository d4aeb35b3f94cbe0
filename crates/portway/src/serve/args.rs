//! The flags of `portway serve`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use portway_data::Network;
use portway_ops::LogFormat;

/// The flags; each may stand in the configuration file too, and the flag wins.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// The folder to serve [default: the current one]
    pub(crate) directory: Option<PathBuf>,
    /// Listen here for control connections; port 0 takes any (repeatable) [default: 127.0.0.1:2121]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Listen here for implicit FTPS: TLS before the greeting (repeatable)
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) implicit: Vec<SocketAddr>,
    /// An account that may read and write; without a password one is made and printed (repeatable)
    #[arg(long = "user", value_name = "NAME[:PASSWORD]")]
    pub(crate) users: Vec<UserArg>,
    /// Let anonymous users read [default: only if there is no --user]
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Refuse every change
    #[arg(long)]
    pub(crate) read_only: bool,
    /// TLS: offered, off, or required for login and data [default: on]
    #[arg(long, value_enum)]
    pub(crate) tls: Option<TlsMode>,
    /// Certificate chain, PEM [default: a self-signed one made at the first start]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of --cert, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Check client certificates against these authorities, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Allow CCC: commands in the clear after a login under TLS
    #[arg(long)]
    pub(crate) ccc: bool,
    /// Name MODE Z (compression) in FEAT; without this it is served to whoever asks for it
    #[arg(long)]
    pub(crate) advertise_mode_z: bool,
    /// What a data connection under TLS must show: that it resumes the control connection's session
    #[arg(long, value_enum)]
    pub(crate) data_proof: Option<ProofArg>,
    /// Announce only these ports for passive mode; few ports are shared by all sessions [default: outside the kernel's ephemeral range]
    #[arg(long, value_name = "A-B")]
    pub(crate) passive_ports: Option<PortRange>,
    /// Announce this address for passive mode, or `auto`: the one the client connected to
    #[arg(long, value_name = "ADDR|auto")]
    pub(crate) passive_address: Option<AddressArg>,
    /// Open this host's packet filter for each announced port, for one client, once: `nft` through portway-holed
    /// (at /run/portway/holed.sock, or nft:PATH) or with CAP_NET_ADMIN of our own; or a gate's on another
    /// machine: agent:ADDR:PORT [default: none]
    #[arg(long, value_name = "none|nft|agent:ADDR:PORT")]
    pub(crate) pinholes: Option<PinholesArg>,
    /// Where the certificates for agent:… are, made by `portway gate enroll` [default: /etc/portway/agent]
    #[arg(long, value_name = "DIR")]
    pub(crate) agent_dir: Option<PathBuf>,
    /// Connections from this network begin with a PROXY header (v1 or v2) and are whose it says: a balancer in
    /// front. Data connections go past it (repeatable)
    #[arg(long, value_name = "NET")]
    pub(crate) proxy_protocol: Vec<Network>,
    /// Read settings from this file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// End a session after so long without a command [default: 300s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) idle_timeout: Option<Duration>,
    /// Give up a data connection that does not come, or brings nothing for so long [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) data_timeout: Option<Duration>,
    /// Sessions at a time; 0 is no limit [default: 10000]
    #[arg(long, value_name = "N")]
    pub(crate) max_sessions: Option<usize>,
    /// Sessions at a time from one address (IPv6: one /64); 0 is no limit [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) max_sessions_per_address: Option<usize>,
    /// The form of the log on standard error [default: text]
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormatArg>,
    /// Write an xferlog(5) line per file to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) xferlog: Option<PathBuf>,
    /// Tell metrics, sessions and health by HTTP here: loopback only; `portway status` asks it
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) admin: Option<SocketAddr>,
    /// Become this user once the ports are open; DIR and the log files are then used with his rights
    #[arg(long, value_name = "USER")]
    pub(crate) run_as: Option<String>,
    /// Do not let the kernel keep the server inside the folders it needs
    #[arg(long)]
    pub(crate) no_landlock: bool,
}

/// `--tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TlsMode {
    /// AUTH TLS is offered.
    #[default]
    On,
    /// No TLS at all.
    Off,
    /// No login and no data without TLS.
    Required,
}

/// `--data-proof`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProofArg {
    /// Whoever has resumed once must go on resuming.
    #[default]
    Auto,
    /// Every data connection must resume.
    Required,
    /// The address is enough.
    Off,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormatArg {
    /// Words and `key=value`.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Text => Self::Text,
            LogFormatArg::Json => Self::Json,
        }
    }
}

/// `--user NAME:PASSWORD`; the password may be left out.
#[derive(Clone)]
pub(crate) struct UserArg {
    pub(crate) name: String,
    pub(crate) password: Option<String>,
}

impl std::fmt::Debug for UserArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserArg({:?})", self.name)
    }
}

impl FromStr for UserArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, password) = match text.split_once(':') {
            Some((name, password)) => (name, Some(password.to_owned())),
            None => (text, None),
        };
        if name.is_empty() {
            return Err("expected NAME or NAME:PASSWORD".to_owned());
        }
        Ok(Self { name: name.to_owned(), password })
    }
}

/// `--passive-ports A-B`, or one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortRange(pub(crate) RangeInclusive<u16>);

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = |text: &str| {
            text.trim().parse::<u16>().map_err(|_| "expected A-B, such as 50000-50100".to_owned())
        };
        let (low, high) = match text.split_once('-') {
            Some((low, high)) => (port(low)?, port(high)?),
            None => (port(text)?, port(text)?),
        };
        if low > high {
            return Err("the first port is above the last".to_owned());
        }
        Ok(Self(low..=high))
    }
}

/// `--passive-address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressArg(pub(crate) Option<std::net::IpAddr>);

/// `--pinholes none|nft|nft:PATH|agent:ADDR:PORT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum PinholesArg {
    /// Nothing is filtered, or somebody else sees to it.
    #[default]
    None,
    /// nftables on this host; the path is the helper's socket if it is not the usual one.
    Nft(Option<PathBuf>),
    /// A `portway gate run --agent` on another machine.
    Agent(SocketAddr),
}

impl FromStr for PinholesArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "nft" => Ok(Self::Nft(None)),
            Some(("nft", path)) if !path.is_empty() => Ok(Self::Nft(Some(path.into()))),
            Some(("agent", gate)) => gate
                .parse()
                .map(Self::Agent)
                .map_err(|_| "expected agent:ADDR:PORT, a gate's address".to_owned()),
            _ => Err("expected none, nft, nft:PATH or agent:ADDR:PORT".to_owned()),
        }
    }
}

impl TryFrom<String> for PinholesArg {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for AddressArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|address| Self(Some(address)))
            .map_err(|_| "expected an IP address or auto".to_owned())
    }
}

/// `300s`, `5m`, `2h`, `500ms`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let bad = || format!("{text:?} is no time; expected 300s, 5m, 2h or 500ms");
    let number: u64 = number.parse().map_err(|_| bad())?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs).ok_or_else(bad);
    match unit {
        "" | "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "ms" => Ok(Duration::from_millis(number)),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, want) in [
            ("300s", Some(300_000)),
            ("5m", Some(300_000)),
            ("2h", Some(7_200_000)),
            ("500ms", Some(500)),
            ("30", Some(30_000)),
            ("", None),
            ("-1s", None),
            ("1d", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(duration(text).ok(), want.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn pinholes_are_off_or_by_nftables_or_by_a_gate() {
        assert_eq!("none".parse(), Ok(PinholesArg::None));
        assert_eq!("nft".parse(), Ok(PinholesArg::Nft(None)));
        assert_eq!("nft:/run/h.sock".parse(), Ok(PinholesArg::Nft(Some("/run/h.sock".into()))));
        assert_eq!("agent:10.0.0.1:8021".parse(), Ok(PinholesArg::Agent(([10, 0, 0, 1], 8021).into())));
        for bad in ["", "nft:", "iptables", "agent:", "agent:10.0.0.1"] {
            assert!(bad.parse::<PinholesArg>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_range_has_its_ends_in_order() {
        assert_eq!("50000-50100".parse(), Ok(PortRange(50000..=50100)));
        assert_eq!("50000".parse(), Ok(PortRange(50000..=50000)));
        for bad in ["", "-", "5-4", "x-y", "1-70000"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_may_hold_colons_and_is_not_shown() {
        let user: UserArg = "ann:a:b".parse().expect("a user");
        assert_eq!((user.name.as_str(), user.password.as_deref()), ("ann", Some("a:b")));
        assert!(!format!("{user:?}").contains("a:b"));
        assert!("ann".parse::<UserArg>().expect("a user").password.is_none());
        assert!(":x".parse::<UserArg>().is_err());
    }
}
