//! What a client says, or does not say any more, while a transfer runs.

mod common;

use std::time::Duration;

use common::{Site, drain, path};
use portway_vfs::Vfs;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn what_comes_in_one_segment_with_the_transfer_command_is_heard_while_it_runs() {
    let site = Site::open();
    site.put("f", b"content");
    let mut ann = site.ann().await;
    ann.epsv().await;
    ann.send(&["RETR f", "NOOP", "ABOR", "PWD"]).await;
    assert_eq!(ann.codes().await, [150, 200, 426, 226, 257]);
}

#[tokio::test]
async fn lines_behind_one_that_must_wait_are_answered_in_their_order() {
    let site = Site::open();
    site.put("f", b"content");
    let mut ann = site.ann().await;
    let port = ann.epsv().await;
    ann.send(&["RETR f", "PWD", "NOOP", "STAT"]).await;
    assert_eq!(ann.code().await, 150);
    assert_eq!(drain(TcpStream::connect(port).await.unwrap()).await, b"content");
    assert_eq!(ann.codes().await, [226, 257, 200, 211]);
}

#[tokio::test]
async fn a_client_that_said_quit_and_closed_its_side_still_gets_its_file() {
    let site = Site::open();
    site.put("f", b"content");
    let mut ann = site.ann().await;
    let port = ann.epsv().await;
    ann.send(&["RETR f", "QUIT"]).await;
    ann.end().await;
    assert_eq!(ann.code().await, 150);
    assert_eq!(drain(TcpStream::connect(port).await.unwrap()).await, b"content");
    assert_eq!(ann.codes().await, [226, 221]);
    assert!(ann.is_over().await);
}

#[tokio::test]
async fn what_was_still_to_be_done_for_a_client_that_vanished_is_not_done() {
    let site = Site::open();
    site.put("f", b"content");
    let mut ann = site.ann().await;
    let port = ann.epsv().await;
    ann.send(&["RETR f", "DELE f"]).await;
    assert_eq!(ann.code().await, 150);
    ann.end().await;
    assert!(ann.is_over().await);
    assert!(TcpStream::connect(port).await.is_err(), "the port is free");
    site.logged(&["session_closed", "peer_closed"]).await;
    assert_eq!(site.content("f").as_deref(), Some(&b"content"[..]));
}

#[tokio::test]
async fn a_client_that_reads_no_replies_still_gets_its_data() {
    let site = Site::open();
    let content = vec![b'x'; 32 * 1024 * 1024];
    site.put("f", &content);
    let mut ann = site.ann().await;
    let data = ann.data().await;
    assert_eq!(ann.say("RETR f").await, 150);
    let flood = "HELP\r\n".repeat(3_000_000);
    let all_taken = tokio::time::timeout(Duration::from_secs(1), ann.send(&[&flood])).await;
    assert!(all_taken.is_err(), "the flood is slowed down");
    assert_eq!(drain(data).await.len(), content.len());
}

#[tokio::test]
async fn an_upload_whose_client_was_killed_does_not_replace_the_file() {
    let site = Site::open();
    site.put("f", b"the old content");
    let mut ann = site.ann().await;
    let mut data = ann.data().await;
    assert_eq!(ann.say("STOR f").await, 150);
    data.write_all(b"the new").await.unwrap();
    // As when a program is killed: both end at once.
    drop((ann, data));
    site.logged(&["session_closed"]).await;
    site.logged(&["STOR", "control_lost"]).await;
    assert_eq!(site.content("f").as_deref(), Some(&b"the old content"[..]));
    let mut ann = site.ann().await;
    assert!(site.files.partial(&path("f")).is_some_and(|partial| partial.size == 7), "it can be resumed");
    assert_eq!(ann.say("QUIT").await, 221);
}

#[tokio::test]
async fn an_upload_counts_when_the_client_said_quit_and_left() {
    let site = Site::open();
    let mut ann = site.ann().await;
    let mut data = ann.data().await;
    ann.send(&["STOR f", "QUIT"]).await;
    data.write_all(b"content").await.unwrap();
    drop((ann, data));
    site.logged(&["STOR", "complete"]).await;
    assert_eq!(site.content("f").as_deref(), Some(&b"content"[..]));
}
