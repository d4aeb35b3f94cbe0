//! Tells by HTTP what operators want to know: `/metrics` (Prometheus), `/status` (JSON) and `/health`.
//!
//! It only tells. Nothing can be changed through it, no password passes through it, and it listens on
//! loopback alone: whoever may run programs on the machine may read it, and nobody else.

mod http;
mod metrics;
mod status;

pub use http::{Admin, AdminError};
pub use status::{Facts, SessionStatus, Status, TransferStatus};
