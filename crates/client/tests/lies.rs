//! Servers that say what is not so: about sizes, offsets, listings. What arrives is right or refused, nothing that
//! was here goes, and it ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portway_client::{
    Audience, Connection, Direction, Fate, GetOptions, MirrorOptions, Report, Settings, Target, TlsChoice,
    mirror,
};
use portway_data::Progress;
use portway_vfs::{LinkPolicy, LocalFs};
use support::fake::{Fake, Habit};
use support::{bytes, here, name};

fn settings() -> Arc<Settings> {
    Arc::new(Settings { tls: TlsChoice::Off, ..Settings::default() })
}

fn target(fake: &Fake) -> Target {
    Target::parse(&format!("ftp://{}/", fake.at)).unwrap()
}

#[tokio::test]
async fn a_server_that_ignores_offsets_gives_the_right_file_in_segments_and_to_go_on_with() {
    let content = bytes(1, 5_000_000);
    let fake = Fake::start(Habit::IgnoresRest, &[("f", content.clone())]);
    let mut connection = Connection::open(&target(&fake), settings()).await.unwrap();
    let (folder, local) = here();
    let (size, options) = (content.len() as u64, GetOptions::default());
    let got = connection
        .get_segments(b"f", &local, &name("f"), (size, 4), options, &Progress::new())
        .await
        .unwrap();
    assert_eq!(got.size, size);
    assert!(std::fs::read(folder.path().join("f")).unwrap() == content, "in segments");

    let (folder, local) = here();
    std::fs::write(folder.path().join(".portway-part.f"), &content[..7000]).unwrap();
    let options = GetOptions { resume: true, ..options };
    connection.get(b"f", &local, &name("f"), options, &Progress::new()).await.unwrap();
    assert!(std::fs::read(folder.path().join("f")).unwrap() == content, "gone on with");
}

#[tokio::test]
async fn a_size_of_nothing_is_not_believed_and_one_that_is_too_small_is_a_failure_that_ends() {
    // Large enough for each run to count as progress.
    let content = bytes(2, 300_000);
    for (habit, arrives) in [(Habit::SizeZero, true), (Habit::SizeSmall, false)] {
        let fake = Fake::start(habit, &[("f", content.clone())]);
        let mut connection = Connection::open(&target(&fake), settings()).await.unwrap();
        let (folder, local) = here();
        let begun = Instant::now();
        let options = GetOptions::default();
        let (goal, progress) = (name("f"), Progress::new());
        let work = connection.get(b"f", &local, &goal, options, &progress);
        let got = tokio::time::timeout(Duration::from_secs(30), work).await.unwrap();
        match got {
            Ok(got) => {
                assert!(arrives && got.size == content.len() as u64, "{habit:?}");
                assert!(std::fs::read(folder.path().join("f")).unwrap() == content, "{habit:?}");
            }
            Err(error) => {
                assert!(!arrives && error.class() == "incomplete", "{habit:?}: {error}");
                assert_eq!(
                    std::fs::read_dir(folder.path()).unwrap().count(),
                    0,
                    "{habit:?}: nothing to go on with"
                );
                assert_eq!(fake.saw("RETR"), 5, "{habit:?}: as often as the settings say");
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{habit:?}: {:?}", begun.elapsed());
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Audience for Heard {
    fn hears(&self, path: &[u8], fate: &Fate) {
        self.0.lock().unwrap().push(format!("{} {fate:?}", String::from_utf8_lossy(path)));
    }
}

/// A mirror with `--delete` into a folder with a file and a directory of its own.
async fn mirrored(habit: Habit) -> (tempfile::TempDir, Report, Vec<String>) {
    let fake = Fake::start(habit, &[("new", b"abc".to_vec())]);
    let (folder, _) = here();
    std::fs::create_dir(folder.path().join("old")).unwrap();
    std::fs::write(folder.path().join("old/file"), "kept").unwrap();
    let local = LocalFs::open(folder.path(), LinkPolicy::Forbid).unwrap();
    let options = MirrorOptions { jobs: 2, delete: true, ..MirrorOptions::new(Direction::Down) };
    let heard = Arc::new(Heard::default());
    let target = target(&fake);
    let work = mirror(&target, settings(), local, options, heard.clone());
    let report = tokio::time::timeout(Duration::from_secs(30), work).await.unwrap().unwrap();
    let heard = std::mem::take(&mut *heard.0.lock().unwrap());
    (folder, report, heard)
}

#[tokio::test]
async fn nothing_is_deleted_because_a_listing_cannot_be_read() {
    let (folder, report, heard) = mirrored(Habit::ListsPage).await;
    assert!(folder.path().join("old/file").exists(), "{heard:?}");
    assert_eq!((report.deleted, report.failed), (0, 1), "{heard:?}");
    assert!(report.errors[0].1.to_string().contains("<html>please log in</html>"), "{heard:?}");

    let (folder, report, heard) = mirrored(Habit::ListsNoise).await;
    assert!(folder.path().join("old/file").exists(), "{heard:?}");
    assert_eq!((report.transferred, report.deleted, report.skipped), (1, 0, 1), "{heard:?}");
}

#[tokio::test]
async fn a_tree_that_holds_itself_comes_to_an_end() {
    let (folder, report, heard) = mirrored(Habit::Loops).await;
    assert_eq!(report.failed, 0, "{heard:?}");
    assert!(report.made <= 6 && report.skipped == 4, "{heard:?}");
    assert!(heard.iter().any(|line| line.contains("a loop of links")), "{heard:?}");
    assert!(!folder.path().join("a/a/a").exists());
}

#[tokio::test]
async fn removing_a_tree_that_holds_itself_fails_soon_and_says_why() {
    let fake = Fake::start(Habit::Loops, &[]);
    let mut connection = Connection::open(&target(&fake), settings()).await.unwrap();
    let error = connection.remove(b"/d", true, true).await.unwrap_err();
    assert_eq!(error.class(), "listing", "{error}");
    assert!(error.to_string().contains("128 directories deep"), "{error}");
    assert!(fake.saw("MLSD") + fake.saw("LIST") < 200, "no listing more than the depth asks for");
    assert_eq!(fake.saw("RMD"), 0);
}

#[tokio::test]
async fn a_226_alone_is_no_file() {
    let fake = Fake::start(Habit::SaysDone, &[("f", bytes(3, 100))]);
    let mut quick = Settings { tls: TlsChoice::Off, attempts: 2, ..Settings::default() };
    (quick.timeouts.stall, quick.timeouts.data_accept) =
        (Duration::from_millis(500), Duration::from_millis(500));
    let mut connection = Connection::open(&target(&fake), Arc::new(quick)).await.unwrap();
    let (folder, local) = here();
    std::fs::write(folder.path().join("f"), "the old one").unwrap();
    let got = connection.get(b"f", &local, &name("f"), GetOptions::default(), &Progress::new()).await;
    assert!(got.is_err(), "{got:?}");
    assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), b"the old one");
}

#[tokio::test]
async fn replies_too_many_are_not_taken_for_those_to_the_next_commands() {
    let content = bytes(4, 100_000);
    let fake = Fake::start(Habit::Stammers, &[("f", content.clone())]);
    let mut connection = Connection::open(&target(&fake), settings()).await.unwrap();
    for round in 0..2 {
        let (folder, local) = here();
        connection.get(b"f", &local, &name("f"), GetOptions::default(), &Progress::new()).await.unwrap();
        assert!(std::fs::read(folder.path().join("f")).unwrap() == content, "{round}");
    }
    assert_eq!(fake.saw("USER"), 1, "the session stays in step");
    assert_eq!(fake.saw("RETR"), 2);
}
