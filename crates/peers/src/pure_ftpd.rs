//! Pure-FTPd, which knows its users from a database made by its own tool.

use std::process::Command;

use crate::brand::{Brand, Site, hash};
use crate::error::{PeerError, write};
use crate::find::find;

pub(crate) fn command(site: &Site<'_>) -> Result<Command, PeerError> {
    // Name, hash, user, group, comment, home, and twelve limits. (The tool's own hash takes seconds a login.)
    let home = site.folder.display();
    let row =
        format!("{}:{}:65534:65534::{home}/./{}\n", site.account.0, hash(site.account.1)?, ":".repeat(12));
    let (users, base) = (write(site.home.join("passwd"), row)?, site.home.join("pdb"));
    let made =
        find("pure-pw", "pure-ftpd-common")?.command().arg("mkdb").arg(&base).arg("-f").arg(&users).output();
    let made = made.map_err(|why| PeerError::Start { program: "pure-pw", why })?;
    if !made.status.success() || !base.exists() {
        let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        return Err(PeerError::Refused { program: "pure-pw", said });
    }
    let mut command = Brand::PureFtpd.find()?.command();
    command.arg("-S").arg(format!("{},{}", site.at.ip(), site.at.port()));
    command.args(["-H", "-A", "-E", if site.at.is_ipv4() { "-4" } else { "-6" }, "-U", "111:000", "-u", "1"]);
    command
        .args(["-c", "60", "-C", "60", "-p", "21000:29999", "-l"])
        .arg(format!("puredb:{}", base.display()));
    if let Some(both) = site.both()? {
        command.args(["-Y", if site.implicit { "3" } else { "1" }, "-2"]).arg(both);
    }
    // Of an option that stands twice, the last counts.
    command.args(site.more.split_whitespace());
    Ok(command)
}
