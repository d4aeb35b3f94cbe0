//! The roads to the upstream server: none of its own, two proxies of Debian's, and ours.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use portway_e2e::{Certificate, Control, PATIENCE, Proxy, Subject, Tree, until};
use portway_peers::{Brand, find};

use super::SETTLED;
use crate::processes::Processes;

/// Which road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Direct,
    ModProxy,
    FtpProxy,
    Reverse,
    Forward,
}

impl Via {
    pub(super) const ALL: [Self; 5] =
        [Self::Direct, Self::ModProxy, Self::FtpProxy, Self::Reverse, Self::Forward];
    /// The first of portway's own; the first of all is no proxy.
    pub(super) const OURS: usize = 3;

    pub(super) const fn is_rival(self) -> bool {
        matches!(self, Self::ModProxy | Self::FtpProxy)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::ModProxy => "mod_proxy",
            Self::FtpProxy => "ftp-proxy",
            Self::Reverse => "reverse",
            Self::Forward => "forward",
        }
    }
}

/// A way for a client to the server; what was started for it ends with it.
pub(super) struct Road {
    pub(super) via: Via,
    pub(super) at: SocketAddr,
    /// The name to log in with there.
    pub(super) user: String,
    /// What is shown to clients.
    pub(super) certificate: Certificate,
    processes: Option<Processes>,
    _running: Running,
}

enum Running {
    Nothing,
    Ours { _proxy: Box<Proxy> },
    Rival { _process: portway_peers::Running, _home: Tree },
}

impl Road {
    /// Starts what is needed; `None` if this proxy has no TLS.
    ///
    /// # Errors
    /// When a proxy is missing or does not come up.
    pub(super) fn open(via: Via, subject: &Subject, private: bool) -> Result<Option<Self>> {
        let server = subject.port()?;
        let user = subject.account().0.to_owned();
        match via {
            Via::Direct => Ok(Some(Self {
                via,
                at: server,
                user,
                certificate: subject.certificate.clone(),
                processes: None,
                _running: Running::Nothing,
            })),
            Via::FtpProxy if private => Ok(None),
            Via::ModProxy | Via::FtpProxy => rival(via, subject, private).map(Some),
            Via::Reverse | Via::Forward => {
                let (url, ip) = (format!("ftp://{server}"), server.ip().to_string());
                let authority = subject.certificate.authority().display().to_string();
                let mut flags = match via {
                    Via::Reverse => vec!["--reverse", &url],
                    _ => vec!["--forward", "--allow", &ip],
                };
                if private {
                    flags.extend(["--upstream-tls", "required", "--upstream-ca", &authority]);
                } else {
                    flags.extend(["--upstream-tls", "off"]);
                }
                let proxy = Proxy::listening(&[server.ip()], None, &flags)?;
                Ok(Some(Self {
                    via,
                    at: proxy.port()?,
                    user: if via == Via::Forward { format!("{user}@{server}") } else { user },
                    certificate: proxy.certificate.clone(),
                    processes: Some(Processes::new(vec![proxy.pid()])),
                    _running: Running::Ours { _proxy: Box::new(proxy) },
                }))
            }
        }
    }

    /// CPU seconds that the proxy has spent; none without one.
    pub(super) fn cpu(&self) -> Result<f64> {
        self.processes.as_ref().map_or(Ok(0.0), Processes::cpu)
    }

    /// The same once it has nothing more to do.
    pub(super) fn settled_cpu(&self) -> Result<f64> {
        let begun = Instant::now();
        let mut last = self.cpu()?;
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.cpu()?;
            if now <= last || begun.elapsed() > SETTLED {
                return Ok(now.max(last));
            }
            last = now;
        }
    }

    /// KiB of the proxy's processes; none without one.
    pub(super) fn memory(&self) -> Result<f64> {
        self.processes.as_ref().map_or(Ok(0.0), Processes::memory)
    }
}

fn rival(via: Via, subject: &Subject, private: bool) -> Result<Road> {
    let home = Tree::new()?;
    // ProFTPD keeps nothing where everybody may write, and its sessions run as nobody.
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755))?;
    let at = TcpListener::bind((subject.port()?.ip(), 0))?.local_addr()?;
    let command = match via {
        Via::ModProxy => mod_proxy(home.path(), subject, at, private)?,
        _ => ftp_proxy(home.path(), subject, at)?,
    };
    let process = portway_peers::Running::start(command, &home.at("said"));
    let process = process.with_context(|| format!("cannot start {}", via.name()))?;
    until("the proxy greets", PATIENCE, || Ok(Control::connect(at).ok())).with_context(|| {
        format!("it said: {}", std::fs::read_to_string(home.at("said")).unwrap_or_default())
    })?;
    Ok(Road {
        via,
        at,
        user: subject.account().0.to_owned(),
        certificate: subject.certificate.clone(),
        processes: Some(Processes::new(vec![process.id()])),
        _running: Running::Rival { _process: process, _home: home },
    })
}

/// A reverse proxy for one server. <https://github.com/Castaglia/proftpd-mod_proxy>
fn mod_proxy(home: &Path, subject: &Subject, at: SocketAddr, private: bool) -> Result<Command> {
    let found = Brand::Proftpd.find()?;
    let modules = found.modules("proftpd").filter(|folder| folder.join("mod_proxy.so").is_file());
    let modules = modules.context("mod_proxy is missing; `cargo xtask bench proxy` unpacks it")?;
    let tables = home.join("tables");
    std::fs::create_dir(&tables)?;
    let (chain, key) = (subject.certificate.chain(), subject.certificate.key());
    let tls = format!(
        "TLSEngine on\nTLSRequired on\nTLSECCertificateFile {chain}\n\
         TLSECCertificateKeyFile {key}\nTLSProtocol TLSv1.2 TLSv1.3\n",
        chain = chain.display(),
        key = key.display(),
    );
    // mod_proxy needs the library that mod_tls brings, in clear as well.
    let config = format!(
        "ModulePath {modules}\nLoadModule mod_tls.c\n{tls}LoadModule mod_proxy.c\nServerType standalone\nDefaultAddress {ip}\nPort {port}\n\
         UseIPv6 off\nUser nobody\nGroup nogroup\nRequireValidShell off\nPidFile {home}/pid\n\
         ScoreboardFile {home}/scoreboard\nSystemLog {home}/system.log\nTransferLog {home}/transfer.log\n\
         WtmpLog off\nUseReverseDNS off\nMaxInstances 600\nDelayEngine off\n\
         ProxyEngine on\nProxyRole reverse\nProxyTables {tables}\nProxyReverseServers ftp://{server}\n\
         ProxyTLSEngine {engine}\n{authority}",
        modules = modules.display(),
        tls = if private { tls.as_str() } else { "" },
        ip = at.ip(),
        port = at.port(),
        home = home.display(),
        tables = tables.display(),
        server = subject.port()?,
        engine = if private { "on" } else { "off" },
        authority = if private {
            format!(
                "ProxyTLSProtocol TLSv1.2\nProxyTLSCACertificateFile {}\n",
                subject.certificate.authority().display()
            )
        } else {
            String::new()
        },
    );
    let file = home.join("proftpd.conf");
    std::fs::write(&file, config)?;
    let mut command = found.command();
    command.args(["-n", "-c"]).arg(file);
    Ok(command)
}

/// SUSE's proxy for one server. Its default lets 40 clients in a minute in.
fn ftp_proxy(home: &Path, subject: &Subject, at: SocketAddr) -> Result<Command> {
    let server = subject.port()?;
    let config = format!(
        "[-Global-]\nServerType standalone\nListen {ip}\nPort {port}\nDestinationAddress {to}\n\
         DestinationPort {to_port}\nDestinationTransferMode passive\nMaxClients 512\nForkLimit 100000\n\
         PidFile {home}/pid\nLogDestination {home}/log\nLogLevel INF\n",
        ip = at.ip(),
        port = at.port(),
        to = server.ip(),
        to_port = server.port(),
        home = home.display(),
    );
    let file = home.join("ftp-proxy.conf");
    std::fs::write(&file, config)?;
    let mut command = find("ftp-proxy", "ftp-proxy")?.command();
    command.args(["-n", "-d", "-f"]).arg(file);
    Ok(command)
}
