//! Clients through `portway proxy` to servers: what they notice, and what hostile ones get.
//!
//! The protocol and client suites run through a proxy, too: `FTP_TEST_SUBJECT=proxied`.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod breadth;
mod bridge;
mod clients;
mod content;
mod conversion;
mod dialogue;
mod forward;
mod hostile;
mod icap;
#[path = "../../../nft/tests/lab/mod.rs"]
mod lab;
mod limits;
mod loads;
mod losses;
mod recipes;
mod reverse;
mod rivals;
mod rules;
mod transparent;
mod world;
