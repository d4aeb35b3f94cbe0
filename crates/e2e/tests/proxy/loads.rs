//! Much through a proxy: many files, a large one, many sessions, servers that come and go.

use std::net::TcpListener;
use std::sync::Barrier;
use std::time::Duration;

use portway_e2e::{Kind, Options, Program, Proxy, Security, Subject, Tree, sums, until};

use crate::rivals::{self, Rival};
use crate::world::{ANN, Scripted, at, forward, of, reverse};

#[test]
fn a_thousand_files_are_mirrored_down_and_up_through_both_kinds() {
    let (server, _) = of(Kind::Portway);
    server.tree.thousand("tree", 1000).unwrap();
    let wanted = sums(&server.tree.at("tree")).unwrap();
    let (through, before) = (forward(&[]), reverse(&server, &[]));
    let there = at(server.port().unwrap());
    for (proxy, user, copy) in [(&through, there.as_str(), "one"), (&before, ANN.0, "two")] {
        let home = Tree::new().unwrap();
        let script = format!(
            "set cmd:fail-exit yes; set net:max-retries 2; set net:timeout 20s; set ftp:ssl-allow no; \
             open -u '{user},{}' ftp://{}; mirror --parallel=4 tree tree; mirror -R --parallel=4 tree {copy}",
            ANN.1,
            proxy.port().unwrap()
        );
        let lftp = Program::new("lftp", "lftp").unwrap().folder(home.path()).limit(Duration::from_secs(120));
        lftp.args(["--norc", "-c", &script]).succeed().unwrap();
        assert!(sums(&home.at("tree")).unwrap() == wanted, "down as {user}");
        assert!(sums(&server.tree.at(copy)).unwrap() == wanted, "up as {user}");
    }
}

/// Down through one proxy and, as it comes, up through the other.
fn three_gibibytes(server: &Subject, down: (&Proxy, &str), up: (&Proxy, &str)) {
    let large = server.tree.at("large");
    let password = ANN.1.replace(' ', "%20");
    let [from, to] = [(down, "large"), (up, "copy")].map(|((proxy, user), name)| {
        let user = user.replace(':', "%3A").replace('@', "%40");
        format!("ftp://{user}:{password}@{}/{name}", proxy.port().unwrap())
    });
    let sh = || Program::new("sh", "dash").unwrap().limit(Duration::from_secs(300));
    let pipe = format!("curl -sSf '{from}' | curl -sSf -T - '{to}'");
    sh().args(["-c", &pipe]).succeed().unwrap();
    let copy = server.tree.at("copy");
    assert_eq!(sh().args(["-c", &format!("cat '{}'", copy.display())]).compare(&large).unwrap(), 3 << 30);
    std::fs::remove_file(copy).unwrap();
}

#[test]
fn three_gibibytes_arrive_as_they_left() {
    let (server, _) = of(Kind::Portway);
    server.tree.sparse("large", 3 << 30).unwrap();
    let (through, before) = (forward(&[]), reverse(&server, &[]));
    let there = at(server.port().unwrap());
    three_gibibytes(&server, (&through, &there), (&before, ANN.0));
    three_gibibytes(&server, (&before, ANN.0), (&through, &there));
}

#[test]
fn five_hundred_sessions_at_a_time_get_their_files_and_cost_little() {
    let tree = Tree::new().unwrap();
    tree.write("f", "here it is").unwrap();
    let options = Options { users: Vec::new(), ..Options::default() };
    let server = Subject::start_kind(Kind::Portway, tree, &options).unwrap();
    let proxy = reverse(&server, &[]);
    let resident = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let before = resident();
    let all_in = Barrier::new(11);
    let all_done = Barrier::new(11);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let mut sessions: Vec<_> = (0..50)
                    .map(|_| {
                        let mut control = proxy.connect().unwrap();
                        control.login(("anonymous", "a@b")).unwrap();
                        control
                    })
                    .collect();
                all_in.wait();
                for control in &mut sessions {
                    assert_eq!(control.fetch("RETR f").unwrap(), b"here it is");
                }
                all_done.wait();
            });
        }
        all_in.wait();
        let grown = resident().saturating_sub(before);
        assert!(grown < 500 * 64, "500 sessions take {grown} KiB");
        all_done.wait();
        let grown = resident().saturating_sub(before);
        assert!(grown < 500 * 128, "500 sessions that have fetched take {grown} KiB");
    });
}

#[test]
fn the_server_with_fewer_sessions_is_chosen_and_one_that_comes_back_is_used_again() {
    let one = Scripted::start(&[("SYST", "215 one")]);
    let absent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls = [one.at, absent].map(|at| format!("ftp://{at}"));
    let [first, second] = &urls;
    let both = ["--reverse", first, "--reverse", second, "--balance", "least-connections", "--tls", "off"];
    let loopback = ["127.0.0.1".parse().unwrap()];
    let proxy = Proxy::listening(&loopback, None, &both).unwrap();
    let enter = || {
        let mut control = proxy.connect().unwrap();
        control.login(ANN).unwrap();
        let who = control.expect("SYST", 215).unwrap().to_string();
        (control, who)
    };
    let kept: Vec<_> = (0..3).map(|_| enter()).collect();
    assert!(kept.iter().all(|(_, who)| who.contains("one")));
    let said = |word: &str| {
        let line = || proxy.log.so_far().into_iter().find(|line| line.contains(word));
        until(&format!("the log says {word}"), Duration::from_secs(45), || Ok(line())).unwrap()
    };
    said("server_down");
    let _two = Scripted::start_at(absent, &[("SYST", "215 two")]);
    said("server_up");
    // It has none and the other three: the next three are its own.
    let next: Vec<_> = (0..3).map(|_| enter()).collect();
    assert!(
        next.iter().all(|(_, who)| who.contains("two")),
        "{:?}",
        next.iter().map(|n| &n.1).collect::<Vec<_>>()
    );
}

#[test]
fn a_server_that_is_killed_gets_no_more_sessions_until_it_is_back() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let first = rivals::start_at(Rival::PureFtpd, place, Security::Explicit);
    let second = rivals::start(Rival::PureFtpd);
    let urls = [place, second.at].map(|at| format!("ftp://{at}"));
    let proxy = Proxy::start(&["--reverse", &urls[0], "--reverse", &urls[1]]).unwrap();
    first.tree.write("who", "first").unwrap();
    second.tree.write("who", "second").unwrap();
    let enter = || {
        let mut control = proxy.connect().unwrap();
        control.login(ANN).unwrap();
        let who = String::from_utf8(control.fetch("RETR who").unwrap()).unwrap();
        (control, who)
    };
    // One after the other.
    let mut on_first = (0..2).map(|_| enter()).find(|(_, who)| who == "first").expect("its turn").0;
    drop(first);
    on_first.expect_reply(421).unwrap();
    on_first.ended().unwrap();
    for _ in 0..4 {
        assert_eq!(enter().1, "second", "no client notices");
    }
    let said = |word: &str| {
        let line = || proxy.log.so_far().into_iter().find(|line| line.contains(word));
        until(&format!("the log says {word}"), Duration::from_secs(45), || Ok(line())).unwrap()
    };
    said("server_down");
    let back = rivals::start_at(Rival::PureFtpd, place, Security::Explicit);
    back.tree.write("who", "first").unwrap();
    said("server_up");
    let who: Vec<_> = (0..2).map(|_| enter().1).collect();
    assert!(who.contains(&"first".to_owned()), "{who:?}");
}
