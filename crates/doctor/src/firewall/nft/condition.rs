//! Whether a packet meets a condition of a rule. What is not understood is neither met nor missed.

use std::net::IpAddr;

use serde_json::Value;

use super::Walk;
use crate::firewall::{Hook, State, within};

impl Walk<'_> {
    /// The verdict that a map has for the packet.
    pub(super) fn looked_up(&self, rule: &Value, vmap: &Value) -> Option<Value> {
        let field = self.field(&vmap["key"])?;
        let named = vmap["data"].as_str().and_then(|name| name.strip_prefix('@'));
        let pairs = match named {
            Some(name) => self.rules.set(rule, name)?["elem"].as_array()?,
            None => vmap["data"]["set"].as_array()?,
        };
        let pair = pairs.iter().find(|pair| self.fits(rule, &field, &pair[0]) == Some(true))?;
        Some(pair[1].clone())
    }

    /// Whether a condition holds; `None` if it is not understood.
    pub(super) fn holds(&self, rule: &Value, condition: &Value) -> Option<bool> {
        let field = self.field(&condition["left"])?;
        let fits = self.fits(rule, &field, &condition["right"])?;
        match condition["op"].as_str()? {
            "==" | "in" => Some(fits),
            "!=" => Some(!fits),
            _ => None,
        }
    }

    fn field(&self, left: &Value) -> Option<Field> {
        let packet = self.packet;
        let (name, what) = left.as_object()?.iter().next()?;
        match name.as_str() {
            "meta" => match what["key"].as_str()? {
                "l4proto" => Some(Field::Word("tcp".to_owned())),
                "nfproto" | "protocol" => {
                    Some(Field::Word(if packet.to.0.is_ipv4() { "ip" } else { "ip6" }.to_owned()))
                }
                "iif" | "iifname" => name_of(&packet.iif, packet.hook != Hook::Output),
                "oif" | "oifname" => name_of(&packet.oif, packet.hook != Hook::Input),
                "mark" => Some(Field::Number(0)),
                _ => None,
            },
            "payload" => {
                let v4 = packet.to.0.is_ipv4();
                match (what["protocol"].as_str()?, what["field"].as_str()?) {
                    ("ip", "saddr") => Some(if v4 { Field::Address(packet.from.0) } else { Field::Nothing }),
                    ("ip", "daddr") => Some(if v4 { Field::Address(packet.to.0) } else { Field::Nothing }),
                    ("ip6", "saddr") => Some(if v4 { Field::Nothing } else { Field::Address(packet.from.0) }),
                    ("ip6", "daddr") => Some(if v4 { Field::Nothing } else { Field::Address(packet.to.0) }),
                    ("ip", "protocol") | ("ip6", "nexthdr") => Some(Field::Word("tcp".to_owned())),
                    ("tcp" | "th", "sport") => Some(Field::Number(packet.from.1.into())),
                    ("tcp" | "th", "dport") => Some(Field::Number(packet.to.1.into())),
                    ("tcp", "flags") => Some(Field::Words(vec!["syn"])),
                    ("udp" | "icmp" | "icmpv6" | "sctp" | "dccp" | "udplite", _) => Some(Field::Nothing),
                    _ => None,
                }
            }
            "ct" => match what["key"].as_str()? {
                "state" => Some(Field::Words(vec![match packet.state {
                    State::New => "new",
                    State::Related => "related",
                    State::Established => "established",
                }])),
                "mark" => Some(Field::Number(packet.connection_mark.into())),
                "helper" => {
                    let helped = if packet.state == State::Related { "ftp" } else { "" };
                    Some(Field::Word(helped.to_owned()))
                }
                "direction" => Some(Field::Word("original".to_owned())),
                "status" => Some(Field::Words(Vec::new())),
                "ip saddr" | "ip6 saddr" | "saddr" => Some(Field::Address(packet.from.0)),
                "ip daddr" | "ip6 daddr" | "daddr" => Some(Field::Address(packet.to.0)),
                _ => None,
            },
            "&" => match (self.field(&what[0])?, &what[1]) {
                (Field::Number(number), mask) => Some(Field::Number(number & mask.as_u64()?)),
                (Field::Words(words), mask) => {
                    let kept = |word: &&str| match mask {
                        Value::String(one) => one == word,
                        Value::Array(several) => several.iter().any(|one| one == word),
                        _ => false,
                    };
                    Some(Field::Exactly(words.into_iter().filter(kept).collect()))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a value, range, prefix or set holds the field.
    fn fits(&self, rule: &Value, field: &Field, right: &Value) -> Option<bool> {
        if matches!(field, Field::Nothing) {
            return Some(false);
        }
        match right {
            Value::String(word) => match (word.strip_prefix('@'), field) {
                (Some(set), _) => {
                    let Some(elements) = self.rules.set(rule, set)?["elem"].as_array() else {
                        return Some(false);
                    };
                    self.any(rule, field, elements)
                }
                (None, Field::Address(ip)) => Some(word.parse() == Ok(*ip)),
                (None, Field::Word(have)) => Some(match word.strip_suffix('*') {
                    Some(head) => have.starts_with(head),
                    None => {
                        have == word || (have == "ip" && word == "ipv4") || (have == "ip6" && word == "ipv6")
                    }
                }),
                (None, Field::Words(have)) => Some(have.contains(&word.as_str())),
                (None, Field::Exactly(have)) => Some(have.as_slice() == [word.as_str()]),
                _ => None,
            },
            Value::Number(number) => match field {
                Field::Number(have) => Some(number.as_u64() == Some(*have)),
                Field::Exactly(have) => Some(number.as_u64() == Some(0) && have.is_empty()),
                _ => None,
            },
            // Bits, any of which will do.
            Value::Array(several) => match field {
                Field::Words(have) => Some(several.iter().any(|one| have.iter().any(|word| one == word))),
                Field::Exactly(have) => Some(
                    several.len() == have.len()
                        && several.iter().all(|one| have.iter().any(|word| one == word)),
                ),
                _ => self.any(rule, field, several),
            },
            Value::Object(object) => {
                let (name, what) = object.iter().next()?;
                match name.as_str() {
                    "set" => self.any(rule, field, what.as_array()?),
                    "elem" => self.fits(rule, field, &what["val"]),
                    "prefix" => match field {
                        Field::Address(ip) => {
                            let net: IpAddr = what["addr"].as_str()?.parse().ok()?;
                            Some(within(*ip, net, u8::try_from(what["len"].as_u64()?).ok()?))
                        }
                        _ => None,
                    },
                    "range" => match field {
                        Field::Number(have) => Some((what[0].as_u64()?..=what[1].as_u64()?).contains(have)),
                        Field::Address(ip) => {
                            let (low, high): (IpAddr, IpAddr) =
                                (what[0].as_str()?.parse().ok()?, what[1].as_str()?.parse().ok()?);
                            Some(low <= *ip && *ip <= high)
                        }
                        _ => None,
                    },
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn any(&self, rule: &Value, field: &Field, several: &[Value]) -> Option<bool> {
        let mut sure = true;
        for one in several {
            match self.fits(rule, field, one) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => sure = false,
            }
        }
        sure.then_some(false)
    }
}

/// A part of the packet.
enum Field {
    Number(u64),
    Address(IpAddr),
    Word(String),
    /// Bits; a condition holds if one of them is named.
    Words(Vec<&'static str>),
    /// Bits behind a mask; all of them, and no others, must be named.
    Exactly(Vec<&'static str>),
    /// The packet has no such part, so no condition on it holds.
    Nothing,
}

fn name_of(interface: &str, there: bool) -> Option<Field> {
    match (interface, there) {
        (_, false) => Some(Field::Nothing),
        ("", true) => None,
        (name, true) => Some(Field::Word(name.to_owned())),
    }
}
