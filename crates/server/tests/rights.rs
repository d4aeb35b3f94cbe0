//! What an account may not do, by no command.

mod common;

use common::{Client, PATIENCE, Site, accounts};
use portway_accounts::{Rights, Throttle};
use portway_interpreter::Door;
use tokio::io::AsyncWriteExt;

/// Sends one upload; its final code.
async fn store(client: &mut Client, line: &str) -> u16 {
    let mut data = client.data().await;
    match client.say(line).await {
        150 => {}
        refused => return refused,
    }
    data.write_all(b"new").await.expect("written");
    drop(data);
    client.code().await
}

async fn with_rights(rights: Rights) -> (Site, Client) {
    let site = Site::with(|_, config| config.door = Door::new(accounts(rights), Throttle::default()));
    site.put("f", b"content");
    let client = site.ann().await;
    (site, client)
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let (site, mut ann) = with_rights(Rights::READ_ONLY).await;
    let before = site.server.config().storage.stat(&common::path("f")).expect("f");
    for line in [
        "DELE f",
        "MKD d",
        "RMD f",
        "RMDA f",
        "RNFR f",
        "MFMT 20200101000000 f",
        "MFF modify=20200101000000; f",
        "MFF UNIX.mode=777; f",
        "MDTM 20200101000000 f",
        "SITE CHMOD 777 f",
        "SITE UTIME 20200101000000 f",
        "SITE UTIME f 20200101000000 20200101000000 20200101000000 UTC",
        "SITE SYMLINK f g",
        "COMB f g",
    ] {
        assert_eq!(ann.say(line).await, 550, "{line}");
    }
    for line in ["STOR f", "STOR g", "APPE f", "APPE g", "STOU", "STOU f"] {
        assert_eq!(store(&mut ann, line).await, 550, "{line}");
    }
    assert_eq!(ann.say("REST 3").await, 350);
    assert_eq!(store(&mut ann, "STOR f").await, 550);
    let after = site.server.config().storage.stat(&common::path("f")).expect("f");
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    assert_eq!(site.content("f").as_deref(), Some(&b"content"[..]));
    assert_eq!(site.content("g"), None);
}

#[tokio::test]
async fn who_may_only_append_makes_no_new_file() {
    let (site, mut ann) = with_rights(Rights::READ_ONLY | Rights::APPEND).await;
    assert_eq!(store(&mut ann, "APPE f").await, 226);
    assert_eq!(store(&mut ann, "APPE g").await, 550);
    assert_eq!(site.content("f").as_deref(), Some(&b"contentnew"[..]));
    assert_eq!(site.content("g"), None);
}

#[tokio::test]
async fn who_may_only_put_files_there_learns_nothing_of_others() {
    let (_site, mut ann) = with_rights(Rights::WRITE).await;
    for line in ["SIZE f", "MDTM f", "MLST f", "STAT f", "HASH f", "XCRC f"] {
        assert_eq!(ann.say(line).await, 550, "{line}");
    }
    for line in ["RETR f", "LIST", "NLST", "MLSD", "STOR f"] {
        assert_eq!(store(&mut ann, line).await, 550, "{line}");
    }
    let stored = tokio::time::timeout(PATIENCE, store(&mut ann, "STOR g")).await;
    assert_eq!(stored.expect("a reply"), 226);
}

#[tokio::test]
async fn site_umask_decides_the_mode_of_new_files_and_of_no_others() {
    let (site, mut ann) = with_rights(Rights::FULL).await;
    assert_eq!(ann.say("SITE UMASK 077").await, 200);
    for (line, mode) in [("STOR g", 0o600), ("STOR f", 0o644), ("APPE h", 0o600), ("APPE f", 0o644)] {
        assert_eq!(store(&mut ann, line).await, 226, "{line}");
        let name = &line[5..];
        let stored = site.server.config().storage.stat(&common::path(name)).expect(name);
        assert_eq!(format!("{:o}", stored.mode), format!("{mode:o}"), "{line}");
    }
}
