//! A transfer's line in the log.

use std::net::SocketAddr;

use portway_data::{Facts, Progress};
use portway_ops::{Direction, Shown, Transfer as Logged, TransferInfo, TransferResult};
use portway_proto::{Mode, Representation, Transfer, TransferKind};
use tokio::time::Instant;

use crate::{ControlConnection, Pending};

/// What is known of a transfer before it runs.
#[derive(Debug)]
pub struct TransferRecord {
    /// RETR, STOR…
    pub verb: &'static str,
    /// What is moved.
    pub path: Shown,
    /// Whereto.
    pub direction: Direction,
    /// The verb that made the data connection.
    pub mode: &'static str,
    /// What was announced for it.
    pub announced: Option<SocketAddr>,
    /// When the command came.
    pub began: Instant,
    ascii: bool,
    compressed: bool,
    restart: u64,
}

impl TransferRecord {
    /// The record of a transfer that takes `pending`; `path` is what the log calls the file.
    #[must_use]
    pub fn new(transfer: &Transfer<'_>, pending: &Pending, path: &[u8], began: Instant) -> Self {
        Self {
            verb: transfer.kind.verb().name(),
            path: Shown::from(path),
            direction: direction(&transfer.kind),
            mode: pending.verb(),
            announced: pending.announced(),
            began,
            ascii: transfer.representation == Representation::Ascii,
            compressed: transfer.mode == Mode::Deflate,
            restart: transfer.restart,
        }
    }

    /// What operators see of it while it runs.
    #[must_use]
    pub fn info(&self) -> TransferInfo {
        TransferInfo { verb: self.verb, path: self.path.clone(), direction: self.direction }
    }
}

impl ControlConnection {
    /// Logs how a transfer ended: by which result, final reply and cause. `facts` are those of the client's data
    /// connection, and whether it was under TLS.
    pub fn log_transfer(
        &self,
        record: &TransferRecord,
        (user, anonymous): (Shown, bool),
        facts: Option<&(Facts, bool)>,
        progress: &Progress,
        (result, code, cause): (TransferResult, u16, Option<&'static str>),
    ) {
        let tls = facts.is_some_and(|(_, tls)| *tls);
        self.record(Logged {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            user,
            anonymous,
            verb: record.verb,
            path: record.path.clone(),
            direction: record.direction,
            bytes: progress.octets(),
            seconds: record.began.elapsed().into(),
            mode: record.mode,
            port: record.announced.map_or(0, |addr| addr.port()),
            tls,
            resumed: facts.filter(|_| tls).map(|(facts, _)| facts.proven.by_resumption()),
            ascii: record.ascii,
            compressed: record.compressed,
            restart_offset: record.restart,
            result,
            code,
            cause,
        });
    }
}

fn direction(kind: &TransferKind<'_>) -> Direction {
    match kind {
        TransferKind::Retr(_) => Direction::Out,
        TransferKind::Stor(_) | TransferKind::Appe(_) | TransferKind::Stou(_) => Direction::In,
        TransferKind::List(_) | TransferKind::Nlst(_) | TransferKind::Mlsd(_) => Direction::List,
    }
}

/// A sentence from an error: its first letter as a capital.
#[must_use]
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
