//! Settings: the configuration file, overruled by flags, filled up with defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Deserialize;

use super::args::{PinholesArg, ServeArgs, Umask};
use super::users::UserEntry;
use crate::service::{Service, read};

/// Everything `serve` needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) directory: PathBuf,
    pub(crate) service: Service,
    pub(crate) users: Vec<UserEntry>,
    /// The users were named on the command line: a file that is read again changes nothing about them.
    pub(crate) users_by_flags: bool,
    pub(crate) anonymous: bool,
    pub(crate) read_only: bool,
    pub(crate) umask: Option<Umask>,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) ccc: bool,
    pub(crate) advertise_mode_z: bool,
    pub(crate) pinholes: PinholesArg,
    pub(crate) agent_dir: Option<PathBuf>,
    pub(crate) xferlog: Option<PathBuf>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) run_as: Option<String>,
    pub(crate) landlock: bool,
    /// The file these came from, if any: what SIGHUP reads again.
    pub(crate) file: Option<PathBuf>,
}

/// The file, less what is common: the flags' names with underscores.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    directory: Option<PathBuf>,
    users: Vec<UserEntry>,
    anonymous: bool,
    read_only: bool,
    umask: Option<Umask>,
    client_ca: Option<PathBuf>,
    ccc: bool,
    advertise_mode_z: bool,
    pinholes: Option<PinholesArg>,
    agent_dir: Option<PathBuf>,
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
        let (common, file) = args.config.as_deref().map(read::<File>).transpose()?.unwrap_or_default();
        let users = if by_flags { args.users.into_iter().map(UserEntry::from).collect() } else { file.users };
        Ok(Self {
            directory: args.directory.or(file.directory).unwrap_or_else(|| PathBuf::from(".")),
            service: args.service.over(common)?,
            anonymous: args.anonymous || file.anonymous || users.is_empty(),
            users,
            users_by_flags: by_flags,
            read_only: args.read_only || file.read_only,
            umask: args.umask.or(file.umask),
            client_ca: args.client_ca.or(file.client_ca),
            ccc: args.ccc || file.ccc,
            advertise_mode_z: args.advertise_mode_z || file.advertise_mode_z,
            agent_dir: args.agent_dir.or(file.agent_dir),
            pinholes: args.pinholes.or(file.pinholes).unwrap_or_default(),
            xferlog: args.xferlog.or(file.xferlog),
            admin: args.admin.or(file.admin),
            run_as: args.run_as.or(file.run_as),
            landlock: !args.no_landlock && file.landlock.unwrap_or(true),
            file: args.config,
        })
    }
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
        assert_eq!(whole.service.cert, Some(("c.pem".into(), "k.pem".into())));
        assert_eq!(gather("none", "").expect("settings").service.cert, None);
    }
}
