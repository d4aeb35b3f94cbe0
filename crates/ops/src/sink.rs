//! Where log lines go.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The end of a log: one of the standard streams, a file, or any writer.
///
/// A line reaches it in one write, perhaps with others, so that lines of several programs appending to one file never mix.
pub struct Sink(Kind);

enum Kind {
    Stderr,
    Stdout,
    File { path: PathBuf, file: File },
    Writer(Box<dyn Write + Send>),
}

impl Sink {
    /// Standard error.
    pub fn stderr() -> Self {
        Self(Kind::Stderr)
    }

    /// Standard output.
    pub fn stdout() -> Self {
        Self(Kind::Stdout)
    }

    /// A file that is appended to, made if missing (readable by owner and group, 0640).
    ///
    /// # Errors
    /// If it cannot be opened for appending.
    pub fn file(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = open_append(&path)?;
        Ok(Self(Kind::File { path, file }))
    }

    /// Any writer; tests pass one that they can read back.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self(Kind::Writer(Box::new(writer)))
    }

    /// Writes whole lines, their ends included.
    pub(crate) fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Kind::Stderr => io::stderr().write_all(lines),
            Kind::Stdout => {
                let mut out = io::stdout();
                out.write_all(lines)?;
                out.flush()
            }
            Kind::File { file, .. } => file.write_all(lines),
            Kind::Writer(writer) => {
                writer.write_all(lines)?;
                writer.flush()
            }
        }
    }

    /// Opens a file anew by its name, after a log rotation; the others stay as they are.
    ///
    /// # Errors
    /// If it cannot be opened; the old file goes on being used then.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        if let Kind::File { path, file } = &mut self.0 {
            *file = open_append(path)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Stderr => f.write_str("Sink::stderr"),
            Kind::Stdout => f.write_str("Sink::stdout"),
            Kind::File { path, .. } => write!(f, "Sink::file({path:?})"),
            Kind::Writer(_) => f.write_str("Sink::writer"),
        }
    }
}

/// Opens for appending; names of users and files are not for everybody on the machine to read.
pub(crate) fn open_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}
