//! iptables, as `iptables-save` prints it (iptables-extensions(8)).

use std::net::IpAddr;

use super::{Fate, Hook, Packet, Rule, State, within};

/// What becomes of a packet in the table `filter`.
pub(super) fn fate(save: &str, packet: &Packet) -> Fate {
    let filter = save.split("\n*").find_map(|table| {
        let table = table.trim_start_matches('*');
        table.strip_prefix("filter\n").or_else(|| table.split_once("\n*filter\n").map(|(_, rest)| rest))
    });
    let Some(filter) = filter.or_else(|| save.split_once("*filter\n").map(|(_, rest)| rest)) else {
        return Fate::Passes;
    };
    let lines: Vec<&str> = filter.lines().take_while(|line| *line != "COMMIT").collect();
    let chain = match packet.hook {
        Hook::Input => "INPUT",
        Hook::Forward => "FORWARD",
        Hook::Output => "OUTPUT",
    };
    let mut walk = Walk { lines: &lines, packet, maybe_accepted: false, depth: 0 };
    let dropped = match walk.chain(chain) {
        Some(End::Accept) => None,
        Some(End::Drop(text, chain)) => Some((text, chain)),
        None => {
            let policy = lines.iter().find_map(|line| line.strip_prefix(&format!(":{chain} ")));
            policy
                .filter(|policy| policy.starts_with("DROP"))
                .map(|_| ("policy DROP".to_owned(), chain.to_owned()))
        }
    };
    match dropped {
        None => Fate::Passes,
        Some(_) if walk.maybe_accepted => Fate::Unknown,
        Some((text, chain)) => Fate::Dropped(Rule {
            program: "iptables",
            family: if packet.to.0.is_ipv4() { "ip" } else { "ip6" }.to_owned(),
            table: "filter".to_owned(),
            chain,
            text,
        }),
    }
}

enum End {
    Accept,
    Drop(String, String),
}

struct Walk<'a> {
    lines: &'a [&'a str],
    packet: &'a Packet,
    maybe_accepted: bool,
    depth: usize,
}

impl Walk<'_> {
    fn chain(&mut self, name: &str) -> Option<End> {
        if self.depth > 16 {
            return None;
        }
        self.depth += 1;
        let head = format!("-A {name} ");
        let mut out = None;
        for line in self.lines {
            let Some(rule) = line.strip_prefix(&head) else { continue };
            let parsed = Parsed::read(rule, self.packet);
            match (parsed.holds, parsed.target.as_str()) {
                (Some(false), _) => {}
                (None, "ACCEPT") => self.maybe_accepted = true,
                (None, _) => {}
                (Some(true), "ACCEPT") => out = Some(End::Accept),
                (Some(true), "DROP" | "REJECT") => {
                    out = Some(End::Drop((*line).to_owned(), name.to_owned()));
                }
                (Some(true), "RETURN") => break,
                (Some(true), target) => {
                    out = self.chain(target);
                    if out.is_none() && parsed.goto {
                        break;
                    }
                }
            }
            if out.is_some() {
                break;
            }
        }
        self.depth -= 1;
        out
    }
}

/// A rule, with its conditions tried on the packet.
struct Parsed {
    /// `None`: a condition is not understood.
    holds: Option<bool>,
    target: String,
    goto: bool,
}

impl Parsed {
    fn read(rule: &str, packet: &Packet) -> Self {
        let words = words(rule);
        let mut words = words.iter().map(String::as_str);
        let mut out = Self { holds: Some(true), target: String::new(), goto: false };
        let mut not = false;
        let mut module = "";
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_default();
            let holds = match word {
                "!" => {
                    not = true;
                    continue;
                }
                "-m" => {
                    module = value();
                    continue;
                }
                "--mark" => match module {
                    "connmark" => marked(value(), packet.connection_mark),
                    "mark" => marked(value(), 0),
                    _ => None,
                },
                "-j" | "-g" => {
                    out.goto = word == "-g";
                    value().clone_into(&mut out.target);
                    // What follows belongs to the target.
                    break;
                }
                "--comment" => {
                    value();
                    continue;
                }
                "-p" => Some(matches!(value(), "tcp" | "all" | "6")),
                "-s" => network(value(), packet.from.0),
                "-d" => network(value(), packet.to.0),
                "-i" => interface(value(), &packet.iif),
                "-o" => interface(value(), &packet.oif),
                "--sport" | "--sports" | "--source-port" => ports(value(), packet.from.1),
                "--dport" | "--dports" | "--destination-port" => ports(value(), packet.to.1),
                "--ports" => {
                    let list = value();
                    match (ports(list, packet.from.1), ports(list, packet.to.1)) {
                        (Some(a), Some(b)) => Some(a || b),
                        _ => None,
                    }
                }
                "--state" | "--ctstate" => Some(value().split(',').any(|state| match packet.state {
                    State::New => state == "NEW",
                    State::Related => state == "RELATED",
                    State::Established => state == "ESTABLISHED",
                })),
                "--syn" => Some(packet.state != State::Established),
                "--tcp-flags" => {
                    let (mask, set) = (value(), value());
                    let kept = mask.split(',').any(|flag| flag == "SYN" || flag == "ALL");
                    Some(if kept { set == "SYN" } else { set == "NONE" })
                }
                "--helper" => {
                    let wanted = value();
                    Some(packet.state == State::Related && wanted.trim_matches('"') == "ftp")
                }
                _ if word.starts_with('-') => None,
                // The value of a condition that is not understood.
                _ => continue,
            };
            let holds = holds.map(|holds| holds != not);
            not = false;
            out.holds = match (out.holds, holds) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (None, _) | (_, None) => None,
                _ => Some(true),
            };
        }
        out
    }
}

/// Words, with `"quoted ones"` whole.
fn words(rule: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut any) = (false, false);
    for c in rule.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            ' ' if !quoted => {
                if any {
                    out.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        out.push(word);
    }
    out
}

/// `0x10` or `0x10/0x30`.
fn marked(text: &str, mark: u32) -> Option<bool> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    let (wanted, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    Some(mark & number(mask)? == number(wanted)?)
}

fn network(text: &str, ip: IpAddr) -> Option<bool> {
    let (net, len) = text.split_once('/').unwrap_or((text, ""));
    let net: IpAddr = net.parse().ok()?;
    let full = if net.is_ipv4() { 32 } else { 128 };
    let len = if len.is_empty() { full } else { len.parse().ok()? };
    Some(within(ip, net, len))
}

fn interface(pattern: &str, name: &str) -> Option<bool> {
    if name.is_empty() {
        return None;
    }
    Some(match pattern.strip_suffix('+') {
        Some(head) => name.starts_with(head),
        None => name == pattern,
    })
}

fn ports(list: &str, port: u16) -> Option<bool> {
    let mut any = false;
    for part in list.split(',') {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        let low: u16 = if low.is_empty() { 0 } else { low.parse().ok()? };
        let high: u16 = if high.is_empty() { u16::MAX } else { high.parse().ok()? };
        any |= (low..=high).contains(&port);
    }
    Some(any)
}
