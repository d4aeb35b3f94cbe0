//! Fifteen thousand idle sessions have to fit.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::time::Duration;

use common::{Session, VERSIONS, client, server};
use tokio::time::timeout;

/// Octets on the heap, those of C included.
#[allow(unsafe_code)]
fn heap() -> usize {
    // SAFETY: reads the allocator's counters; no pointer is involved.
    unsafe { libc::mallinfo2() }.uordblks
}

/// The project's budget is 12 KiB for a whole idle session under TLS; what lies above this crate wants some
/// of it.
#[tokio::test]
async fn an_idle_session_under_tls_takes_little_memory() {
    const SESSIONS: usize = 50;
    for version in VERSIONS {
        let (server, client) = (server(), client(version));
        drop(Session::open(&server, &client).await); // what is made once only
        let before = heap();
        let mut kept = Vec::with_capacity(SESSIONS);
        for _ in 0..SESSIONS {
            let mut session = Session::open(&server, &client).await;
            assert!(timeout(Duration::ZERO, session.server.readable()).await.is_err(), "it is idle");
            kept.push((session.server, session.server_tls));
        }
        let each = (heap() - before) / SESSIONS;
        println!("TLS {version}: {each} octets for an idle session");
        assert!(each < 6 * 1024, "TLS {version}: {each} octets for an idle session");
    }
}
