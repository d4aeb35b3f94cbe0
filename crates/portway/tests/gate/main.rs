//! `portway gate` between a client and a server in namespaces that the tests make themselves.
//!
//! Needs root or user namespaces, nft, ip; and curl, lftp and vsftpd, which are missed loudly.
#![allow(clippy::unwrap_used)]

mod audit;
mod balancer;
mod beside;
mod bridge;
mod dialogue;
mod ends;
mod field;
mod ftps;
mod inspect;
#[path = "../../../nft/tests/lab/mod.rs"]
mod lab;
mod matrix;
mod nat;
mod own;
mod packets;
mod probes;
mod raw;
mod reload;
mod rules;
mod urgent;
mod whole;
mod words;
