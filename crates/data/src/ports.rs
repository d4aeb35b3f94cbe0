//! The pool of exclusive ports: one pending announcement per port.
//!
//! A leased port listens; all others are closed, so that nothing is open that nobody announced, and no
//! connection can wait in a queue for the next owner of the port. Closed sockets keep their ports bound
//! for the next lease, which then costs three system calls in place of eight.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::History;
use crate::listener::{Listener, Resting};
use crate::random::Unguessable;

/// Bound sockets kept per address of ours. Few, since a lease draws from the whole range whether or not a
/// socket rests on the port: a thief at the client's own address can only be outrun, and a port drawn from the
/// last few would be tried first.
const AT_REST: usize = 32;

/// Abandoned ports remembered per address of ours.
const REMEMBERED: usize = 256;

/// How long a port is not given to other sessions of a client address if its last lease for that address
/// ended without a connection: the connection may still be on its way. Only a preference.
const COOLING: Duration = Duration::from_secs(5);

/// The exclusive ports of a broker.
#[derive(Debug)]
pub(crate) struct PortPool {
    range: RangeInclusive<u16>,
    random: Unguessable,
    homes: Mutex<HashMap<SocketAddr, Home>>,
}

/// The ports of one address of ours.
#[derive(Debug, Default)]
struct Home {
    leased: HashSet<u16>,
    resting: Vec<Resting>,
    cooling: HashMap<u16, Cooling>,
}

#[derive(Debug)]
struct Cooling {
    client: IpAddr,
    session: History,
    since: Instant,
}

/// For whom a port is leased.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    /// Our address, port 0.
    pub(crate) home: SocketAddr,
    pub(crate) client: IpAddr,
    pub(crate) session: History,
}

/// Why there is no port.
#[derive(Debug)]
pub(crate) enum NoPort {
    /// All are leased, or taken by other programs.
    Full,
    /// The address cannot be bound, or this process has no descriptor left.
    Bind(io::Error),
}

/// A port that listens for one announcement; dropping it closes the port and frees it.
#[derive(Debug)]
pub(crate) struct PortLease {
    listener: Option<Listener>,
    port: u16,
    tenant: Tenant,
    pool: Arc<PortPool>,
}

impl PortPool {
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, random: Unguessable::default(), homes: Mutex::default() }
    }

    /// Opens a port of the range nobody else has. Never waits.
    pub(crate) fn lease(self: &Arc<Self>, tenant: &Tenant) -> Result<PortLease, NoPort> {
        let mut taken = HashSet::new();
        loop {
            let (port, resting) = self.reserve(tenant, &taken).ok_or(NoPort::Full)?;
            // From here on the lease frees the port, whatever happens.
            let mut lease = PortLease { listener: None, port, tenant: tenant.clone(), pool: self.clone() };
            let mut at = tenant.home;
            at.set_port(port);
            match resting.map_or_else(|| Listener::bind(at), Resting::wake) {
                Ok(listener) => {
                    lease.listener = Some(listener);
                    return Ok(lease);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    taken.insert(port);
                }
                Err(error) => return Err(NoPort::Bind(error)),
            }
        }
    }

    /// Marks a port as leased; the socket at rest on it comes along.
    fn reserve(&self, tenant: &Tenant, taken: &HashSet<u16>) -> Option<(u16, Option<Resting>)> {
        let mut homes = self.homes();
        let home = homes.entry(tenant.home).or_default();
        let port = self.draw(home, tenant, taken)?;
        home.leased.insert(port);
        home.cooling.remove(&port);
        let resting = home.resting.iter().position(|r| r.port() == port);
        Some((port, resting.map(|at| home.resting.swap_remove(at))))
    }

    fn draw(&self, home: &Home, tenant: &Tenant, taken: &HashSet<u16>) -> Option<u16> {
        let warm = |port: &u16| home.cooling.get(port).is_some_and(|c| c.concerns(tenant));
        let free = |port: &u16| !home.leased.contains(port) && !taken.contains(port);
        let nth = |n: usize| self.range.start().saturating_add(u16::try_from(n).unwrap_or(u16::MAX));
        let span = self.range.len();
        if let Some(port) =
            (0..4).map(|_| nth(self.random.below(span))).find(|port| free(port) && !warm(port))
        {
            return Some(port);
        }
        let start = self.random.below(span);
        let all = || (0..span).map(|n| nth((start + n) % span)).filter(free);
        all().find(|port| !warm(port)).or_else(|| all().next())
    }

    /// Ports leased now, over all addresses of ours.
    pub(crate) fn leased(&self) -> usize {
        self.homes().values().map(|home| home.leased.len()).sum()
    }

    /// True if `at` is announced now.
    pub(crate) fn listens_on(&self, at: SocketAddr) -> bool {
        self.homes().iter().any(|(home, ports)| home.ip() == at.ip() && ports.leased.contains(&at.port()))
    }

    fn homes(&self) -> MutexGuard<'_, HashMap<SocketAddr, Home>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cooling {
    fn concerns(&self, tenant: &Tenant) -> bool {
        self.client == tenant.client && !self.session.same(&tenant.session) && self.since.elapsed() < COOLING
    }
}

impl PortLease {
    /// The address and port leased.
    pub(crate) fn at(&self) -> SocketAddr {
        let mut at = self.tenant.home;
        at.set_port(self.port);
        at
    }

    /// The socket that listens.
    pub(crate) fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    /// Frees the port after its connection has come; nothing is under way any more.
    pub(crate) fn served(mut self) {
        self.free(false);
    }

    fn free(&mut self, cooling: bool) {
        // First the port is closed, then it is free.
        let resting = self.listener.take().and_then(Listener::rest);
        let mut homes = self.pool.homes();
        let home = homes.entry(self.tenant.home).or_default();
        if !home.leased.remove(&self.port) {
            return;
        }
        if let Some(resting) = resting
            && home.resting.len() < AT_REST
        {
            home.resting.push(resting);
        }
        if cooling {
            if home.cooling.len() >= REMEMBERED {
                home.cooling.retain(|_, cooling| cooling.since.elapsed() < COOLING);
            }
            if home.cooling.len() < REMEMBERED {
                let Tenant { client, session, .. } = self.tenant.clone();
                home.cooling.insert(self.port, Cooling { client, session, since: Instant::now() });
            }
        }
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let was_open = self.listener.is_some();
        self.free(was_open);
    }
}

#[cfg(test)]
mod tests;
