//! From one data connection to another.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, fail by panic")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portway_data::{DataConn, Link, Options, Progress, relay};
use portway_proto::Announced;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LONG: Duration = Duration::from_secs(30);

/// A data connection, and its other end.
async fn pair() -> (DataConn, TcpStream) {
    let peer = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
    let to = Announced::new(peer.local_addr().unwrap()).vet(HERE).unwrap();
    let (link, accepted) = tokio::join!(Link::connect(to, None, LONG), peer.accept());
    (link.unwrap().plain(), accepted.unwrap().0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_comes_before_a_pause_in_a_fast_transfer_is_not_held_back() {
    const MUCH: usize = 96 << 20;
    const LAST: &[u8] = b"neither a full batch nor the end";
    let ((mut from, mut source), (mut to, mut sink)) = (pair().await, pair().await);
    let relayed = tokio::spawn(async move {
        let progress = Progress::new();
        let received = relay(&mut from, &mut to, Options::default(), &progress).await.unwrap();
        from.finish().await.unwrap();
        to.finish().await.unwrap();
        (received.octets, progress.octets())
    });
    let fed = tokio::spawn(async move {
        let piece = vec![7; 1 << 16];
        for _ in 0..MUCH / piece.len() {
            source.write_all(&piece).await.unwrap();
        }
        source
    });
    let (mut room, mut came) = (vec![0; 1 << 20], 0);
    while came < MUCH {
        came += sink.read(&mut room).await.unwrap();
    }
    let mut source = fed.await.unwrap();
    source.write_all(LAST).await.unwrap();
    let mut last = [0; LAST.len()];
    tokio::time::timeout(LONG, sink.read_exact(&mut last))
        .await
        .expect("it comes, though no more does")
        .unwrap();
    assert_eq!((came, &last[..]), (MUCH, LAST));
    drop(source);
    assert_eq!(sink.read(&mut room).await.unwrap(), 0);
    let whole = (MUCH + LAST.len()) as u64;
    assert_eq!(relayed.await.unwrap(), (whole, whole));
}

#[tokio::test]
async fn a_source_that_speaks_rarely_is_heard_at_once() {
    let ((mut from, mut source), (mut to, mut sink)) = (pair().await, pair().await);
    let relayed =
        tokio::spawn(
            async move { relay(&mut from, &mut to, Options::default(), &Progress::new()).await.is_ok() },
        );
    for word in [b"one", b"two"] {
        source.write_all(word).await.unwrap();
        let mut heard = [0; 3];
        tokio::time::timeout(LONG, sink.read_exact(&mut heard)).await.expect("it has come").unwrap();
        assert_eq!(&heard, word);
    }
    drop(source);
    assert!(relayed.await.unwrap());
}
