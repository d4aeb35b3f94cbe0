//! The client's side: data connections made to a server (passive mode) or taken from it (active mode).
//!
//! A [`Link`] is the bare connection. It comes before the transfer command in passive mode, so that a blocked
//! port is known while nothing depends on it; TLS follows when the command has been sent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_net::{Bound, ClientControlTls, ProxyError, prepare_data};
use portway_pinhole::{PinholeError, Pinholes};
use portway_proto::{Announced, Refused, Vetted};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::bearing::{connect_bearing, listen_bearing};
use crate::conn::Stream;
use crate::hole::OpenHole;
use crate::{ChannelMode as Mode, DataConn, Facts, Failure, Proven};

mod channel;
mod proxied;
mod small;

pub use channel::Channel;
pub use proxied::Through;
pub use small::{Sight, Small};

/// A data connection of a client before TLS.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    facts: Facts,
    hole: Option<OpenHole>,
}

/// Why a client has no data connection. What it means depends on the mode; the caller knows it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The port answered with a reset: nothing listens there, or a firewall rejects it.
    #[error("refused")]
    Refused,
    /// The network, or a firewall by ICMP, says that there is no way.
    #[error("unreachable ({0})")]
    Unreachable(#[source] io::Error),
    /// No answer at all.
    #[error("no answer within {:.1} s", after.as_secs_f64())]
    Silent {
        /// How long we waited.
        after: Duration,
    },
    /// Active mode: the server did not connect.
    #[error("the server did not connect within {:.1} s ({strangers} others did)", after.as_secs_f64())]
    NobodyCame {
        /// How long we waited.
        after: Duration,
        /// Connections from other addresses, which were closed.
        strangers: u32,
    },
    /// This machine has no socket or port for it.
    #[error("no socket: {0}")]
    NoSocket(#[source] io::Error),
    /// The proxy on the way does not do it.
    #[error("{0}")]
    Proxy(#[source] ProxyError),
    /// The packet filter of this machine does not open the port.
    #[error("{0}")]
    Pinhole(#[source] PinholeError),
    /// A packet filter opens no port of that number or address.
    #[error("no pinhole: {0}")]
    NoHoleFor(#[source] Refused),
}

impl Link {
    /// Connects to a passive port, within a deadline. `local` is the address to come from, if it matters.
    ///
    /// # Errors
    /// [`LinkError`]; nothing is left behind.
    pub async fn connect(to: Vetted, local: Option<SocketAddr>, within: Duration) -> Result<Self, LinkError> {
        let began = Instant::now();
        let to = to.addr();
        let stream = match timeout(within, connect_bearing(local, to)).await {
            Err(_) => return Err(LinkError::Silent { after: within }),
            Ok(Ok(stream)) => stream,
            // The kernel's pick of a source port may collide with an old connection to the same port.
            Ok(Err(error)) if is_collision(&error) => {
                let left = within.saturating_sub(began.elapsed());
                match timeout(left, connect_bearing(local, to)).await {
                    Err(_) => return Err(LinkError::Silent { after: within }),
                    Ok(stream) => stream.map_err(of_connect)?,
                }
            }
            Ok(Err(error)) => return Err(of_connect(error)),
        };
        Self::of(stream, Mode::Passive, began.elapsed(), 0)
    }

    /// As [`Self::connect`], with segments of at most `mss` octets: for finding out whether large ones vanish.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn connect_small(to: Vetted, mss: u16, within: Duration) -> Result<Self, LinkError> {
        let began = Instant::now();
        match timeout(within, portway_net::connect_small(to.addr(), mss)).await {
            Err(_) => Err(LinkError::Silent { after: within }),
            Ok(stream) => Self::of(stream.map_err(of_connect)?, Mode::Passive, began.elapsed(), 0),
        }
    }

    fn of(stream: TcpStream, mode: Mode, waited: Duration, strangers: u32) -> Result<Self, LinkError> {
        prepare_data(&stream).map_err(LinkError::NoSocket)?;
        let (peer, local) = (stream.peer_addr(), stream.local_addr());
        let (peer, local) = (peer.map_err(LinkError::NoSocket)?, local.map_err(LinkError::NoSocket)?);
        let facts = Facts { peer, local, mode, proven: Proven::Address, strangers, waited };
        Ok(Self { stream, facts, hole: None })
    }

    /// How it came about.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Ready for the pump, without TLS.
    #[must_use]
    pub fn plain(self) -> DataConn {
        DataConn::new(Stream::Plain(self.stream), self.facts, self.hole)
    }

    /// Ready for the pump; with `tls` after a handshake that resumes the control connection's session if a ticket is
    /// left. Servers answer it only once the transfer begins.
    ///
    /// # Errors
    /// [`Failure::HandshakeFailed`], or [`Failure::Stalled`] when the handshake takes longer than `within`.
    pub async fn ready(self, tls: Option<&ClientControlTls>, within: Duration) -> Result<DataConn, Failure> {
        let Some(tls) = tls else { return Ok(self.plain()) };
        let Self { stream, mut facts, hole } = self;
        let shaken = timeout(within, tls.connect_data(stream)).await;
        let tls =
            shaken.map_err(|_| Failure::Stalled { quiet: within })?.map_err(Failure::HandshakeFailed)?;
        if tls.info().resumed {
            facts.proven = Proven::Resumed;
        }
        Ok(DataConn::new(Stream::Tls(Box::new(tls)), facts, hole))
    }
}

/// A port of ours that the server is told to connect to (active mode).
#[derive(Debug)]
pub struct Listening {
    door: Door,
    addr: SocketAddr,
    hole: Option<OpenHole>,
}

/// Where the server knocks.
#[derive(Debug)]
enum Door {
    /// At this machine.
    Here(TcpListener),
    /// At a proxy, once.
    Proxy(Option<Bound>),
}

impl Listening {
    /// Listens on `home`, the control connection's own address, on a free port of `ports` or on any.
    ///
    /// # Errors
    /// [`LinkError::NoSocket`] if every port of the range is taken.
    pub fn open(home: IpAddr, ports: Option<RangeInclusive<u16>>) -> Result<Self, LinkError> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        // Going on behind the port last used gives the peer's TIME_WAIT time to pass.
        static TURN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let ports = ports.unwrap_or(0..=0);
        let skip =
            TURN.fetch_add(1, std::sync::atomic::Ordering::Relaxed).checked_rem(ports.len()).unwrap_or(0);
        for port in ports.clone().cycle_from(skip) {
            match listen_bearing(SocketAddr::new(home.to_canonical(), port)).and_then(TcpListener::from_std) {
                Ok(listener) => {
                    let addr = listener.local_addr().map_err(LinkError::NoSocket)?;
                    return Ok(Self { door: Door::Here(listener), addr, hole: None });
                }
                Err(error) => last = error,
            }
        }
        Err(LinkError::NoSocket(last))
    }

    /// Opens this machine's packet filter for the one connection that is to come from `server`, for `within`
    /// (1 to 60 s). The hole closes when it was used, or with this value.
    ///
    /// # Errors
    /// [`LinkError::Pinhole`], [`LinkError::NoHoleFor`]: the announcement must not be sent.
    pub async fn open_hole(
        &mut self,
        by: &Arc<dyn Pinholes>,
        server: IpAddr,
        within: Duration,
    ) -> Result<(), LinkError> {
        if matches!(self.door, Door::Here(_)) {
            let to = Announced::new(self.addr).vet(self.addr.ip()).map_err(LinkError::NoHoleFor)?;
            let hole = OpenHole::open(by, server, to, within, None).await;
            self.hole = hole.map_err(LinkError::Pinhole)?;
        }
        Ok(())
    }

    /// Where it listens; behind NAT the announcement may have to say something else.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What to tell the server: this address, or the public one that leads here.
    #[must_use]
    pub fn announced(&self, public: Option<SocketAddr>) -> Announced {
        Announced::new(public.unwrap_or(self.addr))
    }

    /// Takes the server's connection; connections from any other address are closed and counted. May be called
    /// again, but at a proxy: there one connection is all.
    ///
    /// # Errors
    /// [`LinkError::NobodyCame`].
    pub async fn accept(&mut self, from: IpAddr, within: Duration) -> Result<Link, LinkError> {
        let began = Instant::now();
        let mut strangers = 0_u32;
        let listener = match &mut self.door {
            Door::Here(listener) => listener,
            Door::Proxy(bound) => match bound.take() {
                Some(bound) => return proxied::accept(bound, from, within).await,
                None => return Err(LinkError::NobodyCame { after: Duration::ZERO, strangers }),
            },
        };
        loop {
            let left = within.saturating_sub(began.elapsed());
            let (stream, peer) = match timeout(left, listener.accept()).await {
                Err(_) => return Err(LinkError::NobodyCame { after: within, strangers }),
                Ok(Ok(accepted)) => accepted,
                // The connection died in the queue; the next one may live.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Ok(Err(error)) => return Err(LinkError::NoSocket(error)),
            };
            if peer.ip().to_canonical() == from.to_canonical() {
                let link = Link::of(stream, Mode::Active, began.elapsed(), strangers)?;
                return Ok(Link { hole: self.hole.take(), ..link });
            }
            strangers = strangers.saturating_add(1);
        }
    }
}

/// A range of ports that begins in its middle.
trait CycleFrom {
    fn cycle_from(self, skip: usize) -> impl Iterator<Item = u16>;
}

impl CycleFrom for RangeInclusive<u16> {
    fn cycle_from(self, skip: usize) -> impl Iterator<Item = u16> {
        self.clone().skip(skip).chain(self.take(skip))
    }
}

fn is_collision(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

fn of_connect(error: io::Error) -> LinkError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused | Kind::ConnectionReset => LinkError::Refused,
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::PermissionDenied => {
            LinkError::Unreachable(error)
        }
        Kind::TimedOut => LinkError::Silent { after: Duration::from_secs(127) },
        _ => LinkError::NoSocket(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const LONG: Duration = Duration::from_secs(20);

    fn vetted(addr: SocketAddr) -> Vetted {
        Announced::new(addr).vet(addr.ip()).unwrap()
    }

    #[tokio::test]
    async fn a_passive_port_is_reached_and_a_closed_one_is_known_at_once() {
        let mut listening = Listening::open(HERE, None).unwrap();
        let to = vetted(listening.addr());
        let (ours, theirs) = tokio::join!(Link::connect(to, None, LONG), listening.accept(HERE, LONG));
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!(ours.facts().peer, theirs.facts().local);
        assert_eq!((ours.facts().mode, theirs.facts().mode), (Mode::Passive, Mode::Active));
        drop((ours, theirs, listening));
        assert!(matches!(Link::connect(to, None, LONG).await, Err(LinkError::Refused)));
    }

    #[tokio::test]
    async fn strangers_are_closed_and_the_server_is_still_served() {
        let mut listening = Listening::open(HERE, None).unwrap();
        let to = vetted(listening.addr());
        let stranger: SocketAddr = "127.0.0.9:0".parse().unwrap();
        let stranger = Link::connect(to, Some(stranger), LONG).await.unwrap();
        let server = Link::connect(to, None, LONG).await.unwrap();
        let taken = listening.accept(HERE, LONG).await.unwrap();
        assert_eq!((taken.facts().peer, taken.facts().strangers), (server.facts().local, 1));
        drop(stranger);
        let nobody = listening.accept(HERE, Duration::from_millis(20)).await;
        assert!(matches!(nobody, Err(LinkError::NobodyCame { strangers: 0, .. })));
    }

    #[tokio::test]
    async fn ports_come_from_the_range_in_turn_and_a_full_range_says_so() {
        let free = Listening::open(HERE, None).unwrap().addr().port();
        let held = Listening::open(HERE, Some(free..=free)).unwrap();
        assert_eq!(held.addr().port(), free);
        assert!(matches!(Listening::open(HERE, Some(free..=free)), Err(LinkError::NoSocket(_))));
    }
}
