//! The server under test.

mod portway;
mod vsftpd;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Child;

use anyhow::{Context, Result, bail};

pub use portway::binary;

use crate::program::kill_group;
use crate::{Certificate, Control, Family, Lines, Proxy, Security, Tls, TlsOptions, Tree};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `portway serve` of this workspace.
    Portway,
    /// The same behind `portway proxy --reverse`: what a client sees must be no worse for it.
    Proxied,
    /// Debian's vsftpd: what it passes shows that a test is fair.
    Vsftpd,
}

impl Kind {
    /// What `FTP_TEST_SUBJECT` names: `portway` (the default), `proxied` or `vsftpd`.
    ///
    /// # Errors
    /// When it names something else.
    pub fn chosen() -> Result<Self> {
        match std::env::var("FTP_TEST_SUBJECT").as_deref() {
            Err(_) | Ok("" | "portway") => Ok(Self::Portway),
            Ok("proxied") => Ok(Self::Proxied),
            Ok("vsftpd") => Ok(Self::Vsftpd),
            Ok(other) => bail!("FTP_TEST_SUBJECT={other}: know portway, proxied and vsftpd"),
        }
    }
}

/// How to start it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the control port listens; the port is the kernel's choice. Both loopbacks by default.
    pub listen: Vec<IpAddr>,
    /// Where a second control port under implicit TLS listens. Nowhere by default.
    pub implicit: Option<IpAddr>,
    /// Whether the certificate of the harness is shown. Default true; false leaves TLS to `flags` (or,
    /// with vsftpd, off).
    pub tls: bool,
    /// Accounts, of which the first is used by [`Subject::session`]; none means anonymous only.
    pub users: Vec<(String, String)>,
    /// Serves a disk of so many octets of its own, which the test cannot look into, in place of the
    /// [`Tree`]. Takes root, or user namespaces.
    pub disk: Option<u64>,
    /// The limit of open descriptors, if not the machine's. Portway alone.
    pub descriptors: Option<u32>,
    /// Further flags, for portway alone; another subject refuses to start with any.
    pub flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            implicit: None,
            tls: true,
            users: vec![("alice".to_owned(), "wonder land".to_owned())],
            disk: None,
            descriptors: None,
            flags: Vec::new(),
        }
    }
}

impl Options {
    /// The default with further flags for `portway serve`.
    #[must_use]
    pub fn flags<F: Into<String>>(flags: impl IntoIterator<Item = F>) -> Self {
        Self { flags: flags.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// A running server with the folder it serves. It is killed, with all it started, when dropped.
#[derive(Debug)]
pub struct Subject {
    /// The folder it serves.
    pub tree: Tree,
    /// The certificate it shows.
    pub certificate: Certificate,
    /// What it writes to standard error.
    pub log: Lines,
    /// What it wrote to standard output.
    pub summary: Lines,
    kind: Kind,
    account: (String, String),
    plain: Vec<SocketAddr>,
    implicit: Vec<SocketAddr>,
    children: Vec<Child>,
    proxy: Option<Proxy>,
}

impl Subject {
    /// Puts a reverse proxy in front, which goes over TLS to the server if that has any.
    fn behind_a_proxy(mut self, options: &Options) -> Result<Self> {
        let url = format!("ftp://{}", self.plain.first().context("no plain port")?);
        let authority = self.certificate.authority().display().to_string();
        let mut flags = vec!["--reverse", &url];
        if options.tls {
            flags.extend(["--upstream-ca", &authority]);
        }
        let proxy = Proxy::listening(&options.listen, options.implicit, &flags)?;
        let (plain, implicit) = proxy.listeners();
        (self.plain, self.implicit) = (plain.to_vec(), implicit.to_vec());
        self.certificate = proxy.certificate.clone();
        self.kind = Kind::Proxied;
        self.proxy = Some(proxy);
        Ok(self)
    }

    /// Starts the chosen subject with `options` on an empty folder, and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be built or started; quotes what it said.
    pub fn start(options: &Options) -> Result<Self> {
        Self::start_on(Tree::new()?, options)
    }

    /// The same on a folder that exists.
    ///
    /// # Errors
    /// As [`Subject::start`].
    pub fn start_on(tree: Tree, options: &Options) -> Result<Self> {
        Self::start_kind(Kind::chosen()?, tree, options)
    }

    /// The same with a server of the caller's choice, whatever the environment says.
    ///
    /// # Errors
    /// As [`Subject::start`].
    pub fn start_kind(kind: Kind, tree: Tree, options: &Options) -> Result<Self> {
        let certificate = Certificate::new("portway e2e")?;
        match kind {
            Kind::Portway => portway::start(tree, certificate, options),
            Kind::Proxied => portway::start(tree, certificate, options)?.behind_a_proxy(options),
            Kind::Vsftpd => vsftpd::start(tree, certificate, options),
        }
    }

    /// Which server it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where its control port for this family and protection is.
    ///
    /// # Errors
    /// When it was started without one.
    pub fn address(&self, family: Family, security: Security) -> Result<SocketAddr> {
        let ports = if security == Security::Implicit { &self.implicit } else { &self.plain };
        let loopback = ports.iter().find(|address| address.ip() == family.loopback());
        // Or wherever else it was told to listen.
        let found =
            loopback.or_else(|| ports.iter().find(|address| address.is_ipv4() == (family == Family::V4)));
        found.copied().with_context(|| format!("no port for {family:?} {security:?}"))
    }

    /// Its control ports without implicit TLS, wherever they are.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.plain
    }

    /// Its control port on 127.0.0.1.
    ///
    /// # Errors
    /// When it was started without one.
    pub fn port(&self) -> Result<SocketAddr> {
        self.address(Family::V4, Security::Plain)
    }

    /// User name and password that may read and write.
    #[must_use]
    pub fn account(&self) -> (&str, &str) {
        (&self.account.0, &self.account.1)
    }

    /// A logged-in plain session on 127.0.0.1.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn session(&self) -> Result<Control> {
        let mut control = Control::connect(self.port()?)?;
        control.login(self.account())?;
        Ok(control)
    }

    /// A logged-in session on 127.0.0.1 with both channels under TLS, and its ticket store.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn private_session(&self, options: TlsOptions) -> Result<(Control, Tls)> {
        let tls = Tls::new(&self.certificate, options)?;
        let mut control = Control::connect(self.port()?)?;
        control.secure(&tls)?;
        control.login(self.account())?;
        Ok((control, tls))
    }

    /// The process ids of the servers started (a rival may need one per port).
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Asks it to end (SIGTERM), as a service manager would.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn terminate(&self) -> Result<()> {
        self.signal(rustix::process::Signal::TERM)
    }

    /// Asks it to read its certificate again (SIGHUP).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn reload(&self) -> Result<()> {
        self.signal(rustix::process::Signal::HUP)
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        for pid in self.pids() {
            let pid = rustix::process::Pid::from_raw(pid.try_into()?).context("a pid is positive")?;
            rustix::process::kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Kills it without warning and returns the folder that it leaves behind.
    ///
    /// # Errors
    /// When there is no temporary folder to put in its place.
    pub fn crash(&mut self) -> Result<Tree> {
        for child in &mut self.children {
            kill_group(child);
            child.wait()?;
        }
        Ok(std::mem::replace(&mut self.tree, Tree::new()?))
    }

    /// Waits until it has ended by itself, for at most `limit`, and returns whether all of it ended
    /// with exit code 0.
    ///
    /// # Errors
    /// When it still runs then.
    pub fn ended(&mut self, limit: std::time::Duration) -> Result<bool> {
        let mut well = true;
        for child in &mut self.children {
            well &= crate::until("the server has ended", limit, || Ok(child.try_wait()?))?.success();
        }
        Ok(well)
    }

    /// Whether every process of it still runs.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn alive(&mut self) -> Result<bool> {
        for child in &mut self.children {
            if child.try_wait()?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        for child in &mut self.children {
            kill_group(child);
            // It was killed; whatever its status is, it is gone.
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the subject said:\n{}", self.log.so_far().join("\n"));
        }
    }
}
