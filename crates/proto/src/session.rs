//! Sessions as state machines: octets in, decisions out; the shell around them does the work.

pub mod client;
mod features;
mod server;
#[cfg(test)]
mod tests;

pub use server::{Action, Channel, Policy, ServerSession, Transfer, TransferKind, Verdict};
