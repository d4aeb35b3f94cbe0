//! The gate's side: who asks, and whether he may.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portway_net::{Control, ServerTls, prepare_control};
use portway_proto::{Announced, Expected};
use tokio::io::{AsyncWriteExt as _, WriteHalf};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::client::Lines;
use crate::wire::{Answer, Ask, Outcome, Request, emit, parse};

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
const WRITE_WITHIN: Duration = Duration::from_secs(5);
const BREATH: Duration = Duration::from_millis(100);
/// Connections at once; a house has few servers.
const CONNECTIONS: usize = 256;
/// Announcements a second on one connection, and how many may come at once.
const PER_SECOND: f64 = 1000.0;
const BURST: f64 = 2000.0;
/// A hole lives this long at most.
const LONGEST: u64 = 60;

/// A server that has proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The number of its connection, unique while the gate runs.
    pub connection: u64,
    /// The subject of its certificate.
    pub name: String,
    /// The addresses in its certificate: those it may speak for.
    pub addresses: Vec<IpAddr>,
}

/// An open hole, and what to announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number, unique while the gate runs.
    pub hole: u64,
    /// In place of the address that was asked for, where the gate translates.
    pub announce: Option<SocketAddr>,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// A rule forbids it.
    #[error("{0}")]
    Rule(String),
    /// It may work another time.
    #[error("{0}")]
    Failed(String),
}

/// What opens holes; none of its methods waits.
pub trait Gatekeeper: Send + Sync {
    /// Opens a hole between `agent` and `client`, and remembers why if it does not; `want` is one of the agent's own addresses at one end, the
    /// client at the other, and a port of 1024 or more.
    ///
    /// # Errors
    /// [`Denied`], for the agent to read.
    fn open(&self, agent: &Agent, client: IpAddr, want: Expected) -> Result<Opened, Denied>;

    /// Closes a hole that this connection opened.
    fn close(&self, agent: &Agent, hole: u64);

    /// The connection is gone: close what it opened.
    fn end(&self, agent: &Agent);

    /// Something was refused, or somebody was.
    fn refused(&self, who: IpAddr, why: &str);
}

/// Listens for agents.
pub struct AgentServer {
    listener: TcpListener,
    tls: ServerTls,
    keeper: Arc<dyn Gatekeeper>,
}

impl AgentServer {
    /// `tls` must demand certificates of the house's own authority.
    #[must_use]
    pub fn new(listener: TcpListener, tls: ServerTls, keeper: Arc<dyn Gatekeeper>) -> Self {
        Self { listener, tls, keeper }
    }

    /// Serves for ever; dropping it closes every hole that agents have opened.
    pub async fn serve(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        for connection in 1.. {
            let (stream, peer) = loop {
                tokio::select! {
                    accepted = self.listener.accept() => match accepted {
                        Ok(accepted) => break accepted,
                        Err(_) => tokio::time::sleep(BREATH).await,
                    },
                    Some(_) = connections.join_next() => {}
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.keeper.refused(peer.ip(), "too many agents");
                continue;
            };
            let (tls, keeper) = (self.tls.control(), Arc::clone(&self.keeper));
            connections.spawn(async move {
                let _place = place;
                if prepare_control(&stream).is_err() {
                    return;
                }
                let shaken = timeout(HANDSHAKE_WITHIN, Control::from(stream).start_tls(&tls)).await;
                match shaken {
                    Ok(Ok(control)) => talk(control, connection, peer, keeper).await,
                    Ok(Err(error)) => {
                        keeper.refused(peer.ip(), &format!("an agent is not believed: {error}"));
                    }
                    Err(_) => keeper.refused(peer.ip(), "an agent does not shake hands"),
                }
            });
        }
    }
}

impl std::fmt::Debug for AgentServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentServer").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// Ends the holes of a connection however it ends.
struct Connection {
    agent: Agent,
    keeper: Arc<dyn Gatekeeper>,
    left: f64,
    at: Instant,
}

async fn talk(control: Control, number: u64, peer: SocketAddr, keeper: Arc<dyn Gatekeeper>) {
    let Some(info) = control.tls() else { return };
    let Some(name) = info.client_cert_subject.clone() else {
        return keeper.refused(peer.ip(), "an agent without a certificate");
    };
    let addresses = info.client_cert_addresses.iter().map(IpAddr::to_canonical).collect();
    let agent = Agent { connection: number, name, addresses };
    let (reader, mut writer) = tokio::io::split(control);
    let mut connection = Connection { agent, keeper, left: BURST, at: Instant::now() };
    let mut lines = Lines::new(reader);
    while let Ok(line) = lines.next().await {
        let Some(request) = parse::<Request>(&line) else {
            return connection.keeper.refused(peer.ip(), "an agent speaks another language");
        };
        let result = connection.answer(request.ask, peer.ip());
        if send(&mut writer, &Answer { id: request.id, result }).await.is_err() {
            return;
        }
    }
}

async fn send(writer: &mut WriteHalf<Control>, answer: &Answer) -> io::Result<()> {
    let line = emit(answer);
    timeout(WRITE_WITHIN, async {
        writer.write_all(&line).await?;
        writer.flush().await
    })
    .await
    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Connection {
    fn answer(&mut self, ask: Ask, peer: IpAddr) -> Outcome {
        match ask {
            Ask::Close { hole } => {
                self.keeper.close(&self.agent, hole);
                Outcome::Closed
            }
            Ask::Open { from, to, seconds, control } => {
                if !self.may_go_on() {
                    let why = "too many announcements in a short time".to_owned();
                    self.keeper.refused(peer, &why);
                    return Outcome::Failed { why };
                }
                let (client, want) = match check(&self.agent, from, to, seconds, control) {
                    Ok(checked) => checked,
                    Err(why) => {
                        self.keeper.refused(peer, &why);
                        return Outcome::Denied { why };
                    }
                };
                match self.keeper.open(&self.agent, client, want) {
                    Ok(Opened { hole, announce }) => Outcome::Opened { hole, announce },
                    Err(Denied::Rule(why)) => Outcome::Denied { why },
                    Err(Denied::Failed(why)) => Outcome::Failed { why },
                }
            }
        }
    }

    fn may_go_on(&mut self) -> bool {
        let now = Instant::now();
        let rested = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + rested * PER_SECOND).min(BURST);
        self.at = now;
        let may = self.left >= 1.0;
        self.left -= f64::from(u8::from(may));
        may
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.keeper.end(&self.agent);
    }
}

/// Own address at one end, a port that is nobody's service, a short life. Gives the client's address.
fn check(
    agent: &Agent,
    from: IpAddr,
    to: SocketAddr,
    seconds: u64,
    control: Option<SocketAddr>,
) -> Result<(IpAddr, Expected), String> {
    let (from, to) = (from.to_canonical(), SocketAddr::new(to.ip().to_canonical(), to.port()));
    let own = |ip: IpAddr| agent.addresses.contains(&ip);
    let client = match (own(from), own(to.ip())) {
        (false, true) => from,
        (true, false) => to.ip(),
        (true, true) => return Err(format!("{from} and {} are the same server", to.ip())),
        (false, false) => {
            return Err(format!("{} speaks for neither {from} nor {}", agent.name, to.ip()));
        }
    };
    if from.is_ipv4() != to.is_ipv4() {
        return Err("IPv4 and IPv6 in one announcement".to_owned());
    }
    if !(1..=LONGEST).contains(&seconds) {
        return Err(format!("a lifetime of {seconds} s is not between 1 s and {LONGEST} s"));
    }
    let vetted = Announced::new(to).vet(to.ip()).map_err(|refused| refused.to_string())?;
    let mut want = Expected::new(from, vetted);
    want.within = Duration::from_secs(seconds);
    let control = control.map(|control| SocketAddr::new(control.ip().to_canonical(), control.port()));
    if let Some(stranger) = control.filter(|control| control.ip() != client) {
        return Err(format!("{stranger} is not the client's end of its control connection"));
    }
    want.control = control;
    Ok((client, want))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Agent {
        let addresses = ["198.51.100.1", "2001:db8:1::1"].map(|ip| ip.parse().unwrap()).into();
        Agent { connection: 1, name: "CN=ftp".to_owned(), addresses }
    }

    fn ask(from: &str, to: &str, seconds: u64) -> Result<(IpAddr, Expected), String> {
        check(&agent(), from.parse().unwrap(), to.parse().unwrap(), seconds, None)
    }

    #[test]
    fn rule_42_an_agent_speaks_for_its_own_addresses_in_both_modes() {
        for (from, to, client) in [
            ("192.0.2.7", "198.51.100.1:5000", "192.0.2.7"),
            ("198.51.100.1", "192.0.2.7:5000", "192.0.2.7"),
            ("2001:db8::7", "[2001:db8:1::1]:1024", "2001:db8::7"),
            ("::ffff:192.0.2.7", "[::ffff:198.51.100.1]:5000", "192.0.2.7"),
        ] {
            assert_eq!(ask(from, to, 10).unwrap().0, client.parse::<IpAddr>().unwrap(), "{from} {to}");
        }
    }

    #[test]
    fn rule_42_everything_else_is_refused() {
        for (from, to, seconds) in [
            ("192.0.2.7", "198.51.100.2:5000", 10),
            ("192.0.2.7", "192.0.2.8:5000", 10),
            ("198.51.100.1", "198.51.100.1:5000", 10),
            ("192.0.2.7", "198.51.100.1:22", 10),
            ("192.0.2.7", "198.51.100.1:0", 10),
            ("198.51.100.1", "192.0.2.7:1023", 10),
            ("192.0.2.7", "198.51.100.1:5000", 0),
            ("192.0.2.7", "198.51.100.1:5000", 61),
            ("192.0.2.7", "198.51.100.1:5000", u64::MAX),
            ("2001:db8::7", "198.51.100.1:5000", 10),
            ("198.51.100.1", "0.0.0.0:5000", 10),
            ("198.51.100.1", "224.0.0.1:5000", 10),
        ] {
            assert!(ask(from, to, seconds).is_err(), "{from} {to} {seconds}");
        }
    }
}
