//! The programs of the distribution, and how they are asked.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portway_peers::Brand;

use crate::cell::{Cell, Client, Mode, Piece, Server};
use crate::error::LabError;
use crate::rules::CONTROL;

/// Programs for administrators are often not on the path of users.
const MORE: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

const PACKAGES: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables-restore", "iptables"),
    ("lftp", "lftp"),
    ("curl", "curl"),
    ("openssl", "openssl"),
];

/// What must be installed before these cells can be tried, and is not.
#[must_use]
pub fn missing(clients: &[Client], servers: &[Server]) -> Vec<LabError> {
    let clients = clients.iter().filter(|client| **client != Client::Portway).map(|client| client.name());
    let programs = ["ip", "nft"].into_iter().chain(clients).filter_map(|name| find(name).err());
    let vsftpd = servers.contains(&Server::Vsftpd).then(|| server(Brand::Vsftpd).err());
    programs.chain(vsftpd.flatten()).collect()
}

/// A command for a program of the distribution, with an environment that nobody's settings reach.
pub(crate) fn find(name: &str) -> Result<Command, LabError> {
    let &(program, package) =
        PACKAGES.iter().find(|(known, _)| *known == name).unwrap_or(&("a program", "it"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE.map(PathBuf::from));
    let file = folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or(LabError::Missing { program, package })?;
    Ok(clean(file))
}

/// A command for somebody else's server, installed or unpacked.
pub(crate) fn server(brand: Brand) -> Result<Command, LabError> {
    let found = brand.find()?;
    let mut command = clean(found.file.clone());
    command.envs(found.libraries().map(|folders| ("LD_LIBRARY_PATH", folders)));
    Ok(command)
}

/// portway itself, whatever its file is called by now.
pub(crate) fn ourselves() -> Command {
    clean(PathBuf::from("/proc/self/exe"))
}

pub(crate) fn clean(file: PathBuf) -> Command {
    let mut command = Command::new(file);
    command.env_clear().env("LC_ALL", "C.UTF-8").env("TERM", "dumb").env("TZ", "UTC");
    // What we start may start `ip` and `nft` itself.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE.map(PathBuf::from));
    command.env("PATH", std::env::join_paths(folders).unwrap_or(path));
    command
}

/// Runs a program to its end with `text` on standard input.
pub(crate) fn feed(name: &'static str, command: &mut Command, text: &str) -> Result<(), LabError> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(LabError::system(name))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read on says why on standard error.
        let _ = stdin.write_all(text.as_bytes());
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut said);
    }
    let status = child.wait().map_err(LabError::system(name))?;
    if status.success() {
        Ok(())
    } else {
        Err(LabError::Refused { program: name, said: said.trim().to_owned() })
    }
}

/// For `--pinholes`: nftables, and a socket that is not there, since the helper of the machine around us is none of
/// our business.
pub(crate) fn no_helper(folder: &Path) -> String {
    format!("nft:{}", folder.join("no-helper").display())
}

/// The client that fetches `/file` from `host` into `to`.
pub(crate) fn client(cell: &Cell, host: &str, to: &Path, folder: &Path) -> Result<Command, LabError> {
    let mut command = if cell.client == Client::Portway { ourselves() } else { find(cell.client.name())? };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let active = cell.mode == Mode::Active;
    match cell.client {
        Client::Portway => {
            command.args(["get", "--quiet", "--no-memory", "--insecure", "--attempts", "1"]);
            command.args(["--mode", cell.mode.name(), "--tls", if cell.tls { "required" } else { "off" }]);
            if cell.piece() == Piece::Client {
                command.arg("--pinholes").arg(no_helper(folder));
            }
            command.arg("--output").arg(to).arg(format!("ftp://{host}:{CONTROL}/file"));
        }
        Client::Curl => {
            command.args(["-q", "-sS", "--globoff"]);
            if active {
                command.args(["--ftp-port", "-"]);
            }
            if cell.tls {
                command.args(["--ssl-reqd", "--insecure"]);
            }
            command.arg("--output").arg(to).arg(format!("ftp://{host}:{CONTROL}/file"));
        }
        Client::Lftp => {
            let on = |on: bool| if on { "on" } else { "off" };
            let settings = [
                ("net:max-retries", "1"),
                ("net:reconnect-interval-base", "1"),
                // Else lftp leaves the mode that is to be tried.
                ("ftp:auto-passive-mode", "off"),
                ("ftp:passive-mode", on(!active)),
                ("ftp:ssl-allow", on(cell.tls)),
                ("ftp:ssl-force", on(cell.tls)),
                ("ftp:ssl-protect-data", on(cell.tls)),
                ("ftp:ssl-allow-anonymous", "on"),
                ("ssl:verify-certificate", "off"),
                ("xfer:clobber", "on"),
            ];
            let mut script = String::new();
            for (name, value) in settings {
                script.push_str(&format!("set {name} {value}; "));
            }
            script.push_str(&format!("get file -o {}; bye", to.display()));
            command.args(["--norc", "-e", &script, &format!("ftp://{host}:{CONTROL}")]);
        }
    }
    Ok(command)
}
