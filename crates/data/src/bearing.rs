//! Data connections with an address that is not this machine's: that of whoever the other side takes us for, where
//! the control connection was taken over on its way (TPROXY).

use std::io;
use std::net::{SocketAddr, TcpListener};

use portway_net::{bind, bind_transparent, connect_from, connect_transparent};
use tokio::net::TcpStream;

/// Connects from `from`, whoever's address it is.
///
/// # Errors
/// As `bind(2)` and `connect(2)`.
pub(crate) async fn connect_bearing(from: Option<SocketAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    match (connect_from(from, to).await, from) {
        (Err(error), Some(from)) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            connect_transparent(from, to).await.map_err(|_| error)
        }
        (done, _) => done,
    }
}

/// Listens on `at`, whoever's address it is; the caller has the runtime watch it.
///
/// # Errors
/// As `bind(2)`.
pub(crate) fn listen_bearing(at: SocketAddr) -> io::Result<TcpListener> {
    match bind(at) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            bind_transparent(at).map_err(|_| error)
        }
        done => done,
    }
}
