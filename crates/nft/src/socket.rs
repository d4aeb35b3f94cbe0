//! One netlink socket, kept open: a change of one element costs microseconds, a new socket costs more.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use crate::message::{DONE, Received, messages};

/// A netlink socket. The kernel answers within the call that sends, so nothing here waits.
#[derive(Debug)]
pub(crate) struct Netlink {
    pub(crate) socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket; `protocol` is `None` for rtnetlink.
    pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        Self::bound(protocol, 0)
    }

    /// Opens a socket that hears what these groups are told; CAP_NET_ADMIN is needed.
    pub(crate) fn listen(protocol: Protocol, groups: u32) -> io::Result<Self> {
        Self::bound(Some(protocol), groups)
    }

    fn bound(protocol: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        // Bound now, so that every message comes from one port: a table is owned by a port.
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { socket, sequence: 1, buffer: vec![0; 32 * 1024] })
    }

    /// The number for the next message.
    pub(crate) fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Sends messages and hands every answer to `each`, until the kernel has no more to say.
    ///
    /// # Errors
    /// The first error the kernel reported for any of them, or the socket's own.
    pub(crate) fn ask(
        &mut self,
        (octets, next): (Vec<u8>, u32),
        mut each: impl FnMut(Received<'_>),
    ) -> io::Result<()> {
        let first = std::mem::replace(&mut self.sequence, next);
        let count = next.wrapping_sub(first);
        send(&self.socket, &octets, SendFlags::empty())?;
        let (mut failed, mut answered) = (None, false);
        loop {
            let length = match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            };
            for message in messages(self.buffer.get(..length).unwrap_or_default()) {
                // Late words about an earlier question that was given up are nobody's business now.
                if message.sequence.wrapping_sub(first) >= count {
                    continue;
                }
                answered = true;
                match message.errno() {
                    Some(0) => {}
                    Some(errno) => failed = failed.or(Some(errno)),
                    None if message.kind == DONE => {}
                    None => each(message),
                }
            }
        }
        match failed {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None if !answered => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel did not answer"))
            }
            None => Ok(()),
        }
    }
}
