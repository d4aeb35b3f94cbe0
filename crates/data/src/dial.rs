//! Active mode: a connection to the address that PORT or EPRT announced.

use std::io;
use std::net::SocketAddr;

use portway_net::{connect_from, prepare_data};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::bearing::connect_bearing;
use crate::conn::{ChannelMode, Facts, Proven, Stream};
use crate::hole::OpenHole;
use crate::proof::{Judgement, judge};
use crate::{DataConn, Failure, Party, Proof};

/// An accepted PORT or EPRT; its pinhole is open. Dropping it closes the pinhole.
#[derive(Debug)]
pub struct Dial {
    pub(crate) party: Party,
    pub(crate) proof: Proof,
    pub(crate) to: SocketAddr,
    pub(crate) source_port: Option<u16>,
    pub(crate) hole: Option<OpenHole>,
}

impl Dial {
    /// Where it leads.
    #[must_use]
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// Connects, from the address the control connection came in on. Under TLS we are the TLS server in this
    /// mode too (RFC 4217 §7).
    ///
    /// # Errors
    /// [`Failure`]: refused, unreachable or timed out, or one of the handshake.
    pub async fn connect(self, deadline: Instant) -> Result<DataConn, Failure> {
        let asked = Instant::now();
        let stream = match timeout_at(deadline, self.open()).await {
            Ok(opened) => opened.map_err(|error| Failure::of_connect(error, self.to, asked.elapsed()))?,
            Err(_late) => return Err(Failure::TimedOut { to: self.to, after: asked.elapsed() }),
        };
        // Fails only if the peer is gone already, which the transfer will notice and name.
        let _ = prepare_data(&stream);
        let local = stream.local_addr().map_err(Failure::NoSocket)?;
        let (stream, proven) = match &self.party.tls {
            None => (Stream::Plain(stream), Proven::Address),
            Some(tls) => {
                let data = match timeout_at(deadline, tls.accept_data(stream)).await {
                    Ok(agreed) => agreed.map_err(Failure::HandshakeFailed)?,
                    Err(_late) => return Err(Failure::NoHandshake { port: self.to.port() }),
                };
                let proven = match judge(self.proof, data.info(), tls, &self.party.history) {
                    Judgement::Serve(proven) => proven,
                    // We dialled: whoever answers there is who announced it.
                    Judgement::Hold if data.info().sibling => Proven::Sibling,
                    Judgement::Hold => Proven::Address,
                    Judgement::Refuse => return Err(Failure::NotResumed),
                };
                (Stream::Tls(Box::new(data)), proven)
            }
        };
        let waited = asked.elapsed();
        let facts = Facts { peer: self.to, local, mode: ChannelMode::Active, proven, strangers: 0, waited };
        Ok(DataConn::new(stream, facts, self.hole))
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let mut from = self.party.home();
        if let Some(port) = self.source_port {
            from.set_port(port);
            match connect_from(Some(from), self.to).await {
                // The same port of the client twice in a row, or no right to port 20: any port will do
                // (RFC 1123 §4.1.2.12 lets the server choose).
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::AddrInUse
                            | io::ErrorKind::AddrNotAvailable
                            | io::ErrorKind::PermissionDenied
                    ) => {}
                done => return done,
            }
            from.set_port(0);
        }
        connect_bearing(Some(from), self.to).await
    }
}
