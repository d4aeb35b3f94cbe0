//! Watching a dialogue that others hold: what a gate, a proxy and `explain` have in common.
//!
//! The shell puts a strict [`LineReader`](crate::LineReader) on what the client sends and a strict
//! [`ReplyReader`](crate::ReplyReader) on what the server sends, hands over line by line and does what the
//! [`Ruling`]s say, in order. Nothing is passed on as it came: a line is read, judged and written anew, so that
//! both ends and the watcher understand the same.

mod client_side;
mod opening;
mod queue;
mod server_side;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::{Code, Family, Refused, Reply, ReplyError, Vetted};

pub use opening::Opening;
use queue::{Awaited, Queue};

/// Observes both directions of a dialogue.
#[derive(Clone, Debug)]
pub struct Watch {
    client: IpAddr,
    server: IpAddr,
    policy: WatchPolicy,
    queue: Queue,
    stage: Stage,
    logged_in: bool,
    /// EPSV ALL was seen (RFC 2428 §4).
    epsv_only: bool,
    /// The client's first line was a verb of FTP.
    is_ftp: bool,
    /// When the hole that was opened last dies by itself.
    open_until: Option<Instant>,
}

/// What is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchPolicy {
    /// What AUTH gets. Default [`AuthTls::Pass`].
    pub auth_tls: AuthTls,
    /// Whether CCC is allowed (RFC 4217 §6). Default true: it is what lets a gate help at all.
    pub ccc: bool,
    /// Whether announcements before a login are refused. Default true.
    pub login_first: bool,
    /// Addresses of the gate itself, where no hole leads. Default none.
    pub own: BTreeSet<IpAddr>,
    /// Addresses that also stand for the server in a 227: what it believes its address to be behind a
    /// translating gate. Default none.
    pub server_is_also: BTreeSet<IpAddr>,
    /// Addresses that also stand for the client in PORT and EPRT. Default none.
    pub client_is_also: BTreeSet<IpAddr>,
    /// Ports that no hole leads to, besides those below 1024. Default NFS, MySQL, PostgreSQL, X11.
    pub denied_ports: BTreeSet<u16>,
    /// Whether holes may lead to loopback addresses. Default false.
    pub loopback: bool,
    /// How long a hole waits for its connection. Default 10 s.
    pub within: Duration,
    /// Commands without an answer after which no more are taken. Default 64.
    pub pipelined: usize,
}

impl Default for WatchPolicy {
    fn default() -> Self {
        Self {
            auth_tls: AuthTls::Pass,
            ccc: true,
            login_first: true,
            own: BTreeSet::new(),
            server_is_also: BTreeSet::new(),
            client_is_also: BTreeSet::new(),
            denied_ports: [2049, 3306, 5432, 6000].into(),
            loopback: false,
            within: Duration::from_secs(10),
            pipelined: 64,
        }
    }
}

/// What happens when the client asks for TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthTls {
    /// It passes, and from then on we are blind: whoever speaks TLS has to announce by himself.
    #[default]
    Pass,
    /// Refused with 534 and the reason.
    Refuse,
    /// The shell ends TLS on both sides and goes on handing over lines.
    Bridge,
}

/// What the shell has to do; in order, each done before the next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ruling {
    /// Send it to the server.
    ToServer(Vec<u8>),
    /// Send it to the client.
    ToClient(Vec<u8>),
    /// Open the hole, then send the client [`Opening::line`]; or, if it cannot be opened, [`Opening::failed`].
    Open(Opening),
    /// Close the hole that is open; it may be gone already.
    Shut,
    /// Forget what the client has sent since AUTH ([`LineReader::clear`](crate::LineReader::clear)) and pass
    /// octets on unread from here, both ways; [`Watch::resume`] ends that.
    Opaque,
    /// Forget as for [`Opaque`](Self::Opaque) and shake hands on both sides.
    StartTls,
    /// End TLS on both sides and go on in the clear.
    StopTls,
    /// Close both connections.
    Close,
    /// Write it to the log; nothing depends on it.
    Note(Notice),
}

/// Something an administrator wants to know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Notice {
    /// An announcement was refused: the bounce attack, a service's port, the gate itself.
    #[error("announcement refused: {0}")]
    Refused(#[from] Refused),
    /// An announcement nobody can read.
    #[error("announcement not understood: {0}")]
    Unreadable(String),
    /// A port of the policy's list.
    #[error("announcement refused: port {0} is on the list of denied ports")]
    DeniedPort(u16),
    /// 227 or 229 that answers no PASV or EPSV.
    #[error("{0} that nobody asked for opens nothing")]
    Unsolicited(Code),
    /// A reply to no command.
    #[error("reply {0} to no command")]
    StrayReply(u16),
    /// An announcement before a login.
    #[error("announcement before the login")]
    NotLoggedIn,
    /// The client spoke like a server, or the other way round.
    #[error("the {0} speaks the other side's words")]
    WrongSide(&'static str),
    /// Not FTP at all.
    #[error("this is not FTP: {0}")]
    NotFtp(String),
    /// A line that was refused whole.
    #[error("line refused: {0}")]
    BadLine(String),
    /// The server said 530 to USER, PASS or ACCT.
    #[error("the server refused a login")]
    LoginRefused,
    /// Commands in clear between AUTH and the handshake (STARTTLS injection).
    #[error("a command between AUTH and TLS was thrown away")]
    Injected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Clear,
    Opaque,
    Closed,
}

impl Watch {
    /// Watches from the first octet on. The greeting is the first reply that is awaited.
    #[must_use]
    pub fn new(client: IpAddr, server: IpAddr, policy: WatchPolicy) -> Self {
        Self {
            client: client.to_canonical(),
            server: server.to_canonical(),
            policy,
            queue: Queue::greeting(),
            stage: Stage::Clear,
            logged_in: false,
            epsv_only: false,
            is_ftp: false,
            open_until: None,
        }
    }

    /// Whether to hand over the next command now. If not, keep it: until the answer to AUTH is there nobody
    /// knows what it is, and until that to PORT is there the server must not be told to connect.
    #[must_use]
    pub fn is_ready_for_command(&self) -> bool {
        self.stage == Stage::Clear && self.queue.len() < self.policy.pipelined && !self.queue.holds_back()
    }

    /// Whether octets pass unread.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.stage == Stage::Opaque
    }

    /// Commands that have no answer yet, the greeting included.
    #[must_use]
    pub fn awaited(&self) -> usize {
        self.queue.len()
    }

    /// TLS has ended (CCC) and the next octet is clear. The session is logged in, since CCC is served to no other.
    pub fn resume(&mut self) -> Vec<Ruling> {
        if self.stage != Stage::Opaque {
            return Vec::new();
        }
        if !self.policy.ccc {
            let reply = Reply::new(Code::UNAVAILABLE, "This firewall does not allow CCC.");
            return self.close_with(Some(reply), None);
        }
        self.stage = Stage::Clear;
        self.queue = Queue::default();
        self.logged_in = true;
        Vec::new()
    }

    /// One of the two connections has ended, by FIN or RST.
    pub fn on_end(&mut self) -> Vec<Ruling> {
        self.close_with(None, None)
    }

    /// What the server says is no reply.
    pub fn on_reply_error(&mut self, error: &ReplyError) -> Vec<Ruling> {
        let notice = match error {
            ReplyError::NotFtp { starts_with } if begins_with_announcement(starts_with) => {
                Notice::WrongSide("server")
            }
            ReplyError::NotFtp { .. } => Notice::NotFtp(error.to_string()),
            _ => Notice::BadLine(error.to_string()),
        };
        let reply = Reply::new(Code::UNAVAILABLE, "The server's answer is not FTP.");
        self.close_with(Some(reply), Some(notice))
    }

    /// Ends it all, once.
    fn close_with(&mut self, reply: Option<Reply>, notice: Option<Notice>) -> Vec<Ruling> {
        if std::mem::replace(&mut self.stage, Stage::Closed) == Stage::Closed {
            return Vec::new();
        }
        let mut out: Vec<Ruling> = notice.map(Ruling::Note).into_iter().collect();
        self.shut(None, &mut out);
        out.extend(reply.map(|reply| to_client(&reply)));
        out.push(Ruling::Close);
        out
    }

    /// Closes the hole, unless it has died by itself by now.
    fn shut(&mut self, now: Option<Instant>, out: &mut Vec<Ruling>) {
        let open = self.open_until.take();
        if open.is_some_and(|until| now.is_none_or(|now| until > now)) {
            out.push(Ruling::Shut);
        }
    }

    /// Checks where a hole would lead, after the announcer's own address was checked.
    fn may_lead_to(&self, to: Vetted) -> Result<(), Notice> {
        let addr = to.addr();
        if self.policy.own.contains(&addr.ip()) {
            return Err(Refused::OurOwn(addr).into());
        }
        if addr.ip().is_loopback() && !self.policy.loopback {
            return Err(Refused::NotAHost(addr.ip()).into());
        }
        if self.policy.denied_ports.contains(&addr.port()) {
            return Err(Notice::DeniedPort(addr.port()));
        }
        Ok(())
    }

    fn family(&self) -> Family {
        Family::of(self.client)
    }
}

/// Whether the server began a line with a client's announcement.
fn begins_with_announcement(octets: &[u8]) -> bool {
    [b"PORT", b"EPRT"].iter().any(|verb| octets.get(..4).is_some_and(|b| b.eq_ignore_ascii_case(*verb)))
}

fn to_client(reply: &Reply) -> Ruling {
    let mut line = Vec::new();
    reply.emit(&mut line);
    Ruling::ToClient(line)
}

/// An address of one side: its own, or one that stands for it.
fn stands_for(claim: SocketAddr, side: IpAddr, images: &BTreeSet<IpAddr>) -> bool {
    let ip = claim.ip().to_canonical();
    ip == side || images.contains(&ip)
}

#[cfg(test)]
mod tests;
