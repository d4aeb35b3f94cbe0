//! The FTP client as a library: connections that choose their data mode and say why a mode fails, transfers
//! that prove themselves by size, mirrors that account for every file.

mod batch;
mod comb;
mod connection;
mod digest;
mod error;
mod files;
mod gaps;
mod glob;
mod known;
mod listing;
mod memory;
mod mirror;
mod reach;
mod segments;
mod settings;
mod target;
mod trace;
mod tree;
mod verdict;

pub use batch::{Offered, Wanted};
pub use connection::{Body, Connection, Done, Job, Way};
pub use digest::{Digesting, agree, digest_file};
pub use error::{Blame, Cause, Error, Phase, shown};
pub use files::{Fetched, GetOptions, PutOptions, Stored, Verify};
pub use glob::Globs;
pub use known::{ChangedCertificate, KnownServers};
pub use memory::{Fact, Memory};
pub use mirror::{Audience, Direction, End, Fate, MirrorOptions, Report, mirror, mirror_across};
pub use reach::Reach;
pub use settings::{ModeChoice, Settings, Timeouts, TlsChoice, TlsTrust};
pub use target::{Target, TargetError};
pub use trace::{Observer, Record, Seen, Trace};
pub use verdict::{Attempt, Outcome, Verdict};
