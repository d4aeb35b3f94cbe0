//! The rules that bring packets into the queue, in a table of our own.
//!
//! Packets that were judged bear a mark behind the queue. The next chain resets what bears none: that is how a
//! connection is refused, and what happens to all of them when nobody judges, because packets pass a queue
//! without a listener unmarked. So a gate that was killed refuses at once, and lets nothing by.

use std::fmt::Write as _;

use portway_nft::{GATE_TABLE, queue_rule};

use crate::intercept::{InterceptError, TRANSLATE, nft};
use crate::{GateConfig, InspectConfig};

/// Just before the chains that know holes.
const PRIORITY: i32 = -20;

/// Puts the rules in place of whatever an earlier run has left. The helper takes them away again.
///
/// # Errors
/// [`InterceptError`]; have taken away what is there by then.
pub(crate) fn install(config: &GateConfig, own: &InspectConfig) -> Result<(), InterceptError> {
    nft(&rules(config, own.this_host))?;
    queue_rule(GATE_TABLE, "hold", own.queue).map_err(InterceptError::Netlink)
}

fn rules(config: &GateConfig, this_host: bool) -> String {
    let (mark, hole) = (config.mark, config.layout.mark);
    let rest = !mark;
    let next = PRIORITY + 1;
    let ports =
        config.ports.iter().chain(&config.implicit_ports).map(u16::to_string).collect::<Vec<_>>().join(", ");
    let [comes, goes] = ["iifname", "oifname"].map(|way| {
        let names = config.interfaces.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        if names.is_empty() { String::new() } else { format!("{way} {{ {names} }} ") }
    });
    // An answer to a SYN that nobody sent is not worth a place in the engine's table.
    format!(
        "table inet {GATE_TABLE}\ndelete table inet {GATE_TABLE}\ntable inet {GATE_TABLE} {{
{TRANSLATE}
    chain hold {{
        meta mark set meta mark and {rest:#x}
    }}
    chain judged {{
        meta mark and {mark:#x} == 0 counter reject with tcp reset
        meta mark set meta mark and {rest:#x}
        ct mark set ct mark or {hole:#x} counter
    }}
    chain before {{
        type filter hook forward priority {PRIORITY}; policy accept;
        {goes}tcp sport {{ {ports} }} tcp flags & (syn | ack) == syn | ack ct state invalid drop
        {comes}tcp dport {{ {ports} }} jump hold
        {goes}tcp sport {{ {ports} }} jump hold
    }}
    chain behind {{
        type filter hook forward priority {next}; policy accept;
        {comes}tcp dport {{ {ports} }} jump judged
        {goes}tcp sport {{ {ports} }} jump judged
    }}
{own}}}
",
        own = if this_host { on_this_host(&ports, mark) } else { String::new() }
    )
}

/// The same for what comes to this host and leaves it; what it says to itself is nobody's business. Resets that nobody
/// has judged are those of these very rules, when there is no gate.
fn on_this_host(ports: &str, mark: u32) -> String {
    let next = PRIORITY + 1;
    let mut text = String::new();
    for (hook, other) in [("input", "iif"), ("output", "oif")] {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "    chain {hook}_before {{
        type filter hook {hook} priority {PRIORITY}; policy accept;
        {other} lo accept
        tcp sport {{ {ports} }} tcp flags & (syn | ack) == syn | ack ct state invalid drop
        tcp dport {{ {ports} }} jump hold
        tcp sport {{ {ports} }} jump hold
    }}
    chain {hook}_behind {{
        type filter hook {hook} priority {next}; policy accept;
        {other} lo accept
        tcp flags & rst == rst meta mark and {mark:#x} == 0 accept
        tcp dport {{ {ports} }} jump judged
        tcp sport {{ {ports} }} jump judged
    }}
"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_judged_is_reset_before_anything_else() {
        let config =
            GateConfig { ports: vec![21, 2121], interfaces: vec!["lan0".into()], ..Default::default() };
        let text = rules(&config, false);
        let judged = text.split("chain judged {").nth(1).unwrap();
        assert!(judged.trim_start().starts_with("meta mark and 0x200000 == 0 counter reject"), "{text}");
        assert!(text.contains("iifname { \"lan0\" } tcp dport { 21, 2121 } jump hold"), "{text}");
        assert!(text.contains("oifname { \"lan0\" } tcp sport { 21, 2121 } jump judged"), "{text}");
    }
}
