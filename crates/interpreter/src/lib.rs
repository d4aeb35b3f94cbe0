//! The server-PI of RFC 959 §2.2, for whoever plays the server: it listens, keeps the control connection, sends
//! replies, and governs the data connection.
//!
//! [`Acceptor`] takes connections in and ends their sessions in good order. A role is a [`Session`]: it says what a
//! line means and what comes of it; what any server does with its [`ControlConnection`] is written here, once.

mod accept;
mod channel;
mod connection;
mod door;
mod during;
mod end;
mod parts;
mod record;
mod session;

pub use accept::{Acceptor, Arrival, Listener, Shutdown, forwarded};
pub use channel::{Kept, Pending};
pub use connection::ControlConnection;
pub use door::{Door, NotIn};
pub use during::patience;
pub use end::End;
pub use parts::{Parts, Timeouts};
pub use record::{TransferRecord, capitalized};
pub use session::Session;
