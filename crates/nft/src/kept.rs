//! A table that comes back when somebody takes it away.
//!
//! `nft flush ruleset` is how many hosts load their rules anew (`systemctl reload nftables` on Debian), and it takes the
//! tables of all others along. The table of holes is owned by its socket and spared. A gate's table cannot be owned,
//! since its rules must outlive the gate and refuse; so it is read back from the kernel once, and written again
//! as soon as a part of it is gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use rustix::net::{RecvFlags, recv};

use crate::message::{Attributes, Batch, attributes, flag, messages, single};
use crate::socket::Netlink;
use crate::table::{INET, kind};

/// The nf_tables subsystem of nfnetlink, as the high octet of a message's kind.
const NFTABLES: u16 = 10 << 8;
/// NFNLGRP_NFTABLES, as a bit: who changes what.
const CHANGES: u32 = 1 << 6;
/// Reading is begun anew if somebody changes the ruleset meanwhile.
const READINGS: usize = 20;

/// Elements of such a set come and go with time, and are nobody's rules.
const SET_TIMEOUT: u32 = 0x10;

/// The attributes with which a thing can be made again; its handle, counts and the like are the kernel's own.
const CHAIN: &[u16] = &[1, 3, 4, 5, 7];
const RULE: &[u16] = &[1, 2, 4, 7];
const SET: &[u16] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13];
const ELEMENTS: &[u16] = &[1, 2, 3];
const SET_ID: u16 = 10;

/// A table of ours, as it is to be.
#[derive(Debug)]
pub struct Kept {
    netlink: Netlink,
    changes: Netlink,
    table: &'static str,
    parts: Vec<Part>,
    /// It was seen to be incomplete, and has not been written since.
    torn: bool,
}

/// One message of the batch that makes the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    kind: u16,
    attributes: Vec<u8>,
}

impl Kept {
    /// Reads this `inet` table, and keeps it from now on.
    ///
    /// # Errors
    /// As netlink; `NotFound` if there is no such table. CAP_NET_ADMIN is needed.
    pub fn of(table: &'static str) -> io::Result<Self> {
        let changes = Netlink::listen(NETFILTER, CHANGES)?;
        let netlink = Netlink::open(Some(NETFILTER))?;
        let mut this = Self { netlink, changes, table, parts: Vec::new(), torn: false };
        for _ in 0..READINGS {
            let before = this.generation()?;
            let parts = this.read()?;
            if this.generation()? == before {
                this.parts = parts;
                return Ok(this);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "the ruleset changes all the time"))
    }

    /// Writes the table again if a part of it is gone; whether that was so. Call it when [`AsFd`] is readable.
    ///
    /// # Errors
    /// As netlink; the next call tries again.
    pub fn mend(&mut self) -> io::Result<bool> {
        if self.is_hurt() {
            let rules = |parts: &[Part]| parts.iter().filter(|part| part.kind == kind::NEW_RULE).count();
            let there = self.dump(kind::GET_RULE, kind::NEW_RULE, RULE, &[])?;
            self.torn |= there.len() != rules(&self.parts);
        }
        if !self.torn {
            return Ok(false);
        }
        self.write()?;
        self.torn = false;
        Ok(true)
    }

    /// Whether the kernel has told of something of this table that went, or has told more than there was room for.
    fn is_hurt(&mut self) -> bool {
        let mut buffer = [0; 32 * 1024];
        let mut hurt = false;
        loop {
            let length = match recv(&self.changes.socket, buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::NOBUFS) => {
                    hurt = true;
                    continue;
                }
                Err(_) => return hurt,
            };
            let gone =
                [kind::DELETE_TABLE, kind::DELETE_CHAIN, kind::DELETE_RULE].map(|kind| NFTABLES | kind);
            hurt |= messages(buffer.get(..length).unwrap_or_default())
                .any(|message| gone.contains(&message.kind) && self.is_ours(message.body.get(4..)));
        }
    }

    /// Whether attributes, the first of which names the table in all messages that we know, are of this one.
    fn is_ours(&self, octets: Option<&[u8]>) -> bool {
        attributes(octets.unwrap_or_default())
            .any(|(kind, value)| kind == 1 && value.strip_suffix(&[0]) == Some(self.table.as_bytes()))
    }

    fn generation(&mut self) -> io::Result<Vec<u8>> {
        let sequence = self.netlink.sequence();
        let question = single(NFTABLES | kind::GET_GENERATION, 0, sequence, |out| {
            out.extend_from_slice(&[0; 4]);
        });
        let mut number = Vec::new();
        self.netlink.ask((question, sequence.wrapping_add(1)), |answer| {
            let id = attributes(answer.body.get(4..).unwrap_or_default()).find(|a| a.0 == 1);
            number = id.map(|id| id.1.to_vec()).unwrap_or_default();
        })?;
        Ok(number)
    }

    /// Everything that the table consists of, in an order in which it can be made: what is referred to comes first.
    fn read(&mut self) -> io::Result<Vec<Part>> {
        let mut sets = self.dump(kind::GET_SET, kind::NEW_SET, SET, &[])?;
        let mut elements = Vec::new();
        for (id, set) in (1_u32..).zip(&mut sets) {
            let of = |wanted: u16| {
                attributes(&set.attributes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value.to_vec())
            };
            let flags = of(3).and_then(|octets| Some(u32::from_be_bytes(*octets.first_chunk()?)));
            if flags.unwrap_or_default() & SET_TIMEOUT == 0
                && let Some(name) = of(2)
            {
                elements.extend(self.dump(kind::GET_ELEMENT, kind::NEW_ELEMENT, ELEMENTS, &name)?);
            }
            Attributes(&mut set.attributes).number(SET_ID, id);
        }
        let chains = self.dump(kind::GET_CHAIN, kind::NEW_CHAIN, CHAIN, &[])?;
        let rules = self.dump(kind::GET_RULE, kind::NEW_RULE, RULE, &[])?;
        if chains.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok([sets, elements, chains, rules].concat())
    }

    /// What the kernel has of one kind; `set` is the name of a set, with its NUL, where its elements are asked for.
    fn dump(&mut self, question: u16, kind: u16, keep: &[u16], set: &[u8]) -> io::Result<Vec<Part>> {
        let sequence = self.netlink.sequence();
        let question = single(NFTABLES | question, flag::DUMP, sequence, |out| {
            out.extend_from_slice(&[INET, 0, 0, 0]);
            let mut list = Attributes(out);
            list.name(1, self.table);
            if !set.is_empty() {
                list.octets(2, set);
            }
        });
        let mut found = Vec::new();
        let (table, mut all) = (self.table.as_bytes(), Vec::new());
        self.netlink.ask((question, sequence.wrapping_add(1)), |answer| {
            all.push(answer.body.get(4..).unwrap_or_default().to_vec());
        })?;
        for octets in all {
            // Chains of all tables are told.
            if attributes(&octets).any(|a| a.0 == 1 && a.1.strip_suffix(&[0]) == Some(table)) {
                let mut kept = Vec::new();
                for (kind, value) in attributes(&octets).filter(|a| keep.contains(&a.0)) {
                    Attributes(&mut kept).octets(kind, value);
                }
                found.push(Part { kind, attributes: kept });
            }
        }
        Ok(found)
    }

    /// In place of what is left of it, in one transaction.
    fn write(&mut self) -> io::Result<()> {
        let mut batch = Batch::begin(self.netlink.sequence());
        // Added first, since deleting a table that is not there would fail the batch.
        batch.add(kind::NEW_TABLE, flag::CREATE, INET, |table| table.name(1, self.table));
        batch.add(kind::DELETE_TABLE, 0, INET, |table| table.name(1, self.table));
        batch.add(kind::NEW_TABLE, flag::CREATE | flag::EXCL, INET, |table| table.name(1, self.table));
        for part in &self.parts {
            let append = if part.kind == kind::NEW_RULE { flag::APPEND } else { 0 };
            batch.add(part.kind, flag::CREATE | append, INET, |list| {
                list.0.extend_from_slice(&part.attributes);
            });
        }
        self.netlink.ask(batch.end(), |_| {})
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.socket.as_fd()
    }
}
