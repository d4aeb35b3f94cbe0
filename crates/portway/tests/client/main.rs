//! `portway get` and its like across firewalls and address translation, in namespaces that the tests make themselves.
//!
//! Needs root or user namespaces, nft, ip and vsftpd, which are missed loudly.
#![allow(clippy::unwrap_used)]

#[path = "../../../nft/tests/lab/mod.rs"]
mod lab;
mod memory;
mod situations;
mod stage;
