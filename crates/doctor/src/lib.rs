//! What was seen of an FTP session goes in; who is to blame, how sure that is, and what cures it come out.
//!
//! No socket, file or clock: `portway doctor` gathers the [`Evidence`], [`judge()`] looks at it, and every
//! culprit has a test by table. [`firewall`] does the same for rules: a packet and a ruleset go in, the rule
//! that drops it comes out.

mod culprit;
mod cures;
mod evidence;
pub mod firewall;
mod judge;
pub mod setup;
mod software;
mod trace;
mod verdict;

pub use culprit::Culprit;
pub use cures::{Cure, Kind, Place, Program};
pub use evidence::{
    Attempt, Bulk, CertificateFault, Command, Evidence, Family, Greeting, Idle, Login, Lookup, Mode,
    NoTransfer, Offered, Outcome, Passive, Reach, Road, Tls,
};
pub use judge::judge;
pub use software::Software;
pub use trace::{Hop, Trace, Where};
pub use verdict::{Confidence, Usable, Verdict};
