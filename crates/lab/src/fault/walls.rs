//! What the gates are told, as an administrator writes it: Debian's names for tables and chains.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::addresses::Addresses;
use super::setting::{Setting, Wall, Wire};

/// The control ports.
const CONTROL: &str = "{ 21, 990 }";
/// Answers, and errors about them.
const ANSWERS: &str = "ct state established,related accept\n";

/// The ruleset of the client's gate.
pub(super) fn near(setting: &Setting, at: &Addresses, range: &RangeInclusive<u16>) -> String {
    let before =
        if setting.wire == Wire::Forgetful { "tcp flags & syn == 0 ct state new drop\n" } else { "" };
    let translate = if setting.client_hidden {
        format!(
            "chain postrouting {{ type nat hook postrouting priority srcnat; oifname \"wan\" ip saddr {}/24 snat to {}; }}",
            at.client, at.near_out
        )
    } else {
        String::new()
    };
    table(before, setting.near, setting.helper.0.then_some("lan"), "", range) + &nat(&translate)
}

/// The ruleset of the server's gate.
pub(super) fn far(setting: &Setting, at: &Addresses, range: &RangeInclusive<u16>) -> String {
    let (low, high) = (range.start(), range.end());
    let mut before = String::new();
    match setting.wire {
        Wire::Port20 => before.push_str("tcp sport 20 drop\n"),
        // Writing to a string cannot fail.
        Wire::SynOnly => {
            let _ = writeln!(before, "iifname \"wan\" tcp dport {low}-{high} tcp flags & syn == 0 drop");
        }
        Wire::Clean | Wire::No6 | Wire::Narrow | Wire::Forgetful => {}
    }
    let after = if setting.wire == Wire::No6 { "meta nfproto ipv6 meta l4proto tcp drop\n" } else { "" };
    let translate = if setting.server_hidden {
        format!(
            "chain prerouting {{ type nat hook prerouting priority dstnat;
                 iifname \"wan\" ip daddr {public} tcp dport {{ 21, 990, {low}-{high} }} dnat to {inner}
             }}
             chain postrouting {{ type nat hook postrouting priority srcnat;
                 oifname \"wan\" ip saddr {inner} snat to {public}
             }}",
            public = at.far_out,
            inner = at.server
        )
    } else {
        String::new()
    };
    let helper = setting.helper.1.then_some("wan");
    if setting.far_iptables {
        return if translate.is_empty() { String::new() } else { nat(&translate) };
    }
    let wall = table(&before, setting.far, helper, after, range);
    let quiet = if setting.wire == Wire::Narrow { QUIET } else { "" };
    format!("{wall}{}{quiet}", nat(&translate))
}

/// The router in the middle, if it has any rule.
pub(super) fn middle(setting: &Setting) -> &'static str {
    if setting.wire == Wire::Narrow { QUIET } else { "" }
}

/// Nobody is told that a packet was too large: what many a firewall calls safety.
const QUIET: &str = "table inet silence {
    chain output { type filter hook output priority filter + 1; icmp type destination-unreachable drop; }
}
";

/// The client's own machine.
pub(super) fn own(setting: &Setting) -> String {
    if !setting.own {
        return String::new();
    }
    format!(
        "table inet filter {{
            chain input {{ type filter hook input priority filter; policy drop;
                iif lo accept
                {ANSWERS}
                meta l4proto {{ icmp, ipv6-icmp }} accept
            }}
            chain forward {{ type filter hook forward priority filter; policy drop; }}
            chain output {{ type filter hook output priority filter; policy accept; }}
        }}"
    )
}

/// For `iptables-restore`: [`Wall::Service`], the only one that is told in this language.
pub(super) fn iptables() -> String {
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
     -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
     -A FORWARD -p icmp -j ACCEPT\n\
     -A FORWARD -i lan -j ACCEPT\n\
     -A FORWARD -i wan -p tcp -m tcp --dport 21 -j ACCEPT\nCOMMIT\n"
        .to_owned()
}

fn table(before: &str, wall: Wall, helper: Option<&str>, after: &str, range: &RangeInclusive<u16>) -> String {
    let (low, high) = (*range.start(), *range.end());
    let outwards = "iifname \"lan\" accept\n";
    let service = format!("iifname \"wan\" tcp dport {CONTROL} accept\n");
    let to_range = |high: u16| format!("iifname \"wan\" tcp dport {low}-{high} accept\n");
    let allowed = match wall {
        Wall::None => String::new(),
        Wall::Outwards | Wall::OutwardsReset => outwards.to_owned(),
        Wall::RangeAlone => format!("{outwards}{}", to_range(high)),
        Wall::WellKnown => "iifname \"lan\" tcp dport { 21, 25, 53, 80, 443, 990 } accept\n\
                            iifname \"wan\" tcp sport 20 tcp dport 1024-65535 accept\n"
            .to_owned(),
        Wall::Service | Wall::ServiceReset => format!("{outwards}{service}"),
        Wall::ServiceAndRange => format!("{outwards}{service}{}", to_range(high)),
        Wall::ServiceAndHalf => format!("{outwards}{service}{}", to_range(low + (high - low) / 2)),
        Wall::ServiceOnly => format!("{service}{}", to_range(high)),
    };
    let last = match wall {
        Wall::OutwardsReset | Wall::ServiceReset => "meta l4proto tcp reject with tcp reset\n",
        _ => "",
    };
    let policy = if wall == Wall::None { "accept" } else { "drop" };
    let (object, attach) = match helper {
        None => (String::new(), String::new()),
        Some(from) => (
            "ct helper ftp-standard { type \"ftp\" protocol tcp; }".to_owned(),
            format!(
                "chain helpers {{ type filter hook prerouting priority -150;
                     iifname \"{from}\" tcp dport 21 ct helper set \"ftp-standard\"
                 }}"
            ),
        ),
    };
    format!(
        "table inet filter {{
            {object}
            {attach}
            chain input {{ type filter hook input priority filter; policy accept; }}
            chain forward {{ type filter hook forward priority filter; policy {policy};
                {before}{ANSWERS}{after}
                ct state invalid drop
                meta l4proto {{ icmp, ipv6-icmp }} accept
                {allowed}{last}
            }}
            chain output {{ type filter hook output priority filter; policy accept; }}
        }}
"
    )
}

fn nat(chains: &str) -> String {
    if chains.is_empty() { String::new() } else { format!("table inet nat {{\n{chains}\n}}\n") }
}
