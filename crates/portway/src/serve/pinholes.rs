//! `--pinholes`: which packet filter is opened for announced ports.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use portway_agent::AgentPinholes;
use portway_pinhole::{Hole, HoleId, NftOptions, NoFilter, PinholeError, Pinholes, Waiting, Way, nft};
use portway_proto::Expected;

use super::args::PinholesArg;

/// A client connects right after the reply; ten seconds forgive two lost packets.
const LIFETIME: Duration = Duration::from_secs(10);

/// A packet filter to open, and what to say about it in the log.
pub(crate) struct Filter {
    pub(crate) pinholes: Arc<dyn Pinholes>,
    pub(crate) detail: Option<&'static str>,
}

/// Makes ready what the flag asks for. Whoever asks for pinholes has a filter that drops, so it is an error to
/// start without them.
pub(crate) fn start(wanted: &PinholesArg, agent_dir: Option<&PathBuf>) -> Result<Filter> {
    let socket = match wanted {
        PinholesArg::None => {
            return Ok(Filter { pinholes: Arc::new(NoFilter), detail: None });
        }
        PinholesArg::Agent(gate) => {
            let tls = crate::gate::server_tls(agent_dir).context("--pinholes agent")?;
            let pinholes = Arc::new(Brief(Arc::new(AgentPinholes::start(*gate, tls))));
            return Ok(Filter { pinholes, detail: Some("a gate on another machine, by mutual TLS") });
        }
        PinholesArg::Nft(socket) => socket,
    };
    let mut options = NftOptions::default();
    if let Some(socket) = socket {
        options.socket.clone_from(socket);
    }
    let started = nft(&options).context("--pinholes nft")?;
    let detail = match started.way {
        Way::Helper => "nftables through portway-holed",
        Way::Direct => "nftables by this process, table inet portway",
    };
    Ok(Filter { pinholes: Arc::new(Brief(started.pinholes)), detail: Some(detail) })
}

/// Holes that live no longer than [`LIFETIME`], however long the server waits for a data connection.
struct Brief(Arc<dyn Pinholes>);

impl Pinholes for Brief {
    fn open(&self, mut want: Expected) -> Option<Waiting<'_, Result<Hole, PinholeError>>> {
        want.within = want.within.min(LIFETIME);
        self.0.open(want)
    }

    fn close(&self, id: HoleId) -> Waiting<'_, ()> {
        self.0.close(id)
    }
}
