//! Sessions as state machines: octets in, decisions out; the shell around them does the work.

mod action;
mod channel;
pub mod client;
mod features;
mod security;
mod server;
#[cfg(test)]
mod tests;

pub use action::{Action, Channel, Policy, Transfer, TransferKind, Verdict};
pub use server::ServerSession;
