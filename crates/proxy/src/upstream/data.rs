//! The server's data connections: passive before active, and what works is asked for first.

use std::net::IpAddr;
use std::time::Duration;

use portway_data::{Channel, Link, Listening};
use portway_proto::client::{AddressTrust, passive};
use portway_proto::{Announced, Command, Epsv, Family};
use tokio::time::Instant;

use super::{Lost, Upstream, shown};
use crate::WayChoice;

/// A way to a data connection with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Epsv,
    Pasv,
    Port,
    Eprt,
}

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Epsv => "EPSV",
            Self::Pasv => "PASV",
            Self::Port => "PORT",
            Self::Eprt => "EPRT",
        }
    }
}

/// The ways that are left, best first.
#[derive(Clone, Debug)]
pub(super) struct Ways(Vec<Way>);

impl Ways {
    pub(super) fn new(choice: WayChoice, server: IpAddr) -> Self {
        let v4 = Family::of(server) == Family::V4;
        let passive: &[Way] = if v4 { &[Way::Epsv, Way::Pasv] } else { &[Way::Epsv] };
        let active: &[Way] = if v4 { &[Way::Eprt, Way::Port] } else { &[Way::Eprt] };
        Self(match choice {
            WayChoice::Passive => passive.to_vec(),
            WayChoice::Active => active.to_vec(),
            WayChoice::Auto => [passive, active].concat(),
        })
    }

    /// A refused command is refused next time, too; a connection that failed may come about.
    fn forget(&mut self, way: Way) {
        self.0.retain(|&left| left != way);
    }

    fn put_last(&mut self, way: Way) {
        self.forget(way);
        self.0.push(way);
    }
}

/// A data channel and how it came about.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) way: Way,
    pub(crate) channel: Channel,
}

/// A data channel that was asked for ahead of its transfer.
#[derive(Debug)]
pub(super) struct Ahead {
    since: Instant,
    opened: Result<Opened, String>,
}

/// How long a server is trusted to keep a data connection that nobody uses yet.
const FRESH: Duration = Duration::from_secs(10);

impl Ahead {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < FRESH
    }
}

/// Why one way failed: what the server refused, or what the network did.
enum Failed {
    Refused(String),
    Network(String),
}

impl Upstream {
    /// Opens a data channel before the transfer is asked for: while the client connects to us, we connect to the
    /// server. What is there already stays. Not with the client's own address: its connection and ours would begin
    /// at one time in the packet filter that turns both to us, and IPv6 clients then lost their first segment.
    pub(crate) async fn open_data_ahead(&mut self) -> Result<(), Lost> {
        if self.bears_client {
            return Ok(());
        }
        if !self.ahead.as_deref().is_some_and(Ahead::is_fresh) {
            // The old port is given back first.
            self.ahead = None;
            let opened = self.try_all().await?;
            self.ahead = Some(Box::new(Ahead { since: Instant::now(), opened }));
        }
        Ok(())
    }

    /// Opens a data channel by the first way that works as far as can be known before the transfer, unless that was
    /// done ahead. The inner error says what was tried.
    pub(crate) async fn open_data(&mut self) -> Result<Result<Opened, String>, Lost> {
        match self.ahead.take().filter(|ahead| ahead.is_fresh()) {
            Some(ahead) => Ok(ahead.opened),
            None => self.try_all().await,
        }
    }

    /// The address in a 227 is never followed: data connections go to the server we are talking to, or a hostile
    /// one could send the proxy anywhere.
    async fn try_all(&mut self) -> Result<Result<Opened, String>, Lost> {
        let mut tried = Vec::new();
        for way in self.ways.0.clone() {
            let done = match way {
                Way::Epsv | Way::Pasv => self.try_passive(way).await?,
                Way::Port | Way::Eprt => self.try_active(way).await?,
            };
            match done {
                Ok(channel) => return Ok(Ok(Opened { way, channel })),
                Err(Failed::Refused(why)) => {
                    self.ways.forget(way);
                    tried.push(format!("{}: {why}", way.name()));
                }
                Err(Failed::Network(why)) => {
                    self.ways.put_last(way);
                    tried.push(format!("{}: {why}", way.name()));
                }
            }
        }
        if self.ways.0.is_empty() {
            // Refusals may have been for the moment.
            self.ways = Ways::new(self.leg.mode, self.peer.ip());
        }
        Ok(Err(tried.join("; ")))
    }

    async fn try_passive(&mut self, way: Way) -> Result<Result<Channel, Failed>, Lost> {
        let command = if way == Way::Epsv { Command::Epsv(Epsv::Same) } else { Command::Pasv };
        let reply = self.call(&command).await?;
        let goal = match passive(&reply, self.peer.ip(), AddressTrust::Peer) {
            Ok(goal) => goal,
            Err(_) => return Ok(Err(Failed::Refused(shown(&reply)))),
        };
        let port = goal.to.addr().port();
        if self.leg.denied_ports.contains(&port) {
            return Ok(Err(Failed::Network(format!("port {port} is on the list of denied ports"))));
        }
        let within: Duration = self.timeouts.data_connect;
        let from = std::net::SocketAddr::new(self.local.ip(), 0);
        Ok(match Link::connect(goal.to, Some(from), within).await {
            Ok(link) => Ok(Channel::Link(link)),
            Err(error) => Err(Failed::Network(format!("port {port} {error}"))),
        })
    }

    async fn try_active(&mut self, way: Way) -> Result<Result<Channel, Failed>, Lost> {
        let listening = match Listening::open(self.local.ip(), self.leg.active_ports.clone()) {
            Ok(listening) => listening,
            Err(error) => return Ok(Err(Failed::Network(error.to_string()))),
        };
        let announced: Announced = listening.announced(None);
        let command = if way == Way::Port { Command::Port(announced) } else { Command::Eprt(announced) };
        let reply = self.call(&command).await?;
        Ok(match reply.code {
            200..=299 => Ok(Channel::Listening(listening)),
            _ => Err(Failed::Refused(shown(&reply))),
        })
    }
}
