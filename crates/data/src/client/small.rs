//! Data connections for small files: what arrives waits in the kernel until it is asked for.
//!
//! Nothing here waits, so a file costs a handful of system calls and no task, timer or registration with the runtime.
//! Whatever turns out to need waiting becomes a [`Link`] or a [`Listening`].

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;

use portway_proto::Vetted;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{Door, Link, LinkError, Listening, Mode, bind_in};
use crate::sys;

/// A data connection that nobody waits for.
#[derive(Debug)]
pub struct Small {
    stream: TcpStream,
    mode: Mode,
}

impl Small {
    /// Begins to connect to a passive port, and does not wait for what comes of it.
    ///
    /// # Errors
    /// [`LinkError`], if that is known at once.
    pub fn connect(to: Vetted) -> Result<Self, LinkError> {
        let to = to.addr();
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None);
        let socket = socket.map_err(|error| LinkError::NoSocket(error.into()))?;
        match rustix::net::connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Self { stream: socket.into(), mode: Mode::Passive }),
            Err(error) => Err(super::of_connect(error.into())),
        }
    }

    /// Takes what has arrived, up to `most` octets in all; true at the end of the file.
    ///
    /// # Errors
    /// `WouldBlock` if more is to come; else the connection is broken.
    pub fn take(&self, octets: &mut Vec<u8>, most: usize) -> io::Result<bool> {
        loop {
            let room = most.saturating_sub(octets.len());
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            octets.reserve_exact(room);
            let spare = rustix::buffer::spare_capacity(octets);
            match rustix::net::recv(&self.stream, spare, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Ok(true),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives octets to the kernel; returns how many it took.
    ///
    /// # Errors
    /// `WouldBlock` if the connection does not stand yet, or is full; else it is broken.
    pub fn give(&self, octets: &[u8]) -> io::Result<usize> {
        match rustix::net::send(&self.stream, octets, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            // Connecting still.
            Err(Errno::NOTCONN) => Err(io::ErrorKind::WouldBlock.into()),
            done => Ok(done?),
        }
    }

    /// Closes it after a whole file has arrived: without leaving a trace in either kernel.
    pub fn forget(self) {
        sys::reset_on_close(&self.stream);
    }

    /// The same connection, for whoever wants to wait.
    ///
    /// # Errors
    /// [`LinkError`], also if it does not stand.
    pub fn wait(self) -> Result<Link, LinkError> {
        let stream = tokio::net::TcpStream::from_std(self.stream).map_err(LinkError::NoSocket)?;
        Link::of(stream, self.mode, std::time::Duration::ZERO, 0)
    }
}

/// A port that a server connects to, once for each of many small files.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Port {
    /// Listens, as [`Listening::open`] does.
    ///
    /// # Errors
    /// [`LinkError::NoSocket`] if every port of the range is taken.
    pub fn open(home: IpAddr, ports: Option<RangeInclusive<u16>>) -> Result<Self, LinkError> {
        let (listener, addr) = bind_in(home, ports)?;
        let listener = listener.into_std().map_err(LinkError::NoSocket)?;
        Ok(Self { listener, addr })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The server's connection, if it is there; those of others are closed.
    ///
    /// # Errors
    /// `WouldBlock` if nobody is there.
    pub fn accept(&self, from: IpAddr) -> io::Result<Small> {
        loop {
            match sys::accept(&self.listener) {
                Ok((stream, peer)) if peer.ip().to_canonical() == from.to_canonical() => {
                    return Ok(Small { stream, mode: Mode::Active });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The same port, for whoever wants to wait.
    ///
    /// # Errors
    /// [`LinkError::NoSocket`].
    pub fn wait(self) -> Result<Listening, LinkError> {
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(LinkError::NoSocket)?;
        Ok(Listening { door: Door::Here(listener), addr: self.addr, hole: None })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use portway_proto::Announced;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Tries again for as long as the kernel has nothing.
    fn patiently<T>(mut what: impl FnMut() -> io::Result<T>) -> T {
        for _ in 0..2000 {
            match what() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                done => return done.unwrap(),
            }
        }
        panic!("nothing came")
    }

    #[tokio::test]
    async fn files_come_and_go_over_one_port_and_strangers_are_passed_over() {
        let port = Port::open(HERE, None).unwrap();
        assert_eq!(port.accept(HERE).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for round in 0..3_u8 {
            let stranger = portway_net::connect_from(Some("127.0.0.9:0".parse().unwrap()), port.addr());
            let stranger = stranger.await.unwrap();
            let mut server = TcpStream::connect(port.addr()).unwrap();
            let small = patiently(|| port.accept(HERE));
            let mut octets = Vec::new();
            assert_eq!(small.take(&mut octets, 4).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            server.write_all(&[round; 3]).unwrap();
            drop(server);
            assert!(patiently(|| small.take(&mut octets, 4)));
            assert_eq!(octets, [round; 3]);
            small.forget();
            drop(stranger);
        }
    }

    #[test]
    fn a_file_goes_to_a_passive_port_and_no_more_is_taken_than_asked_for() {
        let port = TcpListener::bind((HERE, 0)).unwrap();
        let at = port.local_addr().unwrap();
        let small = Small::connect(Announced::new(at).vet(HERE).unwrap()).unwrap();
        assert_eq!(patiently(|| small.give(b"abc")), 3);
        let (mut server, _) = port.accept().unwrap();
        server.write_all(b"more than that").unwrap();
        let mut octets = Vec::new();
        let full = |octets: &Vec<u8>| octets.len() == 4;
        while !full(&octets) {
            assert_eq!(small.take(&mut octets, 4).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        assert_eq!(octets, b"more");
        let mut came = [0; 3];
        server.read_exact(&mut came).unwrap();
        assert_eq!(&came, b"abc");
    }
}
