//! The server whose instructions are counted: portway's, with files in memory and one worker thread.
//!
//! Not `portway serve` itself: callgrind of today's distributions does not know `openat2`.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use portway_accounts::{Accounts, Effort, Rights, Secret, Throttle};
use portway_data::{Broker, BrokerConfig};
use portway_interpreter::{Door, Listener, Parts, Timeouts};
use portway_net::{Identity, ServerTls, ServerTlsOptions};
use portway_ops::{Limits, Log, LogFormat, Registry, Sink};
use portway_proto::Policy;
use portway_server::{Server, ServerConfig};
use portway_vfs::{MemFs, VPath, Vfs, Write};

/// Who may log in, with which password.
pub(super) const ACCOUNT: (&str, &str) = ("ann", "x");

/// Serves until standard input ends; the first line of standard output is its address.
///
/// # Errors
/// When it cannot start.
pub(super) fn serve(chain: &Path, key: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let accounts = Accounts::with_effort(Effort { memory_kib: 8, passes: 1 })?.user(
            ACCOUNT.0,
            &Secret::from(ACCOUNT.1),
            Rights::FULL,
        )?;
        let parts = Parts {
            policy: Arc::new(Policy { tls: true, ..Policy::default() }),
            broker: Broker::new(BrokerConfig::default())?,
            tls: Some(ServerTls::new(Identity::load(chain, key)?, ServerTlsOptions::default())?),
            limits: Limits::new(0, 0),
            registry: Registry::default(),
            balancers: Vec::new(),
            log: Log::new(LogFormat::Text, Sink::writer(std::io::sink()))?,
            timeouts: Timeouts::default(),
        };
        let config =
            ServerConfig { door: Door::new(accounts, Throttle::default()), storage: Arc::new(files()?) };
        let server = Server::new(parts, config);
        let socket = portway_net::listen((Ipv4Addr::LOCALHOST, 0).into())?;
        println!("{}", socket.local_addr()?);
        std::io::stdout().flush()?;
        let serving = tokio::spawn(async move {
            server.serve(vec![Listener { socket, implicit_tls: false }]).await;
        });
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        serving.abort();
        Ok(())
    })
}

fn files() -> Result<MemFs> {
    let files = MemFs::new();
    let put = |name: String, octets: &[u8]| -> Result<()> {
        let path = VPath::resolve(&VPath::root(), name.as_bytes()).context("a good name")?;
        let upload = files.create(&path, Write::Replace)?;
        upload.file().write_all(octets)?;
        upload.commit()?;
        Ok(())
    };
    files.make_dir(&VPath::resolve(&VPath::root(), b"many").context("a good name")?)?;
    put("small".to_owned(), &portway_e2e::bytes(1, 1024))?;
    put("large".to_owned(), &portway_e2e::bytes(2, 1 << 20))?;
    for i in 0..1000 {
        put(format!("many/file{i:04}"), b"")?;
    }
    Ok(files)
}
