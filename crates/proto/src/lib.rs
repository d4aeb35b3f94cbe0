//! FTP as pure values and state machines: no socket, clock, file, thread or runtime.
//!
//! One codec both parses and emits; server, client, proxy and gate all use it.

mod announced;
mod code;
mod expected;
mod reply;

pub use announced::{
    AnnounceError, Announced, Extended, Family, HostPort, PortOnly, Refused, Vetted, passive_reply_lenient,
};
pub use code::{Class, Code};
pub use expected::Expected;
pub use reply::Reply;
