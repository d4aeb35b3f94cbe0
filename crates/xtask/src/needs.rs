//! What the tests need from the system, and how it gets there.

use std::fs;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run;

/// How to find out whether something is there.
enum Probe {
    /// An executable of that name in `PATH` or one of the `sbin` folders.
    Program(&'static str),
    /// A Perl module.
    Perl(&'static str),
    /// A Python module.
    Python(&'static str),
    /// A file below the folder of shared libraries.
    Library(&'static str),
}

/// One thing that the tests need.
struct Need {
    probe: Probe,
    /// The Debian and Ubuntu package that has it.
    package: &'static str,
    /// The name of the service that the package would start, if any.
    service: Option<&'static str>,
}

const fn program(name: &'static str, package: &'static str) -> Need {
    Need { probe: Probe::Program(name), package, service: None }
}

const fn perl(module: &'static str, package: &'static str) -> Need {
    Need { probe: Probe::Perl(module), package, service: None }
}

/// Everything that is installed. Debian lets only one FTP server be installed at a time, so there is one, the peer of
/// the benchmark; the others are unpacked (see `peers`).
const NEEDS: &[Need] = &[
    program("conntrack", "conntrack"),
    program("iptables", "iptables"),
    program("lftp", "lftp"),
    program("curl", "curl"),
    program("ncftpget", "ncftp"),
    program("ncftpput", "ncftp"),
    program("tnftp", "tnftp"),
    program("inetutils-ftp", "inetutils-ftp"),
    program("wget", "wget"),
    program("rclone", "rclone"),
    program("python3", "python3"),
    Need { probe: Probe::Python("pip"), package: "python3-pip", service: None },
    program("perl", "perl"),
    perl("Net::FTP", "perl"),
    perl("IO::Socket::SSL", "libio-socket-ssl-perl"),
    program("openssl", "openssl"),
    program("ufw", "ufw"),
    Need { probe: Probe::Program("firewalld"), package: "firewalld", service: Some("firewalld") },
    program("dbus-daemon", "dbus"),
    program("nft", "nftables"),
    program("ip", "iproute2"),
    program("unshare", "util-linux"),
    program("setpriv", "util-linux"),
    program("c++", "g++"),
    program("valgrind", "valgrind"),
    Need { probe: Probe::Program("vsftpd"), package: "vsftpd", service: Some("vsftpd") },
    // What stands between a client and its servers.
    program("microsocks", "microsocks"),
    program("tinyproxy", "tinyproxy-bin"),
    Need { probe: Probe::Program("danted"), package: "dante-server", service: Some("danted") },
    Need { probe: Probe::Program("ftp-proxy"), package: "ftp-proxy", service: Some("ftp-proxy") },
    Need { probe: Probe::Program("c-icap"), package: "c-icap", service: Some("c-icap") },
    Need {
        probe: Probe::Library("c_icap/srv_content_filtering.so"),
        package: "libc-icap-mod-contentfiltering",
        service: None,
    },
    Need { probe: Probe::Program("miniupnpd"), package: "miniupnpd-nftables", service: Some("miniupnpd") },
];

/// Makes sure that everything is there.
///
/// Asks before it installs, unless `yes` is set. Installed servers are neither started nor left to start with the
/// machine, and nothing that is installed already is removed.
///
/// # Errors
/// If something is missing and cannot or may not be installed; the message names the packages.
pub(crate) fn ensure(yes: bool) -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !need.probe.found()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.dedup();
    let what: Vec<String> = missing.iter().map(|need| need.probe.shown()).collect();
    eprintln!("The tests need what is not here yet: {}.", what.join(", "));
    if !Probe::Program("apt-get").found() {
        bail!("no apt-get on this system; install what Debian calls {}", packages.join(" "));
    }
    if !yes && !agreed(&packages)? {
        bail!("not installed; to do it yourself: apt-get install {}", packages.join(" "));
    }
    install(&packages)?;
    for service in missing.iter().filter_map(|need| need.service) {
        keep_from_starting(service);
    }
    match NEEDS.iter().find(|need| !need.probe.found()) {
        Some(need) => bail!("{} is still missing after installing {}", need.probe.shown(), need.package),
        None => Ok(()),
    }
}

/// Asks a person; without one the answer is no.
fn agreed(packages: &[&str]) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        eprintln!("Nobody here to ask; --yes installs without asking.");
        return Ok(false);
    }
    eprint!("Install {} with apt-get? [Y/n] ", packages.join(" "));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(means_yes(&answer))
}

/// Yes is the default, but only for an empty line, not for the end of input.
fn means_yes(answer: &str) -> bool {
    answer.ends_with('\n') && matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes")
}

fn install(packages: &[&str]) -> Result<()> {
    let _guard = NoDaemons::set()?;
    run::checked(privileged("apt-get").arg("update"))?;
    // --no-remove: another FTP server that is in use here must not be replaced by ours.
    run::checked(
        privileged("apt-get")
            .args(["install", "-y", "--no-install-recommends", "--no-remove"])
            .args(packages),
    )
    .context("if another FTP server is installed, Debian allows no second one: run the tests in a container")
}

/// A command as root, by sudo where we are not.
fn privileged(program: &str) -> Command {
    let mut command = if is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--preserve-env=DEBIAN_FRONTEND", program]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    // The owner of a process's own folder in /proc is its effective user.
    fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// A freshly installed server is not to start with the machine; best effort, as not every system has services.
fn keep_from_starting(service: &str) {
    if !Probe::Program("update-rc.d").found() {
        return;
    }
    let done = privileged("update-rc.d")
        .args([service, "disable"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !done.is_ok_and(|status| status.success()) {
        eprintln!("Note: {service} was installed; see that it does not start with the machine.");
    }
}

/// While this value lives, packages that are installed start no service (Debian's policy-rc.d says 101).
struct NoDaemons {
    placed: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoDaemons {
    fn set() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { placed: false });
        }
        let script = format!("printf '#!/bin/sh\\nexit 101\\n' >{POLICY} && chmod 755 {POLICY}");
        run::checked(privileged("sh").args(["-c", &script]))?;
        Ok(Self { placed: true })
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if self.placed && run::checked(privileged("rm").args(["-f", POLICY])).is_err() {
            eprintln!("Please remove {POLICY}: it keeps services from starting.");
        }
    }
}

impl Probe {
    fn found(&self) -> bool {
        match self {
            Self::Program(name) => folders().any(|folder| is_executable(&folder.join(name))),
            Self::Perl(module) => succeeds("perl", ["-M".to_owned() + module, "-e1".to_owned()]),
            Self::Python(module) => succeeds("python3", ["-c".to_owned(), format!("import {module}")]),
            Self::Library(name) => {
                let folder = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
                Path::new(&folder).join(name).exists()
            }
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Program(name) => (*name).to_owned(),
            Self::Perl(module) => format!("Perl's {module}"),
            Self::Python(module) => format!("Python's {module}"),
            Self::Library(name) => (*name).to_owned(),
        }
    }
}

fn succeeds(program: &str, args: [String; 2]) -> bool {
    Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// `PATH`, and the folders of servers that Debian leaves out of an ordinary user's `PATH`.
fn folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter().chain(sbin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_means_yes_and_the_end_of_input_means_no() {
        for (answer, yes) in
            [("\n", true), ("Y\n", true), ("yes\n", true), ("n\n", false), ("", false), ("?\n", false)]
        {
            assert_eq!(means_yes(answer), yes, "{answer:?}");
        }
    }

    #[test]
    fn a_shell_is_found_and_nonsense_is_not() {
        assert!(Probe::Program("sh").found());
        assert!(!Probe::Program("no-such-program-here").found());
        assert!(!Probe::Perl("No::Such::Module::Here").found());
    }
}
