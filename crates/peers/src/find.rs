//! Where the programs are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::PeerError;

/// Programs for administrators are often not on the path of users.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"];

/// A program, installed or unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The program.
    pub file: PathBuf,
    /// The folder in which its package was unpacked, unless it is installed.
    root: Option<PathBuf>,
}

/// Finds a program that Debian's `package` brings: in the folders that `FTP_TEST_ROOTS` names (parted by colons), where
/// `cargo xtask test` unpacks packages below `target`, in the system.
///
/// Debian's servers exclude one another, so all but one of them have to be unpacked.
///
/// # Errors
/// [`PeerError::Missing`], which names the package.
pub fn find(program: &'static str, package: &'static str) -> Result<Found, PeerError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = SYSTEM.into_iter().map(PathBuf::from).chain(std::env::split_paths(&path));
    find_in(program, unpacked(), system).ok_or(PeerError::Missing { program, package })
}

fn find_in(
    program: &str,
    roots: impl IntoIterator<Item = PathBuf>,
    system: impl IntoIterator<Item = PathBuf>,
) -> Option<Found> {
    let below = roots.into_iter().flat_map(|root| {
        ["usr/sbin", "usr/bin"]
            .map(|folder| Found { file: root.join(folder).join(program), root: Some(root.clone()) })
    });
    let installed = system.into_iter().map(|folder| Found { file: folder.join(program), root: None });
    below.chain(installed).find(|found| found.file.is_file())
}

/// Python with the modules that `cargo xtask test` fetches, unless `PYTHONPATH` names others; ends with us.
#[must_use]
pub fn python() -> Command {
    let mut command = guarded(Path::new("python3"));
    if std::env::var_os("PYTHONPATH").is_none()
        && let Some(folder) = target()
    {
        command.env("PYTHONPATH", folder.join("python"));
    }
    command
}

impl Found {
    /// What starts it, with the libraries that were unpacked beside it. It ends with us, whatever ends us.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = guarded(&self.file);
        command.envs(self.libraries().map(|folders| ("LD_LIBRARY_PATH", folders)));
        command
    }

    /// For `LD_LIBRARY_PATH`; none is needed if it is installed.
    #[must_use]
    pub fn libraries(&self) -> Option<OsString> {
        let folder = self.root.as_ref()?.join("usr/lib");
        let machine = folder.join(format!("{}-linux-gnu", std::env::consts::ARCH));
        std::env::join_paths([machine, folder]).ok()
    }

    /// The folder of modules below `usr/lib` that belong to it, if it was unpacked; who is installed knows its own.
    #[must_use]
    pub fn modules(&self, folder: &str) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.join("usr/lib").join(folder))
    }
}

/// The folders in which packages may lie unpacked, first those that are named.
fn unpacked() -> Vec<PathBuf> {
    let named = std::env::var_os("FTP_TEST_ROOTS").unwrap_or_default();
    let named = std::env::split_paths(&named).filter(|root| !root.as_os_str().is_empty());
    named.chain(target().map(|folder| folder.join("root"))).collect()
}

/// What `cargo xtask test` fills, seen from a program that cargo has built.
fn target() -> Option<PathBuf> {
    below_target(&std::env::current_exe().ok()?)
}

fn below_target(program: &Path) -> Option<PathBuf> {
    // A program lies in target/debug, a test in target/debug/deps.
    let mut profile = program.parent()?;
    if profile.ends_with("deps") {
        profile = profile.parent()?;
    }
    Some(profile.parent()?.join("test-peers"))
}

fn guarded(file: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(file);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, name: &str) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(name), "").unwrap();
        folder.join(name)
    }

    #[test]
    fn what_was_unpacked_goes_before_what_is_installed_and_brings_its_libraries() {
        let home = tempfile::tempdir().unwrap();
        let (root, system) = (home.path().join("root"), home.path().join("sbin"));
        let installed = put(&system, "ftpd");
        let look = || find_in("ftpd", [home.path().join("absent"), root.clone()], [system.clone()]).unwrap();
        let found = look();
        assert_eq!((&found.file, found.libraries(), found.modules("ftpd")), (&installed, None, None));
        let unpacked = put(&root.join("usr/sbin"), "ftpd");
        let found = look();
        assert_eq!((&found.file, found.modules("ftpd")), (&unpacked, Some(root.join("usr/lib/ftpd"))));
        let libraries = found.libraries().unwrap().into_string().unwrap();
        assert!(libraries.ends_with(&root.join("usr/lib").display().to_string()), "{libraries}");
    }

    #[test]
    fn tests_and_programs_find_the_same_folder() {
        let expected = Some(PathBuf::from("/w/target/test-peers"));
        for program in
            ["/w/target/debug/deps/commands-1f", "/w/target/debug/portway", "/w/target/release/bench"]
        {
            assert_eq!(below_target(Path::new(program)), expected, "{program}");
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let said = find("no-such-ftpd", "no-such-package").unwrap_err().to_string();
        assert!(
            said.starts_with("no-such-ftpd is missing; install it: apt-get install no-such-package"),
            "{said}"
        );
    }
}
