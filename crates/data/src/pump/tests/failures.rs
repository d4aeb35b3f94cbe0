//! What goes wrong, and what it is called.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::thread;
use std::time::Instant;

use super::*;

#[tokio::test]
async fn a_file_that_became_shorter_is_an_error_and_no_hang() {
    for options in [Options::default(), Options { hash: Some(&mut |_| {}), ..Options::default() }] {
        let (mut conn, peer) = pair();
        let reader = read_all(peer);
        let failure =
            send_file(&mut conn, &file_of(&noise(1000)), 0, Some(1500), options, &Progress::new()).await;
        assert!(matches!(failure, Err(Failure::Shrunk { missing: 500 })), "{failure:?}");
        drop(conn);
        assert!(reader.join().unwrap().is_err(), "the client must not take the part for the whole");
    }
}

#[tokio::test]
async fn compressed_data_without_their_end_are_not_complete() {
    let (mut conn, mut peer) = pair();
    peer.write_all(&[0x78, 0x9c, 0x4b]).unwrap();
    drop(peer);
    let options = Options { compression: Compression::Deflate(6), ..Options::default() };
    let failure = receive_file(&mut conn, &tempfile::tempfile().unwrap(), options, &Progress::new()).await;
    assert!(matches!(failure, Err(Failure::Truncated)), "{failure:?}");
}

#[tokio::test]
async fn a_reset_in_the_middle_of_an_upload_is_not_the_end_of_the_file() {
    for straight in [true, false] {
        let (mut conn, mut peer) = pair();
        peer.write_all(b"half").unwrap();
        let mut sink = |_: &[u8]| {};
        let hash: Option<Digest<'_>> = if straight { None } else { Some(&mut sink) };
        let (file, progress) = (tempfile::tempfile().unwrap(), Progress::new());
        let mut transfer =
            std::pin::pin!(receive_file(&mut conn, &file, Options { hash, ..Options::default() }, &progress));
        // The first half has to be taken before the reset comes, or the kernel throws it away.
        let half = async {
            while progress.octets() < 4 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut transfer => panic!("ended too early"),
            () = half => {
                crate::sys::reset_on_close(&peer);
                drop(peer);
            }
        }
        let failure = transfer.await;
        assert!(matches!(failure, Err(Failure::Reset)), "{failure:?}");
        assert_eq!(content(&file), b"half", "what came stays");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_during_a_download_is_noticed() {
    let (mut conn, mut peer) = pair();
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 30).unwrap();
    let reader = thread::spawn(move || {
        peer.read_exact(&mut [0; 100_000]).unwrap();
    });
    let failure = send_file(&mut conn, &file, 0, None, Options::default(), &Progress::new()).await;
    reader.join().unwrap();
    assert!(matches!(failure, Err(Failure::Reset | Failure::PeerClosedEarly)), "{failure:?}");
}

#[tokio::test]
async fn a_client_that_never_reads_stalls_the_download() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 30).unwrap();
    for hashed in [false, true] {
        let (mut conn, _peer) = pair();
        let mut sink = |_: &[u8]| {};
        let hash: Option<Digest<'_>> = if hashed { Some(&mut sink) } else { None };
        let start = Instant::now();
        let failure =
            send_file(&mut conn, &file, 0, None, Options { hash, ..quick(300) }, &Progress::new()).await;
        assert!(matches!(failure, Err(Failure::Stalled { .. })), "{failure:?}");
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn an_upload_that_stands_still_or_trickles_is_ended() {
    let (mut conn, _peer) = pair();
    let file = tempfile::tempfile().unwrap();
    let failure = receive_file(&mut conn, &file, quick(200), &Progress::new()).await;
    assert!(matches!(failure, Err(Failure::Stalled { .. })), "{failure:?}");

    let (mut conn, mut peer) = pair();
    let trickle = thread::spawn(move || {
        while peer.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let options = Options { floor: Some(10_000), ..quick(400) };
    let failure = receive_file(&mut conn, &file, options, &Progress::new()).await;
    assert!(matches!(failure, Err(Failure::TooSlow { floor: 10_000, rate: ..1000 })), "{failure:?}");
    drop(conn);
    trickle.join().unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_from_a_broken_connection() {
    for hashed in [false, true] {
        let (mut conn, mut peer) = pair();
        let mut sink = |_: &[u8]| {};
        let hash: Option<Digest<'_>> = if hashed { Some(&mut sink) } else { None };
        peer.write_all(b"too much").unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let failure =
            receive_file(&mut conn, &full, Options { hash, ..Options::default() }, &Progress::new()).await;
        assert_eq!(failure.unwrap_err().code(), portway_proto::Code::INSUFFICIENT_STORAGE);
    }
}

#[tokio::test]
async fn an_aborted_transfer_is_seen_by_the_client_at_once() {
    let (mut conn, peer) = pair();
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 30).unwrap();
    let progress = Progress::new();
    {
        let transfer = send_file(&mut conn, &file, 0, None, Options::default(), &progress);
        assert!(tokio::time::timeout(Duration::from_millis(50), transfer).await.is_err());
    }
    drop(conn);
    let error = read_all(peer).join().unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
