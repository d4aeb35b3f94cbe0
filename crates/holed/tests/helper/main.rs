//! The helper as a process, asked by hand and by the broker's seam, in namespaces of its own.
#![allow(clippy::unwrap_used)]

mod holes;
#[path = "../../../nft/tests/lab/mod.rs"]
mod lab;
mod life;
mod process;
