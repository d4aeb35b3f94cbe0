//! A cure is text to paste at one place. Here it is pasted.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::machines::Machines;
use super::server::Server;
use super::setting::{Brand, Setting, User};
use super::transfer::Download;
use crate::error::LabError;
use crate::program::{clean, feed, find};
use crate::space::Host;
use crate::trial::spawn;

/// One cure as `portway doctor --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cure {
    /// `client`, `client_firewall`, `client_nat`, `server_firewall`, `server_nat`, `server` or `dns`.
    pub(super) place: String,
    /// Whose language it is.
    pub(super) program: String,
    /// `command`, `settings` or `option`.
    pub(super) kind: String,
    /// What to paste.
    pub(super) text: String,
}

/// What a cure is applied to.
pub(super) struct Patient<'a> {
    pub(super) setting: &'a Setting,
    pub(super) machines: &'a Machines,
    pub(super) server: &'a mut Server,
    pub(super) download: &'a mut Download,
    /// What an administrator knows and a client cannot: the names of blanks in a cure, and what belongs there.
    pub(super) facts: &'a BTreeMap<&'static str, String>,
    pub(super) folder: &'a Path,
}

/// The file in which the stand-in for `systemctl` notes what it was asked.
const ASKED: &str = "asked";

/// Puts programs on the path that an administrator has and a network namespace has not.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn equip(folder: &Path) -> Result<(), LabError> {
    let bin = folder.join("bin");
    let made = || -> std::io::Result<()> {
        std::fs::create_dir(&bin)?;
        std::os::unix::fs::symlink(std::env::current_exe()?, bin.join("portway"))?;
        for name in ["systemctl", "service"] {
            let file = bin.join(name);
            std::fs::write(&file, format!("#!/bin/sh\necho \"$@\" >> {}\n", folder.join(ASKED).display()))?;
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
        Ok(())
    };
    made().map_err(LabError::system("no folder for programs"))
}

impl Patient<'_> {
    /// Whether this cure is for something that is there, and has no blank that nobody can fill.
    pub(super) fn can_take(&self, cure: &Cure) -> bool {
        let own = self.setting.server.program();
        let at_gate = |iptables: bool| match cure.program.as_str() {
            "nftables" => !iptables,
            "iptables" => iptables,
            "portway-gate" => self.setting.gate,
            "kernel" => true,
            _ => false,
        };
        let client = match self.setting.transfer.client {
            User::Portway => "portway",
            User::Curl => "curl",
            User::Lftp => "lftp",
        };
        let there = match (cure.place.as_str(), cure.kind.as_str()) {
            (_, "option") if cure.program != own => cure.program == client,
            // The firewall is a machine of its own: what opens the server's does not help.
            ("server", "settings" | "option") if cure.text.contains("pinholes") => false,
            ("server", "settings" | "option") => cure.program == own,
            ("server", "command") => cure.program == own || cure.program == "kernel",
            ("client_firewall" | "client_nat", "command") => at_gate(false),
            ("server_firewall" | "server_nat", "command") => at_gate(self.setting.far_iptables),
            ("client" | "dns", "command") => !cure.text.starts_with("portway "),
            _ => false,
        };
        there && !has_blank(&self.fill(&cure.text))
    }

    /// Does what the cure says; says whether anything is different now.
    ///
    /// # Errors
    /// [`LabError::Refused`] with the words of the program that does not take it.
    pub(super) fn take(&mut self, cure: &Cure) -> Result<bool, LabError> {
        let text = self.fill(&cure.text);
        let machines = self.machines;
        match (cure.place.as_str(), cure.kind.as_str()) {
            (_, "option") if cure.program != self.setting.server.program() => {
                self.download.change(&text);
                Ok(true)
            }
            ("server", "settings" | "option") => {
                let text = if self.setting.server == Brand::Portway { as_settings(&text) } else { text };
                self.server.set(&text);
                self.server.restart(&machines.server).map(|()| true)
            }
            (_, "command") if cure.program == "portway-gate" && text.contains("gate run") => {
                self.start_gate(&text, &machines.far).map(|()| true)
            }
            (place, _) => {
                let host = match place {
                    "client_firewall" | "client_nat" if !self.setting.own => &machines.near,
                    "server_firewall" | "server_nat" => &machines.far,
                    "server" => &machines.server,
                    _ => &machines.client,
                };
                let rules = matches!(cure.program.as_str(), "nftables" | "iptables");
                let before = if rules { ruleset(host)? } else { String::new() };
                self.paste(&text, host)?;
                if std::fs::remove_file(self.folder.join(ASKED)).is_ok() {
                    self.server.restart(&machines.server)?;
                }
                Ok(!rules || ruleset(host)? != before)
            }
        }
    }

    fn paste(&self, text: &str, host: &Host) -> Result<(), LabError> {
        let (mut shell, text) = (self.shell(), text.to_owned());
        shell.arg("-e");
        host.run(move || feed("sh", &mut shell, &text))?
    }

    fn start_gate(&self, text: &str, host: &Host) -> Result<(), LabError> {
        let log = self.folder.join("gate.log");
        let socket = self.folder.join("gate.sock");
        let mut shell = self.shell();
        shell
            .args(["-e", "-c", &format!("{text} --status-socket {}", socket.display())])
            .stdin(Stdio::null());
        host.run(move || {
            let mut child = spawn(&mut shell, &log)?;
            crate::trial::until(&mut child, "portway gate", &log, || {
                std::fs::read_to_string(&log).is_ok_and(|text| text.lines().any(|line| line == "ready"))
            })
        })?
    }

    fn shell(&self) -> std::process::Command {
        let mut shell = clean("/bin/sh".into());
        let path = shell.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
        let path = path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", self.folder.join("bin").display()));
        shell.current_dir(self.folder).env("HOME", self.folder);
        shell
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, fact) in self.facts {
            for spelt in [format!("<{name}>"), format!("<{}>", name.replace(' ', "-"))] {
                text = text.replace(&spelt, fact);
            }
        }
        text
    }
}

fn ruleset(host: &Host) -> Result<String, LabError> {
    host.run(|| {
        // Without counters, which change by themselves.
        let output =
            find("nft")?.args(["-s", "list", "ruleset"]).output().map_err(LabError::system("nft"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    })?
}

/// Flags of `portway serve` as lines of its configuration; lines stay as they are.
fn as_settings(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.contains("--") {
            lines.push(line.to_owned());
            continue;
        }
        for (index, word) in words.iter().enumerate() {
            let Some(name) = word.strip_prefix("--") else { continue };
            let name = name.replace('-', "_");
            match words.get(index + 1).filter(|next| !next.starts_with("--")) {
                Some(value) => lines.push(format!("{name} = {value:?}")),
                None => lines.push(format!("{name} = true")),
            }
        }
    }
    lines.join("\n")
}

/// Whether there is a blank to be filled in: capitals in angle brackets.
fn has_blank(text: &str) -> bool {
    text.split('<').skip(1).any(|rest| {
        rest.split_once('>').is_some_and(|(name, _)| {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && !name.ends_with(' ')
                && name.chars().all(|c| c.is_ascii_uppercase() || " -_/".contains(c))
        })
    })
}

/// How long a client may try after a cure, at least: a busy machine is no fault.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_seen_and_here_documents_are_not() {
        assert!(has_blank("pasv_address=<PUBLIC ADDRESS>"));
        assert!(has_blank("ForcePassiveIP <PUBLIC-ADDRESS>"));
        assert!(!has_blank("cat <<EOF > file\nEOF"));
        assert!(!has_blank("nft add element a b { 1 }"));
    }

    #[test]
    fn flags_of_serve_become_settings() {
        assert_eq!(
            as_settings("--passive-address 192.0.2.1 --anonymous"),
            "passive_address = \"192.0.2.1\"\nanonymous = true"
        );
        assert_eq!(as_settings("tls = \"on\""), "tls = \"on\"");
    }
}
