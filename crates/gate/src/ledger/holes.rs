//! The holes of the book: who holds each, and how it ended.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use portway_nft::{End, Key, RemoteError, Translation, Want};
use portway_ops::{Hole, Seconds, Shown, Warning};

use super::{Inner, Ledger};
use crate::rows::{HoleRow, Refusal};
use crate::trail::Trace;

/// What a hole is for, until it is over.
#[derive(Clone, Debug)]
pub(super) struct Story {
    holder: u64,
    opened: Instant,
    pub(super) row: HoleRow,
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
        self.look_after_rules(&mut inner);
        let Inner { kernel, trails, .. } = &mut *inner;
        for trace in trails.over(kernel, Instant::now()) {
            self.log.record(traced(trace));
        }
        !inner.kernel.is_lost()
    }

    /// How often the gate's rules had to be put back: each time something may have passed unread.
    pub(crate) fn restored(&self) -> u32 {
        self.lock().restored
    }

    /// Rules that somebody took away are put back by the helper; here it is said.
    fn look_after_rules(&self, inner: &mut Inner) {
        let found = inner.kernel.mended();
        let said = match &found {
            Ok(times) if *times > 0 => Some((
                "rules_restored",
                "somebody has taken the gate's rules or routes away, as a reload of the firewall does; they are in \
                 place again"
                    .to_owned(),
            )),
            Err(error) if !inner.unruly && !inner.kernel.is_lost() => Some((
                "rules_lost",
                format!("the gate's rules are not looked after, and control connections may pass unread: {error}"),
            )),
            _ => None,
        };
        inner.unruly = found.is_err();
        inner.restored = inner.restored.saturating_add(found.unwrap_or_default());
        if let Some((what, detail)) = said {
            self.log.record(Warning { what, detail: Shown::from(detail) });
        }
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

    /// The holder of what an agent's connection opens; no session has this number.
    #[must_use]
    pub const fn holder(connection: u64) -> u64 {
        connection | 1 << 63
    }

    /// Closes all holes of this holder.
    pub fn release(&self, holder: u64) {
        self.release_all(&mut self.lock(), holder);
    }

    pub(super) fn release_all(&self, inner: &mut Inner, holder: u64) {
        let his = inner.stories.iter().filter(|(_, story)| story.holder == holder).map(|(hole, _)| *hole);
        for hole in his.collect::<Vec<_>>() {
            self.close_one(inner, hole);
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
