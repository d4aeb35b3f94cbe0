//! Programs that the tests run, with a deadline.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal};

/// One program to run to its end: arguments, folder, input, deadline.
///
/// It gets an environment of its own (`HOME` is its working folder, `LC_ALL` is `C.UTF-8`), so that
/// nobody's dot files change what a test sees.
pub struct Program {
    command: Command,
    name: String,
    input: Vec<u8>,
    limit: Duration,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// Exit code 0.
    pub success: bool,
    /// The exit code, or none after a signal.
    pub code: Option<i32>,
    /// Standard output, as it came.
    pub stdout: Vec<u8>,
    /// Standard error, as it came.
    pub stderr: Vec<u8>,
    /// Seconds from start to end.
    pub seconds: f64,
}

impl Program {
    /// A program by name, the distribution's own before others on `PATH`, that belongs to the Debian package `package`.
    ///
    /// # Errors
    /// Names the package to install when the program is missing: a test never skips silently.
    pub fn new(name: &str, package: &str) -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = ["/usr/bin", "/usr/sbin"]
            .map(PathBuf::from)
            .into_iter()
            .chain(std::env::split_paths(&path))
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
            .ok_or_else(|| anyhow!("{name} is missing; install it: apt-get install {package}"))?;
        Ok(Self::of(&found, name))
    }

    /// The program of this workspace, as [`Subject`](crate::Subject) starts it too.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn portway() -> Result<Self> {
        Ok(Self::of(&crate::subject::binary()?, "portway"))
    }

    fn of(file: &Path, name: &str) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut command = Command::new(file);
        command.env_clear().env("PATH", &path).env("LC_ALL", "C.UTF-8").env("TERM", "dumb").env("TZ", "UTC");
        Self { command, name: name.to_owned(), input: Vec::new(), limit: Duration::from_secs(40) }
    }

    /// What would be run, for a test that runs it in a way of its own.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working folder, which becomes `HOME` as well.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder).env("HOME", folder);
        self
    }

    /// Sets what the program reads from standard input. Nothing by default.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Sets the deadline. 40 s by default.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end, whatever the end is.
    ///
    /// # Errors
    /// When it cannot be started, or was still running at the deadline (its process group is
    /// killed then, and the error quotes what it had said).
    pub fn run(self) -> Result<Finished> {
        let mut kept = Vec::new();
        let (mut finished, kept) = self.run_into(move |piece| match piece {
            Some(piece) => {
                kept.extend_from_slice(piece);
                Ok(Vec::new())
            }
            None => Ok(std::mem::take(&mut kept)),
        })?;
        finished.stdout = kept;
        Ok(finished)
    }

    /// Runs it to its end and fails unless the end is exit code 0.
    ///
    /// # Errors
    /// As [`Program::run`], and when the exit code is another; the error quotes both outputs.
    pub fn succeed(self) -> Result<Finished> {
        let name = self.name.clone();
        self.run()?.expect_success(&name)
    }

    /// Runs it and compares standard output with `file` while it comes, keeping nothing: for files
    /// that are too large to store twice. Returns the number of equal octets.
    ///
    /// # Errors
    /// As [`Program::succeed`]; names the offset of the first difference, or the missing rest.
    pub fn compare(self, file: &Path) -> Result<u64> {
        let name = self.name.clone();
        let mut expected = std::fs::File::open(file)?;
        let length = expected.metadata()?.len();
        let (mut at, mut own) = (0_u64, vec![0_u8; 1 << 20]);
        let (finished, kept) = self.run_into(move |piece| {
            let Some(piece) = piece else { return Ok(at.to_be_bytes().to_vec()) };
            for part in piece.chunks(own.len()) {
                let own = own.get_mut(..part.len()).unwrap_or_default();
                expected.read_exact(own).context("more octets than the file has")?;
                if own != part {
                    bail!("octets differ between {at} and {}", at + part.len() as u64);
                }
                at += part.len() as u64;
            }
            Ok(Vec::new())
        })?;
        finished.expect_success(&name)?;
        let got = kept.try_into().map(u64::from_be_bytes).unwrap_or_default();
        if got != length {
            bail!("{name} wrote {got} octets of {length}");
        }
        Ok(got)
    }

    /// Runs it with `sink` on standard output: called with each piece, and at the end with `None`,
    /// when it returns what is to be kept.
    fn run_into(
        mut self,
        sink: impl FnMut(Option<&[u8]>) -> Result<Vec<u8>> + Send + 'static,
    ) -> Result<(Finished, Vec<u8>)> {
        let begun = Instant::now();
        self.command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| format!("cannot start {}", self.name))?;
        let (done, ended) = mpsc::channel();
        let mut notes = Vec::new();
        let keep_notes = move |piece: Option<&[u8]>| {
            notes.extend_from_slice(piece.unwrap_or_default());
            Ok(if piece.is_none() { std::mem::take(&mut notes) } else { Vec::new() })
        };
        let stdout = drain(child.stdout.take(), sink, done.clone());
        let stderr = drain(child.stderr.take(), keep_notes, done);
        if let Some(mut stdin) = child.stdin.take() {
            let input = std::mem::take(&mut self.input);
            // A program that does not care to read its input is no failure.
            std::thread::spawn(move || stdin.write_all(&input).is_ok());
        }
        let mut late = false;
        for _ in 0..2 {
            let left = (begun + self.limit).saturating_duration_since(Instant::now());
            if ended.recv_timeout(left).is_err_and(|e| e == mpsc::RecvTimeoutError::Timeout) {
                late = true;
                kill_group(&child);
            }
        }
        let status = child.wait()?;
        let outcome = stdout.join().map_err(|_| anyhow!("the reader of {} panicked", self.name))?;
        let finished = Finished {
            success: status.success(),
            code: status.code(),
            stdout: Vec::new(),
            stderr: stderr.join().ok().and_then(Result::ok).unwrap_or_default(),
            seconds: begun.elapsed().as_secs_f64(),
        };
        let kept = outcome.with_context(|| format!("{}: {finished}", self.name))?;
        if late {
            bail!(
                "{} did not end within {:?}\n{finished}\n{}",
                self.name,
                self.limit,
                String::from_utf8_lossy(&kept)
            );
        }
        Ok((finished, kept))
    }
}

impl Finished {
    fn expect_success(self, name: &str) -> Result<Self> {
        if !self.success {
            bail!("{name} failed\n{self}");
        }
        Ok(self)
    }

    /// Both outputs as text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr))
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code {:?} after {:.1} s", self.code, self.seconds)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let text = String::from_utf8_lossy(text);
            let lines: Vec<&str> = text.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(60)) {
                writeln!(f, "  {name}: {line}")?;
            }
        }
        Ok(())
    }
}

type Sink = JoinHandle<Result<Vec<u8>>>;

fn drain(
    pipe: Option<impl Read + Send + 'static>,
    mut sink: impl FnMut(Option<&[u8]>) -> Result<Vec<u8>> + Send + 'static,
    done: mpsc::Sender<()>,
) -> Sink {
    std::thread::spawn(move || {
        let mut room = vec![0; 1 << 18];
        let mut pipe = pipe.context("no pipe")?;
        let outcome = loop {
            match pipe.read(&mut room) {
                Ok(0) => break sink(None),
                Ok(n) => {
                    if let Err(why) = sink(room.get(..n)) {
                        break Err(why);
                    }
                }
                Err(why) if why.kind() == std::io::ErrorKind::Interrupted => {}
                Err(why) => break Err(why.into()),
            }
        };
        drop(pipe);
        // The receiver is gone only when nobody waits any more.
        let _ = done.send(());
        outcome
    })
}

/// Ends a child and whatever it started. It must have been started in a process group of its own.
pub(crate) fn kill_group(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // The group may have ended by itself in the meantime.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}
