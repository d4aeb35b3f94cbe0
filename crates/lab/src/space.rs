//! System calls that make namespaces, and what runs inside them.
#![allow(unsafe_code, reason = "unshare, and code between fork and exec, have no safe form")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::mpsc;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, getgid, getpid, getppid, getuid, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};

use crate::error::LabError;

/// What a cell has for itself. Its processes are numbered by themselves so that the kernel ends all of them with
/// the first; its mounts are its own so that its files are in memory and go with it.
const OWN: UnshareFlags = UnshareFlags::NEWNET.union(UnshareFlags::NEWPID).union(UnshareFlags::NEWNS);

/// Lets `command` start in namespaces of its own, and die with the thread that started it.
///
/// The command itself keeps its process number; its first child is number 1 of the new numbering.
pub(crate) fn isolate(command: &mut Command, as_user: bool) {
    let user_map = format!("0 {} 1", getuid().as_raw());
    let group_map = format!("0 {} 1", getgid().as_raw());
    let parent = getpid();
    let prepare = move || -> io::Result<()> {
        // SAFETY: no thread but this one exists between fork and exec, and it shares nothing with others.
        unsafe { unshare_unsafe(if as_user { OWN.union(UnshareFlags::NEWUSER) } else { OWN }) }?;
        if as_user {
            // Without this an unprivileged process may not map groups (user_namespaces(7)).
            write(c"/proc/self/setgroups", b"deny")?;
            write(c"/proc/self/gid_map", group_map.as_bytes())?;
            write(c"/proc/self/uid_map", user_map.as_bytes())?;
        }
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the kernel knew that we care.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: `prepare` makes system calls only: it takes no lock and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Lets `command` die with the thread that starts it.
pub(crate) fn die_with_us(command: &mut Command) {
    // SAFETY: one system call, no lock, no allocation.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

fn write(path: &std::ffi::CStr, text: &[u8]) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, text)?;
    Ok(())
}

type Job = Box<dyn FnOnce() + Send>;

/// A machine: a thread in a network namespace of its own. Programs that it starts are in there too.
pub(crate) struct Host {
    jobs: mpsc::Sender<Job>,
    thread: i32,
}

impl Host {
    /// A machine without any interface but a loopback that is down.
    pub(crate) fn new() -> Result<Self, LabError> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (ready, thread) = mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: only the network namespace of this thread changes, and no memory depends on that.
            let own = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
            // The receiver waits for exactly this.
            let _ = ready.send(own.map(|()| gettid().as_raw_nonzero().get()));
            for job in todo {
                job();
            }
        });
        let ended = || LabError::Broken("a thread ended".to_owned());
        let thread = thread.recv().map_err(|_| ended())?.map_err(|why| LabError::NoNamespaces(why.into()))?;
        Ok(Self { jobs, thread })
    }

    /// Its number, for `ip link … netns`.
    pub(crate) fn thread(&self) -> i32 {
        self.thread
    }

    /// Does something on this machine, and waits for it.
    ///
    /// # Errors
    /// [`LabError::Broken`] if it panicked.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LabError> {
        let (done, result) = mpsc::channel();
        let job = Box::new(move || {
            // The receiver waits for exactly this.
            let _ = done.send(job());
        });
        let ended = |_| LabError::Broken("a machine of the lab ended".to_owned());
        self.jobs.send(job).map_err(|_| LabError::Broken("a machine of the lab has ended".to_owned()))?;
        result.recv().map_err(ended)
    }
}
