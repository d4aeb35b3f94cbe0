//! The flags of `portway serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::service::ServiceArgs;

/// The flags; each may stand in the configuration file too, and the flag wins.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// The folder to serve [default: the current one]
    pub(crate) directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// An account that may read and write; without a password one is made and printed (repeatable)
    #[arg(long = "user", value_name = "NAME[:PASSWORD]")]
    pub(crate) users: Vec<UserArg>,
    /// Let anonymous users read [default: only if there is no --user]
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Refuse every change
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Permission bits that new files and folders do not get, in octal [default: the umask of the process]
    #[arg(long, value_name = "OCTAL")]
    pub(crate) umask: Option<Umask>,
    /// Check client certificates against these authorities, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Allow CCC: commands in the clear after a login under TLS
    #[arg(long)]
    pub(crate) ccc: bool,
    /// Name MODE Z (compression) in FEAT; without this it is served to whoever asks for it
    #[arg(long)]
    pub(crate) advertise_mode_z: bool,
    /// Open this host's packet filter for each announced port, for one client, once: `nft` through portway-holed
    /// (at /run/portway/holed.sock, or nft:PATH) or with CAP_NET_ADMIN of our own; or a gate's on another
    /// machine: agent:ADDR:PORT [default: none]
    #[arg(long, value_name = "none|nft|agent:ADDR:PORT")]
    pub(crate) pinholes: Option<PinholesArg>,
    /// Where the certificates for agent:… are, made by `portway gate enroll` [default: /etc/portway/agent]
    #[arg(long, value_name = "DIR")]
    pub(crate) agent_dir: Option<PathBuf>,
    /// Read settings from this file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
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

/// `--umask 022`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Umask(pub(crate) u32);

impl FromStr for Umask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o777);
        bits.map(Self).ok_or_else(|| "expected three octal digits, such as 022 or 007".to_owned())
    }
}

impl TryFrom<String> for Umask {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_password_may_hold_colons_and_is_not_shown() {
        let user: UserArg = "ann:a:b".parse().expect("a user");
        assert_eq!((user.name.as_str(), user.password.as_deref()), ("ann", Some("a:b")));
        assert!(!format!("{user:?}").contains("a:b"));
        assert!("ann".parse::<UserArg>().expect("a user").password.is_none());
        assert!(":x".parse::<UserArg>().is_err());
    }
}
