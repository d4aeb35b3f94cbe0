//! Black-box tests with real clients and servers.
//!
//! The library is the harness: a [`Subject`] is the server under test (portway by default, or
//! another one named by `FTP_TEST_SUBJECT`), a [`Tree`] is the folder it serves, [`clients`] drive
//! programs from the distribution, and [`Control`] is a scripted control connection for cases that
//! no well-behaved client produces. `tests/` holds the sentences.

mod certificate;
pub mod clients;
mod control;
mod data;
mod events;
mod matrix;
mod ports;
mod program;
mod proxy;
mod reply;
pub mod snapshot;
mod subject;
mod terminal;
mod tls;
mod tree;
mod wait;

pub use certificate::Certificate;
pub use control::Control;
pub use data::Data;
pub use events::Lines;
pub use matrix::{Cell, Family, Mode, Security};
pub use ports::PortRange;
pub use program::{Finished, Program};
pub use proxy::Proxy;
pub use reply::Reply;
pub use subject::{Kind, Options, Subject, binary};
pub use terminal::Terminal;
pub use tls::{Tls, TlsOptions, TlsStream};
pub use tree::{Tree, bytes, sha256, sums};
pub use wait::{PATIENCE, until};
