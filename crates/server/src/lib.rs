//! Runs server sessions on storage and accounts.
//!
//! [`Server::serve`] accepts control connections; each becomes a task that feeds lines to
//! [`portway_proto::ServerSession`] and does what its actions say. No FTP decision is made here but one: which
//! reply fits what storage said (`storage::outcome`).

mod server;
mod session;
mod storage;
mod turns;

pub use server::{Server, ServerConfig};
