//! `portway get` and its like across firewalls and address translation, in namespaces that the tests make themselves.
//!
//! Needs root or user namespaces, nft, ip and vsftpd, which are missed loudly.
#![allow(clippy::unwrap_used)]

mod filter;
#[path = "../../../nft/tests/lab/mod.rs"]
mod lab;
mod memory;
mod pictures;
mod router;
mod situations;
#[allow(unreachable_pub, reason = "the harness of e2e exports it")]
#[path = "../../../e2e/src/snapshot.rs"]
mod snapshot;
mod source_port;
mod stage;
