//! Sockets that bear addresses of others: connections that were on their way elsewhere (TPROXY, REDIRECT).

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::prepare_control;

const BACKLOG: i32 = 4096;
/// How often another port is tried when the kernel picks the very port that the client uses.
const TRIES: usize = 8;

/// Listens for connections that rules of the packet filter bring here, whatever address they were on their way to;
/// `at` may also be an address of somebody else.
///
/// # Errors
/// As `setsockopt(2)` of IP_TRANSPARENT: CAP_NET_ADMIN or CAP_NET_RAW is needed; else as `bind(2)`.
pub fn listen_transparent(at: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::from_std(bind_transparent(at)?)
}

/// As [`listen_transparent`], before there is a runtime.
///
/// # Errors
/// As there.
pub fn bind_transparent(at: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = transparent(at)?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Connects to a server with a client's address, and a port of its own: the client's port would make two
/// connections of one name, which the kernel's connection tracking cannot tell apart.
///
/// # Errors
/// As `bind(2)` and `connect(2)`.
pub async fn connect_as(client: SocketAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let any = SocketAddr::new(client.ip(), 0);
    for _ in 0..TRIES {
        let socket = transparent(any)?;
        socket.bind(&any.into())?;
        let port = socket.local_addr()?.as_socket().map(|addr| addr.port());
        if port == Some(client.port()) {
            continue;
        }
        let stream = TcpSocket::from_std_stream(socket.into()).connect(server).await?;
        prepare_control(&stream)?;
        return Ok(stream);
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Connects from an address that need not be this machine's: that of a server which a client takes us for. Port 0
/// leaves the port to the kernel.
///
/// # Errors
/// As `setsockopt(2)` of IP_TRANSPARENT, `bind(2)` and `connect(2)`.
pub async fn connect_transparent(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = transparent(from)?;
    socket.bind(&from.into())?;
    TcpSocket::from_std_stream(socket.into()).connect(to).await
}

/// Where the client wanted to go before the packet filter translated the address (REDIRECT, DNAT); `None` if it did
/// not. Under TPROXY the socket's own address is the one the client called.
#[must_use]
pub fn translated_from(stream: &TcpStream, local: SocketAddr) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let first = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    first.ok()?.as_socket().filter(|first| *first != local)
}

fn transparent(like: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(like), Type::STREAM, Some(Protocol::TCP))?;
    if like.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_ip_transparent_v6(true)?;
    } else {
        socket.set_ip_transparent_v4(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
