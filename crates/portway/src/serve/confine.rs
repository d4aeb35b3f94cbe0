//! What a server gives up once its ports are open: root, and all of the file system that it does not serve.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use nix::unistd::{User, initgroups, setgid, setuid};

/// Somebody to become.
#[derive(Debug)]
pub(crate) struct RunAs(User);

impl RunAs {
    /// Looks the name up.
    ///
    /// # Errors
    /// There is no such user, or we are not root and he is not us.
    pub(crate) fn find(name: &str) -> Result<Self> {
        let user = User::from_name(name)
            .with_context(|| format!("--run-as {name}: the user list cannot be read"))?
            .with_context(|| format!("--run-as {name}: there is no such user"))?;
        let now = nix::unistd::geteuid();
        if !now.is_root() && now != user.uid {
            bail!("--run-as {name}: only root can become somebody else");
        }
        if user.uid.is_root() {
            bail!("--run-as {name} is root again; name an account without rights, such as ftp or nobody");
        }
        Ok(Self(user))
    }

    /// Becomes him, all threads together; there is no way back.
    ///
    /// # Errors
    /// As `setgroups(2)`, `setgid(2)`, `setuid(2)`; the server must not go on then.
    pub(crate) fn take_effect(&self) -> Result<()> {
        let user = &self.0;
        if nix::unistd::geteuid() == user.uid {
            return Ok(());
        }
        let name = std::ffi::CString::new(user.name.as_str()).context("--run-as")?;
        // Groups go first: without root they cannot be changed any more.
        initgroups(&name, user.gid).context("--run-as: the groups cannot be taken")?;
        setgid(user.gid).context("--run-as: the group cannot be taken")?;
        setuid(user.uid).context("--run-as: the user cannot be taken")?;
        if setuid(nix::unistd::ROOT).is_ok() {
            bail!("--run-as: root could be regained");
        }
        Ok(())
    }
}

/// Where the server may go: everything below these, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Folders to read and change.
    pub(crate) change: Vec<PathBuf>,
    /// Folders to read.
    pub(crate) read: Vec<PathBuf>,
}

impl Reach {
    /// The folder of a file that is opened again later: it may be replaced by another of its name.
    pub(crate) fn folder_of(path: &Path) -> PathBuf {
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// Confines this thread and all that it starts (landlock); call it before any is started. Returns whether
    /// the kernel does it.
    ///
    /// A folder that is missing is left out. Sockets, open descriptors and `/dev` are not concerned.
    ///
    /// # Errors
    /// The kernel knows landlock and refuses.
    pub(crate) fn confine(&self) -> Result<bool> {
        // Best effort: older kernels confine less, and those without landlock nothing.
        let all = AccessFs::from_all(ABI::V5);
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)
            .and_then(Ruleset::create)
            .context("landlock")?;
        let read = AccessFs::from_read(ABI::V5) & !AccessFs::Execute;
        // Names, time zones, certificates of the system; the C library reads them late.
        let system = ["/etc", "/usr/share/zoneinfo", "/usr/share/ca-certificates", "/proc", "/sys"];
        let devices = ["/dev/null", "/dev/urandom", "/dev/random"];
        let allowed = (self.change.iter().map(|path| (path.as_path(), all & !AccessFs::Execute)))
            .chain(self.read.iter().map(|path| (path.as_path(), read)))
            .chain(system.map(|path| (Path::new(path), read)))
            .chain(devices.map(|path| (Path::new(path), AccessFs::ReadFile | AccessFs::WriteFile)));
        for (path, access) in allowed {
            let Ok(folder) = PathFd::new(path) else { continue };
            rules = rules.add_rule(PathBeneath::new(folder, access)).context("landlock")?;
        }
        let status = rules.restrict_self().context("landlock")?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_confined_thread_changes_what_is_served_and_sees_nothing_else() {
        let base = std::env::temp_dir().join(format!("portway-confine-{}", std::process::id()));
        let (served, other) = (base.join("served"), base.join("other"));
        for folder in [&served, &other] {
            fs::create_dir_all(folder).expect("a folder");
            fs::write(folder.join("a"), "a").expect("a file");
        }
        let (inside, outside) = (served.clone(), other.clone());
        // The thread takes the confinement with it when it ends.
        let seen = std::thread::spawn(move || {
            let reach = Reach { change: vec![inside.clone()], read: vec![base_missing(&outside)] };
            if !reach.confine().expect("landlock") {
                return None;
            }
            fs::write(inside.join("b"), "b").expect("what is served can be changed");
            fs::rename(inside.join("b"), inside.join("c")).expect("and renamed");
            Some((fs::read(outside.join("a")).map_err(|error| error.kind()), fs::read_dir(&outside).is_ok()))
        })
        .join()
        .expect("no panic");
        fs::remove_dir_all(&base).expect("clean up");
        match seen {
            Some(seen) => assert_eq!(seen, (Err(ErrorKind::PermissionDenied), false)),
            None => eprintln!("this kernel has no landlock; nothing was tested"),
        }
    }

    /// A folder that does not exist: it must not keep the server from starting.
    fn base_missing(beside: &Path) -> PathBuf {
        beside.join("missing")
    }

    #[test]
    fn nobody_becomes_root_or_somebody_who_does_not_exist() {
        assert!(RunAs::find("no-such-user-here").is_err());
        assert!(RunAs::find("root").is_err());
    }
}
