//! Announcements to a remote gate: what makes FTPS work through a firewall on another machine.
//!
//! Under TLS nobody but the server knows which port it announces. So the server tells the gate, over a
//! connection of its own under mutual TLS, before it tells the client; and the gate answers which address and
//! port to announce, where it translates.
//!
//! - [`AgentPinholes`] is the server's side: one more [`Pinholes`](portway_pinhole::Pinholes).
//! - [`AgentServer`] is the gate's side; it checks what can be checked without the packet filter and hands the
//!   rest to a [`Gatekeeper`].
//! - [`wire`] is what they say: one JSON object per line.
//!
//! A connection that is closed takes its holes along, so nothing outlives its announcer.

mod client;
mod server;
pub mod wire;

pub use client::AgentPinholes;
pub use server::{Agent, AgentServer, Denied, Gatekeeper, Opened};
