//! Data connections of a client whose control connection goes through a proxy.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_net::{Bound, Destination, Proxy, ProxyError, connect_from};
use portway_proto::Vetted;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Door, Link, LinkError, Listening};
use crate::ChannelMode;

/// The way that a control connection took through a proxy; its data connections take the same.
#[derive(Clone, Debug)]
pub struct Through {
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// The address of the proxy that answered.
    pub at: SocketAddr,
    /// What the proxy was told about the server.
    pub server: Destination,
    /// The address that stands for the server here: its own, or the proxy's where only the proxy knows it.
    pub peer: IpAddr,
}

impl Through {
    /// Where the proxy is to connect for a passive port: to the host it was told before, unless another address
    /// was believed.
    fn destination(&self, to: SocketAddr) -> Destination {
        if to.ip() == self.peer.to_canonical() {
            self.server.with_port(to.port())
        } else {
            Destination::Addr(to)
        }
    }

    async fn dial(&self) -> Result<TcpStream, ProxyError> {
        connect_from(None, self.at).await.map_err(ProxyError::NoConnection)
    }
}

impl Link {
    /// As [`Link::connect`], through a proxy.
    ///
    /// # Errors
    /// [`LinkError`]; what the proxy says about the server's port counts as if we had seen it.
    pub async fn connect_through(through: &Through, to: Vetted, within: Duration) -> Result<Self, LinkError> {
        let began = Instant::now();
        let to = to.addr();
        let destination = through.destination(to);
        let asking = async { through.proxy.connect(through.dial().await?, &destination).await };
        let stream = match timeout(within, asking).await {
            Err(_) => return Err(LinkError::Silent { after: within }),
            Ok(stream) => stream.map_err(of_proxy)?,
        };
        let mut link = Self::of(stream, ChannelMode::Passive, began.elapsed(), 0)?;
        link.facts.peer = to;
        Ok(link)
    }
}

impl Listening {
    /// A port at the proxy that lets the server in (active mode behind a SOCKS5 proxy).
    ///
    /// # Errors
    /// [`LinkError::Proxy`] if the proxy cannot or will not.
    pub async fn open_through(through: &Through, within: Duration) -> Result<Self, LinkError> {
        // Which port the server will come from is not known.
        let server = through.server.with_port(0);
        let asking = async { through.proxy.bind(through.dial().await?, &server).await };
        let bound = match timeout(within, asking).await {
            Err(_) => return Err(LinkError::Silent { after: within }),
            Ok(bound) => bound.map_err(of_proxy)?,
        };
        Ok(Self { addr: bound.addr(), door: Door::Proxy(Some(bound)), hole: None })
    }
}

/// Waits for the server at the proxy; `from` is the server as far as it is known here.
pub(super) async fn accept(bound: Bound, from: IpAddr, within: Duration) -> Result<Link, LinkError> {
    let began = Instant::now();
    let nobody = |strangers| LinkError::NobodyCame { after: within, strangers };
    let (proxy, announced) = (bound.proxy(), bound.addr());
    let (stream, came) = match timeout(within, bound.accept()).await {
        Err(_) => return Err(nobody(0)),
        Ok(came) => came.map_err(of_proxy)?,
    };
    // Where the proxy stands for the server we have its word alone: it admits nobody but the host it was told.
    let known = from.to_canonical() != proxy;
    if known && came.is_some_and(|came| came.to_canonical() != from.to_canonical()) {
        return Err(nobody(1));
    }
    let mut link = Link::of(stream, ChannelMode::Active, began.elapsed(), 0)?;
    link.facts.local = announced;
    Ok(link)
}

fn of_proxy(error: ProxyError) -> LinkError {
    match error {
        ProxyError::Refused { .. } => LinkError::Refused,
        error => LinkError::Proxy(error),
    }
}
