//! What a gate knows of itself: sessions, open holes, how holes ended, what was refused and why.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use portway_nft::Remote;
use portway_ops::{Log, Notice, Shown, Warning};

use crate::nat::Shared;
use crate::rate::Rate;
use crate::rows::{Counts, Refusal, SessionRow, Snapshot};
use crate::trail::Trails;

mod holes;

use holes::Story;
pub use holes::{Asking, NotOpened};

/// Refusals remembered for the status.
const REMEMBERED: usize = 64;
/// Seconds' worth of openings that one client may take at once.
const BURST: f64 = 10.0;
/// Ports that are announced in place of a translated client's own, outside the kernel's ephemeral range.
const FIRST_SHOWN: u16 = 10_000;
const SHOWN: u16 = 20_000;

/// The book of a gate; all of its sessions share it.
#[derive(Debug)]
pub struct Ledger {
    log: Log,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    kernel: Remote,
    translations: Shared,
    rate: Rate,
    failed_logins: Rate,
    stories: BTreeMap<u64, Story>,
    trails: Trails,
    sessions: BTreeMap<u64, SessionRow>,
    /// The client's end of each session as its server sees it.
    known_as: BTreeMap<u64, SocketAddr>,
    turns: u16,
    refusals: VecDeque<Refusal>,
    counts: Counts,
    next_session: u64,
    /// The rules could not be looked after when that was tried last.
    unruly: bool,
    /// How often they had to be put back.
    restored: u32,
}

impl Ledger {
    /// A book over the holes of this helper; `per_second` is as
    /// [`GateConfig::openings_per_second`](crate::GateConfig).
    #[must_use]
    pub fn new(kernel: Remote, per_second: u32, log: Log) -> Self {
        let inner = Inner {
            kernel,
            translations: Shared::default(),
            rate: Rate::new(per_second.into(), BURST),
            failed_logins: Rate::new(0.0, 0.0),
            stories: BTreeMap::new(),
            trails: Trails::default(),
            sessions: BTreeMap::new(),
            known_as: BTreeMap::new(),
            turns: 0,
            refusals: VecDeque::new(),
            counts: Counts::default(),
            next_session: 1,
            unruly: false,
            restored: 0,
        };
        Self { log, inner: Mutex::new(inner) }
    }

    /// As [`GateConfig::failed_logins_per_minute`](crate::GateConfig).
    #[must_use]
    pub fn with_failed_logins(mut self, per_minute: u32) -> Self {
        let rate = Rate::new(f64::from(per_minute) / 60.0, 60.0);
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner).failed_logins = rate;
        self
    }

    /// As [`portway_nft::answered_to`]; `None` also where nobody can say.
    pub(crate) fn answered_to(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        self.lock().kernel.answered_to(from, to).ok().flatten()
    }

    /// As [`portway_nft::asked_for`]; `None` also where nobody can say.
    pub(crate) fn asked_for(&self, server: SocketAddr, client: SocketAddr) -> Option<SocketAddr> {
        self.lock().kernel.asked_for(server, client).ok().flatten()
    }

    /// Begins a session and gives its number.
    pub fn begin(&self, row: impl FnOnce(u64) -> SessionRow) -> u64 {
        let mut inner = self.lock();
        let number = inner.next_session;
        inner.next_session += 1;
        inner.counts.sessions += 1;
        let row = row(number);
        self.log.record(Notice { what: "session", detail: Shown::from(format!("{row}")) });
        inner.sessions.insert(number, row);
        number
    }

    /// Changes what is known of a session.
    pub fn amend(&self, session: u64, how: impl FnOnce(&mut SessionRow)) {
        if let Some(row) = self.lock().sessions.get_mut(&session) {
            how(row);
        }
    }

    /// What the server of a session takes for the client's end of it: where that is translated, or where the gate
    /// has a connection of its own.
    pub fn known_as(&self, session: u64, client: SocketAddr) {
        self.lock().known_as.insert(session, SocketAddr::new(client.ip().to_canonical(), client.port()));
    }

    /// A port to announce in place of one that others behind the same address may have chosen, too.
    pub(crate) fn shown_port(&self) -> u16 {
        let mut inner = self.lock();
        inner.turns = (inner.turns + 1) % SHOWN;
        FIRST_SHOWN + inner.turns
    }

    /// A server has refused a login of this client; whether he may go on trying.
    pub fn login_refused(&self, session: u64, client: IpAddr) -> bool {
        let mut inner = self.lock();
        inner.counts.failed_logins += 1;
        let may = inner.failed_logins.take(client, Instant::now());
        let user = inner.sessions.get(&session).and_then(|row| row.user.clone()).unwrap_or_default();
        let detail = format!("session={session} client={client} user={user:?}");
        self.log.record(Warning { what: "login_refused", detail: Shown::from(detail) });
        may
    }

    /// Whether a client may begin a session, for all its failed logins.
    #[must_use]
    pub fn may_log_in(&self, client: IpAddr) -> bool {
        self.lock().failed_logins.has(client, Instant::now())
    }

    /// Ends a session, and closes its holes.
    pub fn end(&self, session: u64) {
        let mut inner = self.lock();
        self.release_all(&mut inner, session);
        inner.known_as.remove(&session);
        if let Some(row) = inner.sessions.remove(&session) {
            self.log.record(Notice { what: "session_ended", detail: Shown::from(format!("{row}")) });
        }
    }

    /// A live session between these two, by the addresses that the server knows; `control` is the client's end as
    /// the server sees it.
    ///
    /// # Errors
    /// Says that there is none, or that several clients share the address: who is meant is not guessed.
    pub fn session_between(
        &self,
        client: IpAddr,
        server: IpAddr,
        control: Option<SocketAddr>,
    ) -> Result<SessionRow, String> {
        let inner = self.lock();
        let fits = |row: &&SessionRow| {
            let known = row.client_seen_as.unwrap_or(row.client.ip());
            row.server.ip().to_canonical() == server && known.to_canonical() == client
        };
        let exact =
            |row: &&SessionRow| control.is_some() && inner.known_as.get(&row.session) == control.as_ref();
        if let Some(row) = inner.sessions.values().filter(fits).find(exact) {
            return Ok(row.clone());
        }
        // Another translation behind this gate may have changed the port once more.
        let mut fitting = inner.sessions.values().rev().filter(fits);
        let Some(newest) = fitting.next() else {
            return Err(format!("no control connection between {client} and {server} passes this gate"));
        };
        if fitting.any(|other| other.client.ip() != newest.client.ip()) {
            return Err(format!("several clients share the address {client}"));
        }
        Ok(newest.clone())
    }

    /// Remembers a refusal, and logs it.
    pub fn refuse(&self, session: u64, client: IpAddr, why: impl fmt::Display) {
        let refusal = Refusal { session, client, why: why.to_string() };
        let detail = format!("session={session} client={client} {why}");
        self.log.record(Warning { what: "refused", detail: Shown::from(detail) });
        self.lock().remember(refusal);
    }

    /// Counts a session that a limit turned away.
    pub fn turn_away(&self, client: IpAddr, why: impl fmt::Display) {
        self.lock().counts.turned_away += 1;
        self.refuse(0, client, why);
    }

    /// Everything at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.sweep();
        let inner = self.lock();
        Snapshot {
            counts: inner.counts,
            sessions: inner.sessions.values().cloned().collect(),
            holes: inner.stories.values().map(|story| story.row.clone()).collect(),
            refusals: inner.refusals.iter().cloned().collect(),
        }
    }

    /// The book is whole between any two calls, so a panic elsewhere does not close it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, refusal: Refusal) {
        self.counts.refused += 1;
        if self.refusals.len() == REMEMBERED {
            self.refusals.pop_front();
        }
        self.refusals.push_back(refusal);
    }
}
