//! Block mode: many files over one data connection (RFC 959 §3.4.2), and what ends it.

mod common;

use common::{Client, Site, path};
use portway_proto::{Block, BlockReader, write_blocks};
use portway_vfs::Vfs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn ann_in_blocks(site: &Site) -> (Client, TcpStream) {
    let mut ann = site.ann().await;
    assert_eq!(ann.say("MODE B").await, 200);
    let data = ann.data().await;
    (ann, data)
}

/// The next file on a data connection; `None` if that ends first.
async fn file(data: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut reader, mut content) = (BlockReader::new(), Vec::new());
    loop {
        // One octet at a time: what follows belongs to the next file.
        let mut octet = [0];
        let read = timeout(common::PATIENCE, data.read(&mut octet)).await.expect("no end of the file");
        if read.ok()? == 0 {
            return None;
        }
        let mut wire = octet.as_slice();
        while let Some(block) = reader.next(&mut wire).expect("blocks") {
            match block {
                Block::Data(data) => content.extend_from_slice(data),
                Block::End => return Some(content),
            }
        }
    }
}

fn blocks(files: &[&[u8]]) -> Vec<u8> {
    let mut wire = Vec::new();
    files.iter().for_each(|file| write_blocks(&mut wire, file, true));
    wire
}

#[tokio::test]
async fn files_asked_for_together_come_one_after_the_other_over_one_connection() {
    let site = Site::open();
    site.put("a", b"first");
    site.put("empty", b"");
    site.put("large", &vec![b'x'; 300_000]);
    let (mut ann, mut data) = ann_in_blocks(&site).await;
    assert!(ann.ask("FEAT").await.contains(" MODE B\r\n"));
    ann.send(&["RETR a", "RETR empty", "RETR gone", "RETR large", "MLSD"]).await;
    assert_eq!(file(&mut data).await.unwrap(), b"first");
    assert_eq!(file(&mut data).await.unwrap(), b"");
    assert_eq!(file(&mut data).await.unwrap().len(), 300_000, "a missing file leaves no trace on the wire");
    assert!(String::from_utf8(file(&mut data).await.unwrap()).unwrap().contains("large"));
    assert_eq!(ann.codes().await, [150, 250, 125, 250, 550, 125, 250, 125, 250]);
}

#[tokio::test]
async fn a_refused_download_leaves_the_announced_port_to_the_next() {
    let site = Site::open();
    site.put("a", b"first");
    let (mut ann, mut data) = ann_in_blocks(&site).await;
    ann.send(&["RETR gone", "MLSD gone", "RETR a"]).await;
    assert_eq!(file(&mut data).await.unwrap(), b"first");
    assert_eq!(ann.codes().await, [550, 550, 150, 250]);
}

#[tokio::test]
async fn uploads_may_follow_their_commands_unasked() {
    let site = Site::open();
    let (mut ann, mut data) = ann_in_blocks(&site).await;
    data.write_all(&blocks(&[b"one", b"", b"three"])).await.unwrap();
    ann.send(&["STOR a", "STOR b", "STOR c"]).await;
    assert_eq!(ann.codes().await, [150, 250, 125, 250, 125, 250]);
    for (name, content) in [("a", &b"one"[..]), ("b", b""), ("c", b"three")] {
        assert_eq!(site.content(name).as_deref(), Some(content), "{name}");
    }
    ann.send(&["RETR c"]).await;
    assert_eq!(file(&mut data).await.unwrap(), b"three", "the same connection carries both ways");
}

#[tokio::test]
async fn the_octets_of_a_refused_upload_become_nobodys_file() {
    let site = Site::open();
    site.files.make_dir(&path("folder")).unwrap();
    let (mut ann, mut data) = ann_in_blocks(&site).await;
    data.write_all(&blocks(&[b"one", b"two", b"three"])).await.unwrap();
    ann.send(&["STOR a", "STOR folder", "STOR c"]).await;
    assert_eq!(ann.codes().await, [150, 250, 550, 425]);
    assert_eq!(site.content("a").as_deref(), Some(&b"one"[..]));
    assert_eq!(site.content("c"), None);
    assert_eq!(file(&mut data).await, None, "the data connection is closed");
}

#[tokio::test]
async fn what_is_no_block_ends_the_connection_and_stores_nothing() {
    let site = Site::open();
    for wire in [&b"plain text"[..], b"\x20\x00\x01x", b"\x40\x00\x09short", b"\x00\x00\x02ab"] {
        let (mut ann, mut data) = ann_in_blocks(&site).await;
        data.write_all(wire).await.unwrap();
        data.shutdown().await.unwrap();
        ann.send(&["STOR a", "STOR b"]).await;
        assert_eq!(ann.codes().await, [150, 426, 425], "{wire:?}");
        assert_eq!((site.content("a"), site.content("b")), (None, None), "{wire:?}");
    }
}

#[tokio::test]
async fn whatever_makes_its_owner_doubtful_ends_a_kept_connection() {
    let site = Site::open();
    site.put("a", b"first");
    for line in ["MODE S", "EPSV", "PASV", "ABOR", "REIN", "USER bob", "FROB"] {
        let (mut ann, mut data) = ann_in_blocks(&site).await;
        ann.send(&["RETR a"]).await;
        assert_eq!((file(&mut data).await.unwrap(), ann.codes().await), (b"first".to_vec(), [150, 250]));
        ann.say(line).await;
        if !matches!(line, "EPSV" | "PASV") {
            let code = ann.say("RETR a").await;
            assert!(matches!(code, 425 | 530), "{line}: {code}");
        }
        assert_eq!(file(&mut data).await, None, "{line}: nothing more comes");
    }
}

#[tokio::test]
async fn abor_ends_the_transfer_and_the_connection() {
    let site = Site::open();
    site.put("large", &vec![b'x'; 64 << 20]);
    let (mut ann, data) = ann_in_blocks(&site).await;
    ann.send(&["RETR large"]).await;
    assert_eq!(ann.code().await, 150);
    ann.send(&["ABOR", "RETR large"]).await;
    assert_eq!(ann.codes().await, [426, 226, 425]);
    drop(data);
}
