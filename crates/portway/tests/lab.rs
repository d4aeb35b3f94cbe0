//! `portway lab` as its users run it: cells tried for real, and nothing left behind.
//!
//! Needs user namespaces or root, `ip`, `nft` and lftp; says so loudly where they are missing.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PORTWAY: &str = env!("CARGO_BIN_EXE_portway");

/// What the lab says of one scenario, a JSON object per cell, and whether it was content.
fn lab(scenario: &str, more: &[&str]) -> (Vec<Value>, bool) {
    let output = Command::new(PORTWAY)
        .args(["lab", "run", scenario, "--json", "--limit", "6s"])
        .args(more)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.is_empty(), "{words}");
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), output.status.success())
}

/// Asserts the result of every cell for which `wanted` has one.
fn check(cells: &[Value], wanted: impl Fn(&str, bool, &str) -> Option<&'static str>) {
    let mut compared = 0;
    for cell in cells {
        let (mode, cure) = (cell["mode"].as_str().unwrap(), cell["cure"].as_str().unwrap());
        if let Some(result) = wanted(mode, cell["tls"].as_bool().unwrap(), cure) {
            assert_eq!(cell["result"], result, "{cell}");
            compared += 1;
        }
    }
    assert!(compared >= 8, "{compared} cells compared");
}

#[test]
fn a_firewall_on_the_servers_own_machine_opens_for_every_mode_encrypted_or_not() {
    let (cells, content) = lab("server-host", &["--client", "lftp"]);
    assert_eq!(cells.len(), 2 * 2 * 2 * 3);
    check(&cells, |_, tls, cure| match cure {
        "portway" => Some("works"),
        "kernel-helper" if !tls => Some("works"),
        _ => Some("blocked"),
    });
    assert!(content, "portway kept its promise");
}

#[test]
fn a_router_that_filters_nothing_is_no_obstacle_and_every_record_has_the_promised_keys() {
    let (cells, content) = lab("open", &["--client", "lftp", "--server", "all"]);
    assert_eq!(cells.len(), 2 * 2 * 2 * 2 * 3);
    check(&cells, |_, _, _| Some("works"));
    assert!(content);
    let keys = ["scenario", "mode", "tls", "family", "client", "server", "gate", "cure", "result", "seconds"];
    for cell in &cells {
        let cell = cell.as_object().unwrap();
        assert!(cell.len() == keys.len() && keys.iter().all(|key| cell.contains_key(*key)), "{cell:?}");
        let seconds = cell["seconds"].as_f64().unwrap();
        assert!(seconds > 0.0 && seconds < 6.0, "{cell:?}");
    }
}

#[test]
fn gates_on_both_sides_open_what_they_read_and_what_they_are_told() {
    let (cells, content) = lab("both", &["--client", "lftp"]);
    check(&cells, |_, tls, cure| match (cure, tls) {
        ("portway", _) | ("kernel-helper", false) => Some("works"),
        _ => Some("blocked"),
    });
    assert!(content);
}

#[test]
fn a_gate_opens_for_servers_of_others_what_it_can_read() {
    let (cells, content) = lab("strict", &["--client", "lftp", "--server", "vsftpd"]);
    check(&cells, |_, tls, cure| match (cure, tls) {
        // Under TLS vsftpd announces nothing to gates; they bridge it.
        ("portway", _) | ("kernel-helper", false) => Some("works"),
        _ => Some("blocked"),
    });
    assert!(content);
}

#[test]
fn behind_translated_addresses_data_comes_through_too() {
    for scenario in ["snat", "dnat"] {
        let (cells, _) = lab(scenario, &[]);
        check(&cells, |mode, tls, cure| match (cure, tls, mode) {
            ("portway", ..) | ("kernel-helper", false, _) => Some("works"),
            _ => None,
        });
        assert!(cells.iter().all(|cell| cell["cure"] != "none" || cell["result"] != "works"), "{cells:?}");
    }
}

#[test]
fn a_firewall_at_the_client_breaks_active_mode_and_one_at_the_server_passive_mode() {
    for (scenario, broken) in [("client-side", "active"), ("server-side", "passive")] {
        let (cells, _) = lab(scenario, &["--client", "lftp"]);
        check(&cells, |mode, tls, cure| match cure {
            "none" => Some(if mode == broken { "blocked" } else { "works" }),
            "kernel-helper" => Some(if mode == broken && tls { "blocked" } else { "works" }),
            _ => Some("works"),
        });
    }
}

#[test]
fn a_killed_lab_leaves_no_process_behind() {
    leaves_nothing(rustix::process::Signal::KILL);
}

#[test]
fn a_lab_that_is_interrupted_leaves_no_process_behind() {
    leaves_nothing(rustix::process::Signal::INT);
}

/// Ends a lab in the middle of its work; its processes, and with them their namespaces and files, must go too.
fn leaves_nothing(signal: rustix::process::Signal) {
    // A limit that nobody else uses marks our processes: it is in the command line of each.
    let number = u64::from(std::process::id()) % 10_000 * 10
        + if signal == rustix::process::Signal::INT { 3 } else { 7 };
    let milliseconds = 20_000 + number;
    let mark = format!("\"secs\":{},\"nanos\":{}", milliseconds / 1000, milliseconds % 1000 * 1_000_000);
    let seen = seen_from_outside();
    let mut lab = Command::new(PORTWAY)
        .args(["lab", "run", "strict", "--client", "lftp", "--limit", &format!("{milliseconds}ms")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Servers and clients are not marked, but they are in the namespaces of those who are.
    let spaces = || -> Vec<_> {
        let own = space(std::process::id());
        ours(&mark).iter().filter_map(|pid| space(*pid)).filter(|space| Some(space) != own.as_ref()).collect()
    };
    wait_until("cells with process numbers of their own are tried", || spaces().len() >= 2);
    let spaces = spaces();
    assert_eq!(seen_from_outside(), seen, "nothing outside is touched");
    rustix::process::kill_process(rustix::process::Pid::from_child(&lab), signal).unwrap();
    assert!(!lab.wait().unwrap().success());
    wait_until("all are gone", || {
        ours(&mark).is_empty()
            && processes().all(|pid| space(pid).is_none_or(|space| !spaces.contains(&space)))
    });
    assert_eq!(seen_from_outside(), seen, "nothing is left behind");
}

/// What the lab could have touched: links and mounts. (Rules and routes belong to links; nft needs root to look.)
fn seen_from_outside() -> Vec<String> {
    let mut links: Vec<String> = std::fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        // Other tests make and remove links meanwhile.
        .filter(|name| ["cli", "srv", "eth0"].contains(&name.as_str()))
        .collect();
    links.sort();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    links.extend(mounts.lines().filter(|line| line.contains("portway-lab")).map(str::to_owned));
    links
}

#[test]
fn the_lab_works_without_root() {
    if !rustix::process::geteuid().is_root() {
        return println!("all the other tests of this file say so");
    }
    // Nobody's folders are not ours: the program has to be where he can reach it.
    let folder = std::env::temp_dir().join(format!("portway-without-root-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.join("portway");
    std::fs::copy(PORTWAY, &program).unwrap();
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--",
        ])
        .arg(&program)
        .args(["lab", "run", "strict", "--json", "--cure", "portway", "--server", "all"])
        .current_dir(&folder)
        .output()
        .expect("setpriv is installed");
    std::fs::remove_dir_all(&folder).unwrap();
    let (text, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words}{text}");
    assert_eq!(text.lines().count(), 2 * 2 * 2 * 2, "{text}");
}

#[test]
fn scenarios_are_listed_and_unknown_ones_refused_by_name() {
    let list = Command::new(PORTWAY).args(["lab", "list"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let refused = Command::new(PORTWAY).args(["lab", "run", "moat"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let refused = String::from_utf8(refused.stderr).unwrap();
    for name in
        ["open", "strict", "client-side", "server-side", "both", "snat", "dnat", "client-host", "server-host"]
    {
        assert!(list.lines().any(|line| line.starts_with(name)), "{list}");
        assert!(refused.contains(name), "{refused}");
    }
}

fn wait_until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::yield_now();
    }
}

fn processes() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The processes whose command line has `mark` in it.
fn ours(mark: &str) -> Vec<u32> {
    processes()
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
        })
        .collect()
}

/// Which numbering of processes one belongs to.
fn space(pid: u32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
