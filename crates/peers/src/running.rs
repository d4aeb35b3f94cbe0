//! A process for the length of one test.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// A process and all it has started, in a group of their own; killed when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it without standard input; what it says goes into `log`.
    ///
    /// # Errors
    /// When it cannot be started or the log cannot be written.
    pub fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        let log = File::create(log)?;
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().map(Self)
    }

    /// The process that was started; its descendants belong to it, too.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
