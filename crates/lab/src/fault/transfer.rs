//! The download that is broken, and later is not, by the program that the client's user has.

use std::path::Path;
use std::time::{Duration, Instant};

use super::setting::User;
use crate::error::LabError;
use crate::program::{find, ourselves};
use crate::space::Host;
use crate::trial::{ends_within, last_line, spawn};

/// A download as its user types it: a cure may change how.
#[derive(Clone, Debug)]
pub(super) struct Download {
    pub(super) client: User,
    /// `ftp://user:password@name`, with a slash at its end.
    pub(super) url: String,
    /// Options; an option with its value is one entry. For lftp: what it does before the download.
    pub(super) options: Vec<String>,
    pub(super) times: u8,
}

impl Download {
    pub(super) fn new(client: User, url: &str, more: &str, times: u8) -> Self {
        let mut download = Self { client, url: url.to_owned(), options: Vec::new(), times };
        download.change(more);
        download
    }

    /// Adds what a cure says to type: options, settings of lftp, or another URL.
    pub(super) fn change(&mut self, text: &str) {
        if self.client == User::Lftp {
            self.options.extend(
                text.split([';', '\n']).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()),
            );
            return;
        }
        // Whole commands are cures too: only what follows the program is of interest.
        let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_matches(['\'', '"'])).collect();
        let skipped = match words.as_slice() {
            ["portway", "get", ..] => 2,
            ["curl", ..] => 1,
            _ => 0,
        };
        let mut added: Vec<String> = Vec::new();
        for word in words.into_iter().skip(skipped) {
            if word.starts_with("ftp://") || word.starts_with("ftps://") {
                self.url = format!("{}/", word.trim_end_matches("/file").trim_end_matches('/'));
            } else if word.starts_with('-') && word != "-" {
                added.push(word.to_owned());
            } else if let Some(last) = added.last_mut() {
                last.push(' ');
                last.push_str(word);
            }
        }
        let name = |option: &str| option.split(['=', ' ']).next().unwrap_or_default().to_owned();
        self.options.retain(|old| !added.iter().any(|new| name(new) == name(old)));
        self.options.extend(added);
    }

    /// Tries it on the client's machine for `limit` each time; says whether the file arrived whole, always, and if
    /// not what the program said last.
    pub(super) fn arrives(
        &self,
        client: &Host,
        folder: &Path,
        content: &[u8],
        limit: Duration,
    ) -> Result<Result<(), String>, LabError> {
        let (to, log) = (folder.join("arrived"), folder.join("client.log"));
        for _ in 0..self.times {
            // It may not be there.
            let _ = std::fs::remove_file(&to);
            let mut command = self.command(&to)?;
            command.current_dir(folder).env("HOME", folder);
            let at = log.clone();
            let begun = Instant::now();
            let ended = client.run(move || {
                let mut child = spawn(&mut command, &at)?;
                let ended = ends_within(&child, limit).map_err(LabError::system("waiting for the client"))?;
                if !ended {
                    child.kill().map_err(LabError::system("ending the client"))?;
                }
                child.wait().map_err(LabError::system("waiting for the client"))?;
                Ok::<_, LabError>(ended)
            })??;
            if !ended {
                return Ok(Err(format!("no end within {:.1} s", begun.elapsed().as_secs_f64())));
            }
            if std::fs::read(&to).map_or(true, |got| got != content) {
                return Ok(Err(last_line(&log)));
            }
        }
        Ok(Ok(()))
    }

    fn command(&self, to: &Path) -> Result<std::process::Command, LabError> {
        let mut command = match self.client {
            User::Portway => {
                let mut command = ourselves();
                command.args(["get", "--quiet", "--no-memory", "--attempts", "1"]);
                command
            }
            User::Curl => {
                let mut command = find("curl")?;
                command.args(["-q", "-sS", "--globoff"]);
                command
            }
            User::Lftp => {
                let mut script = String::new();
                let always = [
                    "set net:max-retries 1",
                    "set net:reconnect-interval-base 1",
                    // Else lftp leaves the mode that is to be tried.
                    "set ftp:auto-passive-mode off",
                    "set ftp:ssl-allow-anonymous on",
                    "set xfer:clobber on",
                ];
                for line in always.into_iter().chain(self.options.iter().map(String::as_str)) {
                    script.push_str(&format!("{line}; "));
                }
                script.push_str(&format!("get file -o {}; bye", to.display()));
                let mut command = find("lftp")?;
                command.args(["--norc", "-e", &script, &self.url]);
                return Ok(command);
            }
        };
        for option in &self.options {
            match option.split_once(' ') {
                Some((name, value)) => command.args([name, value]),
                None => command.arg(option),
            };
        }
        command.arg("--output").arg(to).arg(format!("{}file", self.url));
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cure_replaces_what_it_contradicts_and_may_name_another_url() {
        let mut download =
            Download::new(User::Portway, "ftp://a.example/", "--mode passive --tls required", 1);
        download.change("portway get --mode active ftps://a.example:990/file");
        assert_eq!(download.options, ["--tls required", "--mode active"]);
        assert_eq!(download.url, "ftps://a.example:990/");
        let mut download = Download::new(User::Lftp, "ftp://a.example/", "set ftp:passive-mode off", 1);
        download.change("set ftp:passive-mode on; set ftp:prefer-epsv no\n");
        assert_eq!(
            download.options,
            ["set ftp:passive-mode off", "set ftp:passive-mode on", "set ftp:prefer-epsv no"]
        );
    }
}
