//! Who is served under TLS, and when a transfer is complete.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, fail by panic")]

mod common;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use common::*;
use portway_data::{
    Broker, BrokerConfig, Compression, Failure, Options, Progress, Proof, Proven, Sharing, receive_file,
    send_file,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Runs one transfer, so that the session has resumed once.
async fn resume_once(broker: &Broker, session: &Session) {
    let offer = broker.offer(&session.party).await.unwrap();
    let (mut client, conn) = tokio::join!(session.connect(offer.announce()), offer.take(later()));
    let conn = conn.unwrap();
    assert_eq!(conn.facts().proven, Proven::Resumed);
    let (sent, read) = tokio::join!(deliver(conn, b"first"), read_tls(&mut client));
    sent.unwrap();
    assert_eq!(read.unwrap(), b"first");
    assert!(session.party.history.has_resumed());
}

#[tokio::test]
async fn a_thief_without_the_ticket_gets_nothing_and_the_owner_is_served() {
    for sharing in [Sharing::Exclusive, Sharing::Pooled] {
        let (broker, server) = (broker(1, sharing), server_tls());
        let owner = Session::open(&server).await;
        // The thief sits at the same address and has a session, and tickets, of his own.
        let thief = Session::open(&server).await;
        resume_once(&broker, &owner).await;
        let mut offer = broker.offer(&owner.party).await.unwrap();
        let at = offer.announce();
        let robbed = async {
            let mut stolen = thief.connect(at).await;
            let loot = read_tls(&mut stolen).await;
            assert!(loot.is_err(), "{loot:?}");
            owner.connect(at).await
        };
        let (mut client, arrived) = tokio::join!(robbed, offer.arrive());
        arrived.unwrap();
        let conn = offer.take(later()).await.unwrap();
        deliver(conn, b"mine").await.unwrap();
        assert_eq!(read_tls(&mut client).await.unwrap(), b"mine");
    }
}

#[tokio::test]
async fn noise_and_silence_from_the_owners_address_do_not_keep_the_owner_out() {
    let (broker, server) = (broker(1, Sharing::Exclusive), server_tls());
    let owner = Session::open(&server).await;
    let mut offer = broker.offer(&owner.party).await.unwrap();
    let at = offer.announce();
    let crowd = async {
        let mut crowd = Vec::new();
        for n in 0..24 {
            let mut one = connect(HOME, at).await.unwrap();
            match n % 3 {
                0 => {}
                1 => one.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap(),
                // The head of a handshake record that never goes on.
                _ => one.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap(),
            }
            crowd.push(one);
        }
        (owner.connect(at).await, crowd)
    };
    let ((mut client, _crowd), arrived) =
        timeout(Duration::from_secs(30), async { tokio::join!(crowd, offer.arrive()) }).await.unwrap();
    arrived.unwrap();
    deliver(offer.take(later()).await.unwrap(), b"mine").await.unwrap();
    assert_eq!(read_tls(&mut client).await.unwrap(), b"mine");
}

#[tokio::test]
async fn the_handshake_is_answered_before_the_command_comes() {
    let (broker, session) = (broker(1, Sharing::Exclusive), Session::open(&server_tls()).await);
    let mut offer = broker.offer(&session.party).await.unwrap();
    let (client, arrived) = tokio::join!(session.connect(offer.announce()), offer.arrive());
    arrived.unwrap();
    assert!(client.info().resumed && offer.has_arrived());
}

#[tokio::test]
async fn a_client_that_never_resumes_is_served_as_the_policy_says() {
    for (proof, served) in [(Proof::Auto, true), (Proof::Off, true), (Proof::Required, false)] {
        let broker = Broker::new(BrokerConfig { proof, ..config(1, Sharing::Exclusive) }).unwrap();
        let session = Session::without_tickets(&server_tls()).await;
        let offer = broker.offer(&session.party).await.unwrap();
        let deadline = if served { later() } else { soon() };
        let (_client, conn) = tokio::join!(session.connect(offer.announce()), offer.take(deadline));
        match (conn, served) {
            (Ok(conn), true) => assert_eq!(conn.facts().proven, Proven::Address),
            (Err(failure), false) => assert!(matches!(failure, Failure::NotResumed), "{failure:?}"),
            (conn, _) => panic!("{proof:?}: {conn:?}"),
        }
    }
}

#[tokio::test]
async fn the_failure_names_the_handshake_that_was_missing() {
    let (broker, session) = (broker(1, Sharing::Exclusive), Session::open(&server_tls()).await);
    let offer = broker.offer(&session.party).await.unwrap();
    let _silent = connect(HOME, offer.announce()).await.unwrap();
    let failure = offer.take(soon()).await.unwrap_err();
    assert_eq!(failure.cause(), "no_handshake");
    assert!(failure.to_string().contains("PROT P"), "{failure}");
}

#[tokio::test]
async fn a_client_that_comes_in_clear_after_all_learns_it_within_seconds() {
    // Content, and a ClientHello that nobody can read.
    for octets in [&b"the content of a file"[..], b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"] {
        let (broker, session) = (broker(1, Sharing::Exclusive), Session::open(&server_tls()).await);
        let offer = broker.offer(&session.party).await.unwrap();
        let mut plain = connect(HOME, offer.announce()).await.unwrap();
        plain.write_all(octets).await.unwrap();
        let failure = timeout(Duration::from_secs(15), offer.take(later())).await.unwrap().unwrap_err();
        assert_eq!(failure.cause(), "no_handshake", "{failure}");
    }
}

#[tokio::test]
async fn an_owner_who_comes_behind_a_neighbour_in_clear_is_still_served() {
    let (broker, session) = (broker(1, Sharing::Exclusive), Session::open(&server_tls()).await);
    let offer = broker.offer(&session.party).await.unwrap();
    let at = offer.announce();
    let owner = async {
        let mut neighbour = connect(HOME, at).await.unwrap();
        neighbour.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        // He is turned away, and the owner comes only now.
        let _ = neighbour.read(&mut [0; 8]).await;
        session.connect(at).await
    };
    let (mut client, conn) = tokio::join!(owner, offer.take(later()));
    deliver(conn.unwrap(), b"mine").await.unwrap();
    assert_eq!(read_tls(&mut client).await.unwrap(), b"mine");
}

/// A data connection under TLS: ours, and the client's.
async fn established() -> (portway_data::DataConn, portway_net::DataTls, Session) {
    let (broker, session) = (broker(1, Sharing::Exclusive), Session::open(&server_tls()).await);
    let offer = broker.offer(&session.party).await.unwrap();
    let (client, conn) = tokio::join!(session.connect(offer.announce()), offer.take(later()));
    (conn.unwrap(), client, session)
}

#[tokio::test]
async fn an_upload_is_complete_with_close_notify_even_if_the_client_leaves_at_once() {
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n ^ (n >> 9)) as u8).collect();
    let (mut conn, mut client, _session) = established().await;
    let file = tempfile::tempfile().unwrap();
    let progress = Progress::new();
    let theirs = async {
        client.write_all(&data).await.unwrap();
        client.send_end().await.unwrap();
        drop(client);
    };
    let ours = receive_file(&mut conn, &file, Options::default(), &progress);
    let ((), received) = tokio::join!(theirs, ours);
    assert_eq!(received.unwrap().octets, data.len() as u64);
    conn.finish().await.unwrap();
    assert!(content(&file) == data);
}

#[tokio::test]
async fn an_upload_that_ends_without_close_notify_is_never_complete() {
    let (mut conn, mut client, _session) = established().await;
    let file = tempfile::tempfile().unwrap();
    let theirs = async {
        client.write_all(&[7; 100_000]).await.unwrap();
        rustix::net::shutdown(client.stream(), rustix::net::Shutdown::Write).unwrap();
    };
    let progress = Progress::new();
    let ours = receive_file(&mut conn, &file, Options::default(), &progress);
    let ((), received) = tokio::join!(theirs, ours);
    assert!(matches!(received, Err(Failure::Truncated)), "{received:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_files_pass_both_ways_with_and_without_compression() {
    let data: Vec<u8> = (0..6_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for compression in [Compression::None, Compression::Deflate(1)] {
        let options = || Options { compression, ..Options::default() };
        let (mut conn, mut client, _session) = established().await;
        let source = file_of(&data);
        let theirs = tokio::spawn(async move { read_tls(&mut client).await.unwrap() });
        let sent = send_file(&mut conn, &source, 0, None, options(), &Progress::new()).await.unwrap();
        conn.finish().await.unwrap();
        let wire = theirs.await.unwrap();
        assert_eq!((sent.octets, sent.wire), (data.len() as u64, wire.len() as u64));

        let (mut conn, mut client, _session) = established().await;
        let theirs = tokio::spawn(async move {
            client.write_all(&wire).await.unwrap();
            client.finish_sending().await.unwrap();
        });
        let mut target = tempfile::tempfile().unwrap();
        let received = receive_file(&mut conn, &target, options(), &Progress::new()).await.unwrap();
        conn.finish().await.unwrap();
        theirs.await.unwrap();
        target.flush().unwrap();
        assert_eq!(received.octets, data.len() as u64);
        assert!(content(&target) == data);
    }
}

#[tokio::test]
async fn a_client_that_never_reads_stalls_the_download() {
    let (mut conn, _client, _session) = established().await;
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 30).unwrap();
    let options = Options { stall: Duration::from_millis(300), ..Options::default() };
    let progress = Progress::new();
    let sending = send_file(&mut conn, &file, 0, None, options, &progress);
    let failure = timeout(Duration::from_secs(20), sending).await.unwrap();
    assert!(matches!(failure, Err(Failure::Stalled { .. })), "{failure:?}");
}

#[tokio::test]
async fn finishing_a_download_does_not_wait_for_the_client() {
    let (mut conn, mut client, _session) = established().await;
    let file = file_of(b"short");
    send_file(&mut conn, &file, 0, None, Options::default(), &Progress::new()).await.unwrap();
    // The client does not read a thing until 226 is there.
    timeout(Duration::from_secs(1), conn.finish()).await.unwrap().unwrap();
    assert_eq!(read_tls(&mut client).await.unwrap(), b"short");
    let _: SocketAddr = client.stream().peer_addr().unwrap();
}
