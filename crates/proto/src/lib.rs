//! FTP as pure values and state machines: no socket, clock, file, thread or runtime.
//!
//! One codec both parses and emits; server, client, proxy and gate all use it.

mod announced;
mod code;
mod command;
mod expected;
mod reply;
mod session;
mod verb;

pub use announced::{
    AnnounceError, Announced, Extended, Family, HostPort, PortOnly, Refused, Vetted, passive_reply_lenient,
};
pub use code::{Class, Code};
pub use command::{
    Algorithm, Command, EmitError, Epsv, ListArg, Mechanism, Mode, ParseError, Protection, Representation,
    Site, Structure, split_verb,
};
pub use expected::Expected;
pub use reply::Reply;
pub use session::{Action, Channel, Policy, ServerSession, Transfer, TransferKind, Verdict};
pub use verb::{Arg, During, Phase, Support, VERBS, Verb, VerbInfo};
