//! A file on its way, and its data.
//!
//! A small file over a plain connection waits in the kernel until the server says that it is complete, and costs a
//! handful of system calls. All others are moved by a task of their own.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use portway_data::{DataConn, Failure, Link, Options, Port, Progress, Small as Held, send_stream};
use portway_net::ClientControlTls;
use portway_proto::client::{CommandId, DataEnd};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Moved, Start, receive};

/// Files up to this size wait in the kernel, whose receive buffers have at least twice this room.
pub(super) const HELD: u64 = 32 * 1024;

/// A file on its way.
pub(super) struct Flight<T> {
    pub(super) job: T,
    pub(super) way: CommandId,
    pub(super) transfer: CommandId,
    pub(super) data: Data,
    /// Something was wrong: it has to be done again.
    pub(super) doubtful: bool,
}

/// Where a file's data connection is.
pub(super) enum Data {
    /// Nowhere yet.
    None,
    /// To come to a port of ours.
    Door(Port, Start),
    /// There, with whatever it brings in the kernel; and the port it came to.
    Here(Held, Start, Option<Port>),
    /// All has moved.
    Done(Moved, Option<Port>),
    /// Moving.
    Task(JoinHandle<Moved>),
}

/// The server's address, and how long it may be silent.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) peer: IpAddr,
    pub(super) stall: Duration,
}

impl Data {
    /// Goes as far as is possible without waiting. An upload leaves as soon as the connection stands; when the server
    /// has `begun`, somebody waits for what has not.
    pub(super) fn advance(self, patience: Patience, options: Options<'static>, begun: bool) -> Self {
        let here = match self {
            Self::Door(port, start @ Start::Send { .. }) => match port.accept(patience.peer) {
                Ok(held) => Self::Here(held, start, Some(port)),
                Err(_) => Self::Door(port, start),
            },
            other => other,
        };
        match here {
            // Its end is all there is to send.
            Self::Here(_, Start::Send { octets, .. }, port) if octets.is_empty() && begun => {
                Self::Done(Moved::sent(0), port)
            }
            Self::Here(held, Start::Send { octets, from: 0 }, port) if !octets.is_empty() => {
                let from = held.give(&octets).unwrap_or(0);
                if from == octets.len() {
                    return Self::Done(Moved::sent(octets.len()), port);
                }
                let left = Self::Here(held, Start::Send { octets, from }, port);
                if begun || from > 0 { left.hasten(patience, options) } else { left }
            }
            left @ Self::Door(_, Start::Send { .. }) if begun => left.hasten(patience, options),
            other => other,
        }
    }

    /// From now on somebody waits for it.
    pub(super) fn hasten(self, Patience { peer, stall }: Patience, options: Options<'static>) -> Self {
        match self {
            Self::Door(port, start) => Self::Task(tokio::spawn(async move {
                let Ok(mut listening) = port.wait() else { return Moved::failed() };
                match listening.accept(peer, stall).await {
                    Ok(link) => move_octets(link, None, start, options).await,
                    Err(_) => Moved::failed(),
                }
            })),
            Self::Here(held, start, _) => Self::Task(tokio::spawn(async move {
                match held.wait() {
                    Ok(link) => move_octets(link, None, start, options).await,
                    Err(_) => Moved::failed(),
                }
            })),
            other => other,
        }
    }

    /// What has moved, now that the server says that it is over; and the port, if it can be used again.
    pub(super) async fn moved(
        self,
        patience: Patience,
        limit: Duration,
        options: Options<'static>,
    ) -> (Option<Moved>, Option<Port>) {
        let whole = match self {
            Self::Door(port, Start::Receive(size)) => match port.accept(patience.peer) {
                Ok(held) => Self::Here(held, Start::Receive(size), Some(port)),
                Err(_) => Self::Door(port, Start::Receive(size)),
            },
            other => other,
        };
        let whole = match whole {
            Self::Here(held, Start::Receive(size), port) => {
                let mut octets = Vec::new();
                let most = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
                match held.take(&mut octets, most) {
                    Ok(_end) => {
                        held.forget();
                        let count = octets.len() as u64;
                        return (Some(Moved { octets, count, end: DataEnd::Clean }), port);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let rest = Self::Here(held, Start::Receive(size), port).hasten(patience, options);
                        return (rest.ended(limit).await.map(|rest| rest.behind(octets)), None);
                    }
                    Err(_) => return (None, None),
                }
            }
            other => other,
        };
        match whole {
            Self::Done(moved, port) => (Some(moved), port),
            // It was never announced by 150, and nothing was to be sent.
            Self::Here(_, Start::Send { octets, .. }, port) if octets.is_empty() => {
                (Some(Moved::sent(0)), port)
            }
            whole => (whole.hasten(patience, options).ended(limit).await, None),
        }
    }

    /// What a task has moved.
    async fn ended(self, limit: Duration) -> Option<Moved> {
        match self {
            Self::Task(task) => timeout(limit, task).await.ok().and_then(Result::ok),
            _ => None,
        }
    }

    /// Nobody wants it any more.
    pub(super) fn abort(self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

impl Moved {
    fn sent(count: usize) -> Self {
        Self { octets: Vec::new(), count: count as u64, end: DataEnd::Clean }
    }

    /// With what came before it.
    fn behind(mut self, mut octets: Vec<u8>) -> Self {
        self.count = self.count.saturating_add(octets.len() as u64);
        octets.append(&mut self.octets);
        Self { octets, ..self }
    }
}

/// Moves one file over a connection of its own.
pub(super) async fn move_octets(
    link: Link,
    tls: Option<ClientControlTls>,
    start: Start,
    options: Options<'static>,
) -> Moved {
    let mut conn = match tls {
        None => link.plain(),
        Some(tls) => match timeout(options.stall, link.secure(&tls)).await {
            Ok(Ok(conn)) => conn,
            _ => return Moved::failed(),
        },
    };
    match start {
        Start::Receive(size) => {
            let moved = receive(&mut conn, size, options).await;
            if moved.end == DataEnd::Clean {
                let _ = conn.finish().await;
            }
            moved
        }
        Start::Send { mut octets, from } => {
            let count = octets.len();
            octets.drain(..from.min(count));
            match send(conn, octets, options).await {
                Ok(()) => Moved::sent(count),
                Err(_) => Moved::failed(),
            }
        }
    }
}

async fn send(mut conn: DataConn, octets: Vec<u8>, options: Options<'_>) -> Result<(), Failure> {
    let mut octets = Some(octets);
    let source = |out: &mut Vec<u8>| {
        out.append(&mut octets.take().unwrap_or_default());
        Ok(false)
    };
    send_stream(&mut conn, source, options, &Progress::new()).await?;
    conn.finish().await
}
