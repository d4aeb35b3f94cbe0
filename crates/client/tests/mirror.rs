//! Trees down and up: every file is there, intact, and accounted for.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use portway_client::{
    Audience, Direction, Fate, MirrorOptions, ModeChoice, Report, TlsChoice, TlsTrust, mirror,
};
use portway_vfs::{LinkPolicy, LocalFs};
use support::{ALL, Kind, Server, Tls, bytes, shared};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Audience for Heard {
    fn hears(&self, path: &[u8], fate: &Fate) {
        let word = match fate {
            Fate::Transferred(_) => "got",
            Fate::Equal => "equal",
            Fate::Deleted => "deleted",
            Fate::Made => "made",
            Fate::Skipped(_) => "skipped",
            Fate::Failed(_) => "failed",
            _ => "?",
        };
        self.0.lock().unwrap().push(format!("{word} {}", String::from_utf8_lossy(path)));
    }
}

fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(here) = left.pop() {
        for entry in std::fs::read_dir(&here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn plant(write: impl Fn(&str, &[u8])) {
    for i in 0..120_usize {
        write(&format!("t/d{}/f {i}.bin", i % 7), &bytes(i as u64, (i * 97) % 4000));
    }
    write("t/d1/empty", b"");
    write("t/big.bin", &bytes(5, 900_000));
}

async fn run(
    server: &Server,
    local: &Path,
    options: MirrorOptions,
    change: impl Fn(&mut portway_client::Settings),
) -> (Report, Vec<String>) {
    let mut settings = server.settings();
    settings.trust = TlsTrust::Nobody;
    change(&mut settings);
    let heard = Arc::new(Heard::default());
    let local = LocalFs::open(local, LinkPolicy::Forbid).unwrap();
    let report = mirror(&server.target("t"), shared(settings), local, options, heard.clone()).await;
    let heard = std::mem::take(&mut *heard.0.lock().unwrap());
    (report.unwrap_or_else(|error| panic!("{:?}: {error}", server.kind)), heard)
}

fn good(report: &Report, what: &str) {
    assert_eq!(report.failed, 0, "{what}: {:?}", report.errors);
}

async fn both_ways(kind: Kind, tls: Tls, mode: ModeChoice) {
    let what = format!("{kind:?} {tls:?} {mode:?}");
    let server = Server::start(kind, tls);
    let change = |settings: &mut portway_client::Settings| {
        settings.mode = mode;
        settings.tls = if tls == Tls::On { TlsChoice::Required } else { TlsChoice::Off };
    };
    plant(|name, contents| server.write(name, contents));
    let expected = tree(&server.folder.join("t"));
    let here = tempfile::tempdir().unwrap();
    // Pure-FTPd takes seconds over logins that come together.
    let jobs = if kind == Kind::PureFtpd { 1 } else { 3 };
    let options = |direction| MirrorOptions { jobs, ..MirrorOptions::new(direction) };
    let (report, _) = run(&server, here.path(), options(Direction::Down), change).await;
    good(&report, &what);
    assert_eq!(report.transferred, 122, "{what}");
    assert!(tree(here.path()) == expected, "{what}: every octet of every file");

    let (again, _) = run(&server, here.path(), options(Direction::Down), change).await;
    good(&again, &what);
    assert_eq!((again.transferred, again.equal), (0, 122), "{what}: nothing is fetched twice");

    std::fs::remove_dir_all(server.folder.join("t")).unwrap();
    let (up, _) = run(
        &server,
        here.path(),
        MirrorOptions { put: Default::default(), ..MirrorOptions::new(Direction::Up) },
        change,
    )
    .await;
    good(&up, &what);
    assert_eq!(up.transferred, 122, "{what}");
    assert!(tree(&server.folder.join("t")) == expected, "{what}: up");
}

#[tokio::test]
async fn a_tree_comes_down_and_goes_up_again_on_every_server() {
    for kind in ALL {
        both_ways(kind, Tls::Off, ModeChoice::Auto).await;
    }
}

#[tokio::test]
async fn a_tree_passes_in_active_mode_too() {
    for kind in ALL {
        both_ways(kind, Tls::Off, ModeChoice::Active).await;
    }
}

#[tokio::test]
async fn a_tree_passes_under_tls_where_sessions_must_be_resumed() {
    for kind in ALL {
        both_ways(kind, Tls::On, ModeChoice::Auto).await;
    }
}

#[tokio::test]
async fn what_the_source_lacks_is_removed_only_when_asked_for_and_a_dry_run_changes_nothing() {
    let server = Server::start(Kind::Vsftpd, Tls::Off);
    server.write("t/a", b"a");
    server.write("t/sub/b", b"b");
    let here = tempfile::tempdir().unwrap();
    std::fs::create_dir(here.path().join("old")).unwrap();
    std::fs::write(here.path().join("old/x"), b"x").unwrap();
    std::fs::write(here.path().join("keep.log"), b"x").unwrap();
    let mut options = MirrorOptions { delete: true, dry_run: true, ..MirrorOptions::new(Direction::Down) };
    options.globs.exclude.push(b"*.log".to_vec());
    let before = tree(here.path());
    let (report, heard) = run(&server, here.path(), options.clone(), |_| {}).await;
    good(&report, "dry run");
    assert_eq!(tree(here.path()), before);
    assert!(heard.contains(&"deleted old".to_owned()) && heard.contains(&"got a".to_owned()), "{heard:?}");
    options.dry_run = false;
    let (report, _) = run(&server, here.path(), options, |_| {}).await;
    good(&report, "delete");
    let names: Vec<String> = tree(here.path()).into_keys().collect();
    assert_eq!(names, ["a", "keep.log", "sub/b"]);
}

#[tokio::test]
async fn one_lost_file_shows_in_the_report_and_the_others_arrive() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start(Kind::Vsftpd, Tls::Off);
    plant(|name, contents| server.write(name, contents));
    let secret = server.folder.join("t/d3/f 3.bin");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).unwrap();
    let here = tempfile::tempdir().unwrap();
    let (report, heard) = run(&server, here.path(), MirrorOptions::new(Direction::Down), |_| {}).await;
    assert_eq!((report.transferred, report.failed), (121, 1), "{:?}", report.errors);
    assert!(heard.contains(&"failed d3/f 3.bin".to_owned()));
    assert_eq!(tree(here.path()).len(), 121);
}
