//! Where this program listens itself: never dialled, or a client could make it talk to itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};

/// The addresses this program listens on. Clones are one and the same set.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners(Arc<RwLock<Vec<SocketAddr>>>);

impl OwnListeners {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an address; `0.0.0.0` and `[::]` stand for every address of this machine.
    pub fn add(&self, addr: SocketAddr) {
        let mut all = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !all.contains(&addr) {
            all.push(addr);
        }
    }

    /// Removes an address that is no longer listened on.
    pub fn remove(&self, addr: SocketAddr) {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|&own| own != addr);
    }

    /// True if `to` leads to one of these listeners. `home` is our address on the connection in question: an
    /// address equal to it, or a loopback address, is certainly this machine's.
    #[must_use]
    pub fn leads_here(&self, to: SocketAddr, home: IpAddr) -> bool {
        let (ip, home) = (to.ip().to_canonical(), home.to_canonical());
        let local = ip == home || ip.is_loopback();
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).iter().any(|own| {
            let at = own.ip().to_canonical();
            own.port() == to.port() && (at == ip || (at.is_unspecified() && local))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_listener_is_reached_by_every_local_address() {
        let own = OwnListeners::new();
        own.add("0.0.0.0:2121".parse().unwrap());
        own.add("[2001:db8::1]:2121".parse().unwrap());
        for (name, to, home, here) in [
            ("loopback", "127.0.0.1:2121", "127.0.0.1", true),
            ("another loopback", "127.9.9.9:2121", "192.0.2.1", true),
            ("our address", "192.0.2.1:2121", "192.0.2.1", true),
            ("mapped", "[::ffff:192.0.2.1]:2121", "192.0.2.1", true),
            ("another port", "192.0.2.1:2122", "192.0.2.1", false),
            ("another host", "192.0.2.7:2121", "192.0.2.1", false),
            ("IPv6, exact", "[2001:db8::1]:2121", "2001:db8::9", true),
        ] {
            assert_eq!(own.leads_here(to.parse().unwrap(), home.parse().unwrap()), here, "{name}");
        }
        own.remove("0.0.0.0:2121".parse().unwrap());
        assert!(!own.leads_here("127.0.0.1:2121".parse().unwrap(), "127.0.0.1".parse().unwrap()));
    }
}
