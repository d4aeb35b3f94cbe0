//! A server as its administrator keeps it: a configuration that can be changed line by line, and a restart.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::configuration;
use super::papers::Files;
use super::pretend::pretend;
use super::setting::{Brand, Setting};
use crate::error::LabError;
use crate::program::{ourselves, server};
use crate::space::Host;
use crate::trial::{spawn, until};

/// What every server needs to know.
pub(super) struct Site<'a> {
    pub(super) setting: &'a Setting,
    /// Where clients find it, if that is not its own address.
    pub(super) public: IpAddr,
    /// A wrong one.
    pub(super) stale: IpAddr,
    /// Its own addresses; the first is where it is waited for.
    pub(super) own: Vec<IpAddr>,
    /// The passive range.
    pub(super) range: (u16, u16),
    /// The folder it serves.
    pub(super) served: &'a Path,
    /// A folder for its own files.
    pub(super) folder: &'a Path,
    /// Its certificate.
    pub(super) papers: &'a Files,
    /// The account that there is.
    pub(super) user: (&'a str, &'a str),
}

/// One server, running or not.
pub(super) struct Server {
    brand: Brand,
    lines: Vec<String>,
    file: PathBuf,
    log: PathBuf,
    at: SocketAddr,
    running: Option<Child>,
}

impl Server {
    /// Writes its configuration; does not start it.
    pub(super) fn new(site: &Site<'_>) -> Result<Self, LabError> {
        let brand = site.setting.server;
        let ip = site.own.first().copied().unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let mut server = Self {
            brand,
            lines: configuration::lines(site)?,
            file: site.folder.join("server.conf"),
            log: site.folder.join("server.log"),
            at: SocketAddr::new(ip, 21),
            running: None,
        };
        server.set(&site.setting.lines.join("\n"));
        Ok(server)
    }

    /// Puts lines into the configuration; each replaces those of the same key.
    pub(super) fn set(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let wanted = key(self.brand, line);
            if wanted != "LoadModule" && !wanted.starts_with('<') {
                self.lines.retain(|old| key(self.brand, old) != wanted);
            }
            self.lines.push(line.to_owned());
        }
    }

    /// Starts it, or starts it anew, and waits until it listens.
    ///
    /// # Errors
    /// With its last words, if it does not.
    pub(super) fn restart(&mut self, host: &Host) -> Result<(), LabError> {
        self.stop()?;
        let mut text = self.lines.join("\n");
        text.push('\n');
        std::fs::write(&self.file, text).map_err(LabError::system("no configuration"))?;
        let mut command = self.command()?;
        if let Some(folder) = self.file.parent() {
            command.current_dir(folder).env("HOME", folder);
        }
        let (log, at, name) = (self.log.clone(), self.at, self.brand.program());
        self.running = Some(host.run(move || {
            let mut child = spawn(&mut command, &log)?;
            let listens = || TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok();
            until(&mut child, name, &log, listens)?;
            Ok::<_, LabError>(child)
        })??);
        Ok(())
    }

    /// Stops it and its sessions.
    pub(super) fn stop(&mut self) -> Result<(), LabError> {
        let Some(mut child) = self.running.take() else { return Ok(()) };
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        child.wait().map(|_| ()).map_err(LabError::system("ending the server"))
    }

    fn command(&self) -> Result<Command, LabError> {
        let mut command = match self.brand.peer() {
            Some(peer) => server(peer)?,
            None => ourselves(),
        };
        match self.brand {
            Brand::Portway => command.args(["serve", "--config"]),
            Brand::Proftpd => command.args(["-n", "-c"]),
            Brand::Vsftpd | Brand::PureFtpd => &mut command,
        };
        command.arg(&self.file);
        if self.brand != Brand::Portway {
            pretend(&mut command);
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(command)
    }
}

/// What a line is about.
fn key(brand: Brand, line: &str) -> &str {
    let end = match brand {
        Brand::Portway | Brand::Vsftpd => line.find('='),
        Brand::Proftpd | Brand::PureFtpd => line.find(char::is_whitespace),
    };
    line.get(..end.unwrap_or(line.len())).unwrap_or(line).trim()
}
