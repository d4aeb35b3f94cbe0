//! The table `inet portway`: two sets, one chain that knows holes, three hooks that ask it.

use std::ops::RangeInclusive;

use crate::expression::Rule;
use crate::key::Set;
use crate::message::{Attributes, Batch, flag};

/// The table of holes. This one and [`GATE_TABLE`] are the only ones that this crate ever touches.
pub const TABLE: &str = "portway";
/// The table of a gate, which its rules for control connections and its translations are in.
pub const GATE_TABLE: &str = "portway_gate";
/// The family of the table, as nfnetlink numbers it: IPv4 and IPv6 at once.
pub(crate) const INET: u8 = 1;

/// The bit of the conntrack mark that says "this connection came through a hole".
///
/// One bit, so that an administrator's own marks live beside it.
pub const DEFAULT_MARK: u32 = 0x0010_0000;

/// nf_tables messages.
pub(crate) mod kind {
    pub(crate) const NEW_TABLE: u16 = 0;
    pub(crate) const DELETE_TABLE: u16 = 2;
    pub(crate) const NEW_CHAIN: u16 = 3;
    pub(crate) const GET_CHAIN: u16 = 4;
    pub(crate) const DELETE_CHAIN: u16 = 5;
    pub(crate) const NEW_RULE: u16 = 6;
    pub(crate) const GET_RULE: u16 = 7;
    pub(crate) const DELETE_RULE: u16 = 8;
    pub(crate) const NEW_SET: u16 = 9;
    pub(crate) const GET_SET: u16 = 10;
    pub(crate) const NEW_ELEMENT: u16 = 12;
    pub(crate) const GET_ELEMENT: u16 = 13;
    pub(crate) const DELETE_ELEMENT: u16 = 14;
    pub(crate) const GET_GENERATION: u16 = 16;
}

/// The kernel removes the table when the socket that made it is closed, however that came about (Linux 5.12).
const OWNED: u32 = 2;
const SET_TIMEOUT: u32 = 0x10;
const SET_DYNAMIC: u32 = 0x20;

/// Where our chains hook in: just before the chains of priority `filter`.
pub(crate) const PRIORITY: i32 = -10;

const HOOKS: [(&str, u32); 3] = [("input", 1), ("forward", 2), ("output", 3)];
const HOLES: &str = "holes";

/// How the table is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bits set in the conntrack mark of a connection that came through a hole. Default [`DEFAULT_MARK`].
    pub mark: u32,
    /// Holes that may be open at once, for each family. Default 4096.
    pub size: u32,
    /// Ports on this host that nobody reaches without a hole: a new connection to them is reset. Default none.
    ///
    /// For firewalls that cannot accept by mark: open the range there, and it is shut here. A guarded table
    /// outlives its program, so that the range stays shut.
    pub guard: Option<RangeInclusive<u16>>,
}

impl Default for Layout {
    fn default() -> Self {
        Self { mark: DEFAULT_MARK, size: 4096, guard: None }
    }
}

impl Layout {
    /// Whether the kernel is to remove the table with us.
    pub(crate) fn owned(&self) -> bool {
        self.guard.is_none()
    }

    /// Replaces whatever table of ours is there, in one transaction.
    pub(crate) fn write(&self, batch: &mut Batch, owned: bool) {
        // Added first, since deleting a table that is not there would fail the batch.
        batch.add(kind::NEW_TABLE, flag::CREATE, INET, |table| table.name(1, TABLE));
        delete(batch);
        batch.add(kind::NEW_TABLE, flag::CREATE | flag::EXCL, INET, |table| {
            table.name(1, TABLE);
            table.number(2, if owned { OWNED } else { 0 });
        });
        for (id, set) in (1..).zip(Set::BOTH) {
            batch.add(kind::NEW_SET, flag::CREATE, INET, |attributes| {
                attributes.name(1, TABLE);
                attributes.name(2, set.name());
                attributes.number(3, SET_TIMEOUT | SET_DYNAMIC);
                attributes.number(4, set.key_type());
                attributes.number(5, set.key_length());
                attributes.nest(9, |desc| desc.number(1, self.size));
                attributes.number(10, id);
            });
        }
        // No packet ever comes here: that a rule asks for them is what makes the kernel count octets.
        chain(batch, "counting", None);
        rule(batch, "counting", |rule| rule.octets());
        chain(batch, HOLES, None);
        self.holes(batch);
        for (name, hook) in HOOKS {
            chain(batch, name, Some(hook));
            rule(batch, name, |rule| {
                rule.tcp();
                rule.jump(HOLES);
            });
        }
        if let Some(guard) = &self.guard {
            rule(batch, "input", |rule| {
                rule.not_loopback();
                rule.tcp();
                rule.ct_state(1 | 8);
                rule.port_between(*guard.start(), *guard.end());
                rule.count();
                rule.reset();
            });
        }
    }

    fn holes(&self, batch: &mut Batch) {
        // Also the first packet once more, when the server never saw it: its element is gone by then.
        rule(batch, HOLES, |rule| {
            rule.ct_marked(self.mark);
            rule.count();
            rule.accept();
        });
        for set in Set::BOTH {
            rule(batch, HOLES, |rule| {
                rule.tcp_over(set);
                rule.first_packet();
                rule.in_set(set);
                rule.mark(self.mark);
                rule.delete_from(set);
                rule.count();
                rule.accept();
            });
        }
    }
}

/// Removes the table.
pub(crate) fn delete(batch: &mut Batch) {
    batch.add(kind::DELETE_TABLE, 0, INET, |table| table.name(1, TABLE));
}

/// Removes every element of a set.
pub(crate) fn flush(batch: &mut Batch, set: Set) {
    batch.add(kind::DELETE_ELEMENT, 0, INET, |list| {
        list.name(1, TABLE);
        list.name(2, set.name());
    });
}

/// Names one element of a set, with what belongs to it.
pub(crate) fn element(
    list: &mut Attributes<'_>,
    set: Set,
    key: &[u8],
    more: impl FnOnce(&mut Attributes<'_>),
) {
    list.name(1, TABLE);
    list.name(2, set.name());
    list.nest(3, |elements| {
        elements.nest(1, |element| {
            element.nest(1, |data| data.octets(1, key));
            more(element);
        });
    });
}

fn chain(batch: &mut Batch, name: &str, hook: Option<u32>) {
    batch.add(kind::NEW_CHAIN, flag::CREATE, INET, |attributes| {
        attributes.name(1, TABLE);
        attributes.name(3, name);
        if let Some(hook) = hook {
            attributes.nest(4, |place| {
                place.number(1, hook);
                place.octets(2, &PRIORITY.to_be_bytes());
            });
            attributes.number(5, 1);
            attributes.name(7, "filter");
        }
    });
}

fn rule(batch: &mut Batch, chain: &str, body: impl FnOnce(&mut Rule<'_, '_>)) {
    batch.add(kind::NEW_RULE, flag::CREATE | flag::APPEND, INET, |attributes| {
        attributes.name(1, TABLE);
        attributes.name(2, chain);
        attributes.nest(4, |expressions| body(&mut Rule(expressions)));
    });
}
