//! `portway proxy` of this workspace.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::program::kill_group;
use crate::wait::PATIENCE;
use crate::{Certificate, Control, Lines, Tree, binary};

/// A running proxy. It is killed when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// What it writes to standard error: one JSON object per line.
    pub log: Lines,
    /// The certificate it shows to clients.
    pub certificate: Certificate,
    plain: Vec<SocketAddr>,
    implicit: Vec<SocketAddr>,
    child: Child,
    _home: Tree,
}

impl Proxy {
    /// Starts a proxy on both loopbacks with these flags, and waits until it listens.
    ///
    /// # Errors
    /// When it does not come up; quotes what it said.
    pub fn start<F: AsRef<str>>(flags: &[F]) -> Result<Self> {
        Self::listening(&["127.0.0.1".parse()?, "::1".parse()?], Some("127.0.0.1".parse()?), flags)
    }

    /// The same, on these addresses, and under implicit TLS on that one.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn listening<F: AsRef<str>>(
        listen: &[IpAddr],
        implicit: Option<IpAddr>,
        flags: &[F],
    ) -> Result<Self> {
        let certificate = Certificate::new("portway proxy e2e")?;
        let (chain, key) =
            (certificate.chain().display().to_string(), certificate.key().display().to_string());
        let shown = ["--cert".to_owned(), chain, "--key".to_owned(), key];
        let flags = flags.iter().map(|flag| flag.as_ref().to_owned()).chain(shown).collect();
        Self::run(listen, implicit, flags, certificate)
    }

    /// The same without a certificate of the harness: the flags say which one is shown.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn without_certificate<F: AsRef<str>>(listen: &[IpAddr], flags: &[F]) -> Result<Self> {
        let flags = flags.iter().map(|flag| flag.as_ref().to_owned()).collect();
        Self::run(listen, None, flags, Certificate::new("not shown")?)
    }

    fn run(
        listen: &[IpAddr],
        implicit: Option<IpAddr>,
        flags: Vec<String>,
        certificate: Certificate,
    ) -> Result<Self> {
        let home = Tree::new()?;
        // Whatever ends the test, the proxy ends with it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(binary()?).arg("proxy");
        for &ip in listen {
            command.arg("--listen").arg(SocketAddr::new(ip, 0).to_string());
        }
        if let Some(ip) = implicit {
            command.arg("--implicit").arg(SocketAddr::new(ip, 0).to_string());
        }
        command.args(["--log-format", "json"]).args(flags);
        command.env("HOME", home.path()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start portway proxy")?;
        let summary = Lines::follow(child.stdout.take().context("no stdout")?);
        let log = Lines::follow(child.stderr.take().context("no stderr")?);
        let (mut plain, mut under_tls) = (Vec::new(), Vec::new());
        let wanted = listen.len() + usize::from(implicit.is_some());
        let heard = summary.wait_for("the last «listening URL»", PATIENCE, |line| {
            let (scheme, address) = line.trim().strip_prefix("listening ")?.split_once("://")?;
            let list = if scheme == "ftps" { &mut under_tls } else { &mut plain };
            list.push(address.parse().ok()?);
            (plain.len() + under_tls.len() == wanted).then_some(())
        });
        let proxy = Self { log, certificate, plain, implicit: under_tls, child, _home: home };
        heard.with_context(|| format!("the proxy said: {}", proxy.log.so_far().join("\n")))?;
        Ok(proxy)
    }

    /// Where it listens on 127.0.0.1 (or whatever came first).
    ///
    /// # Errors
    /// When it does not.
    pub fn port(&self) -> Result<SocketAddr> {
        self.plain.first().copied().context("no plain listener")
    }

    /// Where it listens on this address; under implicit TLS if asked for.
    ///
    /// # Errors
    /// When it does not.
    pub fn at(&self, ip: IpAddr, implicit: bool) -> Result<SocketAddr> {
        let list = if implicit { &self.implicit } else { &self.plain };
        list.iter().copied().find(|at| at.ip() == ip).with_context(|| format!("no listener on {ip}"))
    }

    /// All listeners: plain, under TLS.
    #[must_use]
    pub fn listeners(&self) -> (&[SocketAddr], &[SocketAddr]) {
        (&self.plain, &self.implicit)
    }

    /// A session that has read the greeting.
    ///
    /// # Errors
    /// When there is none.
    pub fn connect(&self) -> Result<Control> {
        Control::connect(self.port()?)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM), as a service manager would.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn terminate(&self) -> Result<()> {
        let pid = rustix::process::Pid::from_raw(self.child.id().try_into()?).context("a pid is positive")?;
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        kill_group(&self.child);
        // It was killed; whatever its status is, it is gone.
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the proxy said:\n{}", self.log.so_far().join("\n"));
        }
    }
}
