//! nftables, as `nft -j list ruleset` tells it (libnftables-json(5)).

mod condition;

use serde_json::Value;

use super::{Fate, Hook, Packet, Rule};

/// What becomes of a packet in all base chains it meets.
pub(super) fn fate(json: &str, text: &str, packet: &Packet) -> Fate {
    if json.trim().is_empty() {
        return Fate::Passes;
    }
    let Ok(parsed) = serde_json::from_str::<Value>(json) else { return Fate::Unknown };
    let Some(objects) = parsed["nftables"].as_array() else { return Fate::Unknown };
    let rules = Rules { objects, text };
    let hooks: &[&str] = match packet.hook {
        Hook::Input => &["prerouting", "input"],
        Hook::Forward => &["prerouting", "forward", "postrouting"],
        Hook::Output => &["output", "postrouting"],
    };
    let mut unknown = false;
    for hook in hooks {
        let mut chains: Vec<&Value> = objects
            .iter()
            .map(|object| &object["chain"])
            .filter(|chain| chain["hook"] == **hook && chain["type"] == "filter" && for_family(chain, packet))
            .filter(|chain| !rules.is_iptables(chain))
            .collect();
        chains.sort_by_key(|chain| chain["prio"].as_i64().unwrap_or(0));
        for chain in chains {
            let mut walk = Walk { rules: &rules, packet, maybe_accepted: false, depth: 0 };
            let end = walk.chain(chain);
            let dropped = match end {
                Some(End::Accept) => None,
                Some(End::Drop(rule)) => Some(rule),
                None if chain["policy"] == "drop" => Some(rules.rule(chain, "policy drop".to_owned())),
                None => None,
            };
            match dropped {
                Some(_) if walk.maybe_accepted => unknown = true,
                Some(rule) => return Fate::Dropped(rule),
                None => {}
            }
        }
    }
    if unknown { Fate::Unknown } else { Fate::Passes }
}

pub(super) fn has_helper(json: &str) -> bool {
    let Ok(parsed) = serde_json::from_str::<Value>(json) else { return false };
    let objects = parsed["nftables"].as_array().cloned().unwrap_or_default();
    let ftp: Vec<&str> = objects
        .iter()
        .map(|object| &object["ct helper"])
        .filter(|helper| helper["type"] == "ftp")
        .filter_map(|helper| helper["name"].as_str())
        .collect();
    objects.iter().any(|object| {
        let parts = object["rule"]["expr"].as_array();
        parts.is_some_and(|parts| {
            parts.iter().any(|part| part["ct helper"].as_str().is_some_and(|name| ftp.contains(&name)))
        })
    })
}

fn for_family(chain: &Value, packet: &Packet) -> bool {
    match chain["family"].as_str() {
        Some("inet") => true,
        Some("ip") => packet.to.0.is_ipv4(),
        Some("ip6") => packet.to.0.is_ipv6(),
        _ => false,
    }
}

struct Rules<'a> {
    objects: &'a [Value],
    text: &'a str,
}

impl<'a> Rules<'a> {
    fn of_chain(&self, chain: &Value) -> impl Iterator<Item = &'a Value> {
        let key = |of: &Value, name: &str| (of["family"].clone(), of["table"].clone(), of[name].clone());
        let wanted = key(chain, "name");
        self.objects
            .iter()
            .map(|object| &object["rule"])
            .filter(move |rule| !rule.is_null() && key(rule, "chain") == wanted)
    }

    fn chain(&self, beside: &Value, name: &Value) -> Option<&'a Value> {
        let mut chains = self.objects.iter().map(|object| &object["chain"]);
        chains.find(|chain| {
            chain["family"] == beside["family"] && chain["table"] == beside["table"] && chain["name"] == *name
        })
    }

    fn set(&self, beside: &Value, name: &str) -> Option<&'a Value> {
        let mut sets = self.objects.iter().flat_map(|object| [&object["set"], &object["map"]]);
        sets.find(|set| {
            set["family"] == beside["family"] && set["table"] == beside["table"] && set["name"] == name
        })
    }

    /// Tables with extensions of iptables are told better by iptables-save.
    fn is_iptables(&self, chain: &Value) -> bool {
        self.objects.iter().map(|object| &object["rule"]).any(|rule| {
            rule["family"] == chain["family"]
                && rule["table"] == chain["table"]
                && rule["expr"].as_array().is_some_and(|parts| parts.iter().any(|part| !part["xt"].is_null()))
        })
    }

    fn rule(&self, of: &Value, text: String) -> Rule {
        let word = |name: &str| of[name].as_str().unwrap_or_default().to_owned();
        let chain = if of["chain"].is_null() { word("name") } else { word("chain") };
        Rule { program: "nftables", family: word("family"), table: word("table"), chain, text }
    }

    /// The rule as it reads in the listing with handles.
    fn wording(&self, rule: &Value) -> String {
        let Some(handle) = rule["handle"].as_u64() else { return "a rule".to_owned() };
        let (family, table) =
            (rule["family"].as_str().unwrap_or_default(), rule["table"].as_str().unwrap_or_default());
        let head = format!("table {family} {table} {{");
        let end = format!("# handle {handle}");
        let inside = self.text.lines().skip_while(|line| !line.starts_with(&head)).skip(1);
        let line = inside.take_while(|line| !line.starts_with("table ")).find(|line| line.ends_with(&end));
        line.map_or_else(
            || format!("the rule with handle {handle}"),
            |line| line.trim_end_matches(&end).trim().to_owned(),
        )
    }
}

enum End {
    Accept,
    Drop(Rule),
}

/// What a rule does after its conditions hold.
enum Step {
    Next,
    Return,
    End(End),
}

struct Walk<'a> {
    rules: &'a Rules<'a>,
    packet: &'a Packet,
    /// A rule that would have accepted had a condition that is not understood.
    maybe_accepted: bool,
    depth: usize,
}

impl Walk<'_> {
    fn chain(&mut self, chain: &Value) -> Option<End> {
        // The kernel allows no deeper nesting, and no loops.
        if self.depth > 16 {
            return None;
        }
        self.depth += 1;
        let mut out = None;
        for rule in self.rules.of_chain(chain) {
            match self.rule(rule) {
                Step::Next => {}
                Step::Return => break,
                Step::End(end) => {
                    out = Some(end);
                    break;
                }
            }
        }
        self.depth -= 1;
        out
    }

    fn rule(&mut self, rule: &Value) -> Step {
        let Some(parts) = rule["expr"].as_array() else { return Step::Next };
        let mut sure = true;
        for part in parts {
            let Some((name, what)) = part.as_object().and_then(|part| part.iter().next()) else { continue };
            let step = match name.as_str() {
                "match" => match self.holds(rule, what) {
                    Some(true) => continue,
                    Some(false) => return Step::Next,
                    None => {
                        sure = false;
                        continue;
                    }
                },
                "vmap" => match self.looked_up(rule, what) {
                    Some(verdict) => self.verdict(rule, &verdict),
                    None => continue,
                },
                "accept" | "drop" | "reject" | "jump" | "goto" | "return" => self.verdict(rule, part),
                // A program in user space decides.
                "queue" => {
                    sure = false;
                    Some(Step::End(End::Accept))
                }
                "xt" => {
                    sure = false;
                    continue;
                }
                _ => continue,
            };
            match step {
                Some(Step::End(End::Accept)) if !sure => {
                    self.maybe_accepted = true;
                    return Step::Next;
                }
                Some(_) if !sure => return Step::Next,
                Some(Step::Next) | None => {}
                Some(step) => return step,
            }
        }
        Step::Next
    }

    fn verdict(&mut self, rule: &Value, verdict: &Value) -> Option<Step> {
        let (name, what) = verdict.as_object()?.iter().next()?;
        Some(match name.as_str() {
            "accept" => Step::End(End::Accept),
            "drop" | "reject" => {
                let wording = self.rules.wording(rule);
                Step::End(End::Drop(self.rules.rule(rule, wording)))
            }
            "return" => Step::Return,
            "jump" | "goto" => {
                let chain = self.rules.chain(rule, &what["target"])?;
                match self.chain(chain) {
                    Some(end) => Step::End(end),
                    None if name == "goto" => Step::Return,
                    None => Step::Next,
                }
            }
            _ => return None,
        })
    }
}
