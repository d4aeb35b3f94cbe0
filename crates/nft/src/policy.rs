//! Which holes are admitted at all, whoever asks: the last check before the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::addresses::Interfaces;
use crate::key::{Key, Want};

/// Between whom holes may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// One end is this host: a server or client opens its own firewall.
    #[default]
    Host,
    /// Neither end is this host: a gate between others. A hole must never lead to the gate itself.
    Forward,
    /// Either: a gate that also watches over servers and clients of its own host.
    Both,
}

/// What is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Between whom. Default [`Reach::Host`].
    pub reach: Reach,
    /// Ports that no hole leads to, besides those below 1024. Default [`DENIED_PORTS`].
    pub denied_ports: BTreeSet<u16>,
    /// Longest lifetime. Default and upper bound 60 s.
    pub longest: Duration,
    /// Open holes between the same two hosts; IPv6 hosts of one /64 count as one. Default 128.
    pub per_pair: usize,
    /// Open holes in all. Default 4096.
    pub total: usize,
}

/// NFS, SOCKS, Oracle, MySQL, RDP, PostgreSQL, VNC, X11 (first screens), Redis, Elasticsearch, memcached, MongoDB:
/// services above 1024 that are often left without a password.
pub const DENIED_PORTS: [u16; 16] =
    [1080, 1521, 2049, 2375, 3306, 3389, 5432, 5900, 5901, 6000, 6001, 6379, 9200, 9300, 11211, 27017];

impl Default for Policy {
    fn default() -> Self {
        Self {
            reach: Reach::Host,
            denied_ports: DENIED_PORTS.into(),
            longest: LONGEST,
            per_pair: 128,
            total: 4096,
        }
    }
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Why a hole is not admitted; no retry will help, except after the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// IPv4 at one end and IPv6 at the other.
    #[error("IPv4 and IPv6 in one hole")]
    Mixed,
    /// Unspecified, multicast, broadcast: no host answers there.
    #[error("{0} is not the address of a host")]
    NotAHost(IpAddr),
    /// Loopback: what listens there is meant for this host alone.
    #[error("{0} is a loopback address")]
    Loopback(IpAddr),
    /// Ports below 1024 belong to services.
    #[error("port {0} is below 1024")]
    PrivilegedPort(u16),
    /// See [`Policy::denied_ports`].
    #[error("port {0} is on the list of denied ports")]
    DeniedPort(u16),
    /// Not 1 s to [`Policy::longest`].
    #[error("a lifetime of {asked:?} is not between 1s and {longest:?}")]
    Lifetime {
        /// What was asked for.
        asked: Duration,
        /// The limit.
        longest: Duration,
    },
    /// [`Reach::Host`], and neither end is this host.
    #[error("neither end is this host")]
    ForeignHost,
    /// [`Reach::Forward`], and one end is this host.
    #[error("{0} is the gate itself")]
    OurOwn(IpAddr),
    /// See [`Policy::per_pair`].
    #[error("{0} holes are open between these two hosts already")]
    PerPair(usize),
    /// See [`Policy::total`].
    #[error("{0} holes are open already")]
    Total(usize),
}

impl Policy {
    /// Checks what can be said about one hole without knowing the others.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn admit(&self, want: &Want, here: &Interfaces) -> Result<(), Refusal> {
        let Key { from, to } = want.key;
        let ends = [from, to.ip()];
        if from.is_ipv4() != to.is_ipv4() {
            return Err(Refusal::Mixed);
        }
        for ip in ends {
            let ip = ip.to_canonical();
            if ip.is_unspecified()
                || ip.is_multicast()
                || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
                || here.broadcast.contains(&ip)
                || is_this_network(ip)
            {
                return Err(Refusal::NotAHost(ip));
            }
            if ip.is_loopback() {
                return Err(Refusal::Loopback(ip));
            }
        }
        if to.port() < 1024 {
            return Err(Refusal::PrivilegedPort(to.port()));
        }
        if self.denied_ports.contains(&to.port()) {
            return Err(Refusal::DeniedPort(to.port()));
        }
        let longest = self.longest.min(LONGEST);
        if want.within < SHORTEST || want.within > longest {
            return Err(Refusal::Lifetime { asked: want.within, longest });
        }
        let ours = ends.into_iter().find(|ip| here.own.contains(ip));
        match (self.reach, ours) {
            (Reach::Host, None) => Err(Refusal::ForeignHost),
            (Reach::Forward, Some(ip)) => Err(Refusal::OurOwn(ip)),
            _ => Ok(()),
        }
    }
}

/// 0.0.0.0/8 means "this network" (RFC 1122 §3.2.1.3); a Linux host takes 0.x for itself in places.
fn is_this_network(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.octets().first() == Some(&0))
}

/// The two hosts of a hole, for counting; an IPv6 host is its /64, since one machine has all of that.
pub(crate) fn pair(key: &Key) -> (IpAddr, IpAddr) {
    let host = |ip: IpAddr| match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    };
    (host(key.from), host(key.to.ip()))
}

#[cfg(test)]
mod tests;
