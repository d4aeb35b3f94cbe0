//! The table in the kernel, and the elements that are its holes.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;

use crate::key::{Key, Set};
use crate::message::{Batch, attributes, flag, single};
use crate::socket::Netlink;
use crate::table::{self, GATE_TABLE, INET, Layout, TABLE, kind};

/// Something that lets single connections through; the kernel, or a stand-in for tests.
pub trait Elements {
    /// Lets one connection through, for `within` at most. An open hole for the same key is kept longer.
    ///
    /// # Errors
    /// [`FilterError`]; nothing was opened.
    fn add(&mut self, key: &Key, within: Duration) -> Result<(), FilterError>;

    /// Takes a hole away, and says whether it was still there: `false` if it was used or timed out.
    ///
    /// # Errors
    /// [`FilterError::Kernel`].
    fn remove(&mut self, key: &Key) -> Result<bool, FilterError>;

    /// The holes that are open now.
    ///
    /// # Errors
    /// [`FilterError::Kernel`].
    fn list(&mut self) -> Result<Vec<Key>, FilterError>;
}

/// Why the kernel's packet filter does not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The two addresses are of different families.
    #[error("{0}: IPv4 and IPv6 in one hole")]
    Mixed(Key),
    /// We lack CAP_NET_ADMIN in this network namespace.
    #[error("the packet filter may be changed with CAP_NET_ADMIN only")]
    NotAllowed,
    /// Another process holds the table `inet portway` in this network namespace.
    #[error("another process holds the table inet {TABLE}; one is enough, stop it or use its socket")]
    Held,
    /// The set is full.
    #[error("the set of holes is full")]
    Full,
    /// The kernel has no nf_tables, or not the parts we use.
    #[error("this kernel lacks nf_tables for inet, with sets, ct and dynamic sets: {0}")]
    Missing(#[source] io::Error),
    /// Anything else.
    #[error("nf_tables: {0}")]
    Kernel(#[source] io::Error),
}

/// The table `inet portway` of this network namespace, ours as long as this value lives.
///
/// One netlink socket stays open; opening a hole takes one system call to send and one to read, some
/// microseconds together. The kernel removes the table when the socket is closed, so a killed program leaves
/// nothing open; running transfers keep their mark. `nft flush ruleset`, with which many hosts load their rules
/// anew, spares an owned table; one that is not owned is made again when the next hole is opened.
#[derive(Debug)]
pub struct Filter {
    netlink: Netlink,
    layout: Layout,
    owned: bool,
}

impl Filter {
    /// Makes the table, in place of one that an earlier run may have left.
    ///
    /// # Errors
    /// [`FilterError::NotAllowed`], [`FilterError::Held`], [`FilterError::Missing`].
    pub fn install(layout: &Layout) -> Result<Self, FilterError> {
        let mut netlink = Netlink::open(Some(NETFILTER)).map_err(FilterError::Missing)?;
        let sequence = netlink.sequence();
        let question = single((10 << 8) | kind::GET_GENERATION, 0, sequence, |out| {
            out.extend_from_slice(&[0; 4]);
        });
        netlink.ask((question, sequence.wrapping_add(1)), |_| {}).map_err(|error| match errno(&error) {
            Some(Errno::PERM) => FilterError::NotAllowed,
            _ => FilterError::Missing(error),
        })?;
        let mut filter = Self { netlink, layout: layout.clone(), owned: layout.owned() };
        let mut written = filter.write();
        if filter.owned
            && written.as_ref().is_err_and(|e| matches!(errno(e), Some(Errno::OPNOTSUPP | Errno::INVAL)))
        {
            // Linux before 5.12 knows no owned tables.
            filter.owned = false;
            written = filter.write();
        }
        match written {
            Ok(()) => Ok(filter),
            // We have the capability, so the table has another owner. Its table is not ours to remove.
            Err(error) => Err(match errno(&error) {
                Some(Errno::PERM) => FilterError::Held,
                Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::INVAL | Errno::AFNOSUPPORT) => {
                    FilterError::Missing(error)
                }
                _ => FilterError::Kernel(error),
            }),
        }
    }

    /// Closes every hole.
    ///
    /// # Errors
    /// [`FilterError::Kernel`].
    pub fn flush(&mut self) -> Result<(), FilterError> {
        self.batch(|batch| Set::BOTH.into_iter().for_each(|set| table::flush(batch, set)))
            .map_err(FilterError::Kernel)
    }

    fn write(&mut self) -> io::Result<()> {
        let (layout, owned) = (self.layout.clone(), self.owned);
        self.batch(|batch| layout.write(batch, owned))
    }

    fn batch(&mut self, fill: impl FnOnce(&mut Batch)) -> io::Result<()> {
        let mut batch = Batch::begin(self.netlink.sequence());
        fill(&mut batch);
        self.netlink.ask(batch.end(), |_| {})
    }
}

impl Elements for Filter {
    fn add(&mut self, key: &Key, within: Duration) -> Result<(), FilterError> {
        let (set, octets) = key.element().ok_or(FilterError::Mixed(*key))?;
        let milliseconds = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
        let new = |batch: &mut Batch| {
            batch.add(kind::NEW_ELEMENT, flag::CREATE | flag::EXCL, INET, |list| {
                table::element(list, set, &octets, |element| element.long(4, milliseconds));
            });
        };
        let mut added = self.batch(new);
        if added.as_ref().is_err_and(|error| errno(error) == Some(Errno::NOENT)) {
            // Somebody flushed the ruleset, and our table with it.
            added = self.write().and_then(|()| self.batch(new));
        }
        if added.as_ref().is_err_and(|error| errno(error) == Some(Errno::EXIST)) {
            // Before Linux 6.12 an element that is there already would keep its old time limit.
            added = self.batch(|batch| {
                batch.add(kind::DELETE_ELEMENT, 0, INET, |list| {
                    table::element(list, set, &octets, |_| {});
                });
                new(batch);
            });
            // Used or timed out between the two.
            if added.as_ref().is_err_and(|error| errno(error) == Some(Errno::NOENT)) {
                added = self.batch(new);
            }
        }
        added.map_err(|error| match errno(&error) {
            Some(Errno::NFILE | Errno::NOSPC) => FilterError::Full,
            Some(Errno::PERM) => FilterError::NotAllowed,
            _ => FilterError::Kernel(error),
        })
    }

    fn remove(&mut self, key: &Key) -> Result<bool, FilterError> {
        let (set, octets) = key.element().ok_or(FilterError::Mixed(*key))?;
        let removed = self.batch(|batch| {
            batch.add(kind::DELETE_ELEMENT, 0, INET, |list| {
                table::element(list, set, &octets, |_| {});
            });
        });
        match removed {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(Errno::NOENT) => Ok(false),
            Err(error) => Err(FilterError::Kernel(error)),
        }
    }

    fn list(&mut self) -> Result<Vec<Key>, FilterError> {
        let mut found = Vec::new();
        for set in Set::BOTH {
            let sequence = self.netlink.sequence();
            let question = single((10 << 8) | kind::GET_ELEMENT, flag::DUMP, sequence, |out| {
                out.extend_from_slice(&[INET, 0, 0, 0]);
                let mut list = crate::message::Attributes(out);
                list.name(1, TABLE);
                list.name(2, set.name());
            });
            self.netlink
                .ask((question, sequence.wrapping_add(1)), |answer| {
                    let lists = attributes(answer.body.get(4..).unwrap_or_default()).filter(|a| a.0 == 3);
                    let elements = lists.flat_map(|list| attributes(list.1));
                    found.extend(elements.filter_map(|element| {
                        let key = attributes(element.1).find(|a| a.0 == 1)?.1;
                        Key::read(attributes(key).find(|a| a.0 == 1)?.1)
                    }));
                })
                .map_err(FilterError::Kernel)?;
        }
        Ok(found)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // The kernel does it too for an owned table; on an older one nobody else would.
        let _ = if self.layout.guard.is_some() {
            self.flush()
        } else {
            self.batch(table::delete).map_err(FilterError::Kernel)
        };
    }
}

/// Removes the table of a gate, with its rules and translations; one that is not there is no error.
///
/// # Errors
/// As netlink; CAP_NET_ADMIN is needed.
pub fn remove_gate_table() -> io::Result<()> {
    let mut netlink = Netlink::open(Some(NETFILTER))?;
    let mut batch = Batch::begin(netlink.sequence());
    batch.add(kind::DELETE_TABLE, 0, INET, |table| table.name(1, GATE_TABLE));
    match netlink.ask(batch.end(), |_| {}) {
        Err(error) if errno(&error) == Some(Errno::NOENT) => Ok(()),
        other => other,
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}
