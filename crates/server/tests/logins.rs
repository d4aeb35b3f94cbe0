//! Logging in, out and in again, and the time it may take.

mod common;

use std::time::Duration;

use common::{PATIENCE, Site};
use portway_server::Timeouts;

#[tokio::test]
async fn who_logs_out_late_has_time_to_log_in_again() {
    let login = Duration::from_millis(300);
    let site = Site::with(|config| config.timeouts = Timeouts { login, ..Timeouts::default() });
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
    let site = Site::with(|config| config.timeouts = Timeouts { login, ..Timeouts::default() });
    let mut stranger = site.connect().await;
    let asking = async { while stranger.say("REIN").await == 220 {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("the session ends");
}

#[tokio::test]
async fn rein_forgets_what_the_user_had_set() {
    let site = Site::open();
    let mut ann = site.ann().await;
    assert_eq!(ann.say("MKD d").await, 257);
    assert_eq!(ann.say("CWD d").await, 250);
    assert_eq!(ann.say("SITE IDLE 7200").await, 200);
    assert_eq!(ann.say("REIN").await, 220);
    assert_eq!(site.server.config().registry.sessions()[0].user, None);
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
    assert_eq!(site.server.config().registry.sessions()[0].user, None);
    assert_eq!(ann.say("PWD").await, 530);
    assert_eq!(ann.say("PASS wrong").await, 530);
    assert_eq!(ann.say("PWD").await, 530);
}
