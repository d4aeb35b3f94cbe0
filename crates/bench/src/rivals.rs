//! The servers that are measured, and how each is started.
//!
//! All serve the same folder to the same account under the same certificate, keep their user inside that folder, look
//! at permissions, log every session and transfer to a file, offer TLS with session resumption and do not demand it,
//! and leave the disk to the kernel (none of them flushes a finished upload unless asked to).

mod programs;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, bail};
use portway_e2e::{Certificate, Control, Kind, Options, PATIENCE, Subject, Tls, TlsOptions, Tree, until};
use portway_peers::Running as Process;

/// The account that every server knows.
pub(crate) const ACCOUNT: (&str, &str) = ("bench", "bench");

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    Vsftpd,
    Proftpd,
    PureFtpd,
    Pyftpdlib,
    Unftp,
    Portway,
}

impl Rival {
    /// Every one, ours last.
    pub(crate) const ALL: [Self; 6] =
        [Self::Vsftpd, Self::Proftpd, Self::PureFtpd, Self::Pyftpdlib, Self::Unftp, Self::Portway];

    /// What people call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Vsftpd => "vsftpd",
            Self::Proftpd => "ProFTPD",
            Self::PureFtpd => "Pure-FTPd",
            Self::Pyftpdlib => "pyftpdlib",
            Self::Unftp => "unftp",
            Self::Portway => "portway",
        }
    }

    /// Whether it gives a process to each session: such a server is not asked to hold thousands.
    pub(crate) const fn forks(self) -> bool {
        matches!(self, Self::Vsftpd | Self::Proftpd | Self::PureFtpd)
    }

    /// Whether it speaks TLS 1.3; who does not is measured with TLS 1.2 in its place.
    pub(crate) const fn knows_tls13(self) -> bool {
        !matches!(self, Self::Unftp)
    }

    /// Its version, in its own words or its package's.
    pub(crate) fn version(self) -> String {
        programs::version(self)
    }
}

/// A server that runs; killed when dropped.
pub(crate) struct Server {
    pub(crate) rival: Rival,
    pub(crate) at: SocketAddr,
    pub(crate) certificate: Certificate,
    running: Running,
}

enum Running {
    Subject(Box<Subject>),
    Program { process: Process, tree: Tree, _home: Tree },
}

impl Server {
    /// Starts it on `tree` and waits for its greeting.
    ///
    /// # Errors
    /// When it is missing (the message says where to get it) or does not greet.
    pub(crate) fn start(rival: Rival, tree: Tree) -> Result<Self> {
        let kind = match rival {
            Rival::Vsftpd => Kind::Vsftpd,
            Rival::Portway => Kind::Portway,
            _ => return Self::program(rival, tree),
        };
        // As many sessions as are asked for; the default keeps a server of other people's from running full.
        let flags = if kind == Kind::Portway { vec!["--max-sessions".into(), "0".into()] } else { vec![] };
        let options = Options {
            listen: vec![Ipv4Addr::LOCALHOST.into()],
            users: vec![(ACCOUNT.0.to_owned(), ACCOUNT.1.to_owned())],
            flags,
            ..Options::default()
        };
        let subject = Subject::start_kind(kind, tree, &options)?;
        let (at, certificate) = (subject.port()?, subject.certificate.clone());
        Ok(Self { rival, at, certificate, running: Running::Subject(Box::new(subject)) })
    }

    fn program(rival: Rival, tree: Tree) -> Result<Self> {
        let (home, certificate) = (Tree::new()?, Certificate::new("portway bench")?);
        // ProFTPD keeps nothing where everybody may write.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let command = programs::command(rival, home.path(), tree.path(), at, &certificate)?;
        let said = home.at("said");
        let process = Process::start(command, &said);
        let mut process = process.with_context(|| format!("cannot start {}", rival.name()))?;
        let greets = until(rival.name(), PATIENCE, || {
            if let Some(status) = process.ended()? {
                bail!("it ended with {status}");
            }
            Ok(Control::connect(at).ok())
        });
        let running = Running::Program { process, tree, _home: home };
        let server = Self { rival, at, certificate, running };
        greets.with_context(|| fs::read_to_string(said).unwrap_or_default())?;
        Ok(server)
    }

    /// What it serves.
    pub(crate) fn tree(&self) -> &Tree {
        match &self.running {
            Running::Subject(subject) => &subject.tree,
            Running::Program { tree, .. } => tree,
        }
    }

    /// The processes that were started; their descendants belong to it, too.
    pub(crate) fn pids(&self) -> Vec<u32> {
        match &self.running {
            Running::Subject(subject) => subject.pids(),
            Running::Program { process, .. } => vec![process.id()],
        }
    }

    /// Settings and a ticket store for one session under TLS 1.3 (or 1.2) with AES-128-GCM, so that all do the same work.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub(crate) fn keys(&self, old: bool, resume: bool) -> Result<Tls> {
        let old = old || !self.rival.knows_tls13();
        Tls::new(&self.certificate, TlsOptions { aes128: true, old, resume, ..TlsOptions::default() })
    }

    /// A logged-in session, under TLS if there are settings for it.
    ///
    /// # Errors
    /// When the server refuses it.
    pub(crate) fn session(&self, keys: Option<&Tls>) -> Result<Control> {
        let mut control = Control::connect(self.at)?;
        if let Some(keys) = keys {
            control.secure(keys)?;
        }
        control.login(ACCOUNT)?;
        Ok(control)
    }
}

/// Servers that can be had, and a line about each that cannot.
pub(crate) fn available() -> (Vec<Rival>, Vec<String>) {
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for rival in Rival::ALL {
        match programs::find(rival) {
            Ok(()) => here.push(rival),
            Err(why) => missing.push(format!("not measured: {}: {why:#}", rival.name())),
        }
    }
    (here, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rival_that_is_here_starts_and_lets_the_account_in_under_tls() {
        let (here, missing) = available();
        println!("{}", missing.join("\n"));
        for rival in here.into_iter().filter(|rival| *rival != Rival::Portway) {
            assert_ne!(rival.version(), "?", "{rival:?}");
            let server = Server::start(rival, Tree::new().unwrap()).unwrap();
            let keys = server.keys(false, true).unwrap();
            let mut control =
                server.session(Some(&keys)).unwrap_or_else(|error| panic!("{rival:?}: {error:#}"));
            control.expect("NOOP", 200).unwrap();
        }
    }
}
