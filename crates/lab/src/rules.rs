//! What each firewall is told, as an administrator writes it.

use portway_nft::DEFAULT_MARK;

use crate::cell::Cure;
use crate::network::{CLIENT_NET, GATE_AT_CLIENT, GATE_AT_SERVER, SERVER, SERVER_NET};
use crate::scenario::Scenario;

/// The FTP control port of every server here; the kernel's helper is attached to this one.
pub(crate) const CONTROL: u16 = 21;

/// The ruleset of the `index`-th firewall on the way from client to server; empty if it only routes.
pub(crate) fn between(scenario: Scenario, index: usize, cure: Cure) -> String {
    // The gate takes control connections over; none is forwarded unread.
    let control = if cure.is_ours() { "" } else { "iifname \"cli\" tcp dport 21 ct state new accept" };
    let outwards = "iifname \"cli\" ct state new accept";
    let inwards = "iifname \"srv\" ct state new accept";
    let allowed = match (scenario, index) {
        (Scenario::Open | Scenario::ClientHost | Scenario::ServerHost, _) => return String::new(),
        (Scenario::Strict | Scenario::Snat | Scenario::Dnat, _) => control.to_owned(),
        (Scenario::ClientSide, _) | (Scenario::Both, 0) => outwards.to_owned(),
        (Scenario::ServerSide | Scenario::Both, _) => format!("{inwards}\n{control}"),
    };
    let translation = match scenario {
        Scenario::Snat => format!(
            "chain translate {{ type nat hook postrouting priority srcnat; policy accept;
                 oifname \"srv\" ip saddr {}.0/24 snat ip to {}
                 oifname \"srv\" ip6 saddr {}/64 snat ip6 to {}
             }}
             {}",
            CLIENT_NET[0],
            GATE_AT_SERVER[0],
            CLIENT_NET[1],
            GATE_AT_SERVER[1],
            hidden("srv", CLIENT_NET)
        ),
        Scenario::Dnat => format!(
            "chain translate {{ type nat hook prerouting priority dstnat; policy accept;
                 iifname \"cli\" ip daddr {gate4} tcp dport {CONTROL} dnat ip to {}
                 iifname \"cli\" ip6 daddr {gate6} tcp dport {CONTROL} dnat ip6 to {}
             }}
             chain translate_out {{ type nat hook postrouting priority srcnat; policy accept;
                 oifname \"cli\" ip saddr {}.0/24 snat ip to {gate4}
                 oifname \"cli\" ip6 saddr {}/64 snat ip6 to {gate6}
             }}
             {}",
            SERVER[0],
            SERVER[1],
            SERVER_NET[0],
            SERVER_NET[1],
            hidden("cli", SERVER_NET),
            gate4 = GATE_AT_CLIENT[0],
            gate6 = GATE_AT_CLIENT[1],
        ),
        _ => String::new(),
    };
    let attach = "chain attach { type filter hook prerouting priority -150; policy accept;
                      iifname \"cli\" tcp dport 21 ct helper set \"ftp-standard\"
                  }";
    let (helper, attach) = helper(cure, attach);
    let common = common(cure);
    format!(
        "table inet firewall {{
            counter lost {{ }}
            {helper}
            {attach}
            chain forward {{ type filter hook forward priority filter; policy drop;
                {common}
                {allowed}
                {DROP}
            }}
            {translation}
        }}"
    )
}

/// Nobody on the far side has a way to a hidden network: what is sent there is lost, before any translation.
fn hidden(from: &str, network: [&str; 2]) -> String {
    format!(
        "chain hidden {{ type filter hook prerouting priority raw; policy accept;
             iifname \"{from}\" ip daddr {}.0/24 counter name \"lost\" drop
             iifname \"{from}\" ip6 daddr {}/64 counter name \"lost\" drop
         }}",
        network[0], network[1]
    )
}

/// The ruleset of the client's own machine; empty if it has no firewall.
pub(crate) fn client_host(scenario: Scenario, cure: Cure) -> String {
    if scenario != Scenario::ClientHost {
        return String::new();
    }
    let attach = "chain attach { type filter hook output priority -150; policy accept;
                      tcp dport 21 ct helper set \"ftp-standard\"
                  }";
    let (helper, attach) = helper(cure, attach);
    let common = common(cure);
    format!(
        "table inet firewall {{
            counter lost {{ }}
            {helper}
            {attach}
            chain input {{ type filter hook input priority filter; policy drop;
                iif lo accept
                {common}
                {DROP}
            }}
        }}"
    )
}

/// The ruleset of the server's own machine; empty if it has no firewall.
pub(crate) fn server_host(scenario: Scenario, cure: Cure) -> String {
    if scenario != Scenario::ServerHost {
        return String::new();
    }
    let attach = "chain attach { type filter hook prerouting priority -150; policy accept;
                      iifname \"eth0\" tcp dport 21 ct helper set \"ftp-standard\"
                  }";
    let (helper, attach) = helper(cure, attach);
    let common = common(cure);
    format!(
        "table inet firewall {{
            counter lost {{ }}
            {helper}
            {attach}
            chain input {{ type filter hook input priority filter; policy drop;
                iif lo accept
                {common}
                tcp dport {CONTROL} ct state new accept
                {DROP}
            }}
            chain output {{ type filter hook output priority filter; policy drop;
                oif lo accept
                {common}
                {DROP}
            }}
        }}"
    )
}

/// The end of each chain: connections that are lost here are counted.
const DROP: &str = "tcp flags & (syn | ack) == syn counter name \"lost\" drop";

/// The kernel's helper and the chain that attaches it to control connections. Since Linux 6.0 nothing else does.
fn helper(cure: Cure, attach: &str) -> (&'static str, &str) {
    match cure {
        Cure::KernelHelper => ("ct helper ftp-standard { type \"ftp\" protocol tcp; }", attach),
        Cure::None | Cure::Portway | Cure::Inspect => ("", ""),
    }
}

/// What every chain accepts before it looks at new connections.
fn common(cure: Cure) -> String {
    let cured = match cure {
        Cure::None => String::new(),
        Cure::KernelHelper => "ct state related ct helper \"ftp\" accept".to_owned(),
        Cure::Portway | Cure::Inspect => format!("ct mark and {DEFAULT_MARK:#x} == {DEFAULT_MARK:#x} accept"),
    };
    format!(
        "ct state established accept
         ct state invalid drop
         {cured}
         meta l4proto {{ icmp, ipv6-icmp }} accept"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_filters_drops_what_it_does_not_name() {
        for scenario in Scenario::ALL {
            for &cure in Cure::ALL {
                let gates = (0..scenario.gates()).map(|index| between(scenario, index, cure));
                let all: Vec<_> =
                    gates.chain([client_host(scenario, cure), server_host(scenario, cure)]).collect();
                let filters = all.iter().filter(|rules| rules.contains("policy drop")).count();
                let wanted = if scenario == Scenario::Open { 0 } else { scenario.gates() };
                assert_eq!(filters, wanted, "{scenario:?} {cure:?}");
                for rules in all.iter().filter(|rules| !rules.is_empty()) {
                    assert_eq!(rules.contains("helper"), cure == Cure::KernelHelper, "{rules}");
                    assert_eq!(rules.contains("ct mark"), cure.is_ours(), "{rules}");
                }
            }
        }
    }
}
