//! The rivals, and how each is asked to do the same.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub(crate) const USER: &str = "bench";
pub(crate) const PASSWORD: &str = "bench";

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// The folder `small` comes down.
    Down,
    /// The folder `small` goes up, into `up`.
    Up,
    /// The file `large` comes down.
    Large,
}

/// A program and its arguments.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) task: Task,
    /// Where below the target folder it puts what it moves.
    pub(crate) lands: &'static str,
    pub(crate) make: fn(&mut Command, &Site<'_>) -> Result<()>,
    /// It waits for each file before the next, so that a few files tell what many would.
    pub(crate) serial: bool,
}

impl Program {
    const fn serial(self) -> Self {
        Self { serial: true, ..self }
    }
}

/// Where everything is.
pub(crate) struct Site<'a> {
    pub(crate) at: SocketAddr,
    /// Where what comes down goes; also the current folder.
    pub(crate) down: &'a Path,
    /// The folder that goes up.
    pub(crate) source: &'a Path,
    /// An empty folder for lists and configurations.
    pub(crate) home: &'a Path,
}

impl Site<'_> {
    fn url(&self, path: &str) -> String {
        format!("ftp://{USER}:{PASSWORD}@{}/{path}", self.at)
    }

    fn lftp(&self, command: &mut Command, what: &str) {
        let opening = format!("open -u {USER},{PASSWORD} -p {} {};", self.at.port(), self.at.ip());
        command.arg("lftp").args(["-c", &format!("{opening} {what}")]);
    }

    fn ncftp<'c>(&self, command: &'c mut Command, program: &str) -> &'c mut Command {
        let port = self.at.port().to_string();
        command.arg(program).args(["-V", "-u", USER, "-p", PASSWORD, "-P", &port])
    }

    fn rclone(&self, command: &mut Command) -> Result<()> {
        let hidden = Command::new("rclone").args(["obscure", PASSWORD]).output();
        let hidden = hidden.context("rclone is missing; install it: apt-get install rclone")?.stdout;
        command.env("RCLONE_FTP_HOST", self.at.ip().to_string());
        command.env("RCLONE_FTP_PORT", self.at.port().to_string()).env("RCLONE_FTP_USER", USER);
        command.env("RCLONE_FTP_PASS", String::from_utf8(hidden)?.trim());
        command.args(["rclone", "copy", "--transfers", "8"]);
        Ok(())
    }

    /// A list of pairs for `curl -K`, and what every call has.
    fn curl(&self, command: &mut Command, pair: impl Fn(&str, &Path) -> String) -> Result<()> {
        let list = self.home.join("list");
        let mut text = String::new();
        for path in files(self.source)? {
            let name = path.strip_prefix(self.source)?.to_str().context("names are ASCII")?.to_owned();
            writeln!(text, "{}", pair(&name, &path))?;
        }
        fs::write(&list, text)?;
        command.args(["curl", "-s", "-Z", "--parallel-max", "8", "--create-dirs", "--ftp-create-dirs", "-K"]);
        command.arg(list);
        Ok(())
    }

    fn portway(&self, command: &mut Command) -> Result<()> {
        let this = std::env::current_exe()?;
        let program = this.with_file_name("portway");
        ensure!(program.is_file(), "{} is missing", program.display());
        command.arg(program);
        Ok(())
    }

    fn mirror(&self, command: &mut Command, jobs: &str, up: bool) -> Result<()> {
        self.portway(command)?;
        command.args(["mirror", "--quiet", "--jobs", jobs]);
        if up {
            command.arg(self.source).arg(self.url("up"));
        } else {
            command.arg(self.url("small")).arg(self.down);
        }
        Ok(())
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    found.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(found)
}

const fn down(
    name: &'static str,
    lands: &'static str,
    make: fn(&mut Command, &Site<'_>) -> Result<()>,
) -> Program {
    Program { name, task: Task::Down, lands, make, serial: false }
}

const fn up(
    name: &'static str,
    lands: &'static str,
    make: fn(&mut Command, &Site<'_>) -> Result<()>,
) -> Program {
    Program { name, task: Task::Up, lands, make, serial: false }
}

const fn large(name: &'static str, make: fn(&mut Command, &Site<'_>) -> Result<()>) -> Program {
    Program { name, task: Task::Large, lands: "large", make, serial: false }
}

/// Many small files down; the first is what the others are compared with.
pub(crate) const DOWN: &[Program] = &[
    down("lftp mirror", "", |command, site| {
        site.lftp(command, &format!("mirror small {}", site.down.display()));
        Ok(())
    })
    .serial(),
    down("lftp mirror -P 8", "", |command, site| {
        site.lftp(command, &format!("mirror -P 8 small {}", site.down.display()));
        Ok(())
    }),
    down("ncftpget -R", "small", |command, site| {
        site.ncftp(command, "ncftpget").args(["-R", &site.at.ip().to_string()]).arg(site.down).arg("small");
        Ok(())
    })
    .serial(),
    down("wget -r", "small", |command, site| {
        command.args(["wget", "-q", "-r", "-nH", "-P"]).arg(site.down).arg(site.url("small/"));
        Ok(())
    })
    .serial(),
    down("curl -Z, 8 at once", "", |command, site| {
        site.curl(command, |name, _| {
            format!("url={}\noutput={}/{name}", site.url(&format!("small/{name}")), site.down.display())
        })
    }),
    down("rclone, 8 at once", "", |command, site| {
        site.rclone(command)?;
        command.arg(":ftp:small").arg(site.down);
        Ok(())
    }),
    down("portway mirror -j 1", "", |command, site| site.mirror(command, "1", false)),
    down("portway mirror -j 8", "", |command, site| site.mirror(command, "8", false)),
];

/// The same up.
pub(crate) const UP: &[Program] = &[
    up("lftp mirror -R", "", |command, site| {
        site.lftp(command, &format!("mirror -R {} up", site.source.display()));
        Ok(())
    })
    .serial(),
    up("lftp mirror -R -P 8", "", |command, site| {
        site.lftp(command, &format!("mirror -R -P 8 {} up", site.source.display()));
        Ok(())
    }),
    up("ncftpput -R", "small", |command, site| {
        site.ncftp(command, "ncftpput").args(["-R", &site.at.ip().to_string(), "up"]).arg(site.source);
        Ok(())
    })
    .serial(),
    up("curl -Z, 8 at once", "", |command, site| {
        site.curl(command, |name, path| {
            format!("upload-file={}\nurl={}", path.display(), site.url(&format!("up/{name}")))
        })
    }),
    up("rclone, 8 at once", "", |command, site| {
        site.rclone(command)?;
        command.arg(site.source).arg(":ftp:up");
        Ok(())
    }),
    up("portway mirror -j 1", "", |command, site| site.mirror(command, "1", true)),
    up("portway mirror -j 8", "", |command, site| site.mirror(command, "8", true)),
];

/// One large file down.
pub(crate) const LARGE: &[Program] = &[
    large("curl", |command, site| {
        command.args(["curl", "-s", "-o", "large"]).arg(site.url("large"));
        Ok(())
    }),
    large("lftp get", |command, site| {
        site.lftp(command, "get large");
        Ok(())
    }),
    large("lftp pget -n 4", |command, site| {
        site.lftp(command, "pget -n 4 large");
        Ok(())
    }),
    large("portway get", |command, site| {
        site.portway(command)?;
        command.args(["get", "--quiet"]).arg(site.url("large"));
        Ok(())
    }),
    large("portway --segments 4", |command, site| {
        site.portway(command)?;
        command.args(["get", "--quiet", "--segments", "4"]).arg(site.url("large"));
        Ok(())
    }),
];
