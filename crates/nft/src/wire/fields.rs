//! Octets of single fields: addresses, ends of holes, flows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ENDED, MAGIC};
use crate::{End, Flow};

pub(super) const fn ended(how: End) -> u8 {
    match how {
        End::Used => 1,
        End::Expired => 2,
        End::Closed => 3,
    }
}

pub(super) fn how(octet: u8) -> Option<End> {
    [End::Used, End::Expired, End::Closed].into_iter().find(|how| ended(*how) == octet)
}

pub(super) fn one_ended((id, how): &(u64, End)) -> [u8; ENDED] {
    let mut octets = [ended(*how); ENDED];
    if let Some(front) = octets.first_chunk_mut() {
        *front = id.to_be_bytes();
    }
    octets
}

pub(super) fn end(address: SocketAddr) -> Vec<u8> {
    let family = if address.is_ipv4() { 4 } else { 6 };
    [&[family][..], &wide(address.ip()), &address.port().to_be_bytes()].concat()
}

pub(super) fn flow(flow: &Flow) -> Vec<u8> {
    let (there, back) = flow.octets.unwrap_or_default();
    let mut octets = flow.id.to_be_bytes().to_vec();
    for address in [flow.from, flow.asked, flow.to] {
        octets.extend(end(address));
    }
    octets.extend(there.to_be_bytes());
    octets.extend(back.to_be_bytes());
    octets.extend([u8::from(flow.octets.is_some()), u8::from(flow.over)]);
    octets
}

pub(super) fn wide(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => {
            let mut octets = [0; 16];
            if let Some(front) = octets.first_chunk_mut() {
                *front = v4.octets();
            }
            octets
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

pub(super) fn narrow(octets: [u8; 16], family: u8) -> Option<IpAddr> {
    match family {
        4 => {
            let (front, rest) = octets.split_first_chunk::<4>()?;
            rest.iter().all(|&b| b == 0).then_some(IpAddr::V4(Ipv4Addr::from(*front)))
        }
        6 => Some(IpAddr::V6(Ipv6Addr::from(octets))),
        _ => None,
    }
}

pub(super) struct Record(pub(super) Vec<u8>);

impl Record {
    pub(super) fn new() -> Self {
        Self(MAGIC.to_vec())
    }

    pub(super) fn put(&mut self, field: &[u8]) {
        self.0.extend_from_slice(field);
    }

    pub(super) fn fill(&self, octets: &mut [u8]) {
        octets.iter_mut().zip(&self.0).for_each(|(to, from)| *to = *from);
    }
}

pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(octets: &'a [u8]) -> Option<Self> {
        octets.strip_prefix(&MAGIC).map(Fields)
    }

    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    /// An address, or `None` inside where there is none.
    #[allow(clippy::option_option)]
    pub(super) fn end(&mut self) -> Option<Option<SocketAddr>> {
        let [family] = self.take()?;
        let (ip, port) = (self.take()?, u16::from_be_bytes(self.take()?));
        if family == 0 {
            return Some(None);
        }
        Some(Some(SocketAddr::new(narrow(ip, family)?, port)))
    }

    pub(super) fn one_ended(&mut self) -> Option<(u64, End)> {
        let id = u64::from_be_bytes(self.take()?);
        let [octet] = self.take()?;
        Some((id, how(octet)?))
    }

    pub(super) fn flow(&mut self) -> Option<Flow> {
        let id = u32::from_be_bytes(self.take()?);
        let (from, asked, to) = (self.end()??, self.end()??, self.end()??);
        let (there, back) = (u64::from_be_bytes(self.take()?), u64::from_be_bytes(self.take()?));
        let [counted, over] = self.take()?;
        Some(Flow { id, from, asked, to, octets: (counted == 1).then_some((there, back)), over: over == 1 })
    }
}
