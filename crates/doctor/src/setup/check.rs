//! What is looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Machine, Paper, Remark, SetUp, Weight};
use crate::cures::{self, Cure, Kind, Place};
use crate::firewall::{Fate, Hook, Packet, Ruleset, State};
use crate::{Culprit, Evidence, Greeting, Reach, Road, Software};
use Weight::{Doubt, Good, Wrong};

pub(super) fn check(setup: &SetUp, machine: &Machine) -> Vec<Remark> {
    let mut out = vec![control(setup, machine), range(setup, machine), announced(setup, machine)];
    out.extend(clashes(setup, machine));
    out.extend(limits(setup, machine));
    out.extend(certificate(setup, machine));
    out.extend(helper(setup, machine));
    out
}

fn remark(what: &'static str, weight: Weight, sentence: impl Into<String>) -> Remark {
    Remark { what, weight, sentence: sentence.into(), culprit: None, cures: Vec::new() }
}

impl Remark {
    fn blame(mut self, culprit: Culprit, cures: Vec<Cure>) -> Self {
        self.culprit = Some(culprit);
        self.cures = cures;
        self
    }
}

/// The connection mark of what came through a hole of portway's.
const HOLE: u32 = 0x0010_0000;
/// Somebody on the other side of the world.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77));

const STRANGER_BY_SIX: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77));

/// What the local rules do to a stranger's connection to a port here.
fn from_outside(rules: &Ruleset, machine: &Machine, setup: &SetUp, port: u16, connection_mark: u32) -> Fate {
    let ours = |ip: &IpAddr| ip.is_ipv4() && !ip.is_loopback();
    let own = machine.addresses.iter().filter(|(_, ip)| ours(ip));
    let chosen = setup.listen.iter().find(|ip| ours(ip));
    let home = own
        .clone()
        .find(|(_, ip)| chosen.is_none_or(|chosen| chosen == ip))
        .map(|(name, ip)| (name.clone(), *ip));
    let (name, ip) = home.unwrap_or_else(|| ("?".to_owned(), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
    rules.fate(&Packet {
        hook: Hook::Input,
        iif: name,
        oif: String::new(),
        from: (STRANGER, 50_123),
        to: (ip, port),
        state: State::New,
        connection_mark,
    })
}

/// Cures as for a client, with what is known here filled in.
fn cures(culprit: Culprit, setup: &SetUp, machine: &Machine) -> Vec<Cure> {
    let home = machine.addresses.iter().find(|(_, ip)| ip.is_ipv4() && !ip.is_loopback());
    let seen = Evidence {
        port: setup.port,
        software: setup.software,
        tls: if setup.tls { crate::Tls::Works } else { crate::Tls::NotOffered },
        roads: home
            .map(|(_, ip)| Road {
                to: (*ip, setup.port).into(),
                reach: Reach::Open,
                round_trip: None,
                greeting: Greeting::Ready,
            })
            .into_iter()
            .collect(),
        ..Evidence::default()
    };
    let here = |cure: &Cure| cure.place == Place::Server && cure.kind != Kind::Option;
    let range = setup.range.clone();
    cures::of(culprit, &seen)
        .into_iter()
        .filter(here)
        .map(|mut cure| {
            // A range that is too small is not cured by itself.
            if let Some(range) = range.as_ref().filter(|_| culprit != Culprit::PassiveRangeExhausted) {
                cure.text = cure
                    .text
                    .replace("<LOW>", &range.start().to_string())
                    .replace("<HIGH>", &range.end().to_string());
            }
            cure
        })
        .collect()
}

fn control(setup: &SetUp, machine: &Machine) -> Remark {
    let port = setup.port;
    if let Some(Fate::Dropped(rule)) =
        machine.rules.as_ref().map(|rules| from_outside(rules, machine, setup, port, 0))
    {
        return remark(
            "control_port",
            Wrong,
            format!("This machine's firewall drops the control port {port}: {rule}"),
        )
        .blame(Culprit::ServerFiltered, cures(Culprit::ServerFiltered, setup, machine));
    }
    if !machine.listening.contains(&port) {
        let sentence = format!("Nobody listens on the control port {port} now: the server does not run.");
        return remark("control_port", Doubt, sentence)
            .blame(Culprit::ServerDown, cures(Culprit::ServerDown, setup, machine));
    }
    remark("control_port", Good, format!("The control port {port} is open."))
}

fn range(setup: &SetUp, machine: &Machine) -> Remark {
    if !setup.passive {
        return remark(
            "passive_range",
            Doubt,
            "Passive mode is off: clients behind NAT or a firewall have no other.",
        );
    }
    let Some(range) = &setup.range else {
        let sentence = "No passive range is set: the server takes any port, which no firewall can let in.";
        let weight = if setup.software == Software::Portway { Good } else { Doubt };
        let blame = cures(Culprit::ServerFirewallBlocksPassive, setup, machine);
        return match weight {
            Good => remark(
                "passive_range",
                Good,
                "The passive range is chosen by portway, outside of what the system gives away.",
            ),
            _ => remark("passive_range", Doubt, sentence).blame(Culprit::ServerFirewallBlocksPassive, blame),
        };
    };
    let (low, high) = (*range.start(), *range.end());
    if low > high {
        return remark(
            "passive_range",
            Wrong,
            format!("The passive range {low}-{high} is empty: its first port is above its last."),
        );
    }
    if setup.opens_firewall {
        let fate = machine.rules.as_ref().map(|rules| from_outside(rules, machine, setup, low, HOLE));
        if let Some(Fate::Dropped(rule)) = fate {
            return remark(
                "passive_range",
                Wrong,
                format!(
                    "The passive ports {low}-{high} are opened one by one (pinholes), and this machine's own firewall \
                     drops them all the same, since it does not accept the mark of holes: {rule}"
                ),
            )
            .blame(Culprit::ServerFirewallBlocksPassive, cures::admit_holes());
        }
        return remark(
            "passive_range",
            Good,
            format!("The passive ports {low}-{high} are opened one by one (pinholes)."),
        );
    }
    let Some(rules) = &machine.rules else {
        return remark(
            "passive_range",
            Doubt,
            format!("The passive range is {low}-{high}; the firewall could not be read (needs root)."),
        );
    };
    // Rules name whole ranges: the ends, the middle and what is beside it tell.
    let middle = low + (high - low) / 2;
    let third = low + (high - low) / 3;
    let mut shut = Vec::new();
    let mut open = 0;
    for port in [low, third, middle, high] {
        match from_outside(rules, machine, setup, port, 0) {
            Fate::Dropped(rule) => shut.push((port, rule)),
            _ => open += 1,
        }
    }
    match shut.first() {
        None => by_six(rules, machine, setup, (low, high)),
        Some((_, rule)) if open == 0 => remark(
            "passive_range",
            Wrong,
            format!("This machine's firewall drops the passive range {low}-{high}: {rule}"),
        )
        .blame(Culprit::ServerFirewallBlocksPassive, cures(Culprit::ServerFirewallBlocksPassive, setup, machine)),
        Some((port, rule)) => remark(
            "passive_range",
            Wrong,
            format!("This machine's firewall drops a part of the passive range {low}-{high}, port {port} for one: {rule}"),
        )
        .blame(Culprit::PassiveRangePartlyClosed, cures(Culprit::PassiveRangePartlyClosed, setup, machine)),
    }
}

/// The range is open by IPv4. A firewall that admits the control port by IPv6 is to admit the range, too.
fn by_six(rules: &Ruleset, machine: &Machine, setup: &SetUp, (low, high): (u16, u16)) -> Remark {
    let own = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if !ip.is_loopback() && !ip.is_unicast_link_local());
    let served = setup.listen.is_empty() || setup.listen.iter().any(own);
    let fate = |port: u16| {
        let (name, ip) = machine.addresses.iter().find(|(_, ip)| own(ip) && served)?;
        Some(rules.fate(&Packet {
            hook: Hook::Input,
            iif: name.clone(),
            oif: String::new(),
            from: (STRANGER_BY_SIX, 50_123),
            to: (*ip, port),
            state: State::New,
            connection_mark: 0,
        }))
    };
    match (fate(setup.port), fate(low), fate(high)) {
        (Some(Fate::Passes), Some(Fate::Dropped(rule)), Some(Fate::Dropped(_))) => remark(
            "passive_range",
            Doubt,
            format!(
                "The passive range {low}-{high} is open in this machine's firewall by IPv4, and dropped by IPv6, whose \
                 control port is open: {rule}"
            ),
        )
        .blame(Culprit::ServerFirewallBlocksPassive, cures(Culprit::ServerFirewallBlocksPassive, setup, machine)),
        _ => remark(
            "passive_range",
            Good,
            format!("The passive range {low}-{high} is open in this machine's firewall."),
        ),
    }
}

fn announced(setup: &SetUp, machine: &Machine) -> Remark {
    let own = |ip: &IpAddr| machine.addresses.iter().any(|(_, own)| own == ip);
    let what = "announced_address";
    if let Some(text) = &setup.announce {
        return match text.parse::<IpAddr>() {
            Err(_) => remark(
                what,
                Doubt,
                format!("227 names {text}, whatever address that name has when the server starts."),
            ),
            Ok(ip) if own(&ip) => remark(what, Good, format!("227 names {ip}, an address of this machine.")),
            Ok(ip) if crate::judge::is_private(ip) => remark(
                what,
                Wrong,
                format!(
                    "227 names {ip}, which is private and no address of this machine: no client gets there."
                ),
            )
            .blame(Culprit::WrongPassiveAddress, cures(Culprit::WrongPassiveAddress, setup, machine)),
            Ok(ip) => remark(
                what,
                Good,
                format!("227 names {ip}; a NAT must forward the passive range from there to this machine."),
            ),
        };
    }
    let chosen: Vec<IpAddr> = if setup.listen.iter().any(|ip| !ip.is_unspecified()) {
        setup.listen.clone()
    } else {
        machine.addresses.iter().map(|(_, ip)| *ip).filter(|ip| !ip.is_loopback()).collect()
    };
    let v4: Vec<IpAddr> = chosen.into_iter().filter(IpAddr::is_ipv4).collect();
    let public = v4.iter().any(|ip| !crate::judge::is_private(*ip));
    if public || v4.is_empty() {
        return remark(what, Good, "227 names the address that the client came to.");
    }
    let list = v4.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    let sentence = format!(
        "All addresses of this machine are private ({list}), and no public address is set: clients from outside, behind NAT, get a 227 that leads nowhere."
    );
    let mut cures = cures(Culprit::ServerNatPrivateAddress, setup, machine);
    // The address of this machine is just what should not be announced.
    for cure in &mut cures {
        for ip in &v4 {
            cure.text = cure.text.replace(&ip.to_string(), "<PUBLIC ADDRESS>");
        }
    }
    remark(what, Doubt, sentence).blame(Culprit::ServerNatPrivateAddress, cures)
}

fn clashes(setup: &SetUp, machine: &Machine) -> Vec<Remark> {
    let mut out = Vec::new();
    let Some(range) = &setup.range else { return out };
    let taken: Vec<u16> = machine.listening.iter().copied().filter(|port| range.contains(port)).collect();
    if !taken.is_empty() {
        let list = taken.iter().take(8).map(u16::to_string).collect::<Vec<_>>().join(", ");
        out.push(remark("port_clash", Doubt, format!("Somebody listens inside the passive range now: {list}. If that is not the server itself, transfers get lost there.")));
    }
    if let Some(ephemeral) = &machine.ephemeral
        && range.start() <= ephemeral.end()
        && ephemeral.start() <= range.end()
    {
        out.push(remark(
            "port_clash",
            Doubt,
            format!(
                "The passive range {}-{} overlaps the ports that the system gives to outgoing connections ({}-{}): now and then a port is taken.",
                range.start(), range.end(), ephemeral.start(), ephemeral.end()
            ),
        ));
    }
    out
}

fn limits(setup: &SetUp, machine: &Machine) -> Vec<Remark> {
    let mut out = Vec::new();
    // portway shares one port among any number of sessions.
    if let (Some(range), Some(sessions)) = (&setup.range, setup.sessions)
        && setup.software != Software::Portway
    {
        let ports = range.len();
        if ports < sessions as usize {
            let sentence = format!(
                "{sessions} sessions are allowed, and the passive range has {ports} ports: under load there is none left."
            );
            out.push(remark("limits", Doubt, sentence).blame(
                Culprit::PassiveRangeExhausted,
                cures(Culprit::PassiveRangeExhausted, setup, machine),
            ));
        }
    }
    if let (Some(descriptors), Some(sessions)) = (machine.descriptors, setup.sessions)
        && setup.software == Software::Portway
        && descriptors < u64::from(sessions) * 3
    {
        out.push(remark(
            "limits",
            Doubt,
            format!("{sessions} sessions are allowed and may need {} descriptors; a process here may have {descriptors} (ulimit -Hn).", u64::from(sessions) * 3),
        ));
    }
    out
}

fn certificate(setup: &SetUp, machine: &Machine) -> Vec<Remark> {
    if !setup.tls {
        return vec![remark("tls", Doubt, "TLS is off: passwords and files go in the clear.")];
    }
    let what = "certificate";
    let named = || setup.certificate.as_ref().map_or_else(String::new, |path| format!(" {}", path.display()));
    vec![match &machine.certificate {
        None => remark(
            what,
            Doubt,
            "No certificate is named; the server makes one of its own, which clients must be told to trust.",
        ),
        Some(Paper::Unreadable(why)) => {
            remark(what, Wrong, format!("The certificate{} cannot be used: {why}", named()))
        }
        Some(Paper::Read { days, .. }) if *days < 0 => {
            remark(what, Wrong, format!("The certificate{} expired {} days ago.", named(), -days))
                .blame(Culprit::CertificateExpired, cures(Culprit::CertificateExpired, setup, machine))
        }
        Some(Paper::Read { days, .. }) if *days < 14 => {
            remark(what, Doubt, format!("The certificate{} expires in {days} days.", named()))
                .blame(Culprit::CertificateExpired, cures(Culprit::CertificateExpired, setup, machine))
        }
        Some(Paper::Read { names, self_signed: true, .. }) => remark(
            what,
            Doubt,
            format!(
                "The certificate{} is self-signed (for {}): clients must be told to trust it.",
                named(),
                names.join(", ")
            ),
        )
        .blame(Culprit::CertificateUntrusted, cures(Culprit::CertificateUntrusted, setup, machine)),
        Some(Paper::Read { names, .. }) if names.is_empty() => {
            remark(what, Wrong, format!("The certificate{} is for no name at all.", named()))
                .blame(Culprit::CertificateWrongName, cures(Culprit::CertificateWrongName, setup, machine))
        }
        Some(Paper::Read { names, days, .. }) => remark(
            what,
            Good,
            format!("The certificate{} is for {} and valid for {days} days.", named(), names.join(", ")),
        ),
    }]
}

fn helper(setup: &SetUp, machine: &Machine) -> Option<Remark> {
    let helped = machine.rules.as_ref()?.has_helper();
    if !helped {
        return None;
    }
    let what = "conntrack_helper";
    Some(match (setup.tls, setup.range.is_some() || setup.opens_firewall) {
        (true, false) => remark(
            what,
            Wrong,
            "The kernel's FTP helper opens the firewall for what it can read, and under TLS it can read nothing: FTPS clients hang.",
        )
        .blame(Culprit::FtpHelperBlindUnderTls, cures(Culprit::ServerFirewallBlocksPassive, setup, machine)),
        (true, true) => remark(what, Good, "The kernel's FTP helper is attached; under TLS it sees nothing, and the passive range does not need it."),
        (false, _) => remark(what, Good, "The kernel's FTP helper is attached and reads the control channel."),
    })
}
