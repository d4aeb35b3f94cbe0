//! The flags that all client commands share, and what they become.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use portway_client::{KnownServers, Memory, ModeChoice, Settings, Target, TlsChoice, TlsTrust, Trace};
use portway_proto::client::{AddressTrust, Credentials};

use super::netrc;
use crate::service::AddressArg;

/// How to connect, and how to tell about it.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Who opens the data connection; auto tries passive, then active, and remembers what worked
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: Mode,
    /// Whether to encrypt: auto where the server can, required, or off
    #[arg(long, value_enum, default_value_t)]
    pub(crate) tls: Tls,
    /// Trust any certificate: encryption, but no proof of who is at the other end
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Trust the authorities in this PEM file, and no others
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,
    /// Trust only the certificate with this fingerprint, as SHA256:AB:CD:…
    #[arg(long, value_name = "SHA256:…", conflicts_with_all = ["insecure", "ca"])]
    pub(crate) pin: Option<String>,
    /// Trust a certificate that no authority vouches for if the server is new, and only that one from then on
    #[arg(long, conflicts_with_all = ["insecure", "ca", "pin"])]
    pub(crate) trust_first: bool,
    /// Certificate of ours (PEM), for servers that ask for one
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key (PEM) [default: in the file of --cert]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Ports to listen on in active mode [default: any]
    #[arg(long, value_name = "A-B")]
    pub(crate) active_ports: Option<Ports>,
    /// Address to announce in active mode, where it differs from ours (NAT); auto asks the router for address and
    /// port (PCP, NAT-PMP, UPnP)
    #[arg(long, value_name = "ADDR|auto")]
    pub(crate) active_address: Option<AddressArg>,
    #[command(flatten)]
    pub(crate) reach: super::reach::ReachArgs,
    /// Connect to the address a server announces, also if it is another host's
    #[arg(long)]
    pub(crate) trust_address: bool,
    /// Octets per second for each transfer, as 500K or 2M [default: no limit]
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<Rate>,
    /// Attempts for each file after failures that may pass
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) attempts: u32,
    /// Try all modes anew and remember nothing
    #[arg(long)]
    pub(crate) no_memory: bool,
    /// Tell in JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Show both channels as they happen
    #[arg(long)]
    pub(crate) trace: bool,
    /// Tell of failures only
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Spellings of [`ModeChoice`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    #[default]
    Auto,
    Passive,
    Active,
    /// Passive, then active, side by side (explain alone)
    Both,
}

impl Mode {
    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Passive => "passive",
            Self::Active => "active",
            Self::Both => "both",
        }
    }
}

/// Spellings of [`TlsChoice`].
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Tls {
    #[default]
    Auto,
    Required,
    Off,
}

/// `A-B`.
#[derive(Clone, Debug)]
pub(crate) struct Ports(std::ops::RangeInclusive<u16>);

impl FromStr for Ports {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected A-B with 1024 <= A <= B <= 65535";
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        match (low.parse(), high.parse()) {
            (Ok(low), Ok(high)) if low >= 1024 && low <= high => Ok(Self(low..=high)),
            _ => Err(EXPECTED),
        }
    }
}

/// Octets per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub(crate) u64);

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, unit) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (text.get(..at), 1024),
            Some((at, 'm' | 'M')) => (text.get(..at), 1024 * 1024),
            Some((at, 'g' | 'G')) => (text.get(..at), 1024 * 1024 * 1024),
            _ => (Some(text), 1),
        };
        let number = digits.and_then(|digits| digits.parse::<u64>().ok()).and_then(|n| n.checked_mul(unit));
        number.filter(|&rate| rate > 0).map(Self).ok_or("expected a number above 0, with K, M or G")
    }
}

impl ConnectArgs {
    /// The settings for one server.
    pub(crate) fn settings(&self, target: &Target, trace: Trace) -> Result<Arc<Settings>> {
        let mut settings = Settings { trace, attempts: self.attempts.max(1), ..Settings::default() };
        settings.mode = match self.mode {
            Mode::Auto => ModeChoice::Auto,
            Mode::Passive => ModeChoice::Passive,
            Mode::Active => ModeChoice::Active,
            Mode::Both => bail!(
                "--mode both compares the modes, which portway explain does; take passive, active or auto"
            ),
        };
        settings.tls = match self.tls {
            Tls::Auto => TlsChoice::Auto,
            Tls::Required => TlsChoice::Required,
            Tls::Off if target.implicit_tls => bail!("ftps:// and --tls off contradict each other"),
            Tls::Off => TlsChoice::Off,
        };
        settings.trust = match (&self.ca, &self.pin) {
            _ if self.insecure => TlsTrust::Nobody,
            (Some(file), _) => TlsTrust::File(file.clone()),
            (None, Some(pin)) => TlsTrust::Pinned(pin.clone()),
            (None, None) => TlsTrust::System,
        };
        settings.identity =
            self.cert.as_ref().map(|cert| (cert.clone(), self.key.clone().unwrap_or_else(|| cert.clone())));
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        let known = KnownServers::of_user(path("XDG_DATA_HOME").as_deref(), path("HOME").as_deref());
        settings.known = Arc::new(match self.trust_first {
            true => known.trusting_first(|told| eprintln!("portway: {told}")),
            false => known,
        });
        settings.active_ports = self.active_ports.clone().map(|ports| ports.0);
        settings.active_address = self.active_address.and_then(|address| address.0);
        settings.reach = self.reach.reach(target)?;
        settings.reach.map_ports = self.active_address == Some(AddressArg(None));
        settings.limit_rate = self.limit_rate.map(|rate| rate.0);
        if self.trust_address {
            settings.address_trust = AddressTrust::Announced;
        }
        if !self.no_memory {
            let (cache, home) = (path("XDG_CACHE_HOME"), path("HOME"));
            settings.memory = Arc::new(Memory::of_user(cache.as_deref(), home.as_deref()));
        }
        settings.credentials = credentials(target)?;
        Ok(Arc::new(settings))
    }
}

/// From the URL, then the environment, then `.netrc`, then a prompt; anonymous if no name is found.
fn credentials(target: &Target) -> Result<Credentials> {
    let env = |name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(String::into_bytes);
    let mut user = target.user.clone().or_else(|| env("FTP_USER"));
    let mut password = target.password.clone().or_else(|| env("FTP_PASSWORD"));
    let mut account = None;
    if password.is_none()
        && let Some(found) = netrc::of_user(&target.host, user.as_deref())
    {
        user = user.or(Some(found.user));
        password = found.password;
        account = found.account;
    }
    let Some(user) = user else { return Ok(Credentials::default()) };
    let password = match password {
        Some(password) => password,
        None if user == b"anonymous" || user == b"ftp" => Credentials::default().password,
        None => crate::prompt::secret(&format!("password for {}: ", target))
            .context("no password: put it into the URL, FTP_PASSWORD or ~/.netrc")?,
    };
    Ok(Credentials { user, password, account })
}
