//! FTP as pure values and state machines: no socket, clock, file, thread or runtime.
//!
//! One codec both parses and emits; server, client, proxy and gate all use it.

mod announced;
mod ascii;
mod block;
mod code;
mod command;
mod expected;
mod line;
mod quote;
mod reply;
mod reply_reader;
pub mod row;
mod session;
mod time;
mod verb;
pub mod watch;

pub use announced::{
    AnnounceError, Announced, Extended, Family, HostPort, PortOnly, Refused, Vetted, passive_reply_lenient,
};
pub use ascii::{FromNetwork, Restart, RestartSearch, ToNetwork};
pub use block::{BLOCK_MOST, Block, BlockError, BlockReader, write_blocks};
pub use code::{Class, Code};
pub use command::{
    Algorithm, Command, EmitError, Epsv, ListArg, Mechanism, Mode, ParseError, Protection, Representation,
    Site, Structure, split_verb,
};
pub use expected::Expected;
pub use line::{DEFAULT_FLOOD_LIMIT, DEFAULT_LINE_LIMIT, LineError, LineReader};
pub use quote::{printable, quote, unquote};
pub use reply::Reply;
pub use reply_reader::{RawReply, ReplyError, ReplyLimits, ReplyReader};
pub use session::client;
pub use session::{Action, Channel, Policy, ServerSession, Transfer, TransferKind, Verdict};
pub use time::{TimeError, Timestamp, Utime};
pub use verb::{Arg, During, Phase, Support, VERBS, Verb, VerbInfo};
pub use watch::Watch;
