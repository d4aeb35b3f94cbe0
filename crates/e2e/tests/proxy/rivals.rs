//! ProFTPD and Pure-FTPd, installed or unpacked, with the account that every server here has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use portway_e2e::{Certificate, Control, PATIENCE, Security, Tls, TlsOptions, Tree, until};
pub(crate) use portway_peers::Brand as Rival;
use portway_peers::{Papers, Site};

use crate::world::ANN;

/// One that runs; killed when dropped.
pub(crate) struct Running {
    pub(crate) tree: Tree,
    pub(crate) at: SocketAddr,
    pub(crate) certificate: Certificate,
    _process: portway_peers::Running,
    _home: Tree,
}

/// Starts it on an empty folder and waits for its greeting. It knows TLS by AUTH and does not ask for it.
pub(crate) fn start(rival: Rival) -> Running {
    start_on(rival, Ipv4Addr::LOCALHOST.into())
}

/// The same on this address.
pub(crate) fn start_on(rival: Rival, ip: IpAddr) -> Running {
    let at = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
    start_at(rival, at, Security::Explicit)
}

/// One whose OpenSSL knows nothing newer than TLS 1.2.
pub(crate) fn start_with_tls12(rival: Rival) -> Running {
    let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let sections = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\nMaxProtocol = TLSv1.2\n";
    run(rival, at, Security::Explicit, Some(sections))
}

/// The same on this port, under implicit TLS if asked for.
pub(crate) fn start_at(rival: Rival, at: SocketAddr, security: Security) -> Running {
    run(rival, at, security, None)
}

fn run(rival: Rival, at: SocketAddr, security: Security, openssl: Option<&str>) -> Running {
    let (home, tree) = (Tree::new().unwrap(), Tree::new().unwrap());
    let certificate = Certificate::new("rival").unwrap();
    // ProFTPD keeps nothing where everybody may write.
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (chain, key) = (certificate.chain(), certificate.key());
    let site = Site {
        home: home.path(),
        folder: tree.path(),
        at,
        account: ANN,
        papers: Some(Papers { chain: &chain, key: &key }),
        implicit: security == Security::Implicit,
        more: "",
    };
    let mut command = rival.command(&site).unwrap();
    if let Some(sections) = openssl {
        home.write("openssl.cnf", sections).unwrap();
        command.env("OPENSSL_CONF", home.at("openssl.cnf"));
    }
    let process = portway_peers::Running::start(command, &home.at("said")).unwrap();
    let tls = Tls::new(&certificate, TlsOptions::default()).unwrap();
    let running = Running { tree, at, certificate, _process: process, _home: home };
    let greeted = || match security {
        Security::Implicit => Control::implicit(at, &tls),
        _ => Control::connect(at),
    };
    until(&format!("{rival:?} greets"), PATIENCE, || Ok(greeted().ok())).unwrap();
    running
}
