//! Servers with bad habits and networks with firewalls: what arrives is whole, what fails says why, in time.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_client::{
    Audience, Blame, Cause, Connection, Direction, Fate, GetOptions, Memory, MirrorOptions, ModeChoice,
    PutOptions, Settings, Target, TlsChoice, Way, mirror,
};
use portway_data::Progress;
use portway_vfs::{LinkPolicy, LocalFs};
use support::fake::{Fake, Habit};
use support::{bytes, here, name};

fn settings() -> Settings {
    Settings { tls: TlsChoice::Off, ..Settings::default() }
}

fn target(fake: &Fake) -> Target {
    Target::parse(&format!("ftp://{}/", fake.at)).unwrap()
}

#[tokio::test]
async fn a_file_arrives_whole_whatever_the_server_says_about_it() {
    use Habit::*;
    for habit in [
        None,
        No150,
        Early226,
        Two226,
        Says250,
        LosesControl,
        Half226,
        DropsHalfWay,
        False426,
        NoEpsv,
        NoPassive,
        PassiveReset,
        PrivateAddress,
        Odd227,
        NoRest,
    ] {
        let content = bytes(11, 100_000);
        let fake = Fake::start(habit, &[("f", content.clone())]);
        let mut connection = Connection::open(&target(&fake), Arc::new(settings())).await.unwrap();
        for round in 0..2 {
            let (folder, local) = here();
            let got = connection.get(b"f", &local, &name("f"), GetOptions::default(), &Progress::new()).await;
            got.unwrap_or_else(|error| panic!("{habit:?}, round {round}: {error}"));
            assert!(std::fs::read(folder.path().join("f")).unwrap() == content, "{habit:?}, round {round}");
        }
        let whole_again = fake.saw("RETR") - 2;
        let expected = usize::from(matches!(habit, Half226 | DropsHalfWay));
        assert_eq!(whole_again, expected, "{habit:?}: nothing is sent again that need not be");
        assert_eq!(fake.saw("REST 50000"), expected, "{habit:?}: what is here is not fetched twice");
    }
}

#[tokio::test]
async fn an_upload_is_done_when_the_size_at_the_server_says_so() {
    use Habit::*;
    for habit in [None, No150, Two226, Says250, LosesControl, False426, NoPassive] {
        let fake = Fake::start(habit, &[]);
        let (folder, _) = here();
        let content = bytes(12, 70_000);
        std::fs::write(folder.path().join("f"), &content).unwrap();
        let file = std::fs::File::open(folder.path().join("f")).unwrap();
        let mut connection = Connection::open(&target(&fake), Arc::new(settings())).await.unwrap();
        let put = connection.put(&file, b"up", PutOptions::default(), &Progress::new()).await;
        let put = put.unwrap_or_else(|error| panic!("{habit:?}: {error}"));
        assert!(fake.files.lock().unwrap().get("up") == Some(&content), "{habit:?}");
        assert_eq!(fake.saw("STOR") + fake.saw("APPE"), 1, "{habit:?}: it is not sent again");
        assert_eq!(put.by_proof, matches!(habit, LosesControl | False426), "{habit:?}");
    }
}

#[tokio::test]
async fn an_upload_is_begun_anew_where_the_server_cannot_append() {
    let (folder, _) = here();
    let content = bytes(13, 70_000);
    std::fs::write(folder.path().join("f"), &content).unwrap();
    let file = std::fs::File::open(folder.path().join("f")).unwrap();
    for (habit, resumed_at) in [(Habit::NoAppe, 0), (Habit::None, 20_000)] {
        let fake = Fake::start(habit, &[("up", content[..20_000].to_vec())]);
        let mut connection = Connection::open(&target(&fake), Arc::new(settings())).await.unwrap();
        let options = PutOptions { resume: true, ..PutOptions::default() };
        let put = connection.put(&file, b"up", options, &Progress::new()).await.unwrap();
        assert_eq!(put.resumed_at, resumed_at, "{habit:?}");
        assert!(fake.files.lock().unwrap().get("up") == Some(&content), "{habit:?}");
    }
}

#[tokio::test]
async fn a_blocked_mode_costs_about_a_second_once_and_is_passed_over_the_next_time() {
    let fake = Fake::start(Habit::PassiveSilent, &[("f", bytes(1, 1000))]);
    let memory = Arc::new(Memory::in_process());
    let settings = Arc::new(Settings { memory: Arc::clone(&memory), ..settings() });
    for (round, limit) in [(0, 5.0), (1, 1.0)] {
        let began = Instant::now();
        let mut connection = Connection::open(&target(&fake), Arc::clone(&settings)).await.unwrap();
        let (_folder, local) = here();
        connection.get(b"f", &local, &name("f"), GetOptions::default(), &Progress::new()).await.unwrap();
        assert_eq!(connection.chosen_way(), Some(Way::Port));
        let took = began.elapsed().as_secs_f64();
        assert!(took < limit, "round {round} took {took} s");
    }
    assert_eq!((fake.saw("EPSV"), fake.saw("PASV")), (1, 1), "the second session began with what works");
}

#[tokio::test]
async fn where_every_mode_is_blocked_it_is_known_within_five_seconds_whose_firewall_it_is() {
    let fake = Fake::start(Habit::AllSilent, &[("f", bytes(1, 1000))]);
    let began = Instant::now();
    let mut connection = Connection::open(&target(&fake), Arc::new(settings())).await.unwrap();
    let (_folder, local) = here();
    let error =
        connection.get(b"f", &local, &name("f"), GetOptions::default(), &Progress::new()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let Cause::NoData(verdict) = &error.cause else { panic!("{error}") };
    let ways: Vec<&str> = verdict.attempts.iter().map(|attempt| attempt.by).collect();
    assert_eq!(ways, ["EPSV", "PASV", "PORT"]);
    assert_eq!(error.blame, Blame::TheirNetwork);
    assert!(error.remedy().unwrap().contains("passive range"), "{:?}", error.remedy());
}

#[tokio::test]
async fn a_forced_mode_is_kept_and_its_failure_is_known_soon() {
    for (habit, mode) in [(Habit::PassiveReset, ModeChoice::Passive), (Habit::AllSilent, ModeChoice::Active)]
    {
        let fake = Fake::start(habit, &[("f", bytes(1, 1000))]);
        let mut connection =
            Connection::open(&target(&fake), Arc::new(Settings { mode, ..settings() })).await.unwrap();
        let (_folder, local) = here();
        let began = Instant::now();
        let error = connection
            .get(b"f", &local, &name("f"), GetOptions::default(), &Progress::new())
            .await
            .unwrap_err();
        assert!(matches!(error.cause, Cause::NoData(_)), "{habit:?}: {error}");
        assert!(began.elapsed() < Duration::from_secs(4), "{habit:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_hostile_server_neither_hangs_the_client_nor_fills_its_memory() {
    let mut quick = settings();
    quick.timeouts.greeting = Duration::from_millis(300);
    let fake = Fake::start(Habit::Mute, &[]);
    let error = Connection::open(&target(&fake), Arc::new(quick.clone())).await.unwrap_err();
    assert_eq!((error.class(), error.phase.to_string().as_str()), ("timeout", "waiting for the greeting"));
    quick.timeouts.greeting = Duration::from_secs(20);
    let fake = Fake::start(Habit::EndlessGreeting, &[]);
    let error = Connection::open(&target(&fake), Arc::new(quick)).await.unwrap_err();
    assert_eq!(error.class(), "not-ftp", "{error}");
}

struct Nobody;

impl Audience for Nobody {
    fn hears(&self, _path: &[u8], _fate: &Fate) {}
}

#[tokio::test]
async fn names_from_a_hostile_server_never_leave_the_target_folder() {
    let fake = Fake::start(Habit::HostileNames, &[("good", b"abc".to_vec()), ("evil", b"abc".to_vec())]);
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let local = LocalFs::open(&inner, LinkPolicy::Forbid).unwrap();
    let options = MirrorOptions { jobs: 1, ..MirrorOptions::new(Direction::Down) };
    let report =
        mirror(&target(&fake), Arc::new(settings()), local, options, Arc::new(Nobody)).await.unwrap();
    assert_eq!((report.transferred, report.failed), (1, 3), "{:?}", report.errors);
    assert_eq!(std::fs::read(inner.join("good")).unwrap(), b"abc");
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1);
}

#[tokio::test]
async fn a_server_that_loses_commands_sent_ahead_still_gives_every_file() {
    let names: Vec<String> = (0..30).map(|i| format!("f{i}")).collect();
    let files: Vec<(&str, Vec<u8>)> = names.iter().map(|n| (n.as_str(), n.as_bytes().to_vec())).collect();
    let fake = Fake::start(Habit::LosesPipelined, &files);
    let mut quick = settings();
    quick.timeouts.stall = Duration::from_millis(500);
    let mut connection = Connection::open(&target(&fake), Arc::new(quick)).await.unwrap();
    let (folder, local) = here();
    connection.get(b"f0", &local, &name("f0"), GetOptions::default(), &Progress::new()).await.unwrap();
    let wanted = names.iter().map(|n| portway_client::Wanted {
        path: n.as_bytes().to_vec(),
        name: name(n),
        size: n.len() as u64,
        time: None,
        mode: None,
    });
    let mut good = 0;
    connection
        .get_many(&local, wanted, GetOptions::default(), |_, result| {
            good += usize::from(result.is_ok());
        })
        .await;
    assert_eq!(good, 30);
    for n in &names {
        assert_eq!(std::fs::read(folder.path().join(n)).unwrap(), n.as_bytes());
    }
}
