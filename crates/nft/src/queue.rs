//! Packets held for a verdict: NFQUEUE by netlink, and the rule that sends packets there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use rustix::net::{RecvFlags, SendFlags};

use crate::expression::Rule;
use crate::message::{Attributes, Batch, attributes, flag, messages, single};
use crate::socket::Netlink;
use crate::table::{INET, kind};

const SUBSYSTEM: u16 = 3 << 8;
const PACKET: u16 = SUBSYSTEM;
const VERDICT: u16 = SUBSYSTEM | 1;
const CONFIG: u16 = SUBSYSTEM | 2;

/// The most that the kernel copies of one packet.
const WHOLE: u32 = 0xFFFF;
/// Packets that may wait for us; what comes on top is dropped, and TCP sends it again.
const WAITING: u32 = 4096;
/// Reads before the caller may look after other things.
const AT_ONCE: usize = 256;

/// A queue of packets. The kernel lets none of them go without a verdict.
///
/// Segments come as they would go over the wire (no offload), with right checksums.
#[derive(Debug)]
pub struct Queue {
    netlink: Netlink,
    number: u16,
    buffer: Vec<u8>,
}

/// A packet that waits for its verdict.
#[derive(Debug)]
pub struct Packet<'a> {
    /// For the verdict.
    pub id: u32,
    /// Its mark.
    pub mark: u32,
    /// From the IP header on.
    pub octets: &'a [u8],
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Drop,
    /// It goes on to the next chain with this mark, and with these octets in place of its own.
    Accept {
        /// The whole new mark.
        mark: u32,
        /// From the IP header on, checksums included.
        octets: Option<Vec<u8>>,
    },
}

impl Queue {
    /// Makes the queue with this number in this network namespace.
    ///
    /// # Errors
    /// `ResourceBusy` if another program has it, `PermissionDenied` without CAP_NET_ADMIN, `Unsupported` if the kernel has no
    /// NFQUEUE.
    pub fn bind(number: u16) -> io::Result<Self> {
        let mut netlink = Netlink::open(Some(NETFILTER))?;
        let configure = |netlink: &mut Netlink, kind: u16, value: &[u8]| {
            let sequence = netlink.sequence();
            let question = single(CONFIG, flag::ACK, sequence, |out| {
                header(out, number);
                Attributes(out).octets(kind, value);
            });
            netlink.ask((question, sequence.wrapping_add(1)), |_| {})
        };
        // NFQNL_CFG_CMD_BIND, padding, and a protocol that no kernel looks at any more.
        configure(&mut netlink, 1, &[1, 0, 0, 0]).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::INVAL | Errno::OPNOTSUPP) => {
                io::Error::new(io::ErrorKind::Unsupported, "this kernel has no NFQUEUE")
            }
            Some(Errno::BUSY | Errno::EXIST) => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("another program has the packet queue {number}"),
            ),
            _ => error,
        })?;
        let mut copy = WHOLE.to_be_bytes().to_vec();
        copy.push(2);
        configure(&mut netlink, 3, &WAITING.to_be_bytes())?;
        configure(&mut netlink, 2, &copy)?;
        Ok(Self { netlink, number, buffer: vec![0; 128 * 1024] })
    }

    /// Hands the packets that wait to `each`, some hundred at most, as long as it wants more.
    ///
    /// # Errors
    /// As the socket says.
    pub fn read(&mut self, mut each: impl FnMut(Packet<'_>) -> bool) -> io::Result<()> {
        let mut more = true;
        for _ in 0..AT_ONCE {
            if !more {
                break;
            }
            let read =
                rustix::net::recv(&self.netlink.socket, self.buffer.as_mut_slice(), RecvFlags::empty());
            let length = match read {
                Ok((length, _)) => length,
                // Packets that found no room are dropped by the kernel.
                Err(Errno::INTR | Errno::NOBUFS) => continue,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            };
            for message in messages(self.buffer.get(..length).unwrap_or_default()) {
                if message.kind == PACKET
                    && let Some(packet) = packet(message.body)
                {
                    more = each(packet);
                }
            }
        }
        Ok(())
    }

    /// Does with packets what was decided, in this order.
    ///
    /// # Errors
    /// As the socket says.
    pub fn decide(&self, verdicts: impl IntoIterator<Item = (u32, Verdict)>) -> io::Result<()> {
        let answers: Vec<u8> =
            verdicts.into_iter().flat_map(|(id, decided)| verdict(self.number, id, decided)).collect();
        if !answers.is_empty() {
            rustix::net::send(&self.netlink.socket, &answers, SendFlags::empty())?;
        }
        Ok(())
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.socket.as_fd()
    }
}

/// Puts a rule into a chain of an `inet` table that sends everything to a queue.
///
/// If no program listens, packets skip the rest of that base chain and go on to the next one, which is to refuse them.
///
/// # Errors
/// `Unsupported` if the kernel has neither the expression `queue` nor the target `NFQUEUE`.
pub fn queue_rule(table: &str, chain: &str, queue: u16) -> io::Result<()> {
    let mut netlink = Netlink::open(Some(NETFILTER))?;
    let mut add = |body: &dyn Fn(&mut Rule<'_, '_>)| {
        let mut batch = Batch::begin(netlink.sequence());
        batch.add(kind::NEW_RULE, flag::CREATE | flag::APPEND, INET, |attributes| {
            attributes.name(1, table);
            attributes.name(2, chain);
            attributes.nest(4, |expressions| body(&mut Rule(expressions)));
        });
        netlink.ask(batch.end(), |_| {})
    };
    // Kernels without CONFIG_NFT_QUEUE have the target of iptables, which nf_tables can call, too.
    add(&|rule| rule.queue(queue)).or_else(|_| add(&|rule| rule.target_queue(queue))).map_err(|error| {
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::OPNOTSUPP) => io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel has neither the expression queue nor the target NFQUEUE",
            ),
            _ => error,
        }
    })
}

fn header(out: &mut Vec<u8>, queue: u16) {
    let [high, low] = queue.to_be_bytes();
    out.extend_from_slice(&[0, 0, high, low]);
}

fn packet(body: &[u8]) -> Option<Packet<'_>> {
    let (mut id, mut mark, mut octets) = (None, 0, &[][..]);
    for (kind, value) in attributes(body.get(4..)?) {
        match kind {
            1 => id = value.first_chunk().map(|b| u32::from_be_bytes(*b)),
            3 => mark = value.first_chunk().map_or(0, |b| u32::from_be_bytes(*b)),
            10 => octets = value,
            _ => {}
        }
    }
    Some(Packet { id: id?, mark, octets })
}

fn verdict(queue: u16, id: u32, verdict: Verdict) -> Vec<u8> {
    single(VERDICT, 0, 0, |out| {
        header(out, queue);
        let mut attributes = Attributes(out);
        let code = u32::from(verdict != Verdict::Drop);
        attributes.octets(2, &[code.to_be_bytes(), id.to_be_bytes()].concat());
        if let Verdict::Accept { mark, octets } = verdict {
            attributes.number(3, mark);
            if let Some(octets) = octets {
                attributes.octets(10, &octets);
            }
        }
    })
}
