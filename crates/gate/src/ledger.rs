//! What a gate knows of itself: sessions, open holes, how holes ended, what was refused and why.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portway_nft::{End, Ended, Filter, Holes, Key, OpenError, Translation, Translations, Want};
use portway_ops::{Log, Notice, Shown, Warning};
use serde::Serialize;

use crate::nat::Shared;
use crate::rate::Rate;

/// Refusals remembered for the status.
const REMEMBERED: usize = 64;

/// The book of a gate; all of its sessions share it.
#[derive(Debug)]
pub struct Ledger {
    log: Log,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    holes: Holes<Filter>,
    translations: Shared,
    rate: Rate,
    stories: BTreeMap<u64, Story>,
    sessions: BTreeMap<u64, SessionRow>,
    refusals: VecDeque<Refusal>,
    counts: Counts,
    next_session: u64,
}

/// What a hole is for, until it is over.
#[derive(Clone, Debug)]
struct Story {
    opened: Instant,
    row: HoleRow,
    translated: Vec<Translation>,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Sessions taken over.
    pub sessions: u64,
    /// Sessions turned away by a limit.
    pub turned_away: u64,
    /// Holes opened.
    pub opened: u64,
    /// Holes that a connection came through.
    pub used: u64,
    /// Holes that nobody came through in time.
    pub expired: u64,
    /// Holes closed unused: by QUIT, ABOR, REIN, the next announcement, or the end of the session.
    pub closed: u64,
    /// Announcements, lines and sessions refused.
    pub refused: u64,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    /// Its number, unique while the gate runs.
    pub session: u64,
    /// The client.
    pub client: SocketAddr,
    /// The server.
    pub server: SocketAddr,
    /// What the client believes the server's address to be, where it is translated.
    pub server_seen_as: Option<SocketAddr>,
    /// What the server believes the client's address to be, where it is translated.
    pub client_seen_as: Option<IpAddr>,
    /// Who said USER, if we could read it.
    pub user: Option<String>,
    /// Whether it is encrypted and passes unread.
    pub opaque: bool,
}

/// One open hole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoleRow {
    /// Its number, unique while the gate runs.
    pub hole: u64,
    /// The session that it is for.
    pub session: u64,
    /// Who announced it: `relay` or the name in an agent's certificate.
    pub by: String,
    /// Whose session it is.
    pub user: Option<String>,
    /// Who may connect.
    pub from: IpAddr,
    /// Where to.
    pub to: SocketAddr,
    /// What was announced in place of `to`, where the gate translates.
    pub announced: Option<SocketAddr>,
    /// Its lifetime, in seconds.
    pub within: u64,
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The session; 0 for what belongs to none.
    pub session: u64,
    /// Who was refused.
    pub client: IpAddr,
    /// The reason, for a person.
    pub why: String,
}

/// Everything at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Since the start.
    pub counts: Counts,
    /// Live sessions.
    pub sessions: Vec<SessionRow>,
    /// Open holes.
    pub holes: Vec<HoleRow>,
    /// The last refusals, oldest first.
    pub refusals: Vec<Refusal>,
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
    Holes(#[from] OpenError),
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
    /// A book over these holes; `per_second` is as [`GateConfig::openings_per_second`](crate::GateConfig).
    #[must_use]
    pub fn new(holes: Holes<Filter>, translations: Translations, per_second: u32, log: Log) -> Self {
        let inner = Inner {
            holes,
            translations: Shared::new(translations),
            rate: Rate::new(per_second),
            stories: BTreeMap::new(),
            sessions: BTreeMap::new(),
            refusals: VecDeque::new(),
            counts: Counts::default(),
            next_session: 1,
        };
        Self { log, inner: Mutex::new(inner) }
    }

    /// Opens a hole, at once.
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
        let now = Instant::now();
        let mut inner = self.lock();
        let over = inner.holes.sweep(now);
        self.tell(&mut inner, over);
        if !inner.rate.take(asking.client, now) {
            return Err(NotOpened::TooFast);
        }
        let want = Want { key: Key::new(from, to), within };
        // First the way, then the door: a translation alone lets nothing through.
        inner.translations.begin(&asking.translate, within).map_err(NotOpened::Translation)?;
        let opened = inner.holes.open(&want, asking.holder, now);
        if opened.is_err() {
            inner.translations.end(&asking.translate);
        }
        let hole = opened?;
        inner.counts.opened += 1;
        let user = inner.sessions.get(&asking.session).and_then(|session| session.user.clone());
        let row = HoleRow {
            hole,
            session: asking.session,
            by: asking.by,
            user,
            from: want.key.from,
            to: want.key.to,
            announced: asking.announced,
            within: within.as_secs(),
        };
        inner.stories.insert(hole, Story { opened: now, row, translated: asking.translate });
        Ok(hole)
    }

    /// Closes a hole of this holder; one that is gone already is no error.
    pub fn close(&self, hole: u64, holder: u64) {
        let mut inner = self.lock();
        let ended = inner.holes.close(hole, holder, Instant::now());
        self.tell(&mut inner, ended);
    }

    /// Notices holes whose time is up. The kernel has shut them by itself.
    pub fn sweep(&self) {
        let mut inner = self.lock();
        let over = inner.holes.sweep(Instant::now());
        self.tell(&mut inner, over);
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

    /// Ends a session, and closes its holes.
    pub fn end(&self, session: u64) {
        let mut inner = self.lock();
        let ended = inner.holes.release(session, Instant::now());
        self.tell(&mut inner, ended);
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
        let mut inner = self.lock();
        let ended = inner.holes.release(holder, Instant::now());
        self.tell(&mut inner, ended);
    }

    /// A live session between these two, by the addresses that the server knows.
    ///
    /// # Errors
    /// Says that there is none, or that several clients share the address: who is meant is not guessed.
    pub fn session_between(&self, client: IpAddr, server: IpAddr) -> Result<SessionRow, String> {
        let inner = self.lock();
        let fits = |row: &&SessionRow| {
            let known = row.client_seen_as.unwrap_or(row.client.ip());
            row.server.ip().to_canonical() == server && known.to_canonical() == client
        };
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
        let mut inner = self.lock();
        inner.counts.refused += 1;
        if inner.refusals.len() == REMEMBERED {
            inner.refusals.pop_front();
        }
        inner.refusals.push_back(refusal);
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

    /// One line for each hole over its life.
    fn tell(&self, inner: &mut Inner, ended: impl IntoIterator<Item = Ended>) {
        for hole in ended {
            let how = match hole.how {
                End::Used => {
                    inner.counts.used += 1;
                    "used"
                }
                End::Expired => {
                    inner.counts.expired += 1;
                    "expired"
                }
                End::Closed => {
                    inner.counts.closed += 1;
                    "closed"
                }
            };
            let Some(story) = inner.stories.remove(&hole.id) else { continue };
            inner.translations.end(&story.translated);
            let lived = story.opened.elapsed().as_millis();
            let detail = format!("{} {how} lived={lived}ms", story.row);
            self.log.record(Notice { what: "hole", detail: Shown::from(detail) });
        }
    }

    /// The book is whole between any two calls, so a panic elsewhere does not close it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for SessionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session={} client={} server={}", self.session, self.client, self.server)?;
        if let Some(seen) = self.server_seen_as {
            write!(f, " server_seen_as={seen}")?;
        }
        if let Some(seen) = self.client_seen_as {
            write!(f, " client_seen_as={seen}")?;
        }
        if let Some(user) = &self.user {
            write!(f, " user={user:?}")?;
        }
        Ok(())
    }
}

impl fmt::Display for HoleRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "hole={} session={} by={} from={} to={}",
            self.hole, self.session, self.by, self.from, self.to
        )?;
        if let Some(announced) = self.announced {
            write!(f, " announced={announced}")?;
        }
        if let Some(user) = &self.user {
            write!(f, " user={user:?}")?;
        }
        write!(f, " within={}s", self.within)
    }
}
