//! What `portway gate status` asks: a Unix socket that tells everybody who connects how things stand.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};

use crate::ledger::Ledger;
use crate::rows::{Counts, HoleRow, Refusal, SessionRow};

/// Where a gate tells its status unless told otherwise.
pub const STATUS_SOCKET: &str = "/run/portway/gate.sock";
const PATIENCE: Duration = Duration::from_secs(5);

/// One line of a status: a JSON object with `kind`.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    Gate(Counts),
    Session(SessionRow),
    Hole(HoleRow),
    Refused(Refusal),
}

/// The socket; its file goes with it.
#[derive(Debug)]
pub struct Status {
    listener: UnixListener,
    path: PathBuf,
}

impl Status {
    /// Makes the socket, in place of one that nobody listens on any more. Its folder is made if it is missing.
    /// Only this user and group may connect.
    ///
    /// # Errors
    /// `AddrInUse` if another gate listens there; otherwise as `bind(2)`.
    pub fn listen(path: &Path) -> io::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Tells everybody who connects, for ever.
    pub async fn serve(self, ledger: Arc<Ledger>) {
        loop {
            if let Ok((stream, _)) = self.listener.accept().await {
                let _ = tokio::time::timeout(PATIENCE, tell(stream, &ledger)).await;
            }
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn tell(mut stream: UnixStream, ledger: &Ledger) -> io::Result<()> {
    let snapshot = ledger.snapshot();
    let lines = [Line::Gate(snapshot.counts)]
        .into_iter()
        .chain(snapshot.sessions.into_iter().map(Line::Session))
        .chain(snapshot.holes.into_iter().map(Line::Hole))
        .chain(snapshot.refusals.into_iter().map(Line::Refused));
    for line in lines {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        stream.write_all(&text).await?;
    }
    stream.shutdown().await
}
