//! Asks for a password on the terminal.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Asks on the controlling terminal, without echo.
///
/// # Errors
/// When there is no terminal.
pub(crate) fn secret(question: &str) -> io::Result<Vec<u8>> {
    let mut tty = File::options().read(true).write(true).open("/dev/tty")?;
    tty.write_all(question.as_bytes())?;
    let before = tcgetattr(&tty)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&tty, OptionalActions::Flush, &silent)?;
    let mut line = Vec::new();
    let read = BufReader::new(&tty).read_until(b'\n', &mut line);
    tcsetattr(&tty, OptionalActions::Flush, &before)?;
    tty.write_all(b"\n")?;
    read?;
    Ok(line.trim_ascii_end().to_vec())
}
