//! The data side of a transfer, which runs beside the control connection.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_data::{
    Channel, ChannelMode, DataConn, Facts, Failure, Options, Progress, receive_file, receive_stream,
    send_file, send_stream,
};
use portway_net::ClientControlTls;
use portway_proto::client::DataEnd;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Body, FAR};
use crate::trace::micros;
use crate::{Seen, Timeouts, Trace};

/// How long an upload waits for the 150 that some servers never send.
const PATIENCE: Duration = Duration::from_secs(3);

/// What both sides of a run tell each other.
#[derive(Default)]
pub(super) struct Gate {
    linked: AtomicBool,
    begun: Notify,
}

impl Gate {
    /// The server has said that it begins.
    pub(super) fn go(&self) {
        self.begun.notify_one();
    }

    /// Whether the data connection stands.
    pub(super) fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Relaxed)
    }
}

/// How the data connection ended.
pub(super) struct DataEnded {
    /// Octets that moved.
    pub(super) octets: u64,
    pub(super) end: DataEnd,
    pub(super) failure: Option<Failure>,
}

impl DataEnded {
    /// It was not waited for any longer, or never stood.
    pub(super) fn never(octets: u64) -> Self {
        Self { octets, end: DataEnd::Never, failure: None }
    }
}

/// What the data side needs of the connection, which the control side is using meanwhile.
pub(super) struct DataSide {
    pub(super) peer: IpAddr,
    pub(super) tls: Option<ClientControlTls>,
    pub(super) timeouts: Timeouts,
    pub(super) trace: Trace,
}

impl DataSide {
    /// Gets the connection and moves the octets.
    pub(super) async fn drive(
        self,
        channel: Channel,
        body: &mut Body<'_>,
        options: Options<'_>,
        progress: &Progress,
        gate: &Gate,
    ) -> DataEnded {
        let before = progress.octets();
        match self.connect(channel, gate).await {
            Ok(conn) => {
                let outcome = pump(conn, body, options, progress, gate).await;
                let octets = progress.octets().saturating_sub(before);
                match outcome {
                    Ok(()) => DataEnded { octets, end: DataEnd::Clean, failure: None },
                    Err(failure) => {
                        let end = match failure {
                            Failure::Truncated => DataEnd::Unfinished,
                            _ => DataEnd::Broken,
                        };
                        DataEnded { octets, end, failure: Some(failure) }
                    }
                }
            }
            Err(failure) => DataEnded { failure: Some(failure), ..DataEnded::never(0) },
        }
    }

    async fn connect(&self, channel: Channel, gate: &Gate) -> Result<DataConn, Failure> {
        // The control side keeps the time.
        let link = channel.link(self.peer, FAR).await;
        let link = link.map_err(|error| Failure::Broken(io::Error::other(error)))?;
        gate.linked.store(true, Ordering::Relaxed);
        self.trace.record(|| data_open(link.facts()));
        let conn = link.ready(self.tls.as_ref(), self.timeouts.tls).await?;
        if let Some(info) = conn.tls() {
            let (version, cipher, resumed) =
                (info.version.to_string(), info.cipher.to_string(), info.resumed);
            self.trace.record(|| Seen::Tls { channel: "data", version, cipher, resumed });
        }
        Ok(conn)
    }
}

async fn pump(
    mut conn: DataConn,
    body: &mut Body<'_>,
    options: Options<'_>,
    progress: &Progress,
    gate: &Gate,
) -> Result<(), Failure> {
    match body {
        Body::ToFile(file) => drop(receive_file(&mut conn, file, options, progress).await?),
        Body::To(sink) => drop(receive_stream(&mut conn, sink, options, progress).await?),
        Body::FromFile(file, from, len) => {
            // Data in front of the 150 would be lost on a server that refuses.
            let _ = timeout(PATIENCE, gate.begun.notified()).await;
            send_file(&mut conn, file, *from, *len, options, progress).await?;
        }
        Body::From(source) => {
            let _ = timeout(PATIENCE, gate.begun.notified()).await;
            send_stream(&mut conn, source, options, progress).await?;
        }
    }
    conn.finish().await
}

/// What the trace has of a data connection that stands.
pub(crate) fn data_open(facts: &Facts) -> Seen {
    Seen::DataOpen {
        mode: match facts.mode {
            ChannelMode::Passive => "passive",
            ChannelMode::Active => "active",
        },
        local: facts.local,
        peer: facts.peer,
        took_us: micros(facts.waited),
    }
}
