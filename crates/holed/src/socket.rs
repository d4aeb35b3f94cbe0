//! The Unix socket: records, not a stream, so that a request is whole or not at all.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recv, send, socket_with,
};

/// Listens until it is dropped, and removes its path then.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    pub(crate) pid: i32,
}

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

impl Listener {
    /// Takes the place of a socket whose owner is gone; a living one is left alone.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let new = || socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None);
        let socket = new()?;
        if let Err(error) = bind(&socket, &address) {
            if error != rustix::io::Errno::ADDRINUSE {
                return Err(error.into());
            }
            if connect(new()?, &address) != Err(rustix::io::Errno::CONNREFUSED) {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another helper listens here"));
            }
            std::fs::remove_file(path)?;
            bind(&socket, &address)?;
        }
        // Whoever connects is asked for his credentials; the mode of the file would only hide the reason.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        listen(&socket, 64)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    pub(crate) fn accept(&self) -> io::Result<(OwnedFd, Peer)> {
        let client = accept_with(&self.socket, FLAGS)?;
        let peer = socket_peercred(&client)?;
        Ok((client, Peer { uid: peer.uid.as_raw(), pid: peer.pid.as_raw_nonzero().get() }))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // May fail once we run as another user; the next start replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The next record, of its true length even if it did not fit; `None` at the end.
pub(crate) fn receive<'a>(client: &OwnedFd, room: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
    let (_, length) = recv(client, &mut *room, RecvFlags::TRUNC)?;
    Ok(if length == 0 { None } else { Some(room.get(..length).unwrap_or(room)) })
}

/// Sends a record, wholly or not at all; a client that does not read is an error.
pub(crate) fn answer(client: &OwnedFd, record: &[u8]) -> io::Result<()> {
    send(client, record, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    Ok(())
}
