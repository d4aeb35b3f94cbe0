//! ProFTPD with a file of users.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::brand::{Brand, Site};
use crate::error::{PeerError, write};
use crate::find::Found;
use crate::lines::merged;

pub(crate) fn command(site: &Site<'_>) -> Result<Command, PeerError> {
    let found = Brand::Proftpd.find()?;
    let row = format!("{}:{}:65534:65534::{}:/bin/sh\n", site.account.0, site.hash()?, site.folder.display());
    let users = write(site.home.join("passwd"), row)?;
    // It reads no file of users that others can.
    std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o600))
        .map_err(|why| PeerError::File { file: users.clone(), why })?;
    let file = write(site.home.join("proftpd.conf"), configuration(site, &found, &users))?;
    let mut command = found.command();
    command.args(["-n", "-c"]).arg(file);
    Ok(command)
}

fn configuration(site: &Site<'_>, found: &Found, users: &Path) -> String {
    let own = |name: &str| site.home.join(name).display().to_string();
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let mut lines = vec![
        ("ServerType", "standalone".to_owned()),
        ("DefaultAddress", site.at.ip().to_string()),
        ("Port", site.at.port().to_string()),
        ("UseIPv6", on(site.at.is_ipv6())),
        ("User", "nobody".to_owned()),
        ("Group", "nogroup".to_owned()),
        ("AuthUserFile", users.display().to_string()),
        ("AuthOrder", "mod_auth_file.c".to_owned()),
        ("RequireValidShell", on(false)),
        ("DefaultRoot", site.folder.display().to_string()),
        ("Umask", "000".to_owned()),
        ("PidFile", own("pid")),
        ("ScoreboardFile", own("scoreboard")),
        ("SystemLog", own("system.log")),
        ("TransferLog", own("xferlog")),
        ("WtmpLog", on(false)),
        ("AllowOverwrite", on(true)),
        ("AllowStoreRestart", on(true)),
        ("AllowRetrieveRestart", on(true)),
        ("PassivePorts", "21000 29999".to_owned()),
        ("UseReverseDNS", on(false)),
        ("MaxInstances", "60".to_owned()),
        ("DelayEngine", on(false)),
    ];
    if let Some(papers) = site.papers {
        lines.extend(found.modules("proftpd").map(|folder| ("ModulePath", folder.display().to_string())));
        lines.extend([
            ("LoadModule", "mod_tls.c".to_owned()),
            ("TLSEngine", on(true)),
            ("TLSRequired", on(false)),
            ("TLSProtocol", "TLSv1.2 TLSv1.3".to_owned()),
            ("TLSECCertificateFile", papers.chain.display().to_string()),
            ("TLSECCertificateKeyFile", papers.key.display().to_string()),
            ("TLSLog", own("tls.log")),
        ]);
        if site.implicit {
            lines.push(("TLSOptions", "UseImplicitSSL".to_owned()));
        }
    }
    merged(&lines, ' ', site.more)
}
