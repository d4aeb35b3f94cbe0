//! The addresses of a set-up: other ones each time, so that nothing is known by its address.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr};

/// First octets of networks that are in use on the internet.
const PUBLIC: [u8; 16] = [23, 37, 45, 62, 77, 81, 89, 93, 109, 141, 151, 178, 185, 193, 203, 212];

/// Every address on the way from the client to the server.
///
/// ```text
/// client -- near_in [gate] near_out -- middle_near [router] middle_far -- far_out [gate] far_in -- server
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) client: Ipv4Addr,
    pub(super) near_in: Ipv4Addr,
    pub(super) near_out: Ipv4Addr,
    pub(super) middle_near: Ipv4Addr,
    pub(super) middle_far: Ipv4Addr,
    pub(super) far_out: Ipv4Addr,
    pub(super) far_in: Ipv4Addr,
    pub(super) server: Ipv4Addr,
    /// Nobody has it.
    pub(super) nobody: Ipv4Addr,
    /// The same cables in IPv6, in the same order, two ends each.
    pub(super) v6: [[Ipv6Addr; 2]; 4],
}

impl Addresses {
    /// Draws them; a hidden side has private ones.
    pub(super) fn draw(hidden_client: bool, hidden_server: bool) -> Self {
        let first = number(PUBLIC.len());
        // Steps of 3 among 16 never meet within five.
        let public = |index: usize| {
            let first = PUBLIC.get((first + 3 * index) % PUBLIC.len()).copied().unwrap_or(212);
            [first, octet(256), octet(256)]
        };
        let client = if hidden_client { [192, 168, octet(256)] } else { public(0) };
        let server = if hidden_server { [10, octet(256), octet(256)] } else { public(1) };
        let (near, far, nowhere) = (public(2), public(3), public(4));
        let at = |[a, b, c]: [u8; 3], d: u8| Ipv4Addr::new(a, b, c, d);
        let prefix = [0x2a00 + number(16) as u16 * 8, number(0xffff) as u16];
        let cable = |index: u16| {
            [1, 2].map(|end| Ipv6Addr::new(prefix[0], prefix[1], index, 0, 0, 0, 0, end + 0x10 * index))
        };
        Self {
            client: at(client, 20 + octet(200)),
            near_in: at(client, 1),
            near_out: at(near, 20 + octet(200)),
            middle_near: at(near, 1),
            middle_far: at(far, 1),
            far_out: at(far, 20 + octet(200)),
            far_in: at(server, 1),
            server: at(server, 20 + octet(200)),
            nobody: at(nowhere, 20 + octet(200)),
            v6: [cable(1), cable(2), cable(3), cable(4)],
        }
    }
}

/// A number below `limit`, another one at each call.
pub(super) fn number(limit: usize) -> usize {
    let drawn = RandomState::new().build_hasher().finish();
    usize::try_from(drawn % limit.max(1) as u64).unwrap_or_default()
}

fn octet(limit: usize) -> u8 {
    u8::try_from(number(limit)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_cables_share_a_network() {
        for _ in 0..200 {
            let at = Addresses::draw(false, false);
            let mut networks =
                [at.client, at.near_out, at.far_out, at.server, at.nobody].map(|a| a.octets()[0]);
            networks.sort_unstable();
            assert!(networks.windows(2).all(|pair| pair[0] != pair[1]), "{at:?}");
        }
    }
}
