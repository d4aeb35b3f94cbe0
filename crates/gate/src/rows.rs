//! What a gate tells of itself: the rows of its status.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

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
    /// Logins that servers have refused, as far as we can read.
    pub failed_logins: u64,
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
    /// Who announced it: `relay`, `inspect`, or the name in an agent's certificate.
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
