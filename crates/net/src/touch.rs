//! One SYN, and everything the network says about it: for diagnosis, without any privilege.

// Three calls have no safe form in the libraries at hand: asking for ICMP errors, and reading one.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// What came back to a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// The port is open; the connection was closed at once.
    Open,
    /// A reset: nothing listens there, or a firewall answers in the host's name.
    Reset,
    /// Nothing.
    Silent,
    /// A router or host said by ICMP why not.
    Icmp {
        /// Who said so, where the system tells.
        by: Option<IpAddr>,
        /// What was said.
        said: Icmp,
    },
}

/// What an ICMP error means for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp {
    /// A firewall rejects (administratively prohibited, or port unreachable, which no host's TCP says).
    Prohibited,
    /// The host or network is not there.
    NoWay,
    /// The packet had gone as many hops as it was allowed.
    TimeExceeded,
    /// Anything else.
    Other,
}

/// How to send the SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TouchOptions {
    /// Hops it may go. Default `None`: as many as the system gives it.
    pub hops: Option<u8>,
    /// The address and port to come from. Default `None`: any.
    pub from: Option<SocketAddr>,
}

/// Sends a SYN to `to` and says what came of it within the time. An open port is closed again at once.
///
/// # Errors
/// As `socket(2)` and `bind(2)`, and as `connect(2)` where this machine itself knows no way.
pub async fn touch(to: SocketAddr, options: TouchOptions, within: Duration) -> io::Result<Touch> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(hops) = options.hops {
        match to {
            SocketAddr::V4(_) => socket.set_ttl_v4(u32::from(hops))?,
            SocketAddr::V6(_) => socket.set_unicast_hops_v6(u32::from(hops))?,
        }
    }
    if let Some(from) = options.from {
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
    }
    sys::ask_for_icmp(&socket, to.is_ipv6());
    // A reset in place of a FIN leaves no TIME_WAIT and no half-open session at the server.
    let _ = socket.set_linger(Some(Duration::ZERO));
    match socket.connect(&to.into()) {
        Ok(()) => return Ok(Touch::Open),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return of_error(error, None),
    }
    let stream = TcpStream::from_std(socket.into())?;
    if timeout(within, stream.writable()).await.is_err() {
        return Ok(Touch::Silent);
    }
    match stream.take_error()? {
        None => Ok(Touch::Open),
        Some(error) => of_error(error, sys::icmp(&SockRef::from(&stream))),
    }
}

/// Connects with segments of at most `mss` octets, both ways: where larger ones vanish, this gets through.
///
/// # Errors
/// As `connect(2)`. There is no deadline here.
pub async fn connect_small(to: SocketAddr, mss: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_mss(u32::from(mss))?;
    TcpSocket::from_std_stream(socket.into()).connect(to).await
}

fn of_error(error: io::Error, icmp: Option<(Option<IpAddr>, Icmp)>) -> io::Result<Touch> {
    if let Some((by, said)) = icmp {
        return Ok(Touch::Icmp { by, said });
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Ok(Touch::Reset),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Ok(Touch::Icmp { by: None, said: Icmp::NoWay })
        }
        io::ErrorKind::PermissionDenied => Ok(Touch::Icmp { by: None, said: Icmp::Prohibited }),
        io::ErrorKind::TimedOut => Ok(Touch::Silent),
        _ => Err(error),
    }
}

#[cfg(target_os = "linux")]
mod sys {
    use std::io::Error;
    use std::mem::{MaybeUninit, size_of};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::os::fd::{AsRawFd, RawFd};

    use socket2::{SockRef, Socket};

    use super::Icmp;

    /// Has the kernel keep ICMP errors with their sender (ip(7), IP_RECVERR; for a TCP handshake since 5.9).
    pub(super) fn ask_for_icmp(socket: &Socket, v6: bool) {
        let (level, name) = match v6 {
            false => (libc::IPPROTO_IP, libc::IP_RECVERR),
            true => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
        };
        let on: libc::c_int = 1;
        let len = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the descriptor is open, and the option value is an `int` that outlives the call.
        let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), len) };
        // Without it only the sender of an ICMP error stays unknown.
        debug_assert!(done == 0, "{}", Error::last_os_error());
    }

    /// Takes the ICMP error that ended the handshake, if one did.
    pub(super) fn icmp(socket: &SockRef<'_>) -> Option<(Option<IpAddr>, Icmp)> {
        read(socket.as_raw_fd())
    }

    #[repr(C, align(8))]
    struct Ancillary([u8; 512]);

    fn read(fd: RawFd) -> Option<(Option<IpAddr>, Icmp)> {
        let mut data = [0_u8; 256];
        let mut ancillary = Ancillary([0; 512]);
        let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
        // SAFETY: an all-zero `msghdr` is valid; it says that there is nothing.
        let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.0.as_mut_ptr().cast();
        message.msg_controllen = ancillary.0.len() as _;
        // SAFETY: all pointers in `message` lead to buffers above that outlive the call, with their lengths.
        let got = unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
        if got < 0 {
            return None;
        }
        // SAFETY: the kernel has filled `message`; the macros stay within `msg_controllen`.
        let mut head = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        while !head.is_null() {
            // SAFETY: not null, so a header within the buffer, which is aligned for it.
            let header = unsafe { head.read_unaligned() };
            let v4 = (header.cmsg_level, header.cmsg_type) == (libc::IPPROTO_IP, libc::IP_RECVERR);
            let v6 = (header.cmsg_level, header.cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
            if v4 || v6 {
                // SAFETY: for these two types the kernel writes a `sock_extended_err` and the sender's
                // socket address behind it (ip(7)).
                return unsafe { extended(libc::CMSG_DATA(head)) };
            }
            // SAFETY: as for the first one.
            head = unsafe { libc::CMSG_NXTHDR(&raw const message, head) };
        }
        None
    }

    /// # Safety
    /// `at` leads to a `sock_extended_err` with the sender's socket address behind it.
    unsafe fn extended(at: *const u8) -> Option<(Option<IpAddr>, Icmp)> {
        // SAFETY: as the caller promises.
        let error = unsafe { at.cast::<libc::sock_extended_err>().read_unaligned() };
        if !matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6) {
            return None;
        }
        // SAFETY: the address follows directly, and its family comes first.
        let sender = unsafe { at.add(size_of::<libc::sock_extended_err>()) };
        // SAFETY: as above.
        let family = unsafe { sender.cast::<libc::sa_family_t>().read_unaligned() };
        let by = match i32::from(family) {
            libc::AF_INET => {
                // SAFETY: the family says which structure it is.
                let addr = unsafe { sender.cast::<libc::sockaddr_in>().read_unaligned() };
                Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(addr.sin_addr.s_addr))))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let addr = unsafe { sender.cast::<libc::sockaddr_in6>().read_unaligned() };
                Some(IpAddr::V6(Ipv6Addr::from(addr.sin6_addr.s6_addr)))
            }
            _ => None,
        };
        let v4 = error.ee_origin == libc::SO_EE_ORIGIN_ICMP;
        Some((by, meaning(v4, error.ee_type, error.ee_code)))
    }

    /// RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3.
    fn meaning(v4: bool, kind: u8, code: u8) -> Icmp {
        match (v4, kind, code) {
            (true, 3, 0 | 1) | (false, 1, 0 | 3) => Icmp::NoWay,
            (true, 3, 3 | 9 | 10 | 13) | (false, 1, 1 | 4 | 5 | 6) => Icmp::Prohibited,
            (true, 11, _) | (false, 3, _) => Icmp::TimeExceeded,
            _ => Icmp::Other,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use std::net::IpAddr;

    use socket2::{SockRef, Socket};

    use super::Icmp;

    pub(super) fn ask_for_icmp(_socket: &Socket, _v6: bool) {}

    pub(super) fn icmp(_socket: &SockRef<'_>) -> Option<(Option<IpAddr>, Icmp)> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_port_and_a_closed_one_are_told_apart() {
        let listener = crate::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let to = listener.local_addr().unwrap();
        let long = Duration::from_secs(10);
        assert_eq!(touch(to, TouchOptions::default(), long).await.unwrap(), Touch::Open);
        drop(listener);
        assert_eq!(touch(to, TouchOptions::default(), long).await.unwrap(), Touch::Reset);
        let six = crate::listen("[::1]:0".parse().unwrap()).unwrap();
        let options = TouchOptions { hops: Some(1), from: Some("[::1]:0".parse().unwrap()) };
        assert_eq!(touch(six.local_addr().unwrap(), options, long).await.unwrap(), Touch::Open);
    }
}
