//! What keeps somebody else's server from being used.

use std::path::PathBuf;

/// Why a server cannot be started; the message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// It is in none of the places.
    #[error(
        "{program} is missing; install it: apt-get install {package}, or let `cargo xtask test` unpack it"
    )]
    Missing {
        /// The program's name.
        program: &'static str,
        /// Debian's packages.
        package: &'static str,
    },
    /// What is asked of it is beyond it.
    #[error("{program} does not know {what}")]
    Unknown {
        /// The program's name.
        program: &'static str,
        /// What it would have to know.
        what: &'static str,
    },
    /// Its own tool would not make its files.
    #[error("{program}: {said}")]
    Refused {
        /// The tool's name.
        program: &'static str,
        /// What it wrote to standard error.
        said: String,
    },
    /// One of its files cannot be read or written.
    #[error("{}: {why}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// A program cannot be started.
    #[error("cannot start {program}: {why}")]
    Start {
        /// Its name.
        program: &'static str,
        /// What the system says.
        why: std::io::Error,
    },
}

/// Writes a file of a server's.
pub(crate) fn write(file: PathBuf, text: impl AsRef<[u8]>) -> Result<PathBuf, PeerError> {
    match std::fs::write(&file, text) {
        Ok(()) => Ok(file),
        Err(why) => Err(PeerError::File { file, why }),
    }
}
