//! What operators see and steer.
//!
//! - [`Event`]s go to the [`Log`], which counts them in a [`Meter`] and writes one line each: text or JSON, and
//!   optionally an [`Xferlog`].
//! - [`Diagnosis`] says what the failures among them mean.
//! - [`Registry`] knows the live sessions, [`Limits`] how many there may be, [`Drain`] when the last has gone.
//!
//! Nothing here knows FTP replies, sockets or a runtime, and nothing keeps a session waiting.

mod diagnosis;
mod drain;
mod event;
mod limits;
mod log;
mod meter;
mod registry;
mod shown;
mod sink;
mod text;
mod xferlog;

pub use diagnosis::Diagnosis;
pub use drain::{Drain, DrainTicket};
pub use event::{
    DataFailed, Direction, Event, Hole, Listening, Login, LoginResult, Notice, Refused, Relayed, Seconds,
    SessionClosed, SessionOpened, Severity, Start, TlsFailed, Transfer, TransferResult, UpstreamFailed,
    UpstreamOpened, Warning,
};
pub use limits::{Limits, Refusal, Ticket};
pub use log::{Log, LogFormat};
pub use meter::{Meter, MeterReading};
pub use registry::{Progress, Registry, SessionEntry, SessionInfo, SessionState, TransferInfo};
pub use shown::Shown;
pub use sink::Sink;
pub use xferlog::Xferlog;
