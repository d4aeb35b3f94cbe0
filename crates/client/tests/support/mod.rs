//! Servers from the distribution and from PyPI, started for one test each.
//!
//! A server that is missing fails the test that needs it and says what to install. Debian's packages exclude
//! each other, so unpacked ones are found below the folders in `FTP_TEST_ROOTS` (separated by colons); Python
//! modules are found as Python finds them.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub(crate) mod fake;
pub(crate) mod proxy;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_client::{Settings, Target};
use portway_proto::client::Credentials;
use tempfile::TempDir;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Vsftpd,
    Proftpd,
    PureFtpd,
    Pyftpdlib,
}

pub(crate) const ALL: [Kind; 4] = [Kind::Vsftpd, Kind::Proftpd, Kind::PureFtpd, Kind::Pyftpdlib];

/// Whether and how it encrypts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tls {
    #[default]
    Off,
    /// AUTH TLS; where the server can demand session reuse on the data channel, it does.
    On,
    /// TLS from the first octet.
    Implicit,
}

/// A running server on a folder of its own; killed when dropped.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) at: SocketAddr,
    /// What it serves.
    pub(crate) folder: PathBuf,
    tls: Tls,
    _home: TempDir,
    child: Child,
}

impl Server {
    pub(crate) fn start(kind: Kind, tls: Tls) -> Self {
        Self::start_with(kind, tls, "")
    }

    /// With further lines of configuration, in the server's own language.
    pub(crate) fn start_with(kind: Kind, tls: Tls, more: &str) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), kind, tls, more)
    }

    /// On an address of this machine, of either family.
    pub(crate) fn start_on(ip: IpAddr, kind: Kind, tls: Tls, more: &str) -> Self {
        let home = tempfile::Builder::new().prefix("portway-client-").tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let folder = home.path().join("tree");
        fs::create_dir(&folder).unwrap();
        open_up(&folder);
        let pem = home.path().join("server.pem");
        if tls != Tls::Off {
            certificate(&pem);
        }
        let at = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        let mut command = match kind {
            Kind::Vsftpd => vsftpd(home.path(), &folder, at, tls, more),
            Kind::Proftpd => proftpd(home.path(), &folder, at, tls, more),
            Kind::PureFtpd => pure_ftpd(&folder, at, tls, &pem),
            Kind::Pyftpdlib => pyftpdlib(home.path(), &folder, at, tls),
        };
        let log = fs::File::create(home.path().join("log")).unwrap();
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {kind:?}: {error}"));
        let mut server = Self { kind, at, folder, tls, _home: home, child };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut stream) = TcpStream::connect(self.at) {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                if self.tls == Tls::Implicit {
                    return;
                }
                let mut greeting = [0; 3];
                if stream.read_exact(&mut greeting).is_ok() && &greeting == b"220" {
                    let _ = stream.write_all(b"QUIT\r\n");
                    return;
                }
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{:?} ended with {status}: {}", self.kind, self.log());
            }
            assert!(Instant::now() < until, "{:?} does not greet: {}", self.kind, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self._home.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls == Tls::Implicit { "ftps" } else { "ftp" };
        format!("{scheme}://{}/{path}", self.at)
    }

    pub(crate) fn target(&self, path: &str) -> Target {
        Target::parse(&self.url(path)).unwrap()
    }

    /// The default, with an account that may read and write.
    pub(crate) fn settings(&self) -> Settings {
        let credentials =
            Credentials { user: b"alice".to_vec(), password: b"wonder".to_vec(), account: None };
        let trace = match std::env::var_os("FTP_TEST_TRACE") {
            Some(_) => portway_client::Trace::new(Arc::new(Print)),
            None => portway_client::Trace::default(),
        };
        Settings { credentials, trace, ..Settings::default() }
    }

    pub(crate) fn write(&self, name: &str, contents: &[u8]) {
        let path = self.folder.join(name);
        let above = path.parent().unwrap();
        fs::create_dir_all(above).unwrap();
        open_up(above);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn open_up(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}

fn program(name: &str, package: &str) -> Command {
    let roots = std::env::var("FTP_TEST_ROOTS").unwrap_or_default();
    let roots: Vec<PathBuf> = roots.split(':').filter(|r| !r.is_empty()).map(PathBuf::from).collect();
    let unpacked = roots.iter().flat_map(|root| [root.join("usr/sbin"), root.join("usr/bin")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = unpacked.chain(std::env::split_paths(&path)).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    let found = found.unwrap_or_else(|| panic!("{name} is missing; install it: apt-get install {package}"));
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(found);
    if let Some(root) = roots.first() {
        command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
    }
    command
}

fn certificate(pem: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(pem.with_extension("key"))
        .arg("-out")
        .arg(pem.with_extension("crt"))
        .output()
        .expect("openssl is missing; install it: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let both =
        [fs::read(pem.with_extension("key")).unwrap(), fs::read(pem.with_extension("crt")).unwrap()].concat();
    fs::write(pem, both).unwrap();
}

fn vsftpd(home: &Path, folder: &Path, at: SocketAddr, tls: Tls, more: &str) -> Command {
    let mut config = String::new();
    let pem = home.join("server.pem").display().to_string();
    let on = tls != Tls::Off;
    let (v4, v6) = if at.is_ipv4() { ("YES", "NO") } else { ("NO", "YES") };
    let yes = if on { "YES" } else { "NO" };
    for (name, value) in [
        ("listen", v4),
        ("listen_ipv6", v6),
        (if at.is_ipv4() { "listen_address" } else { "listen_address6" }, &at.ip().to_string()),
        ("listen_port", &at.port().to_string()),
        ("background", "NO"),
        ("seccomp_sandbox", "NO"),
        ("anonymous_enable", "NO"),
        ("local_enable", "YES"),
        ("guest_enable", "YES"),
        ("guest_username", "ftp"),
        ("virtual_use_local_privs", "YES"),
        ("check_shell", "NO"),
        ("pam_service_name", "vsftpd"),
        ("local_root", &folder.display().to_string()),
        ("chroot_local_user", "YES"),
        ("allow_writeable_chroot", "YES"),
        ("write_enable", "YES"),
        ("local_umask", "000"),
        ("file_open_mode", "0666"),
        ("connect_from_port_20", "NO"),
        ("pasv_min_port", "21000"),
        ("pasv_max_port", "29999"),
        ("mdtm_write", "YES"),
        ("use_localtime", "NO"),
        ("ssl_enable", yes),
        ("force_local_data_ssl", "NO"),
        ("force_local_logins_ssl", "NO"),
        ("require_ssl_reuse", "YES"),
        ("implicit_ssl", if tls == Tls::Implicit { "YES" } else { "NO" }),
        ("ssl_ciphers", "HIGH"),
        ("rsa_cert_file", &pem),
    ] {
        let is_tls = name.contains("ssl") || name == "rsa_cert_file";
        if on || !is_tls {
            writeln!(config, "{name}={value}").unwrap();
        }
    }
    config.push_str(more);
    let file = home.join("vsftpd.conf");
    fs::write(&file, config).unwrap();
    // It asks PAM, whose folder belongs to the machine: a mount namespace gives it one of its own.
    let pam = home.join("pam.d");
    fs::create_dir_all(&pam).unwrap();
    fs::write(pam.join("vsftpd"), "auth required pam_permit.so\naccount required pam_permit.so\n").unwrap();
    let program = program("vsftpd", "vsftpd");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "sh", "-c"]);
    command.arg("mount --bind \"$1\" /etc/pam.d && exec \"$2\" \"$3\"").arg("sh").arg(pam);
    command.args(program.get_args().last()).arg(file);
    command
}

fn proftpd(home: &Path, folder: &Path, at: SocketAddr, tls: Tls, more: &str) -> Command {
    let passwd = home.join("passwd");
    let hash = Command::new("openssl").args(["passwd", "-1", "wonder"]).output().unwrap().stdout;
    let hash = String::from_utf8(hash).unwrap();
    fs::write(&passwd, format!("alice:{}:65534:65534::{}:/bin/sh\n", hash.trim(), folder.display())).unwrap();
    fs::set_permissions(&passwd, fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = format!(
        "ServerType standalone\nDefaultAddress {ip}\nPort {}\nUseIPv6 {v6}\nUser nobody\nGroup nogroup\n\
         AuthUserFile {}\nAuthOrder mod_auth_file.c\nRequireValidShell off\nDefaultRoot {}\nUmask 000\n\
         PidFile {home}/pid\nScoreboardFile {home}/scoreboard\nSystemLog {home}/system.log\nTransferLog none\n\
         WtmpLog off\nAllowOverwrite on\nAllowStoreRestart on\nAllowRetrieveRestart on\nPassivePorts 21000 29999\n\
         UseReverseDNS off\nMaxInstances 60\nDelayEngine off\n",
        at.port(),
        passwd.display(),
        folder.display(),
        home = home.display(),
        ip = at.ip(),
        v6 = if at.is_ipv6() { "on" } else { "off" },
    );
    if tls != Tls::Off {
        let pem = home.join("server.pem");
        let modules = std::env::var("FTP_TEST_ROOTS").unwrap_or_default();
        let modules = modules.split(':').next().unwrap_or_default().to_owned();
        write!(
            config,
            "ModulePath {modules}/usr/lib/proftpd\nLoadModule mod_tls.c\nTLSEngine on\nTLSRSACertificateFile {pem}\n\
             TLSRSACertificateKeyFile {pem}\nTLSProtocol TLSv1.2 TLSv1.3\nTLSRequired off\nTLSLog {home}/tls.log\n{implicit}",
            implicit = if tls == Tls::Implicit { "TLSOptions UseImplicitSSL\n" } else { "" },
            pem = pem.display(),
            home = home.display(),
        )
        .unwrap();
    }
    config.push_str(more);
    let file = home.join("proftpd.conf");
    fs::write(&file, config).unwrap();
    let mut command = program("proftpd", "proftpd-core proftpd-mod-crypto");
    command.args(["-n", "-c"]).arg(file);
    command
}

/// Pure-FTPd knows its users from a database made by its own tool.
fn pure_ftpd(folder: &Path, at: SocketAddr, tls: Tls, pem: &Path) -> Command {
    let (users, base) = (pem.with_extension("passwd"), pem.with_extension("pdb"));
    // MD5-crypt of "wonder": what `pure-pw useradd` makes takes Pure-FTPd seconds of CPU time for each login.
    let hash = "$1$portway$xuQsc6ZFzS9vv5SlUDUa81";
    fs::write(&users, format!("alice:{hash}:65534:65534::{}/./::::::::::::\n", folder.display())).unwrap();
    let mut made = program("pure-pw", "pure-ftpd-common");
    let made = made.arg("mkdb").arg(&base).arg("-f").arg(&users).output().unwrap();
    assert!(made.status.success() && base.exists(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = program("pure-ftpd", "pure-ftpd");
    command.arg("-S").arg(format!("{},{}", at.ip(), at.port())).args([
        "-H",
        "-A",
        if at.is_ipv4() { "-4" } else { "-6" },
        "-U",
        "111:000",
        "-c",
        "60",
        "-C",
        "60",
    ]);
    command.args(["-u", "1", "-p", "21000:29999", "-l"]).arg(format!("puredb:{}", base.display()));
    if tls != Tls::Off {
        command.args(["-Y", if tls == Tls::Implicit { "3" } else { "1" }, "-2"]).arg(pem);
    }
    command
}

fn pyftpdlib(home: &Path, folder: &Path, at: SocketAddr, tls: Tls) -> Command {
    let handler = if tls == Tls::On { "TLS_FTPHandler" } else { "FTPHandler" };
    let certificate = if tls == Tls::On {
        format!("h.certfile = {:?}", home.join("server.pem").display().to_string())
    } else {
        String::new()
    };
    let script = format!(
        "from pyftpdlib.authorizers import DummyAuthorizer\nfrom pyftpdlib.handlers import {handler} as h\n\
         from pyftpdlib.servers import ThreadedFTPServer\na = DummyAuthorizer()\n\
         a.add_user('alice', 'wonder', {folder:?}, perm='elradfmwMT')\nh.authorizer = a\n\
         h.passive_ports = range(21000, 30000)\n{certificate}\n\
         ThreadedFTPServer(('{ip}', {port}), h).serve_forever()\n",
        folder = folder.display().to_string(),
        port = at.port(),
        ip = at.ip(),
    );
    let file = home.join("server.py");
    fs::write(&file, script).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "python3"]).arg(file);
    command
}

/// Octets that look random and are the same for the same seed.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

/// A target folder for downloads.
pub(crate) fn here() -> (TempDir, portway_vfs::LocalFs) {
    let folder = tempfile::tempdir().unwrap();
    let local = portway_vfs::LocalFs::open(folder.path(), portway_vfs::LinkPolicy::Forbid).unwrap();
    (folder, local)
}

pub(crate) fn name(text: &str) -> portway_vfs::VPath {
    portway_vfs::VPath::resolve(&portway_vfs::VPath::root(), text.as_bytes()).unwrap()
}

pub(crate) fn shared(settings: Settings) -> Arc<Settings> {
    Arc::new(settings)
}

/// Prints what happens; for looking into a failure.
pub(crate) struct Print;

impl portway_client::Observer for Print {
    fn seen(&self, record: portway_client::Record) {
        eprintln!("{:8.3} #{} {:?}", record.at.as_secs_f64(), record.connection, record.seen);
    }
}
