//! The port that a server is to connect to: here or at the proxy, through our own packet filter and our router.

use std::net::SocketAddr;

use portway_data::{LinkError, Listening};
use portway_proto::Announced;
use portway_router::{Mapping, Router};

use super::Connection;

/// What the router on our side does for us.
#[derive(Debug, Default)]
pub(super) struct Doorway {
    /// The port of the router that leads to the one that was announced last.
    mapping: Option<Mapping>,
    /// What the router answered when it did nothing.
    refusal: Option<String>,
}

impl Connection {
    /// Opens a port for the server to connect to, and every door on the way to it.
    pub(crate) async fn listen(&mut self) -> Result<Listening, LinkError> {
        let within = self.data_budget(self.settings.timeouts.data_accept);
        if let Some(through) = &self.through {
            return Listening::open_through(through, within).await;
        }
        let mut listening = Listening::open(self.local.ip(), self.settings.active_ports.clone())?;
        listening.open_hole(&self.settings.reach.pinholes, self.peer.ip(), within).await?;
        if self.settings.reach.map_ports && self.settings.active_address.is_none() {
            self.map(listening.addr().port()).await;
        }
        Ok(listening)
    }

    /// Whether [`Self::listen`] asks nobody else, so that many ports can be opened in a row.
    pub(crate) fn listens_alone(&self) -> bool {
        self.through.is_none() && !self.settings.reach.map_ports && !self.settings.reach.filters
    }

    /// What to tell the server about a port.
    pub(crate) fn announcement(&self, listening: &Listening) -> Announced {
        // A port at a proxy is announced as the proxy says.
        if self.through.is_some() {
            return listening.announced(None);
        }
        self.announcement_of(listening.addr())
    }

    /// What to tell the server about a port of this machine.
    pub(crate) fn announcement_of(&self, here: SocketAddr) -> Announced {
        let mapped = self.doorway.mapping.as_ref().filter(|mapping| mapping.inside() == here);
        let mapped = mapped.map_or(here, Mapping::outside);
        // The server's own word about our address counts more than the router's: there may be a second NAT.
        let ip = self.settings.active_address.or(self.public).unwrap_or(mapped.ip());
        Announced::new(SocketAddr::new(ip, mapped.port()))
    }

    /// Asks the router for a port. Without one the own address is announced, as always: there may be a helper on
    /// the way that translates it.
    async fn map(&mut self, inside: u16) {
        self.unmap().await;
        if self.doorway.refusal.is_some() {
            return;
        }
        let Some(router) = Router::between(self.local.ip(), self.peer.ip()) else {
            self.trace
                .note("no router translates addresses on the way to this server, as far as can be seen here");
            self.doorway.refusal = Some(String::new());
            return;
        };
        match tokio::task::spawn_blocking(move || router.map(inside)).await {
            Ok(Ok(mapping)) => {
                let (gateway, outside, by) = (router.gateway(), mapping.outside(), mapping.protocol());
                self.trace.note(format_args!("the router {gateway} leads {outside} to us ({by})"));
                self.doorway.mapping = Some(mapping);
            }
            Ok(Err(error)) => {
                self.trace.note(&error);
                self.doorway.refusal = Some(error.to_string());
            }
            Err(_) => {}
        }
    }

    /// Takes the port back from the router, if there is one.
    pub(crate) async fn unmap(&mut self) {
        if let Some(mapping) = self.doorway.mapping.take() {
            let _ = tokio::task::spawn_blocking(move || drop(mapping)).await;
        }
    }

    /// What the router said, to be added to why active mode failed.
    pub(crate) fn router_refusal(&self) -> Option<&str> {
        self.doorway.refusal.as_deref().filter(|words| !words.is_empty())
    }
}
