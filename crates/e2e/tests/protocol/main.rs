//! Hostile and careless peers against the subject, one octet at a time.
//!
//! The numbers in comments are the cases of `tests/README.md`.

mod announcements;
mod files;
mod limits;
mod listings;
mod logs;
mod operators;
mod parser;
mod passive;
mod process;
mod resumption;
mod stalls;
mod strangers;
mod tls;
mod transfers;
mod uploads;

use anyhow::Result;
use portway_e2e::{Options, Subject};

/// The subject with further flags.
fn subject(flags: &[&str]) -> Result<Subject> {
    Subject::start(&Options::flags(flags.iter().copied()))
}
