//! The smart firewall.
//!
//! A gate stands in the path between clients and servers. It takes over the control connections (TPROXY), reads
//! both directions line by line through [`portway_proto::Watch`], writes every line anew, and opens one hole for
//! exactly the connection that was announced before the announcement is passed on. Data connections are never
//! touched: the kernel forwards them through the hole.
//!
//! - [`Gate`] runs it: transparent listeners, rules and routes of its own, one task per session.
//! - [`Inspect`] does the same for packets held in a queue, and ends no connection of others.
//! - What needs CAP_NET_ADMIN is done before the first stranger is heard ([`Prepared`], [`PreparedInspect`]), and from then
//!   on by the helper, which checks it once more ([`portway_nft::Remote`]).
//! - [`Ledger`] is its book: sessions, holes, refusals; the log line of each hole, and the [`Status`].

mod agents;
mod bridge;
mod config;
mod gate;
mod inspect;
mod intercept;
mod ledger;
mod nat;
mod rate;
mod records;
mod rows;
mod session;
mod socket;
mod status;
mod trail;

pub use agents::Agents;
pub use bridge::{Bridge, Entrusted, Handover};
pub use config::{GateConfig, ROUTING_TABLE, SOCKET_MARK};
pub use gate::{Gate, GateError, Prepared};
pub use inspect::{Inspect, InspectConfig, MidStream, PreparedInspect};
pub use intercept::InterceptError;
pub use ledger::{Asking, Ledger, NotOpened};
pub use records::{Found, Records};
pub use rows::{Counts, HoleRow, Refusal, SessionRow, Snapshot};
pub use status::{STATUS_SOCKET, Status};
