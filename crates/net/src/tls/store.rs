//! The tickets of one control connection, as its client keeps them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// One server, one session: names need not be told apart here.
#[derive(Debug, Default)]
pub(crate) struct TicketStore(Mutex<Tickets>);

#[derive(Debug, Default)]
struct Tickets {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    /// The youngest last.
    tls13: VecDeque<Tls13ClientSessionValue>,
}

/// Enough for a client with 32 data connections at once on one control connection; a server that sends more
/// tickets is wasting them.
const MOST: usize = 64;

impl TicketStore {
    pub(crate) fn left(&self) -> usize {
        let tickets = self.lock();
        if tickets.tls12.is_some() { usize::MAX } else { tickets.tls13.len() }
    }

    fn lock(&self) -> MutexGuard<'_, Tickets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for TicketStore {
    fn set_kx_hint(&self, _server: ServerName<'static>, group: NamedGroup) {
        self.lock().group = Some(group);
    }

    fn kx_hint(&self, _server: &ServerName<'_>) -> Option<NamedGroup> {
        self.lock().group
    }

    fn set_tls12_session(&self, _server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.lock().tls12 = Some(value);
    }

    fn tls12_session(&self, _server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.lock().tls12.clone()
    }

    fn remove_tls12_session(&self, _server: &ServerName<'static>) {
        self.lock().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _server: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut tickets = self.lock();
        if tickets.tls13.len() == MOST {
            tickets.tls13.pop_front();
        }
        tickets.tls13.push_back(value);
    }

    /// The youngest: a server that keeps few sessions has forgotten the old ones.
    fn take_tls13_ticket(&self, _server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.lock().tls13.pop_back()
    }
}
