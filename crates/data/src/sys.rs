//! The system calls the standard library lacks, and what takes their place where the system has none.

// Two calls have no safe form: an ioctl, and the runtime's registration of a descriptor.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::net::{RecvFlags, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Makes the coming close a reset: the peer learns of it at once, and no TIME_WAIT is left behind.
pub(crate) fn reset_on_close(socket: impl AsFd) {
    // Fails only on a socket that is gone already.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

/// Octets the peer has not acknowledged, or `None` where the system does not say.
///
/// Takes a number because the stream is mutably borrowed by the very call that is being watched.
#[cfg(target_os = "linux")]
pub(crate) fn unsent_raw(socket: RawFd) -> Option<u32> {
    /// SIOCOUTQ, which is TIOCOUTQ (linux/sockios.h).
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: the callers hold the stream this number belongs to, so it is open. For a TCP socket the kernel
    // writes one `int` (tcp(7)), which is what `Getter` makes room for.
    let octets = unsafe {
        let socket = BorrowedFd::borrow_raw(socket);
        rustix::ioctl::ioctl(socket, rustix::ioctl::Getter::<SIOCOUTQ, std::ffi::c_int>::new())
    };
    octets.ok().and_then(|octets| u32::try_from(octets).ok())
}

/// Has a dead peer noticed; by number for the same reason.
pub(crate) fn keep_alive_raw(socket: RawFd) {
    // SAFETY: the callers hold the stream this number belongs to, so it is open.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    // Fails only if the peer is gone already, which the transfer will notice and name.
    let _ = portway_net::keep_alive(&socket);
}

/// Wakes the reader of a socket only when so many octets are there, or its end (SO_RCVLOWAT of socket(7)). Whoever waits
/// already is woken if there are. By number for the same reason.
#[cfg(target_os = "linux")]
pub(crate) fn wake_at_raw(socket: RawFd, octets: usize) -> bool {
    let octets = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX);
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the callers hold the stream this number belongs to, so it is open; the value is an `int` that outlives
    // the call.
    let done = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, (&raw const octets).cast(), len)
    };
    done == 0
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unsent_raw(_socket: RawFd) -> Option<u32> {
    None
}

/// Looks at what has arrived without taking it.
pub(crate) fn peek(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buf, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0)
}

/// True if the peer has closed its side or the connection is broken.
pub(crate) fn peer_is_gone(socket: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    #[cfg(target_os = "linux")]
    let end = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    #[cfg(not(target_os = "linux"))]
    let end = PollFlags::HUP | PollFlags::ERR;
    let mut wanted = [PollFd::from_borrowed_fd(socket, end)];
    poll(&mut wanted, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Takes unread octets away, so that closing does not reset the connection; looks only once.
pub(crate) fn discard_input(socket: BorrowedFd<'_>) {
    let mut waste = [0; 4096];
    for _ in 0..16 {
        match rustix::net::recv(socket, &mut waste, RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Accepts a connection that does not block.
#[cfg(target_os = "linux")]
pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    // A connection whose other end is already unknown died in the queue.
    Ok((socket.into(), peer.ok_or(rustix::io::Errno::CONNABORTED)?))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, peer))
}

/// Has the runtime watch a listener for connections.
pub(crate) fn watch(listener: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    // SAFETY: a `TcpListener` owns its descriptor and names the same one for as long as it lives.
    unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }.map_err(Into::into)
}

/// Stops listening and keeps the port bound: whoever is in the queue is reset, newcomers are refused.
/// False where a listener cannot be stopped.
pub(crate) fn stop_listening(listener: &TcpListener) -> bool {
    cfg!(target_os = "linux") && rustix::net::shutdown(listener, rustix::net::Shutdown::Read).is_ok()
}

/// Listens again after [`stop_listening`].
pub(crate) fn listen_again(listener: &TcpListener) -> io::Result<()> {
    Ok(rustix::net::listen(listener, 4096)?)
}
