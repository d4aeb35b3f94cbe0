//! Rules for packet filters.
//!
//! In nftables an `accept` ends one base chain, and the next one at the same hook may still drop. So a rule goes
//! to the head of every filter chain that is there, whatever their names.

use std::net::IpAddr;

use super::{Cure, Facts, Kind, Place, Program, family};
use crate::{Bulk, Family, firewall::Fate};

/// A hook of the packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Forward,
    Input,
    Output,
}

impl Hook {
    const fn nft(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Input => "input",
            Self::Output => "output",
        }
    }

    const fn iptables(self) -> &'static str {
        match self {
            Self::Forward => "FORWARD",
            Self::Input => "INPUT",
            Self::Output => "OUTPUT",
        }
    }
}

/// New TCP connections of one kind.
#[derive(Clone, Debug)]
pub(super) struct Match {
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    ports: String,
}

impl Match {
    pub(super) fn to(ip: Option<IpAddr>, ports: impl Into<String>) -> Self {
        Self { from: None, to: ip, ports: ports.into() }
    }

    pub(super) fn from(ip: Option<IpAddr>, ports: impl Into<String>) -> Self {
        Self { from: ip, to: None, ports: ports.into() }
    }

    fn family(&self) -> Option<Family> {
        self.from.or(self.to).map(Family::of)
    }

    fn nft(&self) -> String {
        let ip = |ip: IpAddr| if ip.is_ipv4() { "ip" } else { "ip6" };
        // The address before translation is the one that was seen from here.
        let from = self.from.map(|a| format!("ct original {} saddr {a} ", ip(a))).unwrap_or_default();
        let to = self.to.map(|a| format!("ct original {} daddr {a} ", ip(a))).unwrap_or_default();
        let ports = match self.ports.contains(',') {
            true => format!("{{ {} }}", self.ports.replace(',', ", ")),
            false => self.ports.clone(),
        };
        format!("{from}{to}tcp dport {ports} ct state new accept")
    }

    fn iptables(&self) -> String {
        let from = self.from.map(|a| format!("-m conntrack --ctorigsrc {a} ")).unwrap_or_default();
        let to = self.to.map(|a| format!("-m conntrack --ctorigdst {a} ")).unwrap_or_default();
        let ports = self.ports.replace('-', ":");
        let word = if ports.contains(',') { "-m multiport --dports" } else { "--dport" };
        format!("-p tcp {word} {ports} {from}{to}-j ACCEPT")
    }
}

/// The nftables line that puts a rule at the head of every filter chain of these hooks.
pub(super) fn insert(hooks: &[Hook], family: Option<Family>, rule: &str) -> String {
    let hooks = hooks.iter().map(|hook| hook.nft()).collect::<Vec<_>>().join("|");
    let families = match family {
        Some(Family::Ipv4) => r#"f=="inet"||f=="ip""#,
        Some(Family::Ipv6) => r#"f=="inet"||f=="ip6""#,
        None => r#"f=="inet"||f=="ip"||f=="ip6""#,
    };
    format!(
        "nft list chains | awk '$1==\"table\"{{f=$2;t=$3}} $1==\"chain\"{{c=$2}} \
         /type filter hook ({hooks}) /&&({families})&&t!~/^portway(_gate)?$/{{print f,t,c}}' | \
         while read -r f t c; do nft insert rule $f $t $c '{rule}'; done"
    )
}

fn nft(place: Place, text: impl Into<String>) -> Cure {
    Cure::new(place, Program::Nftables, Kind::Command, text)
}

fn iptables(place: Place, text: impl Into<String>) -> Cure {
    Cure::new(place, Program::Iptables, Kind::Command, text)
}

/// The iptables lines for some hooks.
fn iptables_lines(hooks: &[Hook], family: Option<Family>, rule: &str) -> String {
    let programs: &[&str] = match family {
        Some(Family::Ipv4) => &["iptables"],
        Some(Family::Ipv6) => &["ip6tables"],
        None => &["iptables", "ip6tables"],
    };
    let mut lines = Vec::new();
    for program in programs {
        lines.extend(hooks.iter().map(|hook| format!("{program} -I {} {rule}", hook.iptables())));
    }
    lines.join("\n")
}

/// Lets new connections of one kind through.
pub(super) fn accept(place: Place, hooks: &[Hook], what: &Match) -> Vec<Cure> {
    vec![
        nft(place, insert(hooks, what.family(), &what.nft())),
        iptables(place, iptables_lines(hooks, what.family(), &what.iptables())),
    ]
}

/// Lets a passive range in: by nftables and iptables on the way, and on the server's own machine.
pub(super) fn open_range(place: Place) -> Vec<Cure> {
    accept(place, &[Hook::Forward, Hook::Input], &Match::to(None, "<LOW>-<HIGH>"))
}

/// The same for firewalls that are told what is to come in, not how.
pub(super) fn everywhere(place: Place, ports: &str) -> Vec<Cure> {
    let colon = ports.replace('-', ":");
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let what = Match::to(None, ports);
    let command = |program, text: String| Cure::new(place, program, Kind::Command, text);
    let windows = if first == last { first.to_owned() } else { format!("{first}-{last}") };
    vec![
        nft(place, insert(&[Hook::Input], None, &what.nft())),
        iptables(place, iptables_lines(&[Hook::Input], None, &what.iptables())),
        command(Program::Ufw, format!("ufw allow {colon}/tcp")),
        command(
            Program::Firewalld,
            format!("firewall-cmd --permanent --add-port={ports}/tcp && firewall-cmd --reload"),
        ),
        command(
            Program::WindowsDefender,
            format!(
                "New-NetFirewallRule -DisplayName \"FTP {windows}\" -Direction Inbound -Protocol TCP -LocalPort {windows} -Action Allow"
            ),
        ),
    ]
}

/// Attaches the kernel's helper, which reads plain control channels.
pub(super) fn helper(place: Place, control: u16) -> Vec<Cure> {
    let mut text = String::from(
        "nft add table inet portway_helper\n\
         nft add ct helper inet portway_helper ftp-standard '{ type \"ftp\" protocol tcp; }'\n",
    );
    for hook in ["prerouting", "output"] {
        text.push_str(&format!(
            "nft add chain inet portway_helper {hook} '{{ type filter hook {hook} priority -150; }}'\n\
             nft add rule inet portway_helper {hook} tcp dport {control} ct helper set ftp-standard\n"
        ));
    }
    text.push_str(&insert(&[Hook::Forward, Hook::Input], None, "ct state related ct helper \"ftp\" accept"));
    let old = format!(
        "modprobe nf_conntrack_ftp\n\
         iptables -t raw -I PREROUTING -p tcp --dport {control} -j CT --helper ftp\n\
         iptables -t raw -I OUTPUT -p tcp --dport {control} -j CT --helper ftp\n{}",
        iptables_lines(
            &[Hook::Forward, Hook::Input],
            Some(Family::Ipv4),
            "-m conntrack --ctstate RELATED -m helper --helper ftp -j ACCEPT"
        )
    );
    vec![nft(place, text), iptables(place, old)]
}

/// Takes FTP helpers away.
pub(super) fn no_helper(place: Place) -> Vec<Cure> {
    let text = "nft -a list ruleset | awk '$1==\"table\"{f=$2;t=$3} $1==\"chain\"{c=$2} /ct helper set/{print f,t,c,$NF}' | \
                while read -r f t c h; do nft delete rule $f $t $c handle $h; done";
    let old = "iptables-save -t raw | sed -n 's/^-A \\(.*--helper ftp.*\\)$/\\1/p' | \
               while read -r rule; do iptables -t raw -D $rule; done";
    vec![nft(place, text), iptables(place, old), router(place)]
}

fn router(place: Place) -> Cure {
    Cure::new(
        place,
        Program::Router,
        Kind::Settings,
        "switch \"FTP ALG\", \"FTP helper\", \"FTP inspection\" or \"fixup protocol ftp\" off",
    )
}

pub(super) fn no_inspection() -> Vec<Cure> {
    vec![router(Place::ClientFirewall), router(Place::ServerFirewall)]
}

/// Has TLS pass as it is.
pub(super) fn no_tls_inspection(facts: &Facts<'_>) -> Vec<Cure> {
    let server = facts.server.map_or_else(|| facts.seen.host.clone(), |ip| ip.to_string());
    let text = format!(
        "exempt {server} port {} from \"TLS inspection\", \"SSL inspection\" or \"deep inspection\"",
        facts.control
    );
    [Place::ClientFirewall, Place::ServerFirewall]
        .map(|place| Cure::new(place, Program::Router, Kind::Settings, text.clone()))
        .into()
}

/// Lets port 20 pass, both ways.
pub(super) fn port_20(place: Place) -> Vec<Cure> {
    let hooks = &[Hook::Forward, Hook::Input, Hook::Output];
    let lines = |rule: &str| insert(hooks, None, rule);
    let old = |rule: &str| iptables_lines(hooks, None, rule);
    vec![
        nft(place, format!("{}\n{}", lines("tcp sport 20 accept"), lines("tcp dport 20 accept"))),
        iptables(
            place,
            format!("{}\n{}", old("-p tcp --sport 20 -j ACCEPT"), old("-p tcp --dport 20 -j ACCEPT")),
        ),
    ]
}

/// Lets whatever belongs to the passive range pass, not only its beginning.
pub(super) fn established(place: Place) -> Vec<Cure> {
    let hooks = &[Hook::Forward, Hook::Input, Hook::Output];
    vec![
        nft(place, insert(hooks, None, "ct state established,related accept")),
        iptables(place, iptables_lines(hooks, None, "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")),
    ]
}

/// Forwards the passive range through the NAT before the server.
pub(super) fn forward_passive(facts: &Facts<'_>) -> Vec<Cure> {
    let Some(server) = facts.server else { return Vec::new() };
    let (word, old) = if server.is_ipv4() { ("ip", "iptables") } else { ("ip6", "ip6tables") };
    let text = format!(
        "nft add table inet portway_forward\n\
         nft add chain inet portway_forward prerouting '{{ type nat hook prerouting priority dstnat; }}'\n\
         nft add rule inet portway_forward prerouting {word} daddr {server} tcp dport <LOW>-<HIGH> dnat {word} to <INNER ADDRESS>\n\
         {}",
        insert(
            &[Hook::Forward],
            Some(family(facts.server)),
            &format!("{word} daddr <INNER ADDRESS> tcp dport <LOW>-<HIGH> accept")
        )
    );
    let lines = format!(
        "{old} -t nat -I PREROUTING -d {server} -p tcp --dport <LOW>:<HIGH> -j DNAT --to-destination <INNER ADDRESS>\n\
         {old} -I FORWARD -d <INNER ADDRESS> -p tcp --dport <LOW>:<HIGH> -j ACCEPT"
    );
    vec![nft(Place::ServerNat, text), iptables(Place::ServerNat, lines)]
}

/// Admits what comes through a hole of portway's: another table's drop overrules its accept.
pub(super) fn admit_mark(hooks: &[Hook]) -> String {
    insert(hooks, None, "ct mark and 0x00100000 == 0x00100000 accept")
}

/// Keeps segments small enough.
pub(super) fn mss(facts: &Facts<'_>) -> Vec<Cure> {
    let size = match facts.seen.bulk {
        Some(Bulk::Stalled { works_with_mss: Some(mss), .. }) => mss,
        _ => 1200,
    };
    let text = |hooks: &[&str]| {
        let mut lines = vec!["nft add table inet portway_mss".to_owned()];
        for hook in hooks {
            lines.push(format!(
                "nft add chain inet portway_mss {hook} '{{ type filter hook {hook} priority mangle; }}'"
            ));
            lines.push(format!(
                "nft add rule inet portway_mss {hook} tcp flags syn / syn,rst tcp option maxseg size set {size}"
            ));
        }
        lines.join("\n")
    };
    let old = |chains: &[&str]| {
        let rule = format!("-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {size}");
        let lines = chains.iter().flat_map(|chain| {
            ["iptables", "ip6tables"].map(|program| format!("{program} -t mangle -I {chain} {rule}"))
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let mut cures = Vec::new();
    for place in [Place::ClientFirewall, Place::ServerFirewall] {
        cures.push(nft(place, text(&["forward"])));
        cures.push(iptables(place, old(&["FORWARD"])));
    }
    cures.push(nft(Place::Client, text(&["input", "output"])));
    cures.push(iptables(Place::Client, old(&["OUTPUT"])));
    cures
}

/// Makes connections live longer than a silence.
pub(super) fn idle(facts: &Facts<'_>) -> Vec<Cure> {
    // The default of the kernel: five days.
    let text = "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=432000";
    let mut cures: Vec<Cure> =
        [Place::ClientNat, Place::ClientFirewall, Place::ServerNat, Place::ServerFirewall]
            .map(|place| Cure::new(place, Program::Kernel, Kind::Command, text))
            .into();
    let local = facts.seen.local_rules.as_ref().is_some_and(|r| matches!(r.passive, Fate::Passes));
    if !local {
        cures.push(Cure::new(Place::Client, Program::Kernel, Kind::Command, text));
    }
    cures.push(Cure::new(Place::Client, Program::Portway, Kind::Option, "--keep-alive 1s"));
    cures.push(Cure::new(Place::Client, Program::Curl, Kind::Option, "--keepalive-time 1"));
    cures
}
