//! Data connections for small files, with as few system calls as can be: no timer, and no option of the socket that a file
//! of one segment would not miss.
//!
//! There are no deadlines here: whoever drives the control connection keeps the time.

use std::io;
use std::sync::{Arc, Weak};

use portway_proto::Vetted;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::net::TcpStream;

use super::LinkError;
use crate::sys;

/// A data connection for one small file.
#[derive(Debug)]
pub struct Small(Arc<TcpStream>);

/// Shows whether a connection stands, and does not keep it.
#[derive(Debug)]
pub struct Sight(Weak<TcpStream>);

impl Sight {
    /// Whether it is wanted and does not stand yet.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.0.upgrade().is_some_and(|stream| stream.peer_addr().is_err())
    }
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
            Ok(()) | Err(Errno::INPROGRESS) => {
                let stream = TcpStream::from_std(socket.into());
                Ok(Self(Arc::new(stream.map_err(LinkError::NoSocket)?)))
            }
            Err(error) => Err(super::of_connect(error.into())),
        }
    }

    /// For looking at it while it moves.
    #[must_use]
    pub fn sight(&self) -> Sight {
        Sight(Arc::downgrade(&self.0))
    }

    /// Receives a file to its end, or one octet more than the `size` that it should have.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn receive(self, size: usize) -> io::Result<Vec<u8>> {
        let mut octets = Vec::with_capacity(size.saturating_add(1));
        loop {
            match self.0.try_read_buf(&mut octets) {
                Ok(0) => break,
                Ok(_) if octets.len() > size => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0.readable().await?,
                Err(error) => return Err(error),
            }
        }
        // Closed without a trace in either kernel; a server that lingers on its close need not wait for us.
        sys::reset_on_close(&*self.0);
        Ok(octets)
    }

    /// Sends a whole file, and its end behind it.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn send(self, mut octets: &[u8]) -> io::Result<()> {
        // It may not stand yet.
        self.0.writable().await?;
        if let Some(error) = self.0.take_error()? {
            return Err(error);
        }
        while !octets.is_empty() {
            match self.0.try_write(octets) {
                Ok(sent) => octets = octets.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{IpAddr, Ipv4Addr};

    use portway_proto::Announced;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_file_comes_whole_and_what_is_longer_than_it_should_be_does_not() {
        for (size, wanted) in [(3_usize, 3_usize), (0, 0), (100_000, 100_000), (100_000, 10)] {
            let port = std::net::TcpListener::bind((HERE, 0)).unwrap();
            let at = port.local_addr().unwrap();
            let small = Small::connect(Announced::new(at).vet(HERE).unwrap()).unwrap();
            let (mut server, _) = port.accept().unwrap();
            // What nobody takes any more may be refused.
            let server = std::thread::spawn(move || drop(server.write_all(&vec![7; size])));
            let octets = small.receive(wanted).await.unwrap();
            server.join().unwrap();
            match size == wanted {
                true => assert_eq!(octets, vec![7; size]),
                false => assert!(octets.len() > wanted && octets.len() < 1000, "{}", octets.len()),
            }
        }
    }

    #[tokio::test]
    async fn a_file_and_its_end_go_to_a_passive_port() {
        for size in [0, 3, 100_000] {
            let port = std::net::TcpListener::bind((HERE, 0)).unwrap();
            let at = port.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let mut octets = Vec::new();
                port.accept().unwrap().0.read_to_end(&mut octets).unwrap();
                octets
            });
            let small = Small::connect(Announced::new(at).vet(HERE).unwrap()).unwrap();
            let sight = small.sight();
            small.send(&vec![7; size]).await.unwrap();
            assert_eq!(server.join().unwrap(), vec![7; size]);
            assert!(!sight.is_missing(), "it stood, and is gone");
        }
    }

    #[tokio::test]
    async fn a_port_that_refuses_is_an_error_at_the_latest_when_octets_are_to_move() {
        let port = std::net::TcpListener::bind((HERE, 0)).unwrap();
        let to = Announced::new(port.local_addr().unwrap()).vet(HERE).unwrap();
        drop(port);
        if let Ok(small) = Small::connect(to) {
            assert!(small.receive(3).await.is_err());
        }
        if let Ok(small) = Small::connect(to) {
            assert!(small.send(b"abc").await.is_err());
        }
    }
}
