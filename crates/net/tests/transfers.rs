//! Whole files through TLS, and what happens at their end.

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::{Session, VERSIONS, client, lopsided_pair, pattern, read_all, server};
use tokio::time::timeout;

#[tokio::test]
async fn files_of_every_size_arrive_whole_in_both_directions() {
    for version in VERSIONS {
        let session = Session::open(&server(), &client(version)).await;
        for size in [0, 1, 16_383, 16_384, 16_385, 131_072, 131_073, 3_000_000] {
            let file = pattern(size);
            for upload in [true, false] {
                let (mut ours, mut theirs) = session.data().await;
                let (from, to) = if upload { (&mut theirs, &mut ours) } else { (&mut ours, &mut theirs) };
                let send = async {
                    for part in file.chunks(100_000) {
                        from.write_all(part).await.unwrap();
                    }
                    from.finish_sending().await.unwrap();
                };
                let receive = async {
                    let got = read_all(to).await.unwrap();
                    to.finish_receiving().await.unwrap();
                    got
                };
                let ((), got) = tokio::join!(send, receive);
                assert!(got == file, "TLS {version}, {size} octets, upload {upload}");
            }
        }
    }
}

#[tokio::test]
async fn a_small_buffer_gets_the_same_octets() {
    let session = Session::open(&server(), &client("1.3")).await;
    let (mut ours, mut theirs) = session.data().await;
    let file = pattern(50_000);
    let send = async {
        ours.write_all(&file).await.unwrap();
        ours.send_end().await.unwrap();
    };
    let receive = async {
        let (mut got, mut buf) = (vec![], [0; 7]);
        loop {
            match theirs.read(&mut buf).await.unwrap() {
                0 => return got,
                n => got.extend_from_slice(&buf[..n]),
            }
        }
    };
    let ((), got) = tokio::join!(send, receive);
    assert!(got == file);
}

/// Perl's Net::FTP and rclone do this. What the server sent and they have not read would reset the connection,
/// and what was still in their socket would be lost.
#[tokio::test]
async fn an_upload_arrives_whole_though_the_client_closes_without_reading() {
    for version in VERSIONS {
        let session = Session::open(&server(), &client(version)).await;
        let file = pattern(150_000);
        for round in 0..500 {
            let (mut ours, mut theirs) = session.data_over(lopsided_pair().await).await;
            theirs.write_all(&file).await.unwrap();
            theirs.send_end().await.unwrap();
            drop(theirs);
            let got = read_all(&mut ours).await;
            let len = got.as_ref().map(Vec::len);
            assert!(got.as_ref().is_ok_and(|got| *got == file), "TLS {version}, round {round}: {len:?}");
            ours.finish_receiving().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_upload_cut_short_is_an_error_and_no_end() {
    for version in VERSIONS {
        let session = Session::open(&server(), &client(version)).await;
        for size in [0, 1, 100_000] {
            let (mut ours, mut theirs) = session.data().await;
            theirs.write_all(&pattern(size)).await.unwrap();
            drop(theirs); // FIN, but no close_notify
            let error = read_all(&mut ours).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "TLS {version}, {size} octets");
        }
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_writer_up() {
    let session = Session::open(&server(), &client("1.3")).await;
    let (mut ours, mut theirs) = session.data().await;
    let file = pattern(64 << 20);
    let sending = timeout(Duration::from_millis(300), ours.write_all(&file)).await;
    assert!(sending.is_err(), "64 MiB do not fit into a socket");
    // What was sent half-way is still good TLS.
    let mut buf = vec![0; 100_000];
    let n = theirs.read(&mut buf).await.unwrap();
    assert!(n > 0 && buf[..n] == file[..n]);
}

#[tokio::test]
async fn reading_can_be_given_up_and_taken_up_again() {
    let session = Session::open(&server(), &client("1.3")).await;
    let (mut ours, mut theirs) = session.data().await;
    let file = pattern(200_000);
    let send = async {
        for part in file.chunks(1_000) {
            theirs.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        theirs.send_end().await.unwrap();
    };
    let receive = async {
        let (mut got, mut buf) = (vec![], vec![0; 3_000]);
        loop {
            tokio::select! {
                biased;
                n = ours.read(&mut buf) => match n.unwrap() {
                    0 => return got,
                    n => got.extend_from_slice(&buf[..n]),
                },
                () = tokio::task::yield_now() => {}
            }
        }
    };
    let ((), got) = tokio::join!(send, receive);
    assert!(got == file);
}

#[tokio::test]
async fn a_peer_that_never_ends_costs_two_seconds_and_no_more() {
    let session = Session::open(&server(), &client("1.3")).await;
    let (mut ours, theirs) = session.data().await;
    let start = tokio::time::Instant::now();
    timeout(Duration::from_secs(10), ours.finish_sending()).await.unwrap().unwrap();
    assert!(start.elapsed() >= Duration::from_millis(1900), "it did wait");
    drop(theirs);
}
