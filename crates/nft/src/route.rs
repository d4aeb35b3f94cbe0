//! Routes that bring marked packets to this host, whatever address they are on their way to (TPROXY).

use std::io;

use rustix::io::Errno;

use crate::message::{Attributes, flag, single};
use crate::socket::Netlink;

const NEW_ROUTE: u16 = 24;
const NEW_RULE: u16 = 32;
/// The message that deletes has the next number.
const DELETE: u16 = 1;
const INET: u8 = 2;
const INET6: u8 = 10;
/// Before the rules of administrators, which would send such packets elsewhere, and behind that of the host itself.
const PLACE: u32 = 2121;
/// The number of `lo`, the first interface of every network namespace.
const LOOPBACK: u32 = 1;

/// `ip rule fwmark MARK/MARK lookup TABLE` and `ip route local default dev lo table TABLE`, for both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalRoutes {
    /// The bits of the packet mark.
    pub mark: u32,
    /// The routing table, which holds nothing else.
    pub table: u32,
}

impl LocalRoutes {
    /// Adds them, in place of those that an earlier run has left. A host without IPv6 needs none there.
    ///
    /// # Errors
    /// As rtnetlink; CAP_NET_ADMIN is needed.
    pub fn add(self) -> io::Result<()> {
        self.remove();
        self.mend().map(drop)
    }

    /// Adds what somebody took away, as network managers do with rules that they do not know; whether there was any.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn mend(self) -> io::Result<bool> {
        let v4 = self.change(INET, 0)?;
        Ok(v4 | self.change(INET6, 0).unwrap_or(false))
    }

    /// Removes them; those that are not there are no error.
    pub fn remove(self) {
        for family in [INET, INET6] {
            let _ = self.change(family, DELETE);
        }
    }

    /// Whether anything was changed.
    fn change(self, family: u8, which: u16) -> io::Result<bool> {
        let mut netlink = Netlink::open(None)?;
        let mut tell = |kind: u16, body: &dyn Fn(&mut Vec<u8>)| {
            let flags = if which == DELETE { flag::ACK } else { flag::ACK | flag::CREATE | flag::EXCL };
            let sequence = netlink.sequence();
            let message = single(kind + which, flags, sequence, body);
            match netlink.ask((message, sequence.wrapping_add(1)), |_| {}) {
                Err(error) if Errno::from_io_error(&error) == Some(Errno::EXIST) => Ok(false),
                other => other.map(|()| true),
            }
        };
        let rule = tell(NEW_RULE, &|out| {
            // struct fib_rule_hdr: action FR_ACT_TO_TBL.
            out.extend_from_slice(&[family, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
            let mut attributes = Attributes(out);
            attributes.octets(15, &self.table.to_ne_bytes());
            attributes.octets(10, &self.mark.to_ne_bytes());
            attributes.octets(16, &self.mark.to_ne_bytes());
            if which != DELETE {
                // A place of its own: without one the kernel would take each for another rule.
                attributes.octets(6, &PLACE.to_ne_bytes());
            }
        });
        // Whatever stands between: one of the two alone does nothing.
        let route = tell(NEW_ROUTE, &|out| {
            // struct rtmsg: RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL.
            out.extend_from_slice(&[family, 0, 0, 0, 0, 4, 254, 2, 0, 0, 0, 0]);
            let mut attributes = Attributes(out);
            attributes.octets(15, &self.table.to_ne_bytes());
            attributes.octets(4, &LOOPBACK.to_ne_bytes());
        });
        Ok(rule? | route?)
    }
}
