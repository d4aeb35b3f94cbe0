//! The broker: the only one who opens data connections.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use portway_net::ControlTls;
use portway_pinhole::PinholeError;
use portway_proto::{Announced, Code, Refused, Vetted};
use tokio::time::Instant;

use crate::hole::OpenHole;
use crate::offer::Way;
use crate::ports::{NoPort, PortPool, Tenant};
use crate::shared::{NoSeat, SharedPorts};
use crate::{BrokerConfig, ConfigError, Dial, Offer, Party};

/// Opens data connections for all sessions of one server. Clones are one and the same.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    config: BrokerConfig,
    range: RangeInclusive<u16>,
    ports: Ports,
}

enum Ports {
    Exclusive(Arc<PortPool>),
    Shared(SharedPorts),
}

/// Why a PASV or EPSV is not granted; answer 425 with this text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// Every port of the range is announced to somebody, or taken by other programs.
    #[error(
        "all passive ports from {0} to {1} are in use; try again, or ask the administrator for a wider range"
    )]
    PoolFull(u16, u16),
    /// On every shared port another session of this client address awaits its connection, and without TLS the
    /// two could not be told apart.
    #[error(
        "another session of your address is waiting for its data connection on every passive port; try again, or use TLS"
    )]
    AddressBusy,
    /// The firewall was not opened.
    #[error(transparent)]
    Pinhole(#[from] PinholeError),
    /// The control connection's local address is none that data connections can come to.
    #[error(transparent)]
    NoHost(#[from] Refused),
    /// The port could not be opened.
    #[error("no passive port can be opened: {0}")]
    Bind(#[source] io::Error),
}

/// Why a PORT or EPRT is not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The address is one that this program listens on itself; answer 501.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The firewall was not opened; answer 425.
    #[error(transparent)]
    Pinhole(#[from] PinholeError),
}

impl OfferError {
    /// The reply code: always 425 (RFC 959 §4.2); the session goes on.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::CANT_OPEN_DATA
    }

    /// One word for logs and metrics; never changes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::PoolFull(..) => "pool_full",
            Self::AddressBusy => "address_busy",
            Self::Pinhole(_) => "pinhole",
            Self::NoHost(_) => "no_host",
            Self::Bind(_) => "bind",
        }
    }
}

impl DialError {
    /// The reply code: 501 for an address we do not dial, 425 for a firewall that stays shut.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(_) => Code::BAD_PARAMETER,
            Self::Pinhole(_) => Code::CANT_OPEN_DATA,
        }
    }

    /// One word for logs and metrics; never changes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Refused(_) => "own_address",
            Self::Pinhole(_) => "pinhole",
        }
    }
}

/// What the passive ports are doing; for status and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Announcements whose connection has not come yet.
    pub pending: usize,
    /// Ports in the range.
    pub ports: usize,
    /// True if several announcements may name one port.
    pub pooled: bool,
}

impl Broker {
    /// A broker; opens nothing yet.
    ///
    /// # Errors
    /// [`ConfigError`] if no announcement could ever be right.
    pub fn new(config: BrokerConfig) -> Result<Self, ConfigError> {
        let range = config.ports.range();
        if range.is_empty() {
            return Err(ConfigError::EmptyRange(*range.start(), *range.end()));
        }
        if *range.start() < 1024 {
            return Err(ConfigError::PrivilegedPorts(*range.start()));
        }
        config.announce.check(&range)?;
        let ports = if config.sharing.pooled(&range) {
            Ports::Shared(SharedPorts::new(range.clone()))
        } else {
            Ports::Exclusive(Arc::new(PortPool::new(range.clone())))
        };
        Ok(Self(Arc::new(Inner { config, range, ports })))
    }

    /// Passive mode: opens a port for `party` and its pinhole; only then may the reply leave.
    ///
    /// Drop the session's former offer first. Returns at once, except that on shared ports it may wait up to
    /// 2 s for its turn.
    ///
    /// # Errors
    /// [`OfferError`]: nothing is open.
    pub async fn offer(&self, party: &Party) -> Result<Offer, OfferError> {
        let config = &self.0.config;
        let client = party.client();
        let tenant = Tenant { home: party.home(), client, session: party.history.clone() };
        let (way, bound) = self.open(&tenant, party.tls.as_ref()).await?;
        let vetted = Announced::new(bound).vet(bound.ip())?;
        let hole =
            OpenHole::open(&config.pinholes, client, vetted, config.arrive_within, Some(party.peer)).await?;
        let announced = hole
            .as_ref()
            .and_then(OpenHole::announce)
            .unwrap_or_else(|| config.announce.announce(client, party.seen(bound)));
        Ok(Offer::new(party.clone(), config.proof, way, bound, announced, hole))
    }

    async fn open(&self, tenant: &Tenant, tls: Option<&ControlTls>) -> Result<(Way, SocketAddr), OfferError> {
        let no_port = |why| match why {
            NoPort::Full => OfferError::PoolFull(*self.0.range.start(), *self.0.range.end()),
            NoPort::Bind(error) => OfferError::Bind(error),
        };
        match &self.0.ports {
            Ports::Exclusive(pool) => {
                let lease = pool.lease(tenant).map_err(no_port)?;
                let at = lease.at();
                Ok((Way::Exclusive(lease), at))
            }
            Ports::Shared(shared) => match shared.seat(tenant, tls).await {
                Ok(seat) => {
                    let at = seat.at();
                    Ok((Way::Shared(seat), at))
                }
                Err(NoSeat::Port(why)) => Err(no_port(why)),
                Err(NoSeat::Busy) => Err(OfferError::AddressBusy),
            },
        }
    }

    /// Active mode: opens the pinhole for an announced address; only then may the reply 200 leave.
    ///
    /// # Errors
    /// [`DialError`]: nothing is open and nothing will be dialled.
    pub async fn expect(&self, party: &Party, to: Vetted) -> Result<Dial, DialError> {
        let config = &self.0.config;
        let home = party.home();
        if config.own_listeners.leads_here(to.addr(), home.ip()) || self.listens_on(to.addr()) {
            return Err(Refused::OurOwn(to.addr()).into());
        }
        let hole =
            OpenHole::open(&config.pinholes, home.ip(), to, config.arrive_within, Some(party.peer)).await?;
        // A gate that translates may have another port for us, on the same address.
        let instead = hole.as_ref().and_then(OpenHole::announce).map(Announced::new);
        let to = instead.map_or(Ok(to), |instead| instead.vet(to.addr().ip()))?;
        Ok(Dial {
            party: party.clone(),
            proof: config.proof,
            to: scoped(to.addr(), party.peer),
            source_port: config.active_source_port,
            hole,
        })
    }

    /// When a data connection asked for now must be there.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.0.config.arrive_within
    }

    /// What the passive ports are doing.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (pending, pooled) = match &self.0.ports {
            Ports::Exclusive(pool) => (pool.leased(), false),
            Ports::Shared(shared) => (shared.pending(), true),
        };
        Usage { pending, ports: self.0.range.len(), pooled }
    }

    /// The ports that may be announced.
    #[must_use]
    pub fn range(&self) -> RangeInclusive<u16> {
        self.0.range.clone()
    }

    fn listens_on(&self, at: SocketAddr) -> bool {
        match &self.0.ports {
            Ports::Exclusive(pool) => pool.listens_on(at),
            Ports::Shared(shared) => shared.listens_on(at),
        }
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Broker({:?}, {:?})", self.0.range, self.usage())
    }
}

/// An announcement names no scope; the client's link-local address is reached over the link it came from.
fn scoped(to: SocketAddr, peer: SocketAddr) -> SocketAddr {
    match (to, peer) {
        (SocketAddr::V6(mut to), SocketAddr::V6(peer)) if to.ip().is_unicast_link_local() => {
            to.set_scope_id(peer.scope_id());
            SocketAddr::V6(to)
        }
        _ => to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_client_is_dialled_over_its_own_link() {
        let to = scoped("[fe80::7]:40000".parse().unwrap(), "[fe80::7%3]:50000".parse().unwrap());
        assert_eq!(to, "[fe80::7%3]:40000".parse().unwrap());
        let global = "[2001:db8::7]:40000".parse().unwrap();
        assert_eq!(scoped(global, "[2001:db8::7]:50000".parse().unwrap()), global);
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused_at_once() {
        use crate::PassivePorts;
        let with = |ports| Broker::new(BrokerConfig { ports, ..BrokerConfig::default() }).map(|_| ());
        assert_eq!(with(PassivePorts::Range(1023..=2000)), Err(ConfigError::PrivilegedPorts(1023)));
        #[expect(clippy::reversed_empty_ranges, reason = "the case under test")]
        let empty = PassivePorts::Range(2001..=2000);
        assert_eq!(with(empty), Err(ConfigError::EmptyRange(2001, 2000)));
        assert_eq!(with(PassivePorts::Range(50000..=50000)), Ok(()));
    }
}
