//! The data channel: who may open one, on which port, and how the octets move.
//!
//! Only the [`Broker`] opens data connections, for every role. An [`Offer`] is passive mode, a [`Dial`] is
//! active mode; both end in a [`DataConn`] that belongs to the session which asked for it, or in a
//! [`Failure`] that says what happened. [`send_file`], [`send_stream`], [`receive_file`] and
//! [`receive_stream`] move the octets.

mod announce;
mod bearing;
mod broker;
mod client;
mod config;
mod conn;
mod dial;
mod failure;
mod hole;
mod listener;
mod offer;
mod own;
mod party;
mod ports;
mod proof;
mod pump;
mod random;
mod shared;
mod sys;

pub use announce::{AnnounceAs, AnnouncePolicy, Network, NetworkError, PortMap};
pub use broker::{Broker, DialError, OfferError, Usage};
pub use client::{Channel, Link, LinkError, Listening, Sight, Small, Through};
pub use config::{BrokerConfig, ConfigError, PassivePorts, Proof, Sharing};
pub use conn::{ChannelMode, DataConn, Facts, Proven};
pub use dial::Dial;
pub use failure::Failure;
pub use offer::Offer;
pub use own::OwnListeners;
pub use party::{History, Party};
pub use pump::{
    Compression, Digest, Options, Progress, Received, RelayError, Representation, Sent, Tail, Watcher,
    receive_file, receive_stream, relay, relay_watched, send_file, send_stream,
};
