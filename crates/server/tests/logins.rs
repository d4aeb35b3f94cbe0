//! Logging in, out and in again, and the time it may take.

mod common;

use std::time::Duration;

use common::{PATIENCE, Site, accounts};
use portway_accounts::{Accounts, Effort, Rights, Secret, Throttle, ThrottlePolicy};
use portway_interpreter::{Door, Timeouts};

#[tokio::test]
async fn who_logs_out_late_has_time_to_log_in_again() {
    let login = Duration::from_millis(300);
    let site = Site::with(|parts, _| parts.timeouts = Timeouts { login, ..Timeouts::default() });
    let mut ann = site.ann().await;
    let mut stranger = site.connect().await;
    assert_eq!(stranger.code().await, 421, "the time to log in is over");
    assert_eq!(ann.say("REIN").await, 220);
    assert_eq!(ann.say("USER ann").await, 331);
    assert_eq!(ann.say("PASS x").await, 230);
}

#[tokio::test]
async fn a_stranger_gets_no_more_time_by_rein() {
    let login = Duration::from_millis(300);
    let site = Site::with(|parts, _| parts.timeouts = Timeouts { login, ..Timeouts::default() });
    let mut stranger = site.connect().await;
    let asking = async { while stranger.say("REIN").await == 220 {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("the session ends");
}

#[tokio::test]
async fn a_stranger_gets_no_more_time_by_chatter_without_pause() {
    let login = Duration::from_millis(300);
    let site = Site::with(|parts, _| parts.timeouts = Timeouts { login, ..Timeouts::default() });
    let mut stranger = site.connect().await;
    let chatter = ["NOOP"; 200];
    let talking = async {
        loop {
            // The next lines are there before the answers to the last ones are read.
            stranger.send(&chatter).await;
            for _ in chatter {
                match stranger.code().await {
                    200 => {}
                    code => return code,
                }
            }
        }
    };
    let last = tokio::time::timeout(PATIENCE, talking).await.expect("the session ends");
    assert_eq!(last, 421);
}

#[tokio::test]
async fn rein_forgets_what_the_user_had_set() {
    let site = Site::open();
    let mut ann = site.ann().await;
    assert_eq!(ann.say("MKD d").await, 257);
    assert_eq!(ann.say("CWD d").await, 250);
    assert_eq!(ann.say("SITE IDLE 7200").await, 200);
    assert_eq!(ann.say("REIN").await, 220);
    assert_eq!(site.server.parts().registry.sessions()[0].user, None);
    assert_eq!(ann.say("PWD").await, 530);
    ann.send(&["USER ann", "PASS x", "PWD", "SITE IDLE"]).await;
    assert_eq!(ann.codes().await, [331, 230]);
    assert!(ann.reply().await.expect("a path").contains("\"/\""));
    assert!(ann.reply().await.expect("a time").contains("300"));
}

#[tokio::test]
async fn a_new_name_ends_the_old_login_at_once() {
    let site = Site::open();
    let mut ann = site.ann().await;
    assert_eq!(ann.say("USER bob").await, 331);
    assert_eq!(site.server.parts().registry.sessions()[0].user, None);
    assert_eq!(ann.say("PWD").await, 530);
    assert_eq!(ann.say("PASS wrong").await, 530);
    assert_eq!(ann.say("PWD").await, 530);
}

fn throttle(failures: u32) -> Throttle {
    Throttle::new(ThrottlePolicy {
        first: Duration::ZERO,
        failures_per_address: failures,
        ..ThrottlePolicy::default()
    })
}

#[tokio::test]
async fn an_anonymous_login_does_not_forgive_wrong_guesses() {
    let site = Site::with(|_, config| config.door = Door::new(accounts(Rights::FULL), throttle(3)));
    for guess in 0..3 {
        let mut client = site.connect().await;
        client.send(&["USER anonymous", "PASS a@b", "USER ann", "PASS wrong"]).await;
        assert_eq!(client.codes().await, [331, 230, 331, 530], "guess {guess}");
    }
    let mut client = site.connect().await;
    client.send(&["USER ann", "PASS wrong"]).await;
    assert_eq!(client.codes().await, [331, 421]);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_on_many_connections_at_once_buys_no_more_guesses() {
    const LIMIT: u32 = 5;
    let site = Site::with(|_, config| {
        // Long enough for all to be waiting at the same time.
        let effort = Effort { memory_kib: 1024, passes: 2 };
        let accounts = Accounts::with_effort(effort).expect("accounts");
        let accounts = accounts.user("ann", &Secret::from("x"), Rights::FULL).expect("ann");
        config.door = Door::new(accounts, throttle(LIMIT));
    });
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(site.connect().await);
    }
    for client in &mut clients {
        client.send(&["USER ann", "PASS wrong"]).await;
    }
    let mut refused = 0;
    for client in &mut clients {
        let [_, code] = client.codes().await;
        refused += u32::from(code == 421);
    }
    let side_by_side = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    assert!(60 - refused <= LIMIT + side_by_side, "{} guesses", 60 - refused);
}
