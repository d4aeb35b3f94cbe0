//! The flags, and likewise the settings, of whoever plays the server: `serve` and `proxy`.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use portway_data::{Network, Proof};
use portway_ops::LogFormat;
use serde::Deserialize;

use super::file::{text, texts, time};

/// The flags, and as they are the settings of a file, with underscores.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServiceArgs {
    /// Listen here for control connections; port 0 takes any (repeatable) [default: 127.0.0.1:2121]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Listen here for implicit FTPS: TLS before the greeting (repeatable)
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) implicit: Vec<SocketAddr>,
    /// Connections from this network begin with a PROXY header (v1 or v2) and are whose it says: a balancer in
    /// front. Data connections go past it (repeatable)
    #[arg(long, value_name = "NET")]
    #[serde(deserialize_with = "texts")]
    pub(crate) proxy_protocol: Vec<Network>,
    /// TLS towards clients: offered, off, or required for login and data [default: on]
    #[arg(long, value_enum)]
    pub(crate) tls: Option<TlsMode>,
    /// Certificate chain towards clients, PEM [default: a self-signed one made at the first start]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of --cert, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// What a client's data connection under TLS must show: that it resumes the control connection's session
    #[arg(long, value_enum)]
    pub(crate) data_proof: Option<ProofArg>,
    /// Announce only these ports for passive mode; few ports are shared by all sessions [default: outside the kernel's ephemeral range]
    #[arg(long, value_name = "A-B")]
    #[serde(deserialize_with = "text")]
    pub(crate) passive_ports: Option<PortRange>,
    /// Announce this address for passive mode, or `auto`: the one the client connected to
    #[arg(long, value_name = "ADDR|auto")]
    #[serde(deserialize_with = "text")]
    pub(crate) passive_address: Option<AddressArg>,
    /// Connect from this port in active mode, 20 by the letter of RFC 959, for firewalls at clients that insist on it.
    /// Below 1024 it takes CAP_NET_BIND_SERVICE as long as the program runs [default: any]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) active_source_port: Option<u16>,
    /// End a session after so long without a command [default: 300s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    #[serde(deserialize_with = "time")]
    pub(crate) idle_timeout: Option<Duration>,
    /// Give up a data connection that does not come, or brings nothing for so long [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    #[serde(deserialize_with = "time")]
    pub(crate) data_timeout: Option<Duration>,
    /// Sessions at a time; 0 is no limit [default: 20000]
    #[arg(long, value_name = "N")]
    pub(crate) max_sessions: Option<usize>,
    /// Sessions at a time from one address (IPv6: one /64); 0 is no limit, since a whole office or a balancer may be
    /// one address [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) max_sessions_per_address: Option<usize>,
    /// The form of the log on standard error [default: text]
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormatArg>,
}

/// `--tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
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

impl ProofArg {
    /// What it means.
    pub(crate) const fn proof(self) -> Proof {
        match self {
            Self::Auto => Proof::Auto,
            Self::Required => Proof::Required,
            Self::Off => Proof::Off,
        }
    }
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
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
pub(crate) struct AddressArg(pub(crate) Option<IpAddr>);

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
    fn a_port_range_has_its_ends_in_order() {
        assert_eq!("50000-50100".parse(), Ok(PortRange(50000..=50100)));
        assert_eq!("50000".parse(), Ok(PortRange(50000..=50000)));
        for bad in ["", "-", "5-4", "x-y", "1-70000"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }
}
