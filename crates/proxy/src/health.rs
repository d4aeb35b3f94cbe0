//! Looks after the servers behind a reverse proxy, so that clients need not find out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_interpreter::Parts;
use portway_ops::{Notice, Shown, Warning};

use crate::ProxyConfig;
use crate::routes::{Scheme, Server};
use crate::upstream::{Goal, NoServer, Upstream, Wanted};
use crate::{Destination, Kind};

/// How often each server is asked for its greeting.
const EVERY: Duration = Duration::from_secs(10);

/// Checks all servers again and again; ends at once where there is nothing to choose from.
pub(crate) async fn watch(config: Arc<ProxyConfig>, parts: Arc<Parts>) {
    let Kind::Reverse(routes) = &config.kind else { return };
    let servers = routes.servers();
    if servers.len() < 2 {
        return;
    }
    loop {
        tokio::time::sleep(EVERY).await;
        for server in &servers {
            let found = check(&config, server).await;
            let place = Destination { host: server.target.host.clone(), port: server.target.port };
            if !server.is_found(found.is_ok()) {
                continue;
            }
            match found {
                Ok(()) => {
                    let detail = Shown::from(format!("{place} is back"));
                    parts.log.record(Notice { what: "server_up", detail });
                }
                Err(why) => {
                    let detail = Shown::from(format!("{place} gets no new sessions: {why}"));
                    parts.log.record(Warning { what: "server_down", detail });
                }
            }
        }
    }
}

/// Whether the server greets.
async fn check(config: &ProxyConfig, server: &Server) -> Result<(), NoServer> {
    let target = &server.target;
    let unknown = |source| NoServer::UnknownHost { host: target.host.clone(), source };
    let addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((target.host.as_str(), target.port)).await.map_err(unknown)?.collect();
    let tls = if target.scheme == Scheme::Ftps { Wanted::Implicit } else { Wanted::Nothing };
    // With a header of its own it would be somebody's session.
    let goal = Goal { host: target.host.clone(), addresses, tls, client: None, bears: None };
    let upstream = Upstream::open(&goal, &config.leg).await?;
    upstream.quit().await;
    Ok(())
}
