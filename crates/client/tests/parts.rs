//! One file up in several parts: what arrives is whole, nothing else is left, and it arrives also where joining fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs::File;
use std::sync::{Arc, Mutex};

use portway_client::{Connection, Error, PutOptions, Settings, Stored, Target, TlsChoice, Verify};
use portway_data::Progress;
use support::fake::{Fake, Habit};
use support::{Kind, Server, Tls, bytes};

const LENGTH: usize = 5_000_003;

/// Stores `content` under `name` in four parts; returns what the user is told besides.
async fn put(
    target: &Target,
    settings: Settings,
    name: &str,
    content: &[u8],
    options: PutOptions,
) -> (Result<Stored, Error>, Vec<String>, u64) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), content).unwrap();
    let file = File::open(folder.path().join("f")).unwrap();
    let mut connection = Connection::open(target, Arc::new(settings)).await.unwrap();
    let told = Mutex::new(Vec::new());
    let say = |text: &str| told.lock().unwrap().push(text.to_owned());
    let progress = Progress::new();
    let stored = connection.put_segments(&file, name.as_bytes(), 4, options, &progress, &say).await;
    connection.quit().await;
    (stored, told.into_inner().unwrap(), progress.octets())
}

fn plain() -> Settings {
    Settings { tls: TlsChoice::Off, ..Settings::default() }
}

async fn put_to(
    fake: &Fake,
    content: &[u8],
    options: PutOptions,
) -> (Result<Stored, Error>, Vec<String>, u64) {
    put(&Target::parse(&format!("ftp://{}/", fake.at)).unwrap(), plain(), "up", content, options).await
}

fn names(fake: &Fake) -> Vec<String> {
    fake.files.lock().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn the_parts_become_one_file_in_place_of_the_old_one_and_go() {
    for habit in [Habit::Joins, Habit::JoinsMutely, Habit::JoinsForTwo] {
        let content = bytes(1, LENGTH);
        // An older draft would be appended to.
        let fake = Fake::start(habit, &[("up", bytes(2, 300)), (".up.portway-upload", bytes(3, 200))]);
        let (stored, told, octets) = put_to(&fake, &content, PutOptions::default()).await;
        assert_eq!(stored.unwrap_or_else(|error| panic!("{habit:?}: {error}")).size, LENGTH as u64);
        assert!(fake.files.lock().unwrap().get("up") == Some(&content), "{habit:?}");
        assert_eq!(names(&fake), ["up"], "{habit:?}");
        assert_eq!((fake.saw("STOR"), fake.saw("COMB")), (4, 1), "{habit:?}: once each");
        assert!(told.is_empty(), "{habit:?}: {told:?}");
        assert_eq!(octets, LENGTH as u64, "{habit:?}: the bar ends where the file does");
    }
}

#[tokio::test]
async fn where_joining_fails_the_file_goes_up_in_one_piece_and_it_is_said_once() {
    for (habit, says) in [
        (Habit::RefusesComb, "502 not for you"),
        (Habit::JoinsHalf, "of 5000003 octets"),
        (Habit::JoinsForOne, "too many connections"),
    ] {
        let content = bytes(1, LENGTH);
        let fake = Fake::start(habit, &[("up", bytes(2, 300))]);
        // Going on with the old file would be wrong where parts have gone up.
        let options = PutOptions { resume: habit != Habit::JoinsForOne, ..PutOptions::default() };
        let (stored, told, _) = put_to(&fake, &content, options).await;
        stored.unwrap_or_else(|error| panic!("{habit:?}: {error}"));
        assert!(fake.files.lock().unwrap().get("up") == Some(&content), "{habit:?}");
        assert_eq!(names(&fake), ["up"], "{habit:?}: nothing else is left");
        assert!(told.len() == 1 && told[0].contains(says) && told[0].contains("in one piece"), "{told:?}");
    }
}

#[tokio::test]
async fn a_later_try_goes_on_with_the_parts_of_the_same_size_and_number_alone() {
    let content = bytes(1, LENGTH);
    let (quarter, half) = (LENGTH / 4, LENGTH / 8);
    let fake = Fake::start(
        Habit::Joins,
        &[
            (".up.portway-upload.5000003.1-4", content[..quarter].to_vec()),
            (".up.portway-upload.5000003.3-4", content[2 * quarter..2 * quarter + half].to_vec()),
            (".up.portway-upload.5000002.2-4", b"of another size".to_vec()),
        ],
    );
    let options = PutOptions { resume: true, ..PutOptions::default() };
    let (stored, told, octets) = put_to(&fake, &content, options).await;
    assert_eq!(stored.unwrap().resumed_at, (quarter + half) as u64);
    assert_eq!(octets, (LENGTH - quarter - half) as u64, "nothing is sent again");
    assert!(told.is_empty(), "{told:?}");
    assert!(fake.files.lock().unwrap().get("up") == Some(&content));
    assert_eq!(names(&fake), [".up.portway-upload.5000002.2-4", "up"]);
}

#[tokio::test]
async fn a_server_without_comb_gets_the_file_in_one_piece_and_it_is_said_in_one_line() {
    for kind in [Kind::Vsftpd, Kind::Proftpd, Kind::PureFtpd, Kind::Pyftpdlib] {
        let server = Server::start(kind, Tls::Off);
        let content = bytes(7, LENGTH);
        let options = PutOptions { verify: Verify::Size, ..PutOptions::default() };
        let (stored, told, octets) =
            put(&server.target(""), server.settings(), "up.bin", &content, options).await;
        assert_eq!(stored.unwrap().size, LENGTH as u64, "{kind:?}");
        assert_eq!(octets, LENGTH as u64, "{kind:?}: it is sent once");
        assert!(server.read("up.bin") == content, "{kind:?}");
        assert!(told.len() == 1 && told[0].contains("in one piece"), "{kind:?}: {told:?}");
    }
}
