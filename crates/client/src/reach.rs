//! What a user says about the ways between here and the server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portway_net::Proxy;
use portway_pinhole::{NoFilter, Pinholes};

/// How a client gets past what lies between it and the server. The default is the straight way.
#[derive(Clone)]
pub struct Reach {
    /// The proxy for both channels. Default none.
    pub proxy: Option<Arc<Proxy>>,
    /// Ask the router for a port in active mode, where our address is a private one: PCP, NAT-PMP, UPnP. Default
    /// false.
    pub map_ports: bool,
    /// The packet filter of this machine, opened for each data connection that the server makes (active mode).
    /// Default none.
    pub pinholes: Arc<dyn Pinholes>,
    /// Whether `pinholes` are any. Default false.
    pub filters: bool,
    /// How often NOOP is sent while a transfer runs, for devices and servers that drop a silent control
    /// connection. Default never; TCP's own probes are sent every minute anyway.
    pub keep_alive: Option<Duration>,
}

impl Default for Reach {
    fn default() -> Self {
        Self { proxy: None, map_ports: false, pinholes: Arc::new(NoFilter), filters: false, keep_alive: None }
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach")
            .field("proxy", &self.proxy)
            .field("map_ports", &self.map_ports)
            .field("filters", &self.filters)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}
