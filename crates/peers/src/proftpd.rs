//! ProFTPD with a file of users.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::brand::{Brand, Site, hash};
use crate::error::{PeerError, write};
use crate::find::Found;
use crate::lines::merged;

/// The key and value of each line for a server that stays in the foreground, asks no name server and keeps its own
/// files in `home`.
///
/// Where it listens, what it serves, to whom and as whom is the caller's to add.
#[must_use]
pub fn standing(home: &Path) -> Vec<(&'static str, String)> {
    let off = || "off".to_owned();
    vec![
        ("ServerType", "standalone".to_owned()),
        ("RequireValidShell", off()),
        ("PidFile", own(home, "pid")),
        ("ScoreboardFile", own(home, "scoreboard")),
        ("SystemLog", own(home, "system.log")),
        ("WtmpLog", off()),
        ("UseReverseDNS", off()),
        ("DelayEngine", off()),
        ("MaxInstances", "60".to_owned()),
        ("AllowRetrieveRestart", "on".to_owned()),
    ]
}

/// The lines for TLS 1.2 and 1.3, which take the module of this very program; the certificate is the caller's to add.
#[must_use]
pub fn tls(found: &Found, home: &Path) -> Vec<(&'static str, String)> {
    let modules = found.modules("proftpd").map(|folder| ("ModulePath", folder.display().to_string()));
    let mut lines: Vec<_> = modules.into_iter().collect();
    lines.extend([
        ("LoadModule", "mod_tls.c".to_owned()),
        ("TLSEngine", "on".to_owned()),
        ("TLSProtocol", "TLSv1.2 TLSv1.3".to_owned()),
        ("TLSLog", own(home, "tls.log")),
    ]);
    lines
}

/// A file of users with one account, whose user and group have the number `id`.
///
/// # Errors
/// When it cannot be written, or there is no openssl to hash the password.
pub fn users(home: &Path, account: (&str, &str), id: u32, folder: &Path) -> Result<PathBuf, PeerError> {
    let row = format!("{}:{}:{id}:{id}::{}:/bin/sh\n", account.0, hash(account.1)?, folder.display());
    let file = write(home.join("passwd"), row)?;
    // It reads no file of users that others can.
    match std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)) {
        Ok(()) => Ok(file),
        Err(why) => Err(PeerError::File { file, why }),
    }
}

pub(crate) fn command(site: &Site<'_>) -> Result<Command, PeerError> {
    let found = Brand::Proftpd.find()?;
    let users = users(site.home, site.account, 65534, site.folder)?;
    let file = write(site.home.join("proftpd.conf"), configuration(site, &found, &users))?;
    let mut command = found.command();
    command.args(["-n", "-c"]).arg(file);
    Ok(command)
}

fn configuration(site: &Site<'_>, found: &Found, users: &Path) -> String {
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let mut lines = standing(site.home);
    lines.extend([
        ("DefaultAddress", site.at.ip().to_string()),
        ("Port", site.at.port().to_string()),
        ("UseIPv6", on(site.at.is_ipv6())),
        ("User", "nobody".to_owned()),
        ("Group", "nogroup".to_owned()),
        ("AuthUserFile", users.display().to_string()),
        ("AuthOrder", "mod_auth_file.c".to_owned()),
        ("DefaultRoot", site.folder.display().to_string()),
        ("Umask", "000".to_owned()),
        ("TransferLog", own(site.home, "xferlog")),
        ("AllowOverwrite", on(true)),
        ("AllowStoreRestart", on(true)),
        ("PassivePorts", "21000 29999".to_owned()),
    ]);
    if let Some(papers) = site.papers {
        lines.extend(tls(found, site.home));
        lines.extend([
            ("TLSRequired", on(false)),
            ("TLSECCertificateFile", papers.chain.display().to_string()),
            ("TLSECCertificateKeyFile", papers.key.display().to_string()),
        ]);
        if site.implicit {
            lines.push(("TLSOptions", "UseImplicitSSL".to_owned()));
        }
    }
    merged(&lines, ' ', site.more)
}

fn own(home: &Path, name: &str) -> String {
    home.join(name).display().to_string()
}
