//! The processes of one cell: the first makes its namespaces, the second is number 1 in them and tries.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Pid, getpid};
use serde::{Deserialize, Serialize};

use crate::cell::{Cell, Outcome};
use crate::error::LabError;
use crate::space::die_with_us;
use crate::trial;

/// Wiring up takes well under a second; a cell that is not over so long after its limit hangs.
const GRACE: Duration = Duration::from_secs(30);
/// One of these folders is hidden behind one in memory, for this cell's processes only.
const FOLDERS: [&str; 4] = ["/mnt", "/media", "/srv", "/run"];

/// What the runner tells a cell's process, as JSON on its command line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) cell: Cell,
    pub(crate) limit: Duration,
}

/// What it answers, as JSON on standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done(Outcome),
    Failed(String),
}

/// Tries the cell that [`run`](crate::run()) started this process for; `task` is the last argument it gave.
#[must_use]
pub fn inside(task: &str) -> ExitCode {
    answer(|| match serde_json::from_str(task) {
        Ok(task) => attempt(&task),
        Err(why) => Answer::Failed(format!("not a task of the lab: {why}")),
    })
}

/// Becomes number 1 of the namespaces, finds an answer there and prints it.
pub(crate) fn answer<A: Serialize>(find: impl FnOnce() -> A) -> ExitCode {
    // The first process has left its namespaces to its children; the child is number 1 there.
    if getpid() != Pid::INIT {
        return again();
    }
    // Strings and numbers always have a JSON form.
    let line = serde_json::to_string(&find()).unwrap_or_default();
    match std::io::stdout().write_all(line.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn again() -> ExitCode {
    let mut command = Command::new("/proc/self/exe");
    command.args(std::env::args_os().skip(1));
    die_with_us(&mut command);
    match command.status() {
        Ok(status) => {
            status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, Into::into)
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn attempt(task: &Task) -> Answer {
    end_after(task.limit + GRACE);
    match folder().and_then(|folder| trial::perform(&task.cell, task.limit, &folder)) {
        Ok(outcome) => Answer::Done(outcome),
        Err(why) => Answer::Failed(why.to_string()),
    }
}

/// Ends this process, and all that it started, unless it is over by then.
pub(crate) fn end_after(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        std::process::exit(70);
    });
}

/// A folder in memory that nobody else sees and that ends with us.
pub(crate) fn folder() -> Result<PathBuf, LabError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|why| LabError::NoNamespaces(why.into()))?;
    let folder = FOLDERS.iter().map(Path::new).find(|folder| folder.is_dir()).unwrap_or(Path::new("/tmp"));
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("portway-lab", folder, "tmpfs", flags, Some(c"size=64m,mode=755"))
        .map_err(|why| LabError::NoNamespaces(why.into()))?;
    Ok(folder.to_owned())
}
