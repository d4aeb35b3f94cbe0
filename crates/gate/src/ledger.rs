//! What a gate knows of itself: sessions, open holes, how holes ended, what was refused and why.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portway_nft::{End, Key, Remote, RemoteError, Translation, Want};
use portway_ops::{Hole, Log, Notice, Seconds, Shown, Warning};

use crate::nat::Shared;
use crate::rate::Rate;
use crate::rows::{Counts, HoleRow, Refusal, SessionRow, Snapshot};
use crate::trail::{Trace, Trails};

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
}

/// What a hole is for, until it is over.
#[derive(Clone, Debug)]
struct Story {
    holder: u64,
    opened: Instant,
    row: HoleRow,
    translated: Vec<Translation>,
}

/// Why a hole was not opened; goes into a 425.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotOpened {
    /// Too many for this client.
    #[error("too many data connections in a short time, try again in a moment")]
    TooFast,
    /// Policy or kernel.
    #[error(transparent)]
    Holes(#[from] RemoteError),
    /// The addresses are not translated.
    #[error("the firewall does not translate the address: {0}")]
    Translation(#[source] io::Error),
}

/// Who asks for a hole, and what for.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Who holds it, and whose end closes it: a session, or [`Ledger::holder`].
    pub holder: u64,
    /// The session that it is for.
    pub session: u64,
    /// As [`HoleRow::by`].
    pub by: String,
    /// Who pays for it: the client's address.
    pub client: IpAddr,
    /// What is announced in place of the hole's end.
    pub announced: Option<SocketAddr>,
    /// What is done to its addresses.
    pub translate: Vec<Translation>,
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

    /// Opens a hole, at once. A refusal is counted and logged.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn open(
        &self,
        asking: Asking,
        from: IpAddr,
        to: SocketAddr,
        within: Duration,
    ) -> Result<u64, NotOpened> {
        let key = Key::new(from, to);
        let (client, session) = (asking.client, asking.session);
        let mut inner = self.lock();
        let row = HoleRow {
            hole: 0,
            session,
            by: asking.by.clone(),
            user: inner.sessions.get(&session).and_then(|session| session.user.clone()),
            from: key.from,
            to: key.to,
            announced: asking.announced,
            within: within.as_secs(),
        };
        let opened = self.open_one(&mut inner, asking, &row, within);
        if let Err(why) = &opened {
            let why = why.to_string();
            let detail = Some(Shown::from(why.clone()));
            self.log.record(Hole { detail, ..event(row, "refused", Duration::ZERO) });
            inner.remember(Refusal { session, client, why });
        }
        opened
    }

    fn open_one(
        &self,
        inner: &mut Inner,
        asking: Asking,
        row: &HoleRow,
        within: Duration,
    ) -> Result<u64, NotOpened> {
        let now = Instant::now();
        if !inner.rate.take(asking.client, now) {
            return Err(NotOpened::TooFast);
        }
        let want = Want { key: Key::new(row.from, row.to), within };
        // First the way, then the door: a translation alone lets nothing through.
        let Inner { kernel, translations, .. } = inner;
        translations.begin(kernel, &asking.translate, within).map_err(NotOpened::Translation)?;
        let opened = kernel.open(&want);
        if opened.is_err() {
            translations.end(kernel, &asking.translate);
        }
        let hole = opened?;
        inner.counts.opened += 1;
        let row = HoleRow { hole, ..row.clone() };
        let Asking { holder, translate: translated, .. } = asking;
        inner.stories.insert(hole, Story { holder, opened: now, row, translated });
        Ok(hole)
    }

    /// Closes a hole of this holder; one that is gone already is no error.
    pub fn close(&self, hole: u64, holder: u64) {
        let mut inner = self.lock();
        if inner.stories.get(&hole).is_some_and(|story| story.holder == holder) {
            self.close_one(&mut inner, hole);
        }
    }

    fn close_one(&self, inner: &mut Inner, hole: u64) {
        // Without a helper there are no holes either. One that was over by itself is told of by the next sweep.
        let ended = inner.kernel.close(hole).unwrap_or(Some(End::Closed));
        self.tell(inner, ended.map(|how| (hole, how)));
    }

    /// Notices holes that were used or whose time is up, which the kernel has shut by itself, and connections that are
    /// over. Whether the helper still answers: without it nothing opens any more.
    pub fn sweep(&self) -> bool {
        let mut inner = self.lock();
        let ended = inner.kernel.ended().unwrap_or_default();
        self.tell(&mut inner, ended);
        let Inner { kernel, trails, .. } = &mut *inner;
        for trace in trails.over(kernel, Instant::now()) {
            self.log.record(traced(trace));
        }
        !inner.kernel.is_lost()
    }

    /// As [`portway_nft::answered_to`]; `None` also where nobody can say.
    pub(crate) fn answered_to(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        self.lock().kernel.answered_to(from, to).ok().flatten()
    }

    /// As [`portway_nft::asked_for`]; `None` also where nobody can say.
    pub(crate) fn asked_for(&self, server: SocketAddr, client: SocketAddr) -> Option<SocketAddr> {
        self.lock().kernel.asked_for(server, client).ok().flatten()
    }

    /// Logs the holes whose connections still run, since nobody will look at them any more, and has the gate's rules
    /// taken away.
    pub fn finish(&self) {
        let mut inner = self.lock();
        let Inner { kernel, trails, .. } = &mut *inner;
        for trace in trails.finish(kernel, Instant::now()) {
            self.log.record(traced(trace));
        }
        if let Err(error) = inner.kernel.leave() {
            let detail = Shown::from(format!("they refuse control connections: {error}"));
            self.log.record(Warning { what: "rules_left", detail });
        }
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

    /// The holder of what an agent's connection opens; no session has this number.
    #[must_use]
    pub const fn holder(connection: u64) -> u64 {
        connection | 1 << 63
    }

    /// Closes all holes of this holder.
    pub fn release(&self, holder: u64) {
        self.release_all(&mut self.lock(), holder);
    }

    fn release_all(&self, inner: &mut Inner, holder: u64) {
        let his = inner.stories.iter().filter(|(_, story)| story.holder == holder).map(|(hole, _)| *hole);
        for hole in his.collect::<Vec<_>>() {
            self.close_one(inner, hole);
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

    /// One line for each hole over its life; if somebody came through, when his connection is over.
    fn tell(&self, inner: &mut Inner, ended: impl IntoIterator<Item = (u64, End)>) {
        let now = Instant::now();
        for (hole, how) in ended {
            let Some(Story { opened, row, translated, .. }) = inner.stories.remove(&hole) else { continue };
            let count = match how {
                End::Used => &mut inner.counts.used,
                End::Expired => &mut inner.counts.expired,
                End::Closed => &mut inner.counts.closed,
            };
            *count += 1;
            let Inner { kernel, translations, .. } = inner;
            translations.end(kernel, &translated);
            let lived = now.saturating_duration_since(opened);
            match how {
                End::Used => inner.trails.follow(row, opened, now),
                End::Expired => self.log.record(event(row, "expired", lived)),
                End::Closed => self.log.record(event(row, "closed", lived)),
            }
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

fn traced(trace: Trace) -> Hole {
    let octets = trace.flow.and_then(|flow| flow.octets);
    Hole {
        from_port: trace.flow.map(|flow| flow.from.port()),
        bytes_there: octets.map(|(there, _)| there),
        bytes_back: octets.map(|(_, back)| back),
        ..event(trace.row, "used", trace.lived)
    }
}

fn event(row: HoleRow, result: &'static str, lived: Duration) -> Hole {
    Hole {
        id: row.hole,
        session: row.session,
        by: Shown::from(row.by),
        user: row.user.map(Shown::from),
        from: row.from,
        from_port: None,
        to: row.to,
        announced: row.announced,
        within: Seconds(Duration::from_secs(row.within)),
        result,
        seconds: Seconds(lived),
        bytes_there: None,
        bytes_back: None,
        detail: None,
    }
}
