//! A program on a terminal of its own, as a person sees it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::Program;
use crate::program::kill_group;
use crate::wait::PATIENCE;

/// A running program, its keyboard and its screen. It is killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    shared: Arc<(Mutex<Screen>, Condvar)>,
    /// Characters of the transcript that were waited for already.
    seen: usize,
}

/// What is on the screen and what has left it at the top. Lines are as long as they are: nothing wraps.
#[derive(Debug, Default)]
struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    escape: Option<String>,
    pending: Vec<u8>,
    /// Everything in the order in which it came, without what moves the cursor.
    transcript: String,
    ended: bool,
}

impl Terminal {
    /// Starts a program on a terminal of 100 columns and 40 lines.
    ///
    /// # Errors
    /// When there is no terminal, or no such program.
    pub fn start(program: Program) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master: OwnedFd = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        tcsetwinsize(&master, Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 })?;
        let name = ptsname(&master, Vec::new())?.into_string()?;
        let open = || File::options().read(true).write(true).open(&name);
        let inner = program.into_command();
        // It makes the terminal the controlling one, so that Ctrl-C is a signal.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
        command.env_clear();
        for (key, value) in inner.get_envs() {
            if let Some(value) = value {
                command.env(key, value);
            }
        }
        command.env("TERM", "xterm");
        if let Some(folder) = inner.get_current_dir() {
            command.current_dir(folder);
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(open()?).stdout(open()?).stderr(open()?).spawn().context("setsid")?;
        let keyboard = File::from(master);
        let shared = Arc::new((Mutex::new(Screen::default()), Condvar::new()));
        let (mut output, theirs) = (keyboard.try_clone()?, Arc::clone(&shared));
        std::thread::spawn(move || {
            let mut room = [0; 4096];
            loop {
                // The kernel says EIO when the last program has closed the terminal.
                let count = output.read(&mut room).unwrap_or(0);
                let mut screen = theirs.0.lock().unwrap_or_else(PoisonError::into_inner);
                screen.take(room.get(..count).unwrap_or_default());
                screen.ended |= count == 0;
                theirs.1.notify_all();
                if count == 0 {
                    break;
                }
            }
        });
        Ok(Self { child, keyboard, shared, seen: 0 })
    }

    /// Presses keys.
    ///
    /// # Errors
    /// When nobody is there any more.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }

    /// Types a line and the return key.
    ///
    /// # Errors
    /// As [`Terminal::press`].
    pub fn line(&mut self, line: &str) -> Result<()> {
        self.press(&format!("{line}\r"))
    }

    /// Waits until `text` comes behind what was waited for before, and returns what stood in front of it.
    ///
    /// # Errors
    /// After 20 s, or at the end of the program; quotes what is there.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        let begun = Instant::now();
        let (mutex, arrived) = &*self.shared;
        let mut screen = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let rest = screen.transcript.get(self.seen..).unwrap_or_default();
            if let Some(at) = rest.find(text) {
                let before = rest.get(..at).unwrap_or_default().to_owned();
                self.seen += at + text.len();
                return Ok(before);
            }
            let left = PATIENCE.checked_sub(begun.elapsed()).filter(|_| !screen.ended);
            let Some(left) = left else {
                bail!("{text:?} does not come; there is\n{rest}\n--- of all this\n{}", screen.transcript);
            };
            screen = arrived.wait_timeout(screen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The lines of the screen, and those above it.
    #[must_use]
    pub fn screen(&self) -> String {
        let screen = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |line: &Vec<char>| line.iter().collect::<String>().trim_end().to_owned();
        screen.lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Waits until the screen is as wanted, and returns it.
    ///
    /// # Errors
    /// After 20 s; quotes the screen.
    pub fn wait_until(&self, what: &str, is: impl Fn(&str) -> bool) -> Result<String> {
        let begun = Instant::now();
        loop {
            let now = self.screen();
            if is(&now) {
                return Ok(now);
            }
            if begun.elapsed() > PATIENCE {
                bail!("the screen never shows {what}:\n{now}");
            }
            let guard = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = self.shared.1.wait_timeout(guard, Duration::from_millis(50));
        }
    }

    /// Waits for the end and returns the exit code.
    ///
    /// # Errors
    /// When it still runs after 20 s.
    pub fn ends(&mut self) -> Result<Option<i32>> {
        let child = &mut self.child;
        let status =
            crate::until("the program on the terminal has ended", PATIENCE, || Ok(child.try_wait()?))?;
        // Its last words may still be on their way.
        let shared = &self.shared.0;
        crate::until("the terminal is closed", PATIENCE, || {
            Ok(shared.lock().unwrap_or_else(PoisonError::into_inner).ended.then_some(()))
        })?;
        Ok(status.code())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        kill_group(&self.child);
        let _ = self.child.wait();
    }
}

impl Screen {
    fn take(&mut self, octets: &[u8]) {
        self.pending.extend_from_slice(octets);
        let whole = match std::str::from_utf8(&self.pending) {
            Ok(_) => self.pending.len(),
            // The rest of a character is still to come.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.pending.len(),
        };
        let octets: Vec<u8> = self.pending.drain(..whole).collect();
        for c in String::from_utf8_lossy(&octets).chars() {
            self.put(c);
        }
    }

    fn put(&mut self, c: char) {
        if let Some(mut escape) = self.escape.take() {
            escape.push(c);
            let csi = escape.starts_with('[');
            if !csi || escape.len() > 1 && ('@'..='~').contains(&c) {
                self.control(&escape);
            } else {
                self.escape = Some(escape);
            }
            return;
        }
        match c {
            '\x1b' => self.escape = Some(String::new()),
            '\r' => self.column = 0,
            '\n' => {
                self.transcript.push('\n');
                self.row += 1;
            }
            '\x08' => self.column = self.column.saturating_sub(1),
            c if c.is_control() => {}
            c => {
                self.transcript.push(c);
                let line = self.line();
                let column = line.1;
                while line.0.len() <= column {
                    line.0.push(' ');
                }
                if let Some(place) = line.0.get_mut(column) {
                    *place = c;
                }
                self.column += 1;
            }
        }
    }

    fn line(&mut self) -> (&mut Vec<char>, usize) {
        while self.lines.len() <= self.row {
            self.lines.push(Vec::new());
        }
        let at = self.row.min(self.lines.len() - 1);
        (&mut self.lines[at], self.column)
    }

    fn control(&mut self, escape: &str) {
        let number = |least: usize| {
            let digits: String = escape.chars().filter(char::is_ascii_digit).collect();
            digits.parse::<usize>().unwrap_or(least)
        };
        match escape.chars().last() {
            Some('A') => self.row = self.row.saturating_sub(number(1)),
            Some('B') => self.row += number(1),
            Some('C') => self.column += number(1),
            Some('D') => self.column = self.column.saturating_sub(number(1)),
            Some('G') => self.column = number(1).saturating_sub(1),
            Some(end @ ('J' | 'K')) => {
                let whole = number(0) == 2;
                let (line, column) = self.line();
                line.truncate(if whole { 0 } else { column });
                if end == 'J' {
                    self.lines.truncate(self.row + 1);
                }
            }
            _ => {}
        }
    }
}
