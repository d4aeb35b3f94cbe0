//! nftables through the privileged helper, `portway-holed`.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as Records;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portway_nft::wire::{ANSWER, Answer, Ask, Outcome, Request};
use portway_nft::{Key, Want};
use portway_proto::Expected;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    socket_with, sockopt,
};
use tokio::net::UnixDatagram;
use tokio::sync::Mutex;

use crate::direct::is_unfiltered;
use crate::{Hole, HoleId, PinholeError, Pinholes, Waiting};

/// The helper answers within microseconds; a second means that it hangs.
const PATIENCE: Duration = Duration::from_secs(1);
/// The lower bits of a [`HoleId`] are the helper's number, the upper ones say on which connection.
const NUMBER_BITS: u32 = 48;

/// Pinholes opened by the helper, over one connection that is kept open.
///
/// The helper closes our holes when the connection ends. If the helper is started anew we connect again; until
/// then every [`Pinholes::open`] fails at once.
#[derive(Debug)]
pub struct HelperPinholes {
    path: PathBuf,
    line: Mutex<Option<UnixDatagram>>,
    tag: AtomicU64,
    epoch: AtomicU64,
}

impl HelperPinholes {
    /// Asks whether a helper listens at `path` and serves us. Waits for it at most one second.
    ///
    /// # Errors
    /// As of connecting; `PermissionDenied` with the helper's words if it does not serve this user.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = dial(path, SocketFlags::empty())?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        let question = Request { tag: 1, ask: Ask::Close(0) };
        // Whoever may not ask is told so before he asks, and then cut off: his question may fail, and the first
        // look for an answer, too, although the answer is there.
        let asked = send(&socket, &question.emit(), SendFlags::NOSIGNAL);
        let mut record = [0; ANSWER];
        let mut look = || recv(&socket, &mut record[..], RecvFlags::empty());
        let (_, length) = match look() {
            Err(rustix::io::Errno::CONNRESET) => look(),
            other => other,
        }?;
        if length == 0 {
            asked?;
        }
        match Answer::parse(record.get(..length).unwrap_or_default()).map(|answer| answer.result) {
            Some(Outcome::Closed(_)) => Ok(Self {
                path: path.to_owned(),
                line: Mutex::new(None),
                tag: AtomicU64::new(1),
                epoch: AtomicU64::new(0),
            }),
            Some(Outcome::Refused(why)) => Err(io::Error::new(io::ErrorKind::PermissionDenied, why)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "what listens there is no portway-holed")),
        }
    }

    /// Sends one request and waits for its answer; tries once more on a new connection if the old one is dead.
    async fn ask(&self, ask: Ask) -> io::Result<(u64, Outcome)> {
        let request = Request { tag: self.tag.fetch_add(1, Ordering::Relaxed) + 1, ask };
        let mut line = self.line.lock().await;
        let mut fresh = false;
        loop {
            let socket = match &mut *line {
                Some(socket) => socket,
                none => {
                    fresh = true;
                    self.epoch.fetch_add(1, Ordering::Relaxed);
                    let socket = dial(&self.path, SocketFlags::NONBLOCK)?;
                    // A connected socket of records is used like one of datagrams, but has an end.
                    none.insert(UnixDatagram::from_std(Records::from(socket))?)
                }
            };
            let error = match tokio::time::timeout(PATIENCE, exchange(socket, &request)).await {
                Ok(Ok(outcome)) => return Ok((self.epoch.load(Ordering::Relaxed), outcome)),
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            *line = None;
            if fresh || error.kind() == io::ErrorKind::TimedOut {
                return Err(error);
            }
        }
    }

    async fn open_one(&self, want: &Expected) -> Result<Hole, PinholeError> {
        let key = Key::new(want.from, want.to());
        if key.from.is_ipv4() != key.to.is_ipv4() {
            return Err(PinholeError::Denied { to: key.to, why: "IPv4 and IPv6 in one hole".to_owned() });
        }
        let (epoch, outcome) = self
            .ask(Ask::Open(Want { key, within: want.within }))
            .await
            .map_err(PinholeError::Unreachable)?;
        match outcome {
            Outcome::Opened(id) => Ok(Hole { id: HoleId((epoch << NUMBER_BITS) | id), announce: None }),
            Outcome::Refused(why) => Err(PinholeError::Denied { to: key.to, why }),
            Outcome::Full(limit) => Err(PinholeError::Full(limit as usize)),
            Outcome::Failed(_, why) => Err(PinholeError::Filter(io::Error::other(why))),
            _ => Err(PinholeError::Filter(io::ErrorKind::InvalidData.into())),
        }
    }
}

impl Pinholes for HelperPinholes {
    fn open(&self, want: Expected) -> Option<Waiting<'_, Result<Hole, PinholeError>>> {
        if is_unfiltered(&want) {
            return None;
        }
        Some(Box::pin(async move { self.open_one(&want).await }))
    }

    fn close(&self, id: HoleId) -> Waiting<'_, ()> {
        Box::pin(async move {
            // A hole of an earlier connection is closed by now, and its number may be another's.
            if id.0 >> NUMBER_BITS == self.epoch.load(Ordering::Relaxed) & (u64::MAX >> NUMBER_BITS) {
                let _ = self.ask(Ask::Close(id.0 & ((1 << NUMBER_BITS) - 1))).await;
            }
        })
    }
}

fn dial(path: &Path, flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

async fn exchange(socket: &UnixDatagram, request: &Request) -> io::Result<Outcome> {
    socket.send(&request.emit()).await?;
    loop {
        let mut record = [0; ANSWER];
        let length = socket.recv(&mut record).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer = Answer::parse(record.get(..length).unwrap_or_default());
        match answer.ok_or(io::ErrorKind::InvalidData)? {
            answer if answer.tag == request.tag => return Ok(answer.result),
            // Said to whoever may not ask, before any request.
            Answer { tag: 0, result } => return Ok(result),
            // The answer to a question whose asker gave up.
            _ => {}
        }
    }
}
