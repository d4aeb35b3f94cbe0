//! ProFTPD and Pure-FTPd, installed or unpacked, with the account that every server here has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portway_e2e::{Certificate, Control, PATIENCE, Security, Tls, TlsOptions, Tree, until};

use crate::world::ANN;

/// Which server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rival {
    ProFtpd,
    PureFtpd,
}

/// One that runs; killed when dropped.
pub(crate) struct Running {
    pub(crate) tree: Tree,
    pub(crate) at: SocketAddr,
    pub(crate) certificate: Certificate,
    _home: Tree,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
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

/// The same on this port; ProFTPD under implicit TLS if asked for.
pub(crate) fn start_at(rival: Rival, at: SocketAddr, security: Security) -> Running {
    let (home, tree) = (Tree::new().unwrap(), Tree::new().unwrap());
    let certificate = Certificate::new("rival").unwrap();
    // ProFTPD keeps nothing where everybody may write.
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = match rival {
        Rival::ProFtpd => proftpd(home.path(), tree.path(), at, (&certificate, security)),
        Rival::PureFtpd => pure_ftpd(home.path(), tree.path(), at, &certificate),
    };
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let tls = Tls::new(&certificate, TlsOptions::default()).unwrap();
    let running = Running { tree, at, certificate, _home: home, child };
    let greeted = || match security {
        Security::Implicit => Control::implicit(at, &tls),
        _ => Control::connect(at),
    };
    until(&format!("{rival:?} greets"), PATIENCE, || Ok(greeted().ok())).unwrap();
    running
}

/// The folder in which packages lie unpacked, since Debian's servers exclude one another.
fn root() -> PathBuf {
    match std::env::var("FTP_TEST_ROOTS") {
        Ok(roots) => roots.split(':').next().unwrap_or_default().into(),
        Err(_) => std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("test-peers/root"),
    }
}

fn program(name: &str) -> Command {
    let root = root();
    let places = ["/usr".into(), root.join("usr")];
    let mut files = places
        .iter()
        .flat_map(|place: &PathBuf| [place.join("sbin").join(name), place.join("bin").join(name)]);
    let file = files.find(|file| file.is_file());
    let file = file.unwrap_or_else(|| panic!("{name} is missing: `cargo xtask test` unpacks it"));
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(file);
    let folder = root.join("usr/lib");
    let machine = folder.join(format!("{}-linux-gnu", std::env::consts::ARCH));
    command.env("LD_LIBRARY_PATH", format!("{}:{}", machine.display(), folder.display()));
    command
}

/// The password as a server that hashes it is given it.
fn hash() -> String {
    let hash = Command::new("openssl").args(["passwd", "-1", ANN.1]).output().unwrap().stdout;
    String::from_utf8(hash).unwrap().trim().to_owned()
}

fn proftpd(
    home: &Path,
    tree: &Path,
    at: SocketAddr,
    (certificate, security): (&Certificate, Security),
) -> Command {
    let implicit = if security == Security::Implicit { "TLSOptions UseImplicitSSL\n" } else { "" };
    let users = home.join("passwd");
    let row = format!("{}:{}:65534:65534::{}:/bin/sh\n", ANN.0, hash(), tree.display());
    std::fs::write(&users, row).unwrap();
    std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = format!(
        "ServerType standalone\nDefaultAddress {ip}\nPort {port}\nUseIPv6 off\nUser nobody\nGroup nogroup\n\
         AuthUserFile {users}\nAuthOrder mod_auth_file.c\nRequireValidShell off\nDefaultRoot {tree}\nUmask 000\n\
         PidFile {home}/pid\nScoreboardFile {home}/scoreboard\nSystemLog {home}/system.log\nTransferLog none\n\
         WtmpLog off\nAllowOverwrite on\nAllowStoreRestart on\nAllowRetrieveRestart on\n\
         UseReverseDNS off\nMaxInstances 60\nDelayEngine off\nModulePath {root}/usr/lib/proftpd\n\
         LoadModule mod_tls.c\nTLSEngine on\nTLSRequired off\nTLSProtocol TLSv1.2 TLSv1.3\n\
         TLSECCertificateFile {chain}\nTLSECCertificateKeyFile {key}\n{implicit}",
        root = root().display(),
        chain = certificate.chain().display(),
        key = certificate.key().display(),
        ip = at.ip(),
        port = at.port(),
        users = users.display(),
        tree = tree.display(),
        home = home.display(),
    );
    let file = home.join("proftpd.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = program("proftpd");
    command.args(["-n", "-c"]).arg(file);
    command
}

fn pure_ftpd(home: &Path, tree: &Path, at: SocketAddr, certificate: &Certificate) -> Command {
    let (users, base) = (home.join("passwd"), home.join("pdb"));
    // Name, hash, user, group, comment, home, and twelve limits. (The tool's own hash takes seconds a login.)
    let row = format!("{}:{}:65534:65534::{}/./{}\n", ANN.0, hash(), tree.display(), ":".repeat(12));
    std::fs::write(&users, row).unwrap();
    let made = program("pure-pw").arg("mkdb").arg(&base).arg("-f").arg(&users).output().unwrap();
    assert!(made.status.success() && base.exists(), "{made:?}");
    let mut command = program("pure-ftpd");
    command.arg("-S").arg(format!("{},{}", at.ip(), at.port()));
    command.args(["-H", "-A", "-4", "-U", "111:000", "-c", "60", "-C", "60", "-u", "1", "-l"]);
    command.arg(format!("puredb:{}", base.display()));
    let both = home.join("both.pem");
    let parts = [certificate.key(), certificate.chain()].map(|part| std::fs::read(part).unwrap());
    std::fs::write(&both, parts.concat()).unwrap();
    command.args(["-Y", "1", "-2"]).arg(both);
    command
}
