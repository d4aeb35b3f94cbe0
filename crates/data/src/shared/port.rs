//! One shared port: its seats, its lobby and its porter.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portway_net::{ControlTls, Hello, SessionTag};
use tokio::time::{Instant, sleep};

use super::turn::Turns;
use super::{client_of, lock};
use crate::listener::{Listener, adopt};
use crate::ports::Tenant;
use crate::proof::{Came, Lobby, Spoke, Waiting};
use crate::{History, sys};

/// Connections accepted before other tasks get a turn.
const AT_ONCE: usize = 64;

/// Connections of all addresses that wait in silence at one port.
const SILENT: usize = 256;

/// The longest queue the kernel keeps for us.
const QUEUE: usize = 4096;

/// Connections delivered to a seat and not yet looked at.
const INBOX: usize = 8;

/// How long other sessions of an address stay away from a seat that was given up: its connection may still be
/// on its way.
const COOLING: Duration = Duration::from_millis(150);

/// A pause when this process has no descriptor left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// One shared port.
#[derive(Debug)]
pub(super) struct Port {
    listener: Listener,
    table: Mutex<Table>,
    strangers: AtomicU32,
    turns: Arc<Turns>,
}

#[derive(Debug)]
struct Table {
    pending: HashMap<IpAddr, Vec<Pending>>,
    lobby: Lobby,
    cooling: HashMap<IpAddr, (History, Instant)>,
    porter: Option<Waker>,
}

/// An offer that awaits its connection.
#[derive(Debug)]
struct Pending {
    inbox: Arc<Inbox>,
    tag: Option<SessionTag>,
    since: Instant,
}

impl Pending {
    /// Both under TLS, and of different users: a client that keeps one ticket cache for all its sessions may
    /// show any of their tickets.
    fn is_told_from(&self, tls: &ControlTls) -> bool {
        self.tag.is_some_and(|tag| tag != tls.tag() && !tls.is_sibling(tag))
    }
}

/// What the porter has for one seat.
#[derive(Debug, Default)]
struct Inbox(Mutex<Letters>);

#[derive(Debug, Default)]
struct Letters {
    came: VecDeque<Came>,
    ambiguous: u32,
    no_handshake: bool,
    waker: Option<Waker>,
}

/// A pending offer at a shared port; dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Seat {
    port: Arc<Port>,
    tenant: Tenant,
    inbox: Arc<Inbox>,
    strangers_before: u32,
    served: bool,
}

impl Port {
    pub(super) fn new(listener: Listener, turns: Arc<Turns>) -> Self {
        let table = Table {
            pending: HashMap::new(),
            lobby: Lobby::new(SILENT),
            cooling: HashMap::new(),
            porter: None,
        };
        Self { listener, table: Mutex::new(table), strangers: AtomicU32::new(0), turns }
    }

    pub(super) fn at(&self) -> SocketAddr {
        self.listener.at()
    }

    /// Pending offers of one client address; `None` if one of them could be confused with one of `tls`.
    pub(super) fn tls_company(&self, client: IpAddr, tls: &ControlTls) -> Option<usize> {
        let table = lock(&self.table);
        let company = table.pending.get(&client).map_or(&[][..], Vec::as_slice);
        company.iter().all(|pending| pending.is_told_from(tls)).then_some(company.len())
    }

    /// Pending offers of all addresses.
    pub(super) fn pending(&self) -> usize {
        lock(&self.table).pending.values().map(Vec::len).sum()
    }

    /// A seat, if no other offer of this client address is pending here and none was just given up.
    pub(super) fn sit_alone(self: &Arc<Self>, tenant: &Tenant, tag: Option<SessionTag>) -> Option<Seat> {
        let mut table = lock(&self.table);
        let immune = tag.is_some() && tenant.session.has_resumed();
        let cooling = table.cooling.get(&tenant.client).is_some_and(|(session, since)| {
            !immune && !session.same(&tenant.session) && since.elapsed() < COOLING
        });
        if cooling || table.pending.contains_key(&tenant.client) {
            return None;
        }
        Some(self.sit(&mut table, tenant, tag))
    }

    /// A seat beside other offers of this client address, if its connection can be told from theirs.
    pub(super) fn sit_together(self: &Arc<Self>, tenant: &Tenant, tls: &ControlTls) -> Option<Seat> {
        let mut table = lock(&self.table);
        let company = table.pending.get(&tenant.client);
        if company.is_some_and(|others| !others.iter().all(|other| other.is_told_from(tls))) {
            return None;
        }
        Some(self.sit(&mut table, tenant, Some(tls.tag())))
    }

    fn sit(self: &Arc<Self>, table: &mut Table, tenant: &Tenant, tag: Option<SessionTag>) -> Seat {
        // Whoever is in the queue now came before this port was announced for this seat.
        for _ in 0..QUEUE {
            let Ok((stream, peer)) = self.listener.try_accept() else { break };
            self.route(table, stream, peer);
        }
        let inbox = Arc::new(Inbox::default());
        let pending = Pending { inbox: inbox.clone(), tag, since: Instant::now() };
        table.pending.entry(tenant.client).or_default().push(pending);
        Seat {
            port: self.clone(),
            tenant: tenant.clone(),
            inbox,
            strangers_before: self.strangers.load(Ordering::Relaxed),
            served: false,
        }
    }

    /// Brings a new connection to its seat, to the lobby, or to the door.
    fn route(&self, table: &mut Table, stream: TcpStream, peer: SocketAddr) {
        let client = client_of(peer);
        match table.pending.get(&client).map(Vec::as_slice) {
            None | Some([]) => {
                self.strangers.fetch_add(1, Ordering::Relaxed);
                sys::reset_on_close(&stream);
            }
            Some([Pending { inbox, tag: None, .. }, ..]) => {
                inbox.deliver(Came::Raw(stream, peer));
                table.pending.remove(&client);
                self.turns.freed(client);
            }
            Some(several) => {
                let disputed = several.len() > 1;
                // Fails only when memory or descriptors are used up; the client may try again.
                if let Ok(stream) = adopt(stream) {
                    table.lobby.enter(stream, peer, disputed);
                    if let Some(porter) = &table.porter {
                        porter.wake_by_ref();
                    }
                }
            }
        }
    }

    /// Brings a connection that has spoken to the session it names, or to the only one it can be meant for.
    fn usher(table: &mut Table, waiting: Waiting, spoke: Spoke) {
        let Waiting { stream, peer, since, disputed } = waiting;
        let pending = table.pending.get(&client_of(peer)).map_or(&[][..], Vec::as_slice);
        let mut asked = pending.iter().filter(|p| p.tag.is_some() && p.since <= since);
        let seat = match spoke {
            Spoke::Hello(Hello::Session(tag)) => {
                pending.iter().find(|p| p.tag == Some(tag)).map(|p| (p, true))
            }
            _ => None,
        };
        let seat = match (seat, spoke) {
            (None, Spoke::Hello(Hello::Session(_) | Hello::NoSession)) if !disputed && pending.len() < 2 => {
                asked.next().map(|p| (p, false))
            }
            (seat, _) => seat,
        };
        if let Some((seat, named)) = seat {
            return seat.inbox.deliver(Came::Spoken { stream, peer, named });
        }
        sys::reset_on_close(&stream);
        for seat in pending {
            let mut letters = lock(&seat.inbox.0);
            match spoke {
                Spoke::Hello(Hello::Session(_) | Hello::NoSession) => {
                    letters.ambiguous = letters.ambiguous.saturating_add(1);
                }
                Spoke::Hello(Hello::NotTls | Hello::NeedMore) | Spoke::Gone => letters.no_handshake = true,
            }
        }
    }

    fn poll_work(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut table = lock(&self.table);
        if !table.porter.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            table.porter = Some(cx.waker().clone());
        }
        let mut turns = AT_ONCE;
        while let Poll::Ready(accepted) = self.listener.poll_accept(cx) {
            match accepted {
                Ok((stream, peer)) => self.route(&mut table, stream, peer),
                Err(error) => return Poll::Ready(error),
            }
            turns -= 1;
            if turns == 0 {
                cx.waker().wake_by_ref();
                break;
            }
        }
        while let Some((waiting, spoke)) = table.lobby.poll_spoke(cx) {
            Self::usher(&mut table, waiting, spoke);
        }
        Poll::Pending
    }
}

/// Serves a port until the task is aborted.
pub(super) async fn porter(port: Arc<Port>) {
    loop {
        // Every error of accept(2) that is no stranger's fault is a lack of something.
        let _lack = poll_fn(|cx| port.poll_work(cx)).await;
        sleep(OUT_OF_DESCRIPTORS).await;
    }
}

impl Inbox {
    fn deliver(&self, came: Came) {
        let mut letters = lock(&self.0);
        if letters.came.len() >= INBOX {
            letters.came.pop_front();
        }
        letters.came.push_back(came);
        if let Some(waker) = letters.waker.take() {
            waker.wake();
        }
    }
}

impl Seat {
    /// The address and port it is at.
    pub(crate) fn at(&self) -> SocketAddr {
        self.port.at()
    }

    /// The next connection for this seat.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        let mut letters = lock(&self.inbox.0);
        match letters.came.pop_front() {
            Some(came) => Poll::Ready(came),
            None => {
                if !letters.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    letters.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Strangers closed at this port since the seat was taken.
    pub(crate) fn strangers(&self) -> u32 {
        self.port.strangers.load(Ordering::Relaxed).wrapping_sub(self.strangers_before)
    }

    /// How many connections of the client's address could have been another session's, and whether one began
    /// no handshake.
    pub(crate) fn turned_away(&self) -> (u32, bool) {
        let letters = lock(&self.inbox.0);
        (letters.ambiguous, letters.no_handshake)
    }

    /// Gives the place up after its connection has come.
    pub(crate) fn served(mut self) {
        self.served = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let client = self.tenant.client;
        let mut table = lock(&self.port.table);
        let Some(seats) = table.pending.get_mut(&client) else { return };
        let before = seats.len();
        seats.retain(|pending| !Arc::ptr_eq(&pending.inbox, &self.inbox));
        let (found, none_left) = (seats.len() < before, seats.is_empty());
        if none_left {
            table.pending.remove(&client);
            table.lobby.retain(|waiting| client_of(waiting.peer) != client);
        }
        if !found {
            return;
        }
        if !self.served {
            if table.cooling.len() >= SILENT {
                table.cooling.retain(|_, (_, since)| since.elapsed() < COOLING);
            }
            table.cooling.insert(client, (self.tenant.session.clone(), Instant::now()));
        }
        self.port.turns.freed(client);
    }
}
