//! Servers from the distribution and from PyPI, started for one test each.
//!
//! A server that is missing fails the test that needs it and says what to install.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub(crate) mod fake;
pub(crate) mod proxy;

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_client::{Settings, Target};
pub(crate) use portway_peers::Brand as Kind;
use portway_peers::{Papers, Running, Site};
use portway_proto::client::Credentials;
use tempfile::TempDir;

pub(crate) const ALL: [Kind; 4] = [Kind::Vsftpd, Kind::Proftpd, Kind::PureFtpd, Kind::Pyftpdlib];

/// The account that every server knows.
const ACCOUNT: (&str, &str) = ("alice", "wonder");

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
    running: Running,
    home: TempDir,
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
        let [chain, key] = ["server.crt", "server.key"].map(|name| home.path().join(name));
        if tls != Tls::Off {
            certificate(&chain, &key);
        }
        let reuse = if kind == Kind::Vsftpd && tls != Tls::Off { "require_ssl_reuse=YES\n" } else { "" };
        let site = Site {
            home: home.path(),
            folder: &folder,
            at: TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap(),
            account: ACCOUNT,
            papers: (tls != Tls::Off).then_some(Papers { chain: &chain, key: &key }),
            implicit: tls == Tls::Implicit,
            more: &format!("{reuse}{more}"),
        };
        let (at, command) = (site.at, kind.command(&site).unwrap_or_else(|error| panic!("{error}")));
        let running = Running::start(command, &home.path().join("log"));
        let running = running.unwrap_or_else(|error| panic!("cannot start {kind:?}: {error}"));
        let mut server = Self { kind, at, folder, tls, running, home };
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
            if let Some(status) = self.running.ended().unwrap() {
                panic!("{:?} ended with {status}: {}", self.kind, self.log());
            }
            assert!(Instant::now() < until, "{:?} does not greet: {}", self.kind, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
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
        let credentials = Credentials { user: ACCOUNT.0.into(), password: ACCOUNT.1.into(), account: None };
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

fn open_up(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}

fn certificate(chain: &Path, key: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2"])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(chain)
        .output()
        .expect("openssl is missing; install it: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
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
