//! Settings: the configuration file, overruled by flags, filled up with defaults.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use portway_data::{Network, PassivePorts, Proof};
use serde::Deserialize;

use super::args::{AddressArg, LogFormatArg, PinholesArg, PortRange, ProofArg, ServeArgs, TlsMode, duration};
use super::users::UserEntry;

/// Everything `serve` needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) directory: PathBuf,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) implicit: Vec<SocketAddr>,
    pub(crate) users: Vec<UserEntry>,
    /// The users were named on the command line: a file that is read again changes nothing about them.
    pub(crate) users_by_flags: bool,
    pub(crate) anonymous: bool,
    pub(crate) read_only: bool,
    pub(crate) tls: TlsMode,
    pub(crate) cert: Option<(PathBuf, PathBuf)>,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) ccc: bool,
    pub(crate) advertise_mode_z: bool,
    pub(crate) proof: Proof,
    pub(crate) ports: PassivePorts,
    pub(crate) announce: Option<IpAddr>,
    pub(crate) pinholes: PinholesArg,
    pub(crate) agent_dir: Option<PathBuf>,
    pub(crate) balancers: Vec<Network>,
    pub(crate) idle_timeout: Duration,
    pub(crate) data_timeout: Duration,
    pub(crate) max_sessions: usize,
    pub(crate) max_sessions_per_address: usize,
    pub(crate) log_format: LogFormatArg,
    pub(crate) xferlog: Option<PathBuf>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) run_as: Option<String>,
    pub(crate) landlock: bool,
    /// The file these came from, if any: what SIGHUP reads again.
    pub(crate) file: Option<PathBuf>,
}

/// The file: the flags' names with underscores. Unknown keys are refused, so that a typo is no setting.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    directory: Option<PathBuf>,
    listen: Vec<SocketAddr>,
    implicit: Vec<SocketAddr>,
    users: Vec<UserEntry>,
    anonymous: bool,
    read_only: bool,
    tls: Option<TlsMode>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    ccc: bool,
    advertise_mode_z: bool,
    data_proof: Option<ProofArg>,
    passive_ports: Option<String>,
    passive_address: Option<String>,
    pinholes: Option<PinholesArg>,
    agent_dir: Option<PathBuf>,
    proxy_protocol: Vec<String>,
    idle_timeout: Option<String>,
    data_timeout: Option<String>,
    max_sessions: Option<usize>,
    max_sessions_per_address: Option<usize>,
    log_format: Option<LogFormatArg>,
    xferlog: Option<PathBuf>,
    admin: Option<SocketAddr>,
    run_as: Option<String>,
    landlock: Option<bool>,
}

impl Settings {
    /// The settings of this file alone.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        Self::gather(ServeArgs { config: Some(path.to_owned()), ..ServeArgs::default() })
    }

    /// These settings with the users that the file names now; `None` if no file says who the users are.
    ///
    /// # Errors
    /// As at the start.
    pub(crate) fn with_users_of_file(&self) -> Result<Option<Self>> {
        let Some(path) = self.file.as_deref().filter(|_| !self.users_by_flags) else { return Ok(None) };
        let now = Self::of_file(path)?;
        // Nobody has seen the password that would be made for this one.
        if let Some(user) = now.users.iter().find(|user| user.has_no_secret()) {
            bail!("user {:?} has neither password nor password_hash", user.name);
        }
        Ok(Some(Self { users: now.users, ..self.clone() }))
    }

    /// Reads the file, if one is named, and puts the flags over it.
    pub(crate) fn gather(args: ServeArgs) -> Result<Self> {
        let by_flags = !args.users.is_empty();
        let file = args.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let parsed = |text: Option<String>, what: &str| -> Result<Option<Duration>> {
            text.map(|text| duration(&text).map_err(|why| anyhow::anyhow!("{what}: {why}"))).transpose()
        };
        let certificate = match (file.cert, file.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            // Half of it is no wish for a self-signed one.
            (Some(_), None) | (None, Some(_)) => {
                bail!("cert and key belong together; one of them is missing")
            }
        };
        let ports = match (args.passive_ports, file.passive_ports) {
            (Some(range), _) => Some(range),
            (None, Some(text)) => {
                Some(text.parse::<PortRange>().map_err(|why| anyhow::anyhow!("passive_ports: {why}"))?)
            }
            (None, None) => None,
        };
        let announce = match (args.passive_address, file.passive_address) {
            (Some(address), _) => address,
            (None, Some(text)) => text.parse().map_err(|why| anyhow::anyhow!("passive_address: {why}"))?,
            (None, None) => AddressArg(None),
        };
        let users = if args.users.is_empty() {
            file.users
        } else {
            args.users.into_iter().map(UserEntry::from).collect()
        };
        let or_else =
            |flags: Vec<SocketAddr>, file: Vec<SocketAddr>| if flags.is_empty() { file } else { flags };
        let balancers = if args.proxy_protocol.is_empty() {
            let parsed = file.proxy_protocol.iter().map(|text| text.parse::<Network>());
            parsed.collect::<Result<_, _>>().context("proxy_protocol")?
        } else {
            args.proxy_protocol
        };
        let implicit = or_else(args.implicit, file.implicit);
        let mut listen = or_else(args.listen, file.listen);
        if listen.is_empty() && implicit.is_empty() {
            listen.push(SocketAddr::from(([127, 0, 0, 1], 2121)));
        }
        let tls = args.tls.or(file.tls).unwrap_or_default();
        if tls == TlsMode::Off && !implicit.is_empty() {
            bail!("--implicit needs TLS, and --tls is off");
        }
        Ok(Self {
            directory: args.directory.or(file.directory).unwrap_or_else(|| PathBuf::from(".")),
            listen,
            implicit,
            anonymous: args.anonymous || file.anonymous || users.is_empty(),
            users,
            users_by_flags: by_flags,
            read_only: args.read_only || file.read_only,
            tls,
            cert: args.cert.zip(args.key).or(certificate),
            client_ca: args.client_ca.or(file.client_ca),
            ccc: args.ccc || file.ccc,
            advertise_mode_z: args.advertise_mode_z || file.advertise_mode_z,
            proof: match args.data_proof.or(file.data_proof).unwrap_or_default() {
                ProofArg::Auto => Proof::Auto,
                ProofArg::Required => Proof::Required,
                ProofArg::Off => Proof::Off,
            },
            ports: ports.map_or(PassivePorts::Auto, |range| PassivePorts::Range(range.0)),
            announce: announce.0,
            agent_dir: args.agent_dir.or(file.agent_dir),
            balancers,
            pinholes: args.pinholes.or(file.pinholes).unwrap_or_default(),
            idle_timeout: args
                .idle_timeout
                .or(parsed(file.idle_timeout, "idle_timeout")?)
                .unwrap_or(Duration::from_secs(300)),
            data_timeout: args
                .data_timeout
                .or(parsed(file.data_timeout, "data_timeout")?)
                .unwrap_or(Duration::from_secs(30)),
            max_sessions: args.max_sessions.or(file.max_sessions).unwrap_or(10_000),
            max_sessions_per_address: args
                .max_sessions_per_address
                .or(file.max_sessions_per_address)
                .unwrap_or_default(),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
            xferlog: args.xferlog.or(file.xferlog),
            admin: args.admin.or(file.admin),
            run_as: args.run_as.or(file.run_as),
            landlock: !args.no_landlock && file.landlock.unwrap_or(true),
            file: args.config,
        })
    }
}

fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn gather(name: &str, text: &str) -> Result<Settings> {
        let file = std::env::temp_dir().join(format!("portway-{}-{name}.toml", std::process::id()));
        std::fs::write(&file, text)?;
        let line = Line::try_parse_from(["serve".as_ref(), "--config".as_ref(), file.as_os_str()])?;
        let settings = Settings::gather(line.args);
        std::fs::remove_file(&file)?;
        settings
    }

    #[test]
    fn the_example_names_every_setting_and_changes_nothing() {
        let example = include_str!("example.toml");
        gather("example", example).expect("the example is right");
        let bare: String = example
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = ") || line.starts_with("[["))
            .filter(|line| !line.starts_with("password_hash"))
            .map(|line| line.to_owned() + "\n")
            .collect();
        gather("bare", &bare).expect("every line of it is a setting");
    }

    #[test]
    fn half_a_certificate_is_refused_and_not_replaced_by_a_self_signed_one() {
        for text in ["cert = 'c.pem'", "key = 'k.pem'"] {
            assert!(gather("half", text).is_err(), "{text}");
        }
        let whole = gather("whole", "cert = 'c.pem'\nkey = 'k.pem'").expect("settings");
        assert_eq!(whole.cert, Some(("c.pem".into(), "k.pem".into())));
        assert_eq!(gather("none", "").expect("settings").cert, None);
    }
}
