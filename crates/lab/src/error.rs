//! Why a cell could not be tried at all. Each text says what to do.

use std::io;

/// The laboratory does not work here; says nothing about FTP.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A program that the cell needs is not installed.
    #[error("{program} is missing; install it (Debian: apt-get install {package})")]
    Missing {
        /// Its name.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// A server of other people's is not installed, or will not be set up.
    #[error(transparent)]
    Peer(#[from] portway_peers::PeerError),
    /// Neither root nor user namespaces.
    #[error(
        "no namespaces to be had ({0}). The lab needs unprivileged user namespaces \
         (sysctl user.max_user_namespaces; on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0; in a \
         container the seccomp profile) or root with CAP_SYS_ADMIN"
    )]
    NoNamespaces(#[source] io::Error),
    /// `ip` or `nft` refused what the cell needs.
    #[error("{program}: {said}")]
    Refused {
        /// Which program.
        program: &'static str,
        /// Its words.
        said: String,
    },
    /// The server was not ready in time.
    #[error("the server {server} did not start: {said}")]
    Server {
        /// Which server.
        server: String,
        /// What it wrote.
        said: String,
    },
    /// The process inside the namespaces says why it cannot try.
    #[error("{0}")]
    Inside(String),
    /// The process inside the namespaces ended without an answer.
    #[error("the cell ended without a result: {0}")]
    Broken(String),
    /// A system call failed.
    #[error("{what}: {why}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        why: io::Error,
    },
}

impl LabError {
    /// For `map_err`: an I/O error with what was tried.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |why| Self::System { what, why: why.into() }
    }
}
