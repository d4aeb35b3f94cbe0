//! Servers that the client is tested against and that cannot be installed side by side.
//!
//! Debian's FTP servers conflict with each other, so these are fetched as packages and unpacked below `target/`;
//! nothing of them is installed, started or configured on the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::run;

/// Sets of packages, each fetched with what it depends on and is not installed yet.
const SERVERS: &[&[&str]] = &[
    &["proftpd-core", "proftpd-mod-crypto"],
    &["pure-ftpd"],
    // With the server again: a module fits the version that it was built for.
    &["proftpd-mod-proxy", "proftpd-core", "proftpd-mod-crypto"],
];

/// From the Python package index.
const PYTHON: &[&str] = &["pyftpdlib", "pyopenssl"];

/// Where the unpacked servers are.
pub(crate) struct Peers {
    root: PathBuf,
    python: PathBuf,
}

impl Peers {
    /// Fetches and unpacks what is not there yet.
    ///
    /// # Errors
    /// If a package cannot be fetched; the message names it.
    pub(crate) fn ensure() -> Result<Self> {
        let home = run::root().join("target/test-peers");
        let peers = Self { root: home.join("root"), python: home.join("python") };
        for packages in SERVERS {
            let Some(first) = packages.first() else { continue };
            let done = home.join(format!("{first}.done"));
            if !done.exists() {
                unpack(packages, &home.join("debs").join(first), &peers.root)
                    .with_context(|| format!("{} could not be unpacked for the tests", packages.join(" ")))?;
                fs::write(done, "")?;
            }
        }
        let done = home.join("python.done");
        if !done.exists() {
            let pip = ["-m", "pip", "install", "--quiet", "--upgrade", "--target"];
            run::checked(Command::new("python3").args(pip).arg(&peers.python).args(PYTHON))
                .with_context(|| format!("pip could not fetch {}", PYTHON.join(" ")))?;
            fs::write(done, "")?;
        }
        Ok(peers)
    }

    /// Tells the tests where they are.
    pub(crate) fn tell(&self, tests: &mut Command) {
        tests.env("FTP_TEST_ROOTS", &self.root).env("PYTHONPATH", &self.python);
    }
}

fn unpack(packages: &[&str], debs: &Path, root: &Path) -> Result<()> {
    fs::create_dir_all(debs.join("partial"))?;
    fs::create_dir_all(root)?;
    // Only downloaded: that apt would have to remove another server to install these does not matter.
    let archives = format!("Dir::Cache::archives={}", debs.display());
    run::checked(
        Command::new("apt-get")
            .args(["install", "--download-only", "-y", "--no-install-recommends", "--reinstall"])
            .args(["-o", &archives, "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"])
            .args(packages)
            .stdout(Stdio::null()),
    )?;
    for entry in fs::read_dir(debs)? {
        let deb = entry?.path();
        if deb.extension().is_some_and(|ending| ending == "deb") {
            run::checked(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(root))?;
        }
    }
    Ok(())
}
