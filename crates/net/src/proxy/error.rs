//! Why a proxy did not lead to the server.

use std::io;

use super::Destination;

/// Why a proxy did not lead to the server. The text says what the proxy answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    // Between us and the proxy.
    /// It cannot be reached.
    #[error("the proxy cannot be reached ({0})")]
    NoConnection(#[source] io::Error),
    /// It hung up.
    #[error("the proxy closed the connection instead of answering")]
    Closed,
    /// The connection to it broke.
    #[error("the connection to the proxy broke ({0})")]
    Broke(#[from] io::Error),
    /// What answers is no proxy of this kind.
    #[error("this is no proxy of that kind: it answered {0}")]
    Strange(String),
    /// It wants a login and we have none.
    #[error("the proxy wants a user and a password")]
    NeedsLogin,
    /// It did not accept our login.
    #[error("the proxy refuses that user or password")]
    Login,
    /// It has none of the ways to log in that we know.
    #[error("the proxy knows no way to log in that we know: neither none nor a password")]
    NoMethod,
    // Between the proxy and the server.
    /// Its rules forbid it.
    #[error("the rules of the proxy forbid a connection to {to} ({said})")]
    Forbidden {
        /// Where to.
        to: Destination,
        /// Its words or number.
        said: String,
    },
    /// The server's port answered with a reset.
    #[error("the proxy says that {to} refuses the connection ({said})")]
    Refused {
        /// Where to.
        to: Destination,
        /// Its words or number.
        said: String,
    },
    /// It found no way to the server, or no answer there.
    #[error("the proxy cannot reach {to} ({said})")]
    Unreachable {
        /// Where to.
        to: Destination,
        /// Its words or number.
        said: String,
    },
    /// This proxy cannot do what was asked.
    #[error("the proxy cannot do that ({0})")]
    Unsupported(&'static str),
    /// The name does not fit into the request.
    #[error("the host name is too long for a proxy")]
    Name,
}
