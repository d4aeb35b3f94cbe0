//! A listening socket that can be closed to the world and opened again without giving up its port.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use crate::bearing::listen_bearing;
use crate::sys;

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: AsyncFd<TcpListener>,
    at: SocketAddr,
}

/// A socket that is bound and does not listen: whoever connects is refused.
#[derive(Debug)]
pub(crate) struct Resting {
    socket: TcpListener,
    at: SocketAddr,
}

impl Listener {
    /// Binds and listens; port 0 is not for this.
    pub(crate) fn bind(at: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: sys::watch(listen_bearing(at)?)?, at })
    }

    /// The address and port listened on.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// The next connection. It is not yet registered with the runtime, so that a stranger costs little.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(cx))?;
            match guard.try_io(|listener| accept(listener.get_ref())) {
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    /// The next connection, if one is there; wakes nobody later.
    pub(crate) fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        accept(self.socket.get_ref())
    }

    /// Closes the port to the world and keeps it, where the system can do that.
    pub(crate) fn rest(self) -> Option<Resting> {
        let socket = self.socket.into_inner();
        sys::stop_listening(&socket).then_some(Resting { socket, at: self.at })
    }
}

impl Resting {
    /// Listens again.
    pub(crate) fn wake(self) -> io::Result<Listener> {
        sys::listen_again(&self.socket)?;
        Ok(Listener { socket: sys::watch(self.socket)?, at: self.at })
    }

    /// The port held.
    pub(crate) fn port(&self) -> u16 {
        self.at.port()
    }
}

/// Accepts, and passes over connections that died in the queue (accept(2) reports their errors as its own).
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        let result = sys::accept(listener);
        let ours = match &result {
            Ok(_) => true,
            Err(error) => matches!(
                Errno::from_io_error(error),
                Some(
                    Errno::AGAIN
                        | Errno::MFILE
                        | Errno::NFILE
                        | Errno::NOBUFS
                        | Errno::NOMEM
                        | Errno::INVAL
                        | Errno::BADF
                )
            ),
        };
        if ours {
            return result;
        }
    }
}

/// Registers an accepted connection with the runtime and sets it up.
pub(crate) fn adopt(stream: TcpStream) -> io::Result<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::from_std(stream)?;
    // Fails only if the peer is gone already, which the transfer will notice and name.
    let _ = portway_net::prepare_data(&stream);
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn a_resting_listener_refuses_and_resets_and_then_serves_again() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = Listener::bind(free).unwrap();
        let mut stale = TcpStream::connect(free).unwrap();
        let Some(resting) = listener.rest() else { return };
        assert_eq!(stale.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(TcpStream::connect(free).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let listener = resting.wake().unwrap();
        let fresh = TcpStream::connect(free).unwrap();
        let (_, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        assert_eq!(peer, fresh.local_addr().unwrap());
        assert!(listener.try_accept().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock));
    }
}
