//! Packets on their way from the helper, which may hold them, to a gate, which may not but knows what to do: records
//! over a `SOCK_SEQPACKET` Unix socket, in both directions.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::queue::{Packet, Queue, Verdict};

/// The longest IP packet, and what is said of it.
const LONGEST: usize = 0xFFFF + HEAD;
const HEAD: usize = 9;
/// Records read before the caller may look after other things.
const AT_ONCE: usize = 256;

/// The helper's end: holds the packets of a queue until their verdicts come.
#[derive(Debug)]
pub struct Holder {
    queue: Queue,
    gate: OwnedFd,
    /// What the gate had no room for; nothing more is read from the queue meanwhile.
    waiting: VecDeque<Vec<u8>>,
    room: Vec<u8>,
}

/// The gate's end.
#[derive(Debug)]
pub struct Held {
    helper: OwnedFd,
    room: Vec<u8>,
}

impl Holder {
    /// Between a queue and a gate.
    #[must_use]
    pub fn new(queue: Queue, gate: OwnedFd) -> Self {
        Self { queue, gate, waiting: VecDeque::new(), room: vec![0; LONGEST] }
    }

    /// What to wait for before [`turn`](Self::turn).
    #[must_use]
    pub fn awaited(&self) -> [(BorrowedFd<'_>, PollFlags); 2] {
        let (queue, gate) = match self.waiting.is_empty() {
            true => (PollFlags::IN, PollFlags::IN),
            false => (PollFlags::empty(), PollFlags::IN | PollFlags::OUT),
        };
        [(self.queue.as_fd(), queue), (self.gate.as_fd(), gate)]
    }

    /// Passes packets on and does what verdicts say.
    ///
    /// # Errors
    /// The gate is gone, or says what makes no sense. What the kernel says of a single packet is no error: TCP sends
    /// it again.
    pub fn turn(&mut self) -> io::Result<()> {
        self.pass_on()?;
        if self.waiting.is_empty() {
            let (gate, waiting) = (&self.gate, &mut self.waiting);
            let _ = self.queue.read(|packet| {
                let record = [&packet.id.to_be_bytes()[..], &packet.mark.to_be_bytes(), &[0], packet.octets];
                let record = record.concat();
                if !waiting.is_empty() || !matches!(send_one(gate, &record), Ok(true)) {
                    waiting.push_back(record);
                }
                waiting.is_empty()
            });
            self.pass_on()?;
        }
        let mut decided = Vec::new();
        for _ in 0..AT_ONCE {
            let Some(record) = receive(&self.gate, &mut self.room)? else { break };
            let (id, mark, what, octets) = parts(record).ok_or(io::ErrorKind::InvalidData)?;
            let verdict = match what {
                0 => Verdict::Drop,
                1 => Verdict::Accept { mark, octets: None },
                _ => Verdict::Accept { mark, octets: Some(octets.to_vec()) },
            };
            decided.push((id, verdict));
        }
        let _ = self.queue.decide(decided);
        Ok(())
    }

    fn pass_on(&mut self) -> io::Result<()> {
        while let Some(record) = self.waiting.front() {
            if !send_one(&self.gate, record)? {
                break;
            }
            self.waiting.pop_front();
        }
        Ok(())
    }
}

impl Held {
    /// Over the socket whose other end the helper has.
    #[must_use]
    pub fn over(helper: OwnedFd) -> Self {
        Self { helper, room: vec![0; LONGEST] }
    }

    /// Waits for packets, for `patience` at most.
    ///
    /// # Errors
    /// As `poll(2)`.
    pub fn wait(&self, patience: Duration) -> io::Result<()> {
        let patience = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&self.helper, PollFlags::IN)], Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands the packets that wait to `judge`, some hundred at most, and has done what it says.
    ///
    /// # Errors
    /// `UnexpectedEof` if the helper is gone.
    pub fn serve(&mut self, mut judge: impl FnMut(Packet<'_>) -> Verdict) -> io::Result<()> {
        for _ in 0..AT_ONCE {
            let Some(record) = receive(&self.helper, &mut self.room)? else { break };
            let Some((id, mark, _, octets)) = parts(record) else { continue };
            let (mark, what, octets) = match judge(Packet { id, mark, octets }) {
                Verdict::Drop => (0, 0, None),
                Verdict::Accept { mark, octets: None } => (mark, 1, None),
                Verdict::Accept { mark, octets } => (mark, 2, octets),
            };
            let octets = octets.unwrap_or_default();
            let record = [&id.to_be_bytes()[..], &mark.to_be_bytes(), &[what], &octets].concat();
            // The helper always reads on, so there is room soon.
            send(&self.helper, &record, SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }
}

/// Whether there was room for it.
fn send_one(to: &OwnedFd, record: &[u8]) -> io::Result<bool> {
    match send(to, record, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The next record; `None` if there is none at the moment.
fn receive<'a>(from: &OwnedFd, room: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
    match recv(from, &mut *room, RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok((length, _)) => Ok(room.get(..length)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Number, mark, verdict, octets.
fn parts(record: &[u8]) -> Option<(u32, u32, u8, &[u8])> {
    let (id, rest) = record.split_first_chunk()?;
    let (mark, rest) = rest.split_first_chunk()?;
    let (what, octets) = rest.split_first()?;
    Some((u32::from_be_bytes(*id), u32::from_be_bytes(*mark), *what, octets))
}
