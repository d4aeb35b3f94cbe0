//! Clients through `portway proxy` to servers: what they notice, and what hostile ones get.
//!
//! The protocol and client suites run through a proxy, too: `FTP_TEST_SUBJECT=proxied`.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod conversion;
mod dialogue;
mod forward;
mod hostile;
mod losses;
mod reverse;
mod world;
