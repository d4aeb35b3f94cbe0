//! Sockets, set up the way FTP wants them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::congestion::unpace;

/// Connections the kernel finishes on our behalf before we accept them. A short queue greets a crowd of
/// clients with silence; the kernel cuts this to `net.core.somaxconn` (4096 by default).
const BACKLOG: i32 = 4096;

/// Opens a listening socket.
///
/// An IPv6 address listens for IPv6 only, so that `0.0.0.0` and `[::]` can both be bound to one port, and
/// no IPv4 client turns up in the shape `::ffff:a.b.c.d`. A port in TIME_WAIT is no obstacle.
///
/// # Errors
/// As `bind(2)` and `listen(2)`: the port is taken, or below 1024 without the right to it.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::from_std(bind(addr)?)
}

/// As [`listen`], without a runtime that watches it. It does not block.
///
/// # Errors
/// As there.
pub fn bind(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = stream_socket(addr)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it.
    unpace(&socket, addr.ip());
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket that does not block, made by one call where the system has one for it.
fn stream_socket(like: SocketAddr) -> io::Result<Socket> {
    let (domain, protocol) = (Domain::for_address(like), Some(Protocol::TCP));
    #[cfg(target_os = "linux")]
    return Socket::new(domain, Type::STREAM.nonblocking(), protocol);
    #[cfg(not(target_os = "linux"))]
    {
        let socket = Socket::new(domain, Type::STREAM, protocol)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Sets up a control connection: replies leave at once, a dead peer is noticed after two minutes, and
/// urgent data stays in the stream.
///
/// The last one is for ABOR: clients send Telnet IP and the Synch signal as urgent data (RFC 959 §4.1.3),
/// and without it the kernel would take one octet out of the line.
///
/// # Errors
/// As `setsockopt(2)`; in practice only if the connection is gone already.
pub fn prepare_control(stream: &TcpStream) -> io::Result<()> {
    prepare_data(stream)?;
    keep_alive(stream)?;
    SockRef::from(stream).set_out_of_band_inline(true)
}

/// Sets up a data connection: the last segment leaves at once. Most are gone before [`keep_alive`] could do anything.
///
/// # Errors
/// As `setsockopt(2)`; in practice only if the connection is gone already.
pub fn prepare_data(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_tcp_nodelay(true)
}

/// Has a dead peer noticed after two minutes (60 s of silence, then four probes 15 s apart).
///
/// # Errors
/// As `setsockopt(2)`; in practice only if the connection is gone already.
pub fn keep_alive(stream: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let probes =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&probes.with_retries(4))
}

/// Connects to `to`, from `local` if given; port 0 in `local` leaves the port to the kernel.
///
/// A fixed local port (20, RFC 959 §3.2) may still be in TIME_WAIT towards other peers; that does not hinder
/// this connection. There is no deadline here: the caller sets one.
///
/// # Errors
/// As `bind(2)` and `connect(2)`. `InvalidInput` if the two addresses are not of one family.
pub async fn connect_from(local: Option<SocketAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    unpace(&socket, to.ip());
    if let Some(local) = local {
        if local.is_ipv4() != to.is_ipv4() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "local and remote address differ in family",
            ));
        }
        if local.port() != 0 {
            socket.set_reuseaddr(true)?;
        }
        socket.bind(local)?;
    }
    socket.connect(to).await
}

/// Whether connections may come from this local port: those below 1024 are for root, and for who has
/// CAP_NET_BIND_SERVICE. Free it need not be.
#[must_use]
pub fn may_connect_from(port: u16) -> bool {
    let tried = TcpSocket::new_v4().and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::UNSPECIFIED, port).into())
    });
    !matches!(tried, Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

/// How long one address gets before the next is tried beside it (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first of these addresses that answers, each tried a little after the one before it
/// (RFC 8305); also tells how long its handshake took.
///
/// # Errors
/// The last address that failed and why; `TimedOut` for the first one if none had an answer `within` the time.
/// `None` if there are no addresses at all.
pub async fn connect_first(
    addresses: &[SocketAddr],
    within: Duration,
) -> Result<(TcpStream, SocketAddr, Duration), Option<(SocketAddr, io::Error)>> {
    let mut left = addresses.iter().copied();
    let first = *addresses.first().ok_or(None)?;
    let mut last = (first, io::Error::from(io::ErrorKind::TimedOut));
    let mut tries = JoinSet::new();
    let deadline = Instant::now() + within;
    let mut all_started = false;
    loop {
        match left.next() {
            Some(to) => {
                tries.spawn(async move {
                    let began = Instant::now();
                    (to, connect_from(None, to).await.map(|stream| (stream, began.elapsed())))
                });
            }
            None => all_started = true,
        }
        let until = if all_started { deadline } else { deadline.min(Instant::now() + HEAD_START) };
        match timeout_at(until, tries.join_next()).await {
            Ok(Some(Ok((to, Ok((stream, took)))))) => return Ok((stream, to, took)),
            Ok(Some(Ok((to, Err(error))))) => last = (to, error),
            Ok(None) | Err(_) if all_started => return Err(Some(last)),
            _ => {}
        }
    }
}

/// The ports the kernel hands out by itself; a passive range should lie outside.
///
/// Read from `/proc/sys/net/ipv4/ip_local_port_range` (it counts for IPv6 too); 32768 to 60999, the default
/// of Linux, where that file is missing.
pub fn ephemeral_range() -> RangeInclusive<u16> {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| parse_range(&text))
        .unwrap_or(32768..=60999)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut bounds = text.split_ascii_whitespace().map(str::parse);
    match (bounds.next()?, bounds.next()?) {
        (Ok(low), Ok(high)) if low <= high => Some(low..=high),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::AsyncReadExt;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        let (accepted, connected) = tokio::join!(listener.accept(), connect_from(None, addr));
        (accepted.unwrap().0, connected.unwrap())
    }

    #[tokio::test]
    async fn both_families_listen_on_one_port() {
        let v4 = listen("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = v4.local_addr().unwrap().port();
        if let Err(error) = listen(SocketAddr::new("::".parse().unwrap(), port)) {
            assert_ne!(error.kind(), ErrorKind::AddrInUse, "only a machine without IPv6 may say no");
        }
    }

    #[tokio::test]
    async fn urgent_data_stays_in_the_stream() {
        let (mut ours, theirs) = pair().await;
        prepare_control(&ours).unwrap();
        // Telnet IP and Synch before ABOR (RFC 959 §4.1.3); the last octet of the second part is urgent.
        SockRef::from(&theirs).send(b"\xff\xf4").unwrap();
        SockRef::from(&theirs).send_out_of_band(b"\xff\xf2").unwrap();
        SockRef::from(&theirs).send(b"ABOR\r\n").unwrap();
        let mut got = [0; 10];
        ours.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"\xff\xf4\xff\xf2ABOR\r\n");
    }

    /// As port 20 does in active mode.
    #[tokio::test]
    async fn one_local_port_serves_many_connections_at_once_and_at_once_again() {
        let peers = [0, 1].map(|_| listen("127.0.0.1:0".parse().unwrap()).unwrap());
        let to = peers.each_ref().map(|peer| peer.local_addr().unwrap());
        let from = listen("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
        let first = connect_from(Some(from), to[0]).await.unwrap();
        let second = connect_from(Some(from), to[1]).await.unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
        let accepted = peers[0].accept().await.unwrap();
        drop((first, second)); // closes first: its port goes to TIME_WAIT
        drop(accepted);
        let peer = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        connect_from(Some(from), peer.local_addr().unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn two_families_do_not_mix() {
        let local = Some("127.0.0.1:0".parse().unwrap());
        let error = connect_from(local, "[::1]:21".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn the_range_of_the_kernel_is_read_or_guessed() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32768..=60999));
        for broken in ["", "1", "2 1", "a b", "1 70000"] {
            assert_eq!(parse_range(broken), None, "{broken:?}");
        }
        assert!(!ephemeral_range().is_empty());
    }
}
