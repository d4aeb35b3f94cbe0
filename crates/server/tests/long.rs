//! Commands that take long, and the clients that do not wait for them.

mod common;

use common::{Site, drain, path};
use portway_vfs::{Vfs, Write};

/// A file without end, as far as a test is concerned; it takes no memory.
const ENDLESS: u64 = 1 << 50;

fn with_endless_file() -> Site {
    let site = Site::open();
    let upload = site.files.create(&path("endless"), Write::Replace).expect("created");
    upload.file().set_len(ENDLESS).expect("room");
    upload.commit().expect("committed");
    site
}

#[tokio::test]
async fn a_digest_ends_with_the_session_that_asked_for_it() {
    let site = with_endless_file();
    let mut ann = site.ann().await;
    ann.send(&["NOOP", "HASH endless", "NOOP"]).await;
    assert_eq!(ann.code().await, 200, "what came before is answered meanwhile");
    drop(ann);
    site.logged(&["session_closed"]).await;
    // The runtime of this test waits for the thread that reads the file.
}

#[tokio::test]
async fn digests_of_one_do_not_hold_up_what_others_do() {
    let site = with_endless_file();
    let mut greedy = Vec::new();
    for _ in 0..20 {
        let mut ann = site.ann().await;
        ann.send(&["HASH endless"]).await;
        greedy.push(ann);
    }
    site.put("f", b"content");
    let mut ann = site.ann().await;
    for (line, code) in [("STAT .", 213), ("RNFR missing", 550), ("REST 3", 350)] {
        assert_eq!(ann.say(line).await, code, "{line}");
    }
    let data = ann.data().await;
    assert_eq!(ann.say("RETR f").await, 150);
    assert_eq!(drain(data).await, b"tent");
    assert_eq!(ann.code().await, 226);
}

#[tokio::test]
async fn resuming_in_ascii_far_into_a_file_can_be_given_up() {
    let site = with_endless_file();
    let mut ann = site.ann().await;
    for (line, code) in [("TYPE A", 200), ("REST 999999999999999", 350)] {
        assert_eq!(ann.say(line).await, code, "{line}");
    }
    ann.epsv().await;
    ann.send(&["RETR endless"]).await;
    let mut other = site.ann().await;
    assert_eq!(other.say("NOOP").await, 200);
    drop(ann);
    site.logged(&["session_closed"]).await;
}

#[tokio::test]
async fn a_pattern_finds_its_names_among_many_that_do_not_fit() {
    let site = Site::open();
    assert!(site.files.make_dir(&path("d")).is_ok());
    for number in 0..1000 {
        site.put(&format!("d/{number}"), b"");
    }
    site.put("d/x.txt", b"");
    let mut ann = site.ann().await;
    for (line, found) in [("NLST d/x*", "d/x.txt\r\n"), ("NLST d/y*", ""), ("NLST d/99?", "10 names")] {
        let data = ann.data().await;
        assert_eq!(ann.say(line).await, 150);
        let listed = String::from_utf8(drain(data).await).expect("ASCII");
        match found {
            "10 names" => assert_eq!(listed.lines().count(), 10, "{listed}"),
            _ => assert_eq!(listed, found, "{line}"),
        }
        assert_eq!(ann.code().await, 226);
    }
    let reply = ann.ask("STAT d/x*").await;
    assert_eq!(reply.lines().count(), 3, "{reply}");
}

#[tokio::test]
async fn a_transfer_that_waited_for_a_long_command_can_be_aborted_before_it_begins() {
    let site = Site::open();
    site.put("f", b"content");
    let upload = site.files.create(&path("large"), Write::Replace).expect("created");
    upload.file().set_len(64 << 20).expect("room");
    upload.commit().expect("committed");
    let mut ann = site.ann().await;
    ann.epsv().await;
    ann.send(&["NOOP", "HASH large"]).await;
    assert_eq!(ann.code().await, 200);
    ann.send(&["RETR f", "PWD", "ABOR"]).await;
    assert_eq!(ann.codes().await, [213, 150, 426, 226, 257]);
}
