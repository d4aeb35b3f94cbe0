//! Sockets that bear addresses of others: the server's towards the client, the client's towards the server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portway_net::prepare_control;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const BACKLOG: i32 = 4096;
/// How often another port is tried when the kernel picks the very port that the client uses.
const TRIES: usize = 8;

/// Listens on loopback for connections that the rules bring here.
///
/// # Errors
/// As `setsockopt(2)` of IP_TRANSPARENT: CAP_NET_ADMIN or CAP_NET_RAW is needed.
pub(crate) fn listen(v6: bool) -> io::Result<TcpListener> {
    let ip: IpAddr = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    let at = SocketAddr::new(ip, 0);
    let socket = transparent(at)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connects to the server with the client's address, and a port of its own: the client's port would make two
/// connections of one name, which the kernel's connection tracking cannot tell apart.
///
/// # Errors
/// As `bind(2)` and `connect(2)`.
pub(crate) async fn connect_as(client: SocketAddr, server: SocketAddr) -> io::Result<TcpStream> {
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

/// Where the client wanted to go before the packet filter translated the address; `None` if it did not.
pub(crate) fn translated_from(stream: &TcpStream, server: SocketAddr) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let first = if server.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    first.ok()?.as_socket().filter(|first| *first != server)
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
