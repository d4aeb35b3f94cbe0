//! The few nf_tables expressions our rules are made of. Numbers are those of `linux/netfilter/nf_tables.h`.

use crate::key::Set;
use crate::message::Attributes;

const EXPRESSION: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
const VALUE: u16 = 1;
const VERDICT: u16 = 2;

/// The first 32-bit register; keys are laid out from here on.
const KEY: u32 = 8;
/// Behind the longest key (nine registers).
const SCRATCH: u32 = 17;

const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// How `cmp` compares, octet by octet from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compare {
    Equal = 0,
    NotEqual = 1,
    AtMost = 3,
    AtLeast = 5,
}

/// A rule in the making: each method adds one thing that must hold, or that happens.
#[derive(Debug)]
pub(crate) struct Rule<'a, 'b>(pub(crate) &'a mut Attributes<'b>);

impl Rule<'_, '_> {
    /// `meta nfproto` and `meta l4proto tcp`.
    pub(crate) fn tcp_over(&mut self, set: Set) {
        let family = if set == Set::V4 { 2 } else { 10 };
        self.meta(15);
        self.compare(SCRATCH, Compare::Equal, &[family]);
        self.tcp();
    }

    /// `meta l4proto tcp`.
    pub(crate) fn tcp(&mut self) {
        self.meta(16);
        self.compare(SCRATCH, Compare::Equal, &[6]);
    }

    /// `iiftype != loopback`.
    pub(crate) fn not_loopback(&mut self) {
        self.meta(8);
        self.compare(SCRATCH, Compare::NotEqual, &772_u16.to_ne_bytes());
    }

    /// `ct state new` and `tcp flags & (fin|syn|rst|ack) == syn`: an ACK out of the blue, which conntrack takes
    /// for a connection it missed, must not use a hole up.
    pub(crate) fn first_packet(&mut self) {
        self.ct_state(8);
        self.payload(SCRATCH, TRANSPORT, 13, 1);
        self.bitwise(SCRATCH, &[0x17], &[0]);
        self.compare(SCRATCH, Compare::Equal, &[0x02]);
    }

    /// `ct state` has one of these bits: invalid 1, established 2, related 4, new 8.
    pub(crate) fn ct_state(&mut self, bits: u32) {
        self.ct_load(0);
        self.bitwise(SCRATCH, &bits.to_ne_bytes(), &[0; 4]);
        self.compare(SCRATCH, Compare::NotEqual, &[0; 4]);
    }

    /// `ct mark & bits == bits`.
    pub(crate) fn ct_marked(&mut self, bits: u32) {
        self.ct_load(3);
        self.bitwise(SCRATCH, &bits.to_ne_bytes(), &[0; 4]);
        self.compare(SCRATCH, Compare::Equal, &bits.to_ne_bytes());
    }

    /// Loads `ct bytes`.
    pub(crate) fn octets(&mut self) {
        self.ct_load(15);
    }

    /// `ct mark set ct mark | bits`: the bits of others stay.
    pub(crate) fn mark(&mut self, bits: u32) {
        self.ct_load(3);
        self.bitwise(SCRATCH, &(!bits).to_ne_bytes(), &bits.to_ne_bytes());
        self.expression("ct", |data| {
            data.number(2, 3);
            data.number(4, SCRATCH);
        });
    }

    /// `saddr . daddr . tcp dport @set`.
    pub(crate) fn in_set(&mut self, set: Set) {
        let (from, to, octets) = if set == Set::V4 { (12, 16, 4) } else { (8, 24, 16) };
        self.payload(KEY, NETWORK, from, octets);
        self.payload(KEY + octets / 4, NETWORK, to, octets);
        self.payload(KEY + octets / 2, TRANSPORT, 2, 2);
        self.expression("lookup", |data| {
            data.name(1, set.name());
            data.number(2, KEY);
        });
    }

    /// `delete @set { saddr . daddr . tcp dport }`: this is what makes a hole serve once.
    pub(crate) fn delete_from(&mut self, set: Set) {
        self.expression("dynset", |data| {
            data.name(1, set.name());
            data.number(3, 2);
            data.number(4, KEY);
        });
    }

    /// `tcp dport first-last`.
    pub(crate) fn port_between(&mut self, first: u16, last: u16) {
        self.payload(SCRATCH, TRANSPORT, 2, 2);
        self.compare(SCRATCH, Compare::AtLeast, &first.to_be_bytes());
        self.compare(SCRATCH, Compare::AtMost, &last.to_be_bytes());
    }

    /// `counter`.
    pub(crate) fn count(&mut self) {
        self.expression("counter", |_| {});
    }

    /// `accept`.
    pub(crate) fn accept(&mut self) {
        self.verdict(1, None);
    }

    /// `jump chain`.
    pub(crate) fn jump(&mut self, chain: &str) {
        self.verdict(-3, Some(chain));
    }

    /// `reject with tcp reset`: the other side knows at once.
    pub(crate) fn reset(&mut self) {
        self.expression("reject", |data| {
            data.number(1, 1);
            data.octets(2, &[0]);
        });
    }

    /// `queue num … bypass`.
    pub(crate) fn queue(&mut self, number: u16) {
        self.expression("queue", |data| {
            data.octets(1, &number.to_be_bytes());
            data.octets(2, &1_u16.to_be_bytes());
            data.octets(3, &1_u16.to_be_bytes());
        });
    }

    /// `-j NFQUEUE --queue-num … --queue-bypass`, as iptables-nft writes it.
    pub(crate) fn target_queue(&mut self, number: u16) {
        self.expression("target", |data| {
            data.name(1, "NFQUEUE");
            data.number(2, 3);
            // struct xt_NFQ_info_v3, filled up to eight octets: number, how many queues, bypass.
            data.octets(3, &[number, 1, 1, 0].map(u16::to_ne_bytes).concat());
        });
    }

    fn verdict(&mut self, code: i32, chain: Option<&str>) {
        self.expression("immediate", |data| {
            data.number(1, 0);
            data.nest(2, |value| {
                value.nest(VERDICT, |verdict| {
                    verdict.octets(1, &code.to_be_bytes());
                    if let Some(chain) = chain {
                        verdict.name(2, chain);
                    }
                });
            });
        });
    }

    fn meta(&mut self, what: u32) {
        self.expression("meta", |data| {
            data.number(1, SCRATCH);
            data.number(2, what);
        });
    }

    fn ct_load(&mut self, what: u32) {
        self.expression("ct", |data| {
            data.number(1, SCRATCH);
            data.number(2, what);
        });
    }

    fn payload(&mut self, register: u32, base: u32, offset: u32, octets: u32) {
        self.expression("payload", |data| {
            data.number(1, register);
            data.number(2, base);
            data.number(3, offset);
            data.number(4, octets);
        });
    }

    fn compare(&mut self, register: u32, how: Compare, with: &[u8]) {
        self.expression("cmp", |data| {
            data.number(1, register);
            data.number(2, how as u32);
            data.nest(3, |value| value.octets(VALUE, with));
        });
    }

    fn bitwise(&mut self, register: u32, mask: &[u8], xor: &[u8]) {
        self.expression("bitwise", |data| {
            data.number(1, register);
            data.number(2, register);
            data.number(3, u32::try_from(mask.len()).unwrap_or(0));
            data.nest(4, |value| value.octets(VALUE, mask));
            data.nest(5, |value| value.octets(VALUE, xor));
        });
    }

    fn expression(&mut self, name: &str, body: impl FnOnce(&mut Attributes<'_>)) {
        self.0.nest(EXPRESSION, |expression| {
            expression.name(NAME, name);
            expression.nest(DATA, body);
        });
    }
}
