//! The FTP client as a library: connections that choose their data mode and say why a mode fails, transfers
//! that prove themselves by size, mirrors that account for every file.

mod connection;
mod digest;
mod error;
mod files;
mod listing;
mod memory;
mod settings;
mod target;
mod trace;

pub use connection::{Body, Connection, Done, Job, Way};
pub use error::{Attempt, Blame, Cause, Error, Outcome, Phase, Verdict, shown};
pub use digest::digest_file;
pub use files::{Fetched, GetOptions, PutOptions, Stored, Verify};
pub use memory::{Fact, Memory};
pub use settings::{ModeChoice, Settings, Timeouts, TlsChoice, TlsTrust};
pub use target::{Target, TargetError};
pub use trace::{Observer, Record, Seen, Trace};
