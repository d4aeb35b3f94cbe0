//! Transfers over real sockets: what arrives, and what the failures are called.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::conn::Stream;
use crate::{ChannelMode, DataConn, Facts, Failure, Proven};

mod failures;

/// A data connection and the peer's end of it.
pub(super) fn pair() -> (DataConn, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, from) = crate::sys::accept(&listener).unwrap();
    let local = ours.local_addr().unwrap();
    let stream = Stream::Plain(crate::listener::adopt(ours).unwrap());
    let facts = Facts {
        peer: from,
        local,
        mode: ChannelMode::Passive,
        proven: Proven::Address,
        strangers: 0,
        waited: Duration::ZERO,
    };
    (DataConn::new(stream, facts, None), peer)
}

/// A file whose position is at its start.
fn file_of(data: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(data).unwrap();
    file.rewind().unwrap();
    file
}

fn content(file: &File) -> Vec<u8> {
    let mut all = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut all).unwrap();
    all
}

/// Octets that repeat only after a long while.
pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn read_all(mut peer: TcpStream) -> thread::JoinHandle<std::io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    })
}

fn write_all(mut peer: TcpStream, data: Vec<u8>, cut: usize) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for piece in data.chunks(cut) {
            peer.write_all(piece).unwrap();
        }
    })
}

fn quick(stall: u64) -> Options<'static> {
    Options { stall: Duration::from_millis(stall), ..Options::default() }
}

async fn download(data: &[u8], options: Options<'_>) -> (Vec<u8>, Sent) {
    let (mut conn, peer) = pair();
    let reader = read_all(peer);
    let progress = Progress::new();
    let sent = send_file(&mut conn, &file_of(data), 0, None, options, &progress).await.unwrap();
    conn.finish().await.unwrap();
    assert_eq!((progress.octets(), progress.wire()), (sent.octets, sent.wire));
    (reader.join().unwrap().unwrap(), sent)
}

async fn upload(data: Vec<u8>, cut: usize, file: &File, options: Options<'_>) -> Received {
    let (mut conn, peer) = pair();
    let writer = write_all(peer, data, cut);
    let progress = Progress::new();
    let received = receive_file(&mut conn, file, options, &progress).await.unwrap();
    conn.finish().await.unwrap();
    writer.join().unwrap();
    assert_eq!((progress.octets(), progress.wire()), (received.octets, received.wire));
    received
}

#[tokio::test]
async fn a_download_arrives_whole_whatever_its_size() {
    for len in [0, 1, 1000, 65_536, 300_000, 5_000_000] {
        let data = noise(len);
        let (arrived, sent) = download(&data, Options::default()).await;
        assert_eq!(sent, Sent { octets: len as u64, wire: len as u64 });
        assert!(arrived == data, "{len} octets");
    }
}

#[tokio::test]
async fn a_part_of_a_file_is_sent_and_the_position_stays() {
    let (mut conn, peer) = pair();
    let reader = read_all(peer);
    let file = file_of(b"0123456789");
    send_file(&mut conn, &file, 3, Some(4), Options::default(), &Progress::new()).await.unwrap();
    conn.finish().await.unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), b"3456");
    assert_eq!((&file).stream_position().unwrap(), 0);
}

#[tokio::test]
async fn a_file_without_size_is_sent_to_its_end() {
    let (mut conn, peer) = pair();
    let reader = read_all(peer);
    let file = File::open("/proc/self/status").unwrap();
    send_file(&mut conn, &file, 0, None, Options::default(), &Progress::new()).await.unwrap();
    conn.finish().await.unwrap();
    assert!(reader.join().unwrap().unwrap().starts_with(b"Name:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gibibytes_of_holes_pass_in_seconds() {
    const LEN: u64 = 3 << 30;
    // In memory where there is such a place: on a disk the kernel fills its cache with the holes.
    let file = tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile()).unwrap();
    file.set_len(LEN).unwrap();
    (&file).seek(SeekFrom::Start(LEN - 4)).unwrap();
    (&file).write_all(b"last").unwrap();
    let (mut conn, mut peer) = pair();
    let reader = thread::spawn(move || {
        let (mut buf, mut total) = (vec![0; 1 << 20], 0);
        while total < LEN - 4 {
            let room = buf.len().min((LEN - 4 - total) as usize);
            // The kernel throws the octets away, which is all that keeps this test short.
            let flags = rustix::net::RecvFlags::TRUNC;
            match rustix::net::recv(&peer, &mut buf[..room], flags).unwrap().0 {
                0 => break,
                n => total += n as u64,
            }
        }
        let mut tail = Vec::new();
        total += peer.read_to_end(&mut tail).unwrap() as u64;
        (total, tail)
    });
    let start = Instant::now();
    let sent = send_file(&mut conn, &file, 0, None, Options::default(), &Progress::new()).await.unwrap();
    conn.finish().await.unwrap();
    assert_eq!(sent.octets, LEN);
    assert_eq!(reader.join().unwrap(), (LEN, b"last".to_vec()));
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_upload_arrives_whole_however_it_is_cut() {
    for (len, cut) in [(0, 1), (1, 1), (1000, 7), (300_000, 1400), (5_000_000, 1 << 20)] {
        let data = noise(len);
        let file = tempfile::tempfile().unwrap();
        let received = upload(data.clone(), cut, &file, Options::default()).await;
        assert_eq!(received, Received { octets: len as u64, wire: len as u64 });
        assert!(content(&file) == data, "{len} octets in pieces of {cut}");
    }
}

#[tokio::test]
async fn an_upload_goes_to_the_position_of_the_file_and_to_the_end_when_appending() {
    let file = file_of(b"0123456789");
    (&file).seek(SeekFrom::Start(8)).unwrap();
    upload(b"abcd".to_vec(), 1, &file, Options::default()).await;
    assert_eq!(content(&file), b"01234567abcd");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, "one ").unwrap();
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    let data = noise(1_000_000);
    let received = upload(data.clone(), 50_000, &file, Options::default()).await;
    assert_eq!(received.octets, 1_000_000);
    assert!(std::fs::read(&path).unwrap() == [b"one ", &data[..]].concat());
}

#[tokio::test]
async fn text_compression_and_hash_work_together_both_ways() {
    let local = b"first line\nsecond line\n".repeat(20_000);
    let network = b"first line\r\nsecond line\r\n".repeat(20_000);
    let all = || Options {
        representation: Representation::Ascii,
        compression: Compression::Deflate(6),
        ..Options::default()
    };
    let mut hashed = Vec::new();
    let mut hash = |octets: &[u8]| hashed.extend_from_slice(octets);
    let (wire, sent) = download(&local, Options { hash: Some(&mut hash), ..all() }).await;
    assert!(hashed == local, "the hash sees the file as it is on disk");
    assert_eq!(sent.octets, local.len() as u64);
    assert!(sent.wire < sent.octets / 10);
    let mut unpacked = Vec::new();
    flate2::read::ZlibDecoder::new(&wire[..]).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == network);

    let file = tempfile::tempfile().unwrap();
    let mut hashed = Vec::new();
    let mut hash = |octets: &[u8]| hashed.extend_from_slice(octets);
    let received = upload(wire, 100, &file, Options { hash: Some(&mut hash), ..all() }).await;
    assert_eq!(received.octets, local.len() as u64);
    assert!(content(&file) == local && hashed == local);
}

#[tokio::test]
async fn a_client_that_reads_slowly_from_a_full_socket_does_not_stall() {
    let (mut conn, mut peer) = pair();
    let file = tempfile::tempfile().unwrap();
    file.set_len(4 << 20).unwrap();
    // The socket's buffer lets go in steps far larger than one of these reads.
    let reader = thread::spawn(move || {
        let (mut buf, mut total) = (vec![0; 60_000], 0);
        loop {
            match peer.read(&mut buf).unwrap() {
                0 => return total,
                n => total += n,
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    let sent = send_file(&mut conn, &file, 0, None, quick(400), &Progress::new()).await;
    assert!(sent.is_ok(), "{sent:?}");
    conn.finish().await.unwrap();
    assert_eq!(reader.join().unwrap(), 4 << 20);
}

#[tokio::test]
async fn the_rate_limit_holds_both_ways() {
    let limited = || Options { limit_rate: Some(1_000_000), ..Options::default() };
    let start = Instant::now();
    let data = noise(300_000);
    assert!(download(&data, limited()).await.0 == data);
    let file = tempfile::tempfile().unwrap();
    upload(data.clone(), 10_000, &file, limited()).await;
    assert!(content(&file) == data);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(450), "600 kB at 1 MB/s took {took:?}");
    assert!(took < Duration::from_secs(5), "600 kB at 1 MB/s took {took:?}");
}

#[tokio::test]
async fn a_listing_is_made_no_faster_than_the_client_reads_it() {
    let (mut conn, mut peer) = pair();
    let made = std::sync::Arc::new(AtomicU64::new(0));
    let row = "-rw-r--r--   1 ftp ftp   1024 Nov 22 10:21 some file name\r\n";
    let producer = {
        let made = made.clone();
        move |rows: &mut Vec<u8>| {
            rows.extend_from_slice(row.as_bytes());
            Ok(made.fetch_add(1, Ordering::Relaxed) + 1 < 1_000_000)
        }
    };
    let failure = send_stream(&mut conn, producer, quick(300), &Progress::new()).await;
    assert!(matches!(failure, Err(Failure::Stalled { .. })), "{failure:?}");
    assert!(made.load(Ordering::Relaxed) < 500_000, "rows wait for the client to read");
    let mut first = vec![0; row.len()];
    peer.read_exact(&mut first).unwrap();
    assert_eq!(first, row.as_bytes());
}

#[tokio::test]
async fn a_listing_arrives_in_order_and_an_error_in_it_is_ours() {
    let (mut conn, peer) = pair();
    let reader = read_all(peer);
    let mut n = 0;
    let options = Options { representation: Representation::Ascii, ..Options::default() };
    let produce = |rows: &mut Vec<u8>| {
        n += 1;
        writeln!(rows, "row {n}")?;
        Ok(n < 50_000)
    };
    let sent = send_stream(&mut conn, produce, options, &Progress::new()).await.unwrap();
    conn.finish().await.unwrap();
    let wire = reader.join().unwrap().unwrap();
    assert_eq!((sent.wire, sent.octets), (wire.len() as u64, wire.len() as u64 - 50_000));
    assert!(wire.ends_with(b"row 49999\r\nrow 50000\r\n"));

    let (mut conn, _peer) = pair();
    let broken = |_: &mut Vec<u8>| Err(std::io::ErrorKind::PermissionDenied.into());
    let failure = send_stream(&mut conn, broken, Options::default(), &Progress::new()).await;
    assert!(matches!(failure, Err(Failure::Local(_))), "{failure:?}");
}

#[tokio::test]
async fn octets_the_client_should_not_have_sent_do_not_cost_it_the_file() {
    let data = noise(200_000);
    let (mut conn, mut peer) = pair();
    peer.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    send_file(&mut conn, &file_of(&data), 0, None, Options::default(), &Progress::new()).await.unwrap();
    conn.finish().await.unwrap();
    assert!(read_all(peer).join().unwrap().unwrap() == data);
}

#[tokio::test]
async fn a_client_that_half_closes_first_still_gets_its_file() {
    let data = noise(3_000_000);
    let (mut conn, peer) = pair();
    peer.shutdown(Shutdown::Write).unwrap();
    let reader = read_all(peer);
    send_file(&mut conn, &file_of(&data), 0, None, Options::default(), &Progress::new()).await.unwrap();
    conn.finish().await.unwrap();
    assert!(reader.join().unwrap().unwrap() == data);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Every way through the pump yields the same file.
    #[test]
    fn the_way_the_octets_take_does_not_change_them(
        data in proptest::collection::vec(any::<u8>(), 0..60_000),
        cut in 1_usize..5000,
        hashed: bool,
        zip in proptest::option::of(0_u32..10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let compression = zip.map_or(Compression::None, Compression::Deflate);
            let mut first = |_: &[u8]| {};
            let hash: Option<Digest<'_>> = if hashed { Some(&mut first) } else { None };
            let (wire, _) = download(&data, Options { hash, compression, ..Options::default() }).await;
            let mut second = |_: &[u8]| {};
            let hash: Option<Digest<'_>> = if hashed { Some(&mut second) } else { None };
            let file = tempfile::tempfile().unwrap();
            upload(wire, cut, &file, Options { hash, compression, ..Options::default() }).await;
            prop_assert!(content(&file) == data);
            Ok(())
        })?;
    }
}
