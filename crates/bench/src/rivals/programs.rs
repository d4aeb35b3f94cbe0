//! The configurations of those that the end-to-end tests do not start.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use portway_e2e::Certificate;

use super::{ACCOUNT, Rival, guarded, target};

/// As many sessions as each is told to allow.
const SESSIONS: &str = "20000";

/// Whether it can be started; says how to get it if not.
pub(super) fn find(rival: Rival) -> Result<()> {
    match rival {
        Rival::Portway => Ok(()),
        Rival::Vsftpd => program("vsftpd").map(drop).context("apt-get install vsftpd"),
        Rival::Proftpd => {
            program("proftpd").map(drop).context("cargo xtask bench unpacks Debian's proftpd-core")
        }
        Rival::PureFtpd => {
            program("pure-ftpd").map(drop).context("cargo xtask bench unpacks Debian's pure-ftpd")
        }
        Rival::Unftp => unftp().map(drop),
        Rival::Pyftpdlib => {
            let found = python("import pyftpdlib, OpenSSL")?.stderr(Stdio::null()).status();
            ensure!(found.is_ok_and(|status| status.success()), "cargo xtask bench fetches it by pip");
            Ok(())
        }
    }
}

/// Its version, or nothing.
pub(super) fn version(rival: Rival) -> String {
    let said = match rival {
        Rival::Portway => return env!("CARGO_PKG_VERSION").to_owned(),
        // Its -v writes to standard input.
        Rival::Vsftpd => Command::new("dpkg-query").args(["-f", "${Version}", "-W", "vsftpd"]).output(),
        Rival::Proftpd => {
            plain("proftpd").and_then(|mut command| Ok(command.arg("-v").output()?)).map_err(io)
        }
        Rival::PureFtpd => plain("pure-ftpd").and_then(|mut c| Ok(c.arg("--help").output()?)).map_err(io),
        Rival::Unftp => unftp().and_then(|file| Ok(Command::new(file).arg("-V").output()?)).map_err(io),
        Rival::Pyftpdlib => python("import pyftpdlib; print(pyftpdlib.__ver__)")
            .and_then(|mut command| Ok(command.output()?))
            .map_err(io),
    };
    let text = said.map(|said| [said.stdout, said.stderr].concat()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let number = |word: &str| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    text.split_whitespace().find(|word| number(word)).unwrap_or("?").trim_start_matches('v').to_owned()
}

fn io(why: anyhow::Error) -> std::io::Error {
    std::io::Error::other(why)
}

/// What starts it in the foreground.
pub(super) fn command(
    rival: Rival,
    home: &Path,
    tree: &Path,
    at: SocketAddr,
    certificate: &Certificate,
) -> Result<Command> {
    match rival {
        Rival::Proftpd => proftpd(home, tree, at, certificate),
        Rival::PureFtpd => pure_ftpd(home, tree, at),
        Rival::Pyftpdlib => pyftpdlib(home, tree, at),
        Rival::Unftp => unftp_command(home, tree, at, certificate),
        Rival::Vsftpd | Rival::Portway => unreachable!("the harness starts these"),
    }
}

/// The folder in which packages lie unpacked.
fn root() -> Result<PathBuf> {
    match std::env::var("FTP_TEST_ROOTS") {
        Ok(roots) => Ok(roots.split(':').next().unwrap_or_default().into()),
        Err(_) => Ok(target()?.join("test-peers/root")),
    }
}

fn program(name: &str) -> Result<PathBuf> {
    let root = root()?;
    let places = ["/usr/sbin".into(), "/usr/bin".into(), root.join("usr/sbin"), root.join("usr/bin")];
    let mut files = places.iter().map(|place: &PathBuf| place.join(name));
    files.find(|file| file.is_file()).with_context(|| format!("{name} is missing"))
}

/// With the libraries that were unpacked beside it.
fn with_libraries(mut command: Command) -> Result<Command> {
    let folder = root()?.join("usr/lib");
    let machine = folder.join(format!("{}-linux-gnu", std::env::consts::ARCH));
    command.env("LD_LIBRARY_PATH", format!("{}:{}", machine.display(), folder.display()));
    Ok(command)
}

fn plain(name: &str) -> Result<Command> {
    with_libraries(Command::new(program(name)?))
}

fn python(script: &str) -> Result<Command> {
    let mut command = Command::new("python3");
    command.args(["-c", script]).env("PYTHONPATH", modules()?);
    Ok(command)
}

fn modules() -> Result<PathBuf> {
    match std::env::var_os("PYTHONPATH") {
        Some(path) => Ok(path.into()),
        None => Ok(target()?.join("test-peers/python")),
    }
}

/// What a server that hashes passwords itself is given, so that sixty logins take no minute.
fn hash() -> Result<String> {
    let hash = Command::new("openssl").args(["passwd", "-1", ACCOUNT.1]).output()?.stdout;
    Ok(String::from_utf8(hash)?.trim().to_owned())
}

fn proftpd(home: &Path, tree: &Path, at: SocketAddr, certificate: &Certificate) -> Result<Command> {
    let users = home.join("passwd");
    std::fs::write(&users, format!("{}:{}:65534:65534::{}:/bin/sh\n", ACCOUNT.0, hash()?, tree.display()))?;
    std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o600))?;
    let config = format!(
        "ServerType standalone\nDefaultAddress {ip}\nPort {port}\nUseIPv6 off\nUser nobody\nGroup nogroup\n\
         AuthUserFile {users}\nAuthOrder mod_auth_file.c\nRequireValidShell off\nDefaultRoot {tree}\nUmask 000\n\
         PidFile {home}/pid\nScoreboardFile {home}/scoreboard\nSystemLog {home}/system.log\nTransferLog {home}/xferlog\n\
         WtmpLog off\nAllowOverwrite on\nAllowStoreRestart on\nAllowRetrieveRestart on\nPassivePorts 21000 29999\n\
         UseReverseDNS off\nMaxInstances none\nDelayEngine off\nUseSendfile on\n\
         ModulePath {root}/usr/lib/proftpd\nLoadModule mod_tls.c\nTLSEngine on\nTLSRequired off\n\
         TLSProtocol TLSv1.2 TLSv1.3\nTLSECCertificateFile {chain}\nTLSECCertificateKeyFile {key}\n\
         TLSOptions NoSessionReuseRequired\nTLSSessionTickets on\nTLSLog {home}/tls.log\n",
        ip = at.ip(),
        port = at.port(),
        users = users.display(),
        tree = tree.display(),
        home = home.display(),
        root = root()?.display(),
        chain = certificate.chain().display(),
        key = certificate.key().display(),
    );
    let file = home.join("proftpd.conf");
    std::fs::write(&file, config)?;
    let mut command = guarded(&program("proftpd")?);
    command.args(["-n", "-c"]).arg(file);
    with_libraries(command)
}

/// Pure-FTPd knows its users from a database that its own tool makes. (That tool's own hash takes seconds a login.)
fn pure_ftpd(home: &Path, tree: &Path, at: SocketAddr) -> Result<Command> {
    let (users, base) = (home.join("passwd"), home.join("pdb"));
    // Name, hash, user, group, comment, home, and twelve limits.
    let row = format!("{}:{}:65534:65534::{}/./{}\n", ACCOUNT.0, hash()?, tree.display(), ":".repeat(12));
    std::fs::write(&users, row)?;
    let made = plain("pure-pw")?.arg("mkdb").arg(&base).arg("-f").arg(&users).output()?;
    ensure!(made.status.success() && base.exists(), "pure-pw: {}", String::from_utf8_lossy(&made.stderr));
    let mut command = guarded(&program("pure-ftpd")?);
    command.arg("-S").arg(format!("{},{}", at.ip(), at.port()));
    command.args(["-H", "-A", "-E", "-4", "-U", "111:000", "-c", SESSIONS, "-C", SESSIONS, "-u", "1"]);
    command.args(["-p", "21000:29999", "-Y", "1", "-2"]).arg(home.join("both.pem"));
    command.arg("-O").arg(format!("clf:{}", home.join("transfers").display()));
    command.arg("-l").arg(format!("puredb:{}", base.display()));
    with_libraries(command)
}

fn pyftpdlib(home: &Path, tree: &Path, at: SocketAddr) -> Result<Command> {
    let script = format!(
        "import logging\nfrom pyftpdlib.authorizers import DummyAuthorizer\n\
         from pyftpdlib.handlers import TLS_FTPHandler as h\nfrom pyftpdlib.servers import FTPServer\n\
         logging.basicConfig(filename={log:?}, level=logging.INFO)\na = DummyAuthorizer()\n\
         a.add_user({name:?}, {password:?}, {tree:?}, perm='elradfmwMT')\nh.authorizer = a\n\
         h.passive_ports = range(21000, 30000)\nh.certfile = {both:?}\n\
         s = FTPServer(({ip:?}, {port}), h)\ns.max_cons = {SESSIONS}\ns.serve_forever()\n",
        log = home.join("log").display().to_string(),
        name = ACCOUNT.0,
        password = ACCOUNT.1,
        tree = tree.display().to_string(),
        both = home.join("both.pem").display().to_string(),
        ip = at.ip().to_string(),
        port = at.port(),
    );
    let file = home.join("server.py");
    std::fs::write(&file, script)?;
    let mut command = guarded(Path::new("python3"));
    command.arg(file).env("PYTHONPATH", modules()?);
    Ok(command)
}

fn unftp() -> Result<PathBuf> {
    let own = target()?.join("bench-peers/bin/unftp");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files =
        std::iter::once(own).chain(std::env::split_paths(&path).map(|folder| folder.join("unftp")));
    files
        .find(|file| file.is_file())
        .context("unftp is missing; cargo xtask bench builds it by cargo install, which takes minutes")
}

fn unftp_command(home: &Path, tree: &Path, at: SocketAddr, certificate: &Certificate) -> Result<Command> {
    let users = home.join("users.json");
    let text = format!("[{{\"username\": {:?}, \"password\": {:?}}}]", ACCOUNT.0, ACCOUNT.1);
    std::fs::write(&users, text)?;
    let mut command = guarded(&unftp()?);
    command.arg("--bind-address").arg(at.to_string()).arg("--root-dir").arg(tree);
    command.args(["--auth-type", "json", "--auth-json-path"]).arg(users);
    command.arg("--ftps-certs-file").arg(certificate.chain());
    command.arg("--ftps-key-file").arg(certificate.key());
    command.args(["--passive-ports", "21000-29999", "-v", "--bind-address-http", "127.0.0.1:0"]);
    Ok(command)
}
