//! Ports that serve any number of sessions at once.
//!
//! A porter per port accepts, closes strangers, and brings every other connection to the one seat it can be
//! meant for: by client address, and under TLS by the ticket in the ClientHello. A plain seat shares its port
//! with no other seat of the same client address, and a seat under TLS with none of the same user at that
//! address, whose client may mix the tickets of its sessions: nothing is ever guessed.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portway_net::ControlTls;
use tokio::time::{Instant, timeout};

use crate::listener::Listener;
use crate::ports::{NoPort, Tenant};
use crate::random::Unguessable;

mod port;
mod turn;

pub(crate) use port::Seat;
use port::{Port, porter};
use turn::Turns;

/// Ports opened at once on first use; more are opened when an address needs them.
const AT_FIRST: usize = 16;

/// A port another program has is not tried again for so long.
const TAKEN: Duration = Duration::from_secs(1);

/// How long an offer waits for its turn while no other offer of its address makes way. A client that was told a
/// port needs one round trip to come.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long it waits in all.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The shared ports of a broker.
#[derive(Debug)]
pub(crate) struct SharedPorts {
    range: RangeInclusive<u16>,
    random: Unguessable,
    homes: Mutex<HashMap<SocketAddr, Arc<Home>>>,
}

/// The ports of one address of ours.
#[derive(Debug, Default)]
struct Home {
    ports: Mutex<Ports>,
    turns: Arc<Turns>,
}

#[derive(Debug, Default)]
struct Ports {
    open: Vec<Open>,
    taken: HashMap<u16, Instant>,
}

/// An open port; dropping it sends the porter home.
#[derive(Debug)]
struct Open {
    port: Arc<Port>,
    porter: tokio::task::AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.porter.abort();
    }
}

/// Why there is no seat.
#[derive(Debug)]
pub(crate) enum NoSeat {
    /// No port of the range could be opened.
    Port(NoPort),
    /// On every port another session of the client's address is awaiting its connection.
    Busy,
}

impl SharedPorts {
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, random: Unguessable::default(), homes: Mutex::default() }
    }

    /// A seat at a port; waits a short while for its turn, first come first served, if all ports are busy with
    /// offers that the client's connections could be confused with.
    pub(crate) async fn seat(&self, tenant: &Tenant, tls: Option<&ControlTls>) -> Result<Seat, NoSeat> {
        let home = lock(&self.homes).entry(tenant.home).or_default().clone();
        if !home.turns.somebody_waits(tenant.client)
            && let Some(seat) = self.place(&home, tenant, tls)?
        {
            return Ok(seat);
        }
        let turn = home.turns.join(tenant.client);
        let since = Instant::now();
        loop {
            let before = turn.moved();
            let called = timeout(PATIENCE, turn.called()).await.is_ok();
            if let Some(seat) = self.place(&home, tenant, tls)? {
                return Ok(seat);
            }
            let stuck = !called && turn.moved() == before;
            if stuck || since.elapsed() >= LONGEST_WAIT {
                return Err(NoSeat::Busy);
            }
        }
    }

    fn place(&self, home: &Home, tenant: &Tenant, tls: Option<&ControlTls>) -> Result<Option<Seat>, NoSeat> {
        let mut ports = lock(&home.ports);
        let tag = tls.map(ControlTls::tag);
        let first = AT_FIRST.min(self.range.len());
        while ports.open.len() < first && self.open_one(&mut ports, home, tenant.home)? {}
        let start = self.random.below(ports.open.len());
        let (before, from) = ports.open.split_at_checked(start).unwrap_or_default();
        if let Some(seat) = from.iter().chain(before).find_map(|open| open.port.sit_alone(tenant, tag)) {
            return Ok(Some(seat));
        }
        if self.open_one(&mut ports, home, tenant.home)?
            && let Some(seat) = ports.open.last().and_then(|open| open.port.sit_alone(tenant, tag))
        {
            return Ok(Some(seat));
        }
        if ports.open.is_empty() {
            return Err(NoSeat::Port(NoPort::Full));
        }
        let Some(tls) = tls else { return Ok(None) };
        let company = |open: &&Open| open.port.tls_company(tenant.client, tls);
        let emptiest = ports.open.iter().filter(|open| company(open).is_some()).min_by_key(company);
        Ok(emptiest.and_then(|open| open.port.sit_together(tenant, tls)))
    }

    /// Opens one more port, drawn at random; false if there is none left.
    fn open_one(&self, ports: &mut Ports, home: &Home, at: SocketAddr) -> Result<bool, NoSeat> {
        ports.taken.retain(|_, since| since.elapsed() < TAKEN);
        let span = self.range.len();
        if ports.open.len() >= span {
            return Ok(false);
        }
        let start = self.random.below(span);
        for n in 0..span {
            let port = self.range.start().saturating_add(u16::try_from((start + n) % span).unwrap_or(0));
            if ports.taken.contains_key(&port) || ports.open.iter().any(|o| o.port.at().port() == port) {
                continue;
            }
            let mut at = at;
            at.set_port(port);
            match Listener::bind(at) {
                Ok(listener) => {
                    let port = Arc::new(Port::new(listener, home.turns.clone()));
                    let porter = tokio::spawn(porter(port.clone())).abort_handle();
                    ports.open.push(Open { port, porter });
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    ports.taken.insert(port, Instant::now());
                }
                Err(error) if ports.open.is_empty() => return Err(NoSeat::Port(NoPort::Bind(error))),
                Err(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Offers that await their connection now.
    pub(crate) fn pending(&self) -> usize {
        let homes: Vec<_> = lock(&self.homes).values().cloned().collect();
        homes.iter().map(|home| lock(&home.ports).open.iter().map(|o| o.port.pending()).sum::<usize>()).sum()
    }

    /// True if `at` is one of the open ports.
    pub(crate) fn listens_on(&self, at: SocketAddr) -> bool {
        let homes: Vec<_> = lock(&self.homes).values().cloned().collect();
        homes.iter().any(|home| {
            lock(&home.ports)
                .open
                .iter()
                .any(|o| (o.port.at().ip(), o.port.at().port()) == (at.ip(), at.port()))
        })
    }
}

/// A lock whose data stay usable after a panic elsewhere: every change under it is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client address as the tables know it.
fn client_of(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
}
