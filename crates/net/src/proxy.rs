//! Proxies between a client and its servers: SOCKS5 (RFC 1928, 1929), HTTP CONNECT (RFC 9110 §9.3.6), and FTP
//! proxies, which are servers of their own and only named here.
//!
//! What a proxy is told and what it answers is a pure codec in the two modules below; this file moves the octets.
//! Nothing is read past the proxy's own answer: what follows is the server's.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

mod address;
mod connect;
mod error;
mod socks;

pub use address::{Destination, Proxy, ProxyKind, ProxyUrlError};
pub use error::ProxyError;

use socks::{Asked, Step};

impl Proxy {
    /// Asks for a connection to `to` over `stream`, which leads to the proxy. What comes back is the server's.
    ///
    /// There is no deadline here: the caller sets one.
    ///
    /// # Errors
    /// [`ProxyError`]; the connection is closed then.
    pub async fn connect(&self, mut stream: TcpStream, to: &Destination) -> Result<TcpStream, ProxyError> {
        match self.kind {
            ProxyKind::Socks5 { .. } => {
                self.greet(&mut stream).await?;
                self.ask(&mut stream, Asked::Connect, to).await?;
            }
            ProxyKind::Http => {
                let login = self.login.as_ref().map(|(user, password)| (&user[..], &password[..]));
                send(&mut stream, &connect::request(to, login)).await?;
                let mut head = Vec::new();
                while !connect::is_complete(&head) {
                    // One octet at a time: what follows the empty line is the server's greeting.
                    head.push(receive::<1>(&mut stream).await?[0]);
                    if head.len() > connect::LONGEST {
                        return Err(ProxyError::Strange("an endless head".to_owned()));
                    }
                }
                connect::verdict(&head, to)?;
            }
            // It is spoken to in FTP.
            ProxyKind::Ftp => {}
        }
        Ok(stream)
    }

    /// Asks for a port at the proxy that lets one connection from `server` in (RFC 1928 §4, BIND).
    ///
    /// # Errors
    /// [`ProxyError::Unsupported`] if this kind of proxy has no such thing.
    pub async fn bind(&self, mut stream: TcpStream, server: &Destination) -> Result<Bound, ProxyError> {
        if !matches!(self.kind, ProxyKind::Socks5 { .. }) {
            return Err(ProxyError::Unsupported("only SOCKS5 proxies let a server connect back"));
        }
        self.greet(&mut stream).await?;
        let bound = self.ask(&mut stream, Asked::Bind, server).await?;
        let proxy = stream.peer_addr()?.ip().to_canonical();
        // The wildcard means the address we know it by (RFC 1928 leaves that open; both kinds are about).
        let ip = bound.ip().filter(|ip| !ip.is_unspecified()).unwrap_or(proxy);
        Ok(Bound { stream, addr: SocketAddr::new(ip, bound.port()), server: server.clone(), proxy })
    }

    async fn greet(&self, stream: &mut TcpStream) -> Result<(), ProxyError> {
        send(stream, socks::greeting(self.login.is_some())).await?;
        match socks::method(receive(stream).await?)? {
            socks::Method::None => Ok(()),
            socks::Method::Password => {
                let (user, password) = self.login.as_ref().ok_or(ProxyError::NeedsLogin)?;
                send(stream, &socks::login(user, password)?).await?;
                socks::logged_in(receive(stream).await?)
            }
        }
    }

    async fn ask(
        &self,
        stream: &mut TcpStream,
        asked: Asked,
        to: &Destination,
    ) -> Result<Destination, ProxyError> {
        send(stream, &socks::request(asked, to)?).await?;
        reply(stream, to).await
    }
}

/// A port at a SOCKS5 proxy that waits for one connection.
#[derive(Debug)]
pub struct Bound {
    stream: TcpStream,
    addr: SocketAddr,
    server: Destination,
    proxy: IpAddr,
}

impl Bound {
    /// What to announce.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The proxy's own address.
    #[must_use]
    pub fn proxy(&self) -> IpAddr {
        self.proxy
    }

    /// Waits until the server has connected, and says from where, if the proxy tells. No deadline.
    ///
    /// # Errors
    /// [`ProxyError`]: proxies have deadlines of their own, and some admit only the address we named.
    pub async fn accept(mut self) -> Result<(TcpStream, Option<IpAddr>), ProxyError> {
        let from = reply(&mut self.stream, &self.server).await?;
        Ok((self.stream, from.ip().filter(|ip| !ip.is_unspecified())))
    }
}

async fn reply(stream: &mut TcpStream, to: &Destination) -> Result<Destination, ProxyError> {
    let mut octets = Vec::new();
    loop {
        match socks::reply(&octets, to)? {
            Step::Done(bound) => return Ok(bound),
            Step::Need(more) => {
                let have = octets.len();
                octets.resize(have.saturating_add(more), 0);
                stream.read_exact(octets.get_mut(have..).unwrap_or_default()).await.map_err(of_read)?;
            }
        }
    }
}

async fn send(stream: &mut TcpStream, octets: &[u8]) -> Result<(), ProxyError> {
    stream.write_all(octets).await.map_err(ProxyError::Broke)
}

async fn receive<const N: usize>(stream: &mut TcpStream) -> Result<[u8; N], ProxyError> {
    let mut octets = [0; N];
    stream.read_exact(&mut octets).await.map_err(of_read)?;
    Ok(octets)
}

fn of_read(error: io::Error) -> ProxyError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ProxyError::Closed,
        _ => ProxyError::Broke(error),
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}
