//! A file on its way, and its data.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_data::{
    DataConn, Failure, Link, Listening, Options, Progress, Sight, Small as Quick, send_stream,
};
use portway_net::ClientControlTls;
use portway_proto::client::{CommandId, DataEnd};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Moved, Start, receive};

/// A file on its way.
pub(super) struct Flight<T> {
    pub(super) job: T,
    pub(super) way: CommandId,
    pub(super) transfer: CommandId,
    pub(super) data: Option<Data>,
    /// Something was wrong: it has to be done again.
    pub(super) doubtful: bool,
}

/// Moves a file.
pub(super) struct Data {
    task: JoinHandle<Moved>,
    sight: Option<Sight>,
    /// The server's connection has come, where it makes one.
    came: Option<Arc<AtomicBool>>,
}

impl Data {
    fn of(work: impl Future<Output = Moved> + Send + 'static) -> Self {
        Self { task: tokio::spawn(work), sight: None, came: None }
    }

    /// Over a plain connection to a passive port.
    pub(super) fn over(quick: Quick, start: Start) -> Self {
        let sight = Some(quick.sight());
        Self { sight, ..Self::of(async move { quickly(quick, start).await }) }
    }

    /// Over any connection.
    pub(super) fn through(
        link: Link,
        tls: Option<ClientControlTls>,
        start: Start,
        options: Options<'static>,
    ) -> Self {
        Self::of(async move { move_octets(link, tls, start, options).await })
    }

    /// Over any connection that the server at `peer` makes to us.
    pub(super) fn once(
        mut listening: Listening,
        peer: IpAddr,
        tls: Option<ClientControlTls>,
        start: Start,
        options: Options<'static>,
    ) -> Self {
        let came = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&came);
        let work = async move {
            match listening.accept(peer, options.stall).await {
                Ok(link) => {
                    tells.store(true, Ordering::Relaxed);
                    move_octets(link, tls, start, options).await
                }
                Err(_) => Moved { end: DataEnd::Never, ..Moved::failed() },
            }
        };
        Self { came: Some(came), ..Self::of(work) }
    }

    /// What has moved, now that the server says that it is over.
    pub(super) async fn ended(mut self, limit: Duration) -> Option<Moved> {
        match timeout(limit, &mut self.task).await {
            Ok(ended) => ended.ok(),
            Err(_) => {
                self.task.abort();
                None
            }
        }
    }

    /// Whether the connection that we began does not stand yet.
    pub(super) fn is_missing(&self) -> bool {
        self.sight.as_ref().is_some_and(Sight::is_missing)
    }

    /// Whether the server was to connect to us and has not.
    pub(super) fn is_awaited(&self) -> bool {
        self.came.as_ref().is_some_and(|came| !came.load(Ordering::Relaxed))
    }

    /// Nobody wants it any more.
    pub(super) fn abort(self) {
        self.task.abort();
    }
}

impl Moved {
    fn sent(count: usize) -> Self {
        Self { octets: Vec::new(), count: count as u64, end: DataEnd::Clean }
    }
}

/// Moves one file over a plain connection.
async fn quickly(quick: Quick, start: Start) -> Moved {
    match start {
        Start::Receive(size) => match quick.receive(usize::try_from(size).unwrap_or(usize::MAX)).await {
            Ok(octets) => Moved { count: octets.len() as u64, octets, end: DataEnd::Clean },
            Err(_) => Moved::failed(),
        },
        Start::Send(octets) => match quick.send(&octets).await {
            Ok(()) => Moved::sent(octets.len()),
            Err(_) => Moved::failed(),
        },
    }
}

/// Moves one file over a connection of its own.
async fn move_octets(
    link: Link,
    tls: Option<ClientControlTls>,
    start: Start,
    options: Options<'static>,
) -> Moved {
    let Ok(mut conn) = link.ready(tls.as_ref(), options.stall).await else { return Moved::failed() };
    match start {
        Start::Receive(size) => {
            let moved = receive(&mut conn, size, options).await;
            if moved.end == DataEnd::Clean {
                let _ = conn.finish().await;
            }
            moved
        }
        Start::Send(octets) => {
            let count = octets.len();
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
