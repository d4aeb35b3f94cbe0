//! Proxies from the distribution, started for one test each.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use portway_peers::Running;
use tempfile::TempDir;

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SOCKS5 with CONNECT and BIND.
    Dante,
    /// SOCKS5 with CONNECT alone; its connections come from 127.0.0.7. With a login: u and p w.
    Microsocks { login: bool },
    /// HTTP CONNECT, with a login: u and pw.
    Tinyproxy,
    /// The same, for port 563 alone.
    TinyproxyForTheWeb,
    /// An FTP proxy: USER user@host.
    FtpProxy,
}

/// A running proxy; killed when dropped.
pub(crate) struct Proxy {
    pub(crate) at: SocketAddr,
    running: Running,
    home: TempDir,
}

impl Proxy {
    pub(crate) fn start(kind: Kind) -> Self {
        let home = tempfile::Builder::new().prefix("portway-proxy-").tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let port = at.port();
        let (config, shown) = (home.path().join("config"), home.path().display().to_string());
        let command = match kind {
            Kind::Dante => {
                let mut command = program("danted", "dante-server");
                fs::write(
                    &config,
                    format!(
                        "logoutput: stderr\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\n\
                         clientmethod: none\nsocksmethod: none\nuser.privileged: root\nuser.unprivileged: nobody\n\
                         client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n\
                         socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 command: connect bind\nlog: connect\n}}\n\
                         socks pass {{ from: 0.0.0.0/0 to: 127.0.0.0/8 command: bindreply\nlog: connect\n}}\n"
                    ),
                )
                .unwrap();
                command.args(["-N", "1", "-p"]).arg(home.path().join("pid")).arg("-f").arg(config);
                command
            }
            Kind::Microsocks { login } => {
                let mut command = program("microsocks", "microsocks");
                command.args(["-i", "127.0.0.1", "-b", "127.0.0.7", "-p"]).arg(port.to_string());
                if login {
                    command.args(["-u", "u", "-P", "p w"]);
                }
                command
            }
            Kind::Tinyproxy | Kind::TinyproxyForTheWeb => {
                let mut command = program("tinyproxy", "tinyproxy-bin");
                let only = if kind == Kind::Tinyproxy { "" } else { "ConnectPort 563\n" };
                fs::write(
                    &config,
                    format!(
                        "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nAllow 127.0.0.1\n\
                         BasicAuth u pw\nLogLevel Connect\n{only}"
                    ),
                )
                .unwrap();
                command.arg("-d").arg("-c").arg(config);
                command
            }
            Kind::FtpProxy => {
                let mut command = program("ftp-proxy", "ftp-proxy");
                // Without a range of its own it binds port 20, which every other such proxy of a test run does too.
                fs::write(
                    &config,
                    format!(
                        "[-Global-]\nServerType standalone\nListen 127.0.0.1\nPort {port}\nAllowMagicUser yes\n\
                         DestinationTransferMode passive\n\
                         ActiveMinDataPort 10000\nActiveMaxDataPort 30000\nPidFile {shown}/pid\n\
                         LogDestination {shown}/ftp-proxy.log\nLogLevel INF\n"
                    ),
                )
                .unwrap();
                command.args(["-n", "-d", "-f"]).arg(config);
                command
            }
        };
        let running = Running::start(command, &home.path().join("log"));
        let running = running.unwrap_or_else(|error| panic!("cannot start {kind:?}: {error}"));
        let mut proxy = Self { at, running, home };
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(at).is_err() {
            let ended = proxy.running.ended().unwrap();
            assert!(ended.is_none(), "{kind:?} ended with {ended:?}: {}", proxy.log());
            assert!(Instant::now() < until, "{kind:?} does not listen: {}", proxy.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

fn program(name: &'static str, package: &'static str) -> Command {
    portway_peers::find(name, package).unwrap_or_else(|error| panic!("{error}")).command()
}
