//! One-shot pinholes in nftables, by our own netlink.
//!
//! - [`Filter`] is the table `inet portway` in the kernel: a set per family whose elements let one TCP
//!   connection through each. The rule that accepts it deletes the element and marks the connection.
//! - [`Holes`] keeps book of them, as far as [`Policy`] allows, and learns how each ended.
//! - [`wire`] is what the small privileged helper speaks with those it serves.
//! - [`paste`] is what an administrator adds to a firewall of his own.
//!
//! - [`Translations`] fills the maps of a gate that translates addresses.
//! - [`Queue`] hands over packets that wait for a verdict; [`Holder`] and [`Held`] are the two ends of a way from the
//!   helper, which may have a queue, to a gate, which judges.
//! - [`Kept`] writes a table again that somebody took away.
//! - [`Remote`] is all of this through the helper.
//!
//! Nothing here knows FTP or TLS: the process with CAP_NET_ADMIN links this crate and no more of portway.

mod addresses;
mod book;
mod conntrack;
mod expression;
mod filter;
mod kept;
mod key;
mod message;
mod packets;
pub mod paste;
mod policy;
mod queue;
mod remote;
mod route;
mod socket;
mod table;
mod translate;
pub mod wire;

pub use addresses::{Interfaces, OwnAddresses, is_local};
pub use book::{End, Ended, Holes, OpenError};
pub use conntrack::{Flow, Flows, answered_to, asked_for};
pub use filter::{Elements, Filter, FilterError, remove_gate_table};
pub use kept::Kept;
pub use key::{Key, Want};
pub use packets::{Held, Holder};
pub use policy::{DENIED_PORTS, Policy, Reach, Refusal};
pub use queue::{Packet, Queue, Verdict, queue_rule};
pub use remote::{Remote, RemoteError};
pub use route::LocalRoutes;
pub use table::{DEFAULT_MARK, GATE_TABLE, Layout, TABLE};
pub use translate::{Translation, Translations};
