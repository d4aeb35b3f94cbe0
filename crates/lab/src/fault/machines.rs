//! The machines of a set-up, wired up.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::addresses::Addresses;
use super::setting::{Naming, Setting, Wire};
use super::walls;
use crate::error::LabError;
use crate::network::{configure, filter, forward, settle, without_waiting};
use crate::program::{feed, find};
use crate::space::Host;

/// What a narrow cable takes, in octets.
const NARROW: u16 = 1280;

/// Client, its gate, a router of the internet, the server's gate, server.
pub(super) struct Machines {
    pub(super) client: Host,
    pub(super) near: Host,
    pub(super) middle: Host,
    pub(super) far: Host,
    pub(super) server: Host,
}

impl Machines {
    /// Wires them up and loads what their firewalls are told.
    pub(super) fn new(
        setting: &Setting,
        at: &Addresses,
        range: &RangeInclusive<u16>,
    ) -> Result<Self, LabError> {
        let machines = Self {
            client: Host::new()?,
            near: Host::new()?,
            middle: Host::new()?,
            far: Host::new()?,
            server: Host::new()?,
        };
        let hosts = [&machines.client, &machines.near, &machines.middle, &machines.far, &machines.server];
        for host in hosts {
            host.run(without_waiting)??;
        }
        let v6 = matches!(setting.naming, Naming::V6 | Naming::Both);
        let names = [("eth0", "lan"), ("wan", "west"), ("east", "wan"), ("lan", "eth0")];
        let ends = [
            (at.client, at.near_in),
            (at.near_out, at.middle_near),
            (at.middle_far, at.far_out),
            (at.far_in, at.server),
        ];
        let narrow = setting.wire == Wire::Narrow;
        for (index, (((left, right), (left_name, right_name)), ((left_ip, right_ip), six))) in
            hosts.iter().zip(hosts.iter().skip(1)).zip(names).zip(ends.into_iter().zip(at.v6)).enumerate()
        {
            let mtu = if narrow && index == 2 { NARROW } else { 1500 };
            // If both ends of a cable happen to have one number, the kernel takes a second to see the carrier.
            let number = 10 + index;
            let up = |name: &str, ip, six| {
                let six = if v6 { format!("addr add {six}/64 dev {name} nodad\n") } else { String::new() };
                format!(
                    "link set lo up\naddr add {ip}/24 dev {name}\n{six}link set {name} mtu {mtu}\nlink set {name} up\n"
                )
            };
            let cable = format!(
                "link add {left_name} index {number} type veth peer name {right_name} netns {}\n",
                right.thread()
            );
            configure(left, cable + &up(left_name, left_ip, six[0]))?;
            configure(right, up(right_name, right_ip, six[1]))?;
        }
        routes(&machines, setting, at, v6)?;
        for gate in [&machines.near, &machines.middle, &machines.far] {
            gate.run(forward)??;
        }
        settle(hosts)?;
        filter(&machines.client, walls::own(setting))?;
        filter(&machines.near, walls::near(setting, at, range))?;
        filter(&machines.middle, walls::middle(setting).to_owned())?;
        filter(&machines.far, walls::far(setting, at, range))?;
        if setting.far_iptables {
            machines
                .far
                .run(|| feed("iptables-restore", &mut find("iptables-restore")?, &walls::iptables()))??;
        }
        if setting.wire == Wire::Forgetful {
            machines.near.run(forgetful)??;
        }
        Ok(machines)
    }
}

fn routes(machines: &Machines, setting: &Setting, at: &Addresses, v6: bool) -> Result<(), LabError> {
    let mut lines = [const { String::new() }; 5];
    let [client, near, middle, far, server] = &mut lines;
    let add = |who: &mut String, what: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(who, "route add {what}");
    };
    add(client, format!("default via {}", at.near_in));
    add(near, format!("default via {}", at.middle_near));
    add(far, format!("default via {}", at.middle_far));
    add(server, format!("default via {}", at.far_in));
    // What leads nowhere is lost without a word, as on the internet.
    add(middle, "blackhole default".to_owned());
    if !setting.client_hidden {
        let [a, b, c, _] = at.client.octets();
        add(middle, format!("{a}.{b}.{c}.0/24 via {}", at.near_out));
    }
    if !setting.server_hidden {
        let [a, b, c, _] = at.server.octets();
        add(middle, format!("{a}.{b}.{c}.0/24 via {}", at.far_out));
    }
    if v6 {
        let [one, two, three, four] = at.v6;
        let network = |[mut ip, _]: [std::net::Ipv6Addr; 2]| {
            ip = std::net::Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64);
            format!("{ip}/64")
        };
        add(client, format!("default via {}", one[1]));
        add(near, format!("default via {}", two[1]));
        add(middle, format!("{} via {}", network(one), two[0]));
        add(middle, format!("{} via {}", network(four), three[1]));
        add(far, format!("default via {}", three[0]));
        add(server, format!("default via {}", four[0]));
    }
    let hosts = [&machines.client, &machines.near, &machines.middle, &machines.far, &machines.server];
    for (host, lines) in hosts.into_iter().zip(lines) {
        configure(host, lines)?;
    }
    Ok(())
}

/// A NAT that saves memory.
fn forgetful() -> Result<(), LabError> {
    for (name, value) in [("nf_conntrack_tcp_timeout_established", "2"), ("nf_conntrack_tcp_loose", "0")] {
        std::fs::write(format!("/proc/sys/net/netfilter/{name}"), value)
            .map_err(LabError::system("the gate's memory cannot be shortened"))?;
    }
    Ok(())
}
