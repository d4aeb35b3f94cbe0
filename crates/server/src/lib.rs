//! Runs server sessions on storage and accounts.
//!
//! [`Server::serve`] accepts control connections; each becomes a task that feeds lines to
//! [`portway_proto::ServerSession`] and does what its actions say. No FTP decision is made here but one: which
//! reply fits what storage said (`storage::outcome`).

mod accept;
mod config;
mod session;
mod storage;
mod turns;

pub use accept::{Server, Shutdown};
pub use config::{Listener, ServerConfig, Timeouts};
