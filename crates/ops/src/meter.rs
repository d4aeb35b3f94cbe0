//! Counters, fed by the very events that the log writes, so that the two cannot disagree.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::event::{Direction, Event, LoginResult, TransferResult};

/// What has happened since the start, in numbers. They only grow.
#[derive(Debug, Default)]
pub struct Meter {
    sessions_opened: AtomicU64,
    sessions_closed: AtomicU64,
    logins_ok: AtomicU64,
    logins_failed: AtomicU64,
    transfers_complete: AtomicU64,
    transfers_failed: AtomicU64,
    transfers_aborted: AtomicU64,
    listings: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    tls_failures: AtomicU64,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    data_failures: Mutex<BTreeMap<&'static str, u64>>,
    holes: Mutex<BTreeMap<&'static str, u64>>,
}

/// All counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MeterReading {
    /// Control connections accepted and served.
    pub sessions_opened: u64,
    /// Control connections ended.
    pub sessions_closed: u64,
    /// Logins, anonymous ones included.
    pub logins_ok: u64,
    /// Logins refused.
    pub logins_failed: u64,
    /// Files sent or received as a whole.
    pub transfers_complete: u64,
    /// Files and listings that broke.
    pub transfers_failed: u64,
    /// Files and listings that the client gave up.
    pub transfers_aborted: u64,
    /// Listings sent as a whole.
    pub listings: u64,
    /// File octets received, of broken transfers too.
    pub bytes_in: u64,
    /// File and listing octets sent, of broken transfers too.
    pub bytes_out: u64,
    /// TLS handshakes and connections that went wrong.
    pub tls_failures: u64,
    /// Connections and commands turned away, by why.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Data connections that did not come about, by cause.
    pub data_failures: BTreeMap<&'static str, u64>,
    /// Holes in a firewall that are over, by how they ended.
    pub holes: BTreeMap<&'static str, u64>,
}

impl Meter {
    /// Counts one event; [`Log::record`](crate::Log::record) does it.
    pub fn count(&self, event: &Event) {
        match event {
            Event::SessionOpened(_) => one(&self.sessions_opened),
            Event::SessionClosed(_) => one(&self.sessions_closed),
            Event::Login(login) => match login.result {
                LoginResult::Ok => one(&self.logins_ok),
                LoginResult::Failed => one(&self.logins_failed),
            },
            Event::Transfer(transfer) => {
                let incoming = transfer.direction == Direction::In;
                let bytes = if incoming { &self.bytes_in } else { &self.bytes_out };
                bytes.fetch_add(transfer.bytes, Ordering::Relaxed);
                match (transfer.result, transfer.direction) {
                    (TransferResult::Complete, Direction::List) => one(&self.listings),
                    (TransferResult::Complete, _) => one(&self.transfers_complete),
                    (TransferResult::Failed, _) => one(&self.transfers_failed),
                    (TransferResult::Aborted, _) => one(&self.transfers_aborted),
                }
            }
            Event::DataFailed(failed) => one_by(&self.data_failures, failed.cause),
            Event::Refused(refused) => one_by(&self.refusals, refused.why),
            Event::Hole(hole) => one_by(&self.holes, hole.result),
            Event::TlsFailed(_) => one(&self.tls_failures),
            Event::UpstreamFailed(failed) => one_by(&self.refusals, failed.cause),
            Event::UpstreamOpened(_)
            | Event::Relayed(_)
            | Event::Start(_)
            | Event::Listening(_)
            | Event::Warning(_)
            | Event::Notice(_) => {}
        }
    }

    /// Reads all counters; events that happen meanwhile may be in some and not in others.
    pub fn read(&self) -> MeterReading {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let read_all = |by: &Mutex<BTreeMap<_, _>>| by.lock().unwrap_or_else(PoisonError::into_inner).clone();
        MeterReading {
            sessions_opened: read(&self.sessions_opened),
            sessions_closed: read(&self.sessions_closed),
            logins_ok: read(&self.logins_ok),
            logins_failed: read(&self.logins_failed),
            transfers_complete: read(&self.transfers_complete),
            transfers_failed: read(&self.transfers_failed),
            transfers_aborted: read(&self.transfers_aborted),
            listings: read(&self.listings),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            tls_failures: read(&self.tls_failures),
            refusals: read_all(&self.refusals),
            data_failures: read_all(&self.data_failures),
            holes: read_all(&self.holes),
        }
    }
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The words are the program's own, so the map stays as small as their number.
fn one_by(counters: &Mutex<BTreeMap<&'static str, u64>>, word: &'static str) {
    *counters.lock().unwrap_or_else(PoisonError::into_inner).entry(word).or_insert(0) += 1;
}
