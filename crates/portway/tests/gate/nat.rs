//! Through an administrator's address translation: the gate follows it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::field::{Field, Server, Wall, in_namespaces, until};
use crate::lab::{CLIENT, GATE, OTHER_CLIENT, SERVER, at, nft};
use crate::matrix::every_mode;
use crate::words::{Dialogue, Stage};

pub(crate) const SNAT: &str = "table inet nat { chain post { type nat hook postrouting priority srcnat;
    oifname srv ip saddr 10.71.1.0/24 snat ip to 10.71.2.1
    oifname srv ip6 saddr fd71:1::/64 snat ip6 to fd71:2::1
}; }";
pub(crate) const DNAT: &str = "table inet nat { chain pre { type nat hook prerouting priority dstnat;
    iifname cli ip daddr 10.71.1.1 tcp dport 21 dnat ip to 10.71.2.2
    iifname cli ip6 daddr fd71:1::1 tcp dport 21 dnat ip6 to fd71:2::2
}; }";

#[test]
fn every_cell_works_where_clients_are_translated() {
    in_namespaces(|| {
        nft(SNAT);
        let field = Field::new(Wall::Strict).gate(&[]).server(Server::of_others());
        every_mode(&field, "SNAT", SERVER);
        assert!(field.log().contains("client_seen_as=10.71.2.1"), "{}", field.log());
    });
}

#[test]
fn every_cell_works_where_the_server_is_translated() {
    in_namespaces(|| {
        nft(DNAT);
        let field = Field::new(Wall::Strict).gate(&[]).server(Server::of_others());
        every_mode(&field, "DNAT", GATE);
        assert!(field.log().contains("server_seen_as=10.71.1.1:21"), "{}", field.log());
    });
}

#[test]
fn every_cell_works_where_both_are_translated() {
    in_namespaces(|| {
        nft(SNAT);
        nft(DNAT);
        let field = Field::new(Wall::Strict).gate(&[]).server(Server::of_others());
        every_mode(&field, "both", GATE);
    });
}

#[test]
fn ftps_passes_where_the_server_is_translated() {
    in_namespaces(|| {
        nft(DNAT);
        let field = crate::ftps::field();
        for (family, gate) in GATE.iter().enumerate() {
            let url = if family == 0 {
                format!("ftp://{gate}/file.bin")
            } else {
                format!("ftp://[{gate}]/file.bin")
            };
            for more in [&["--disable-epsv"][..], &[]] {
                let to = format!("got-{family}");
                let words = ["curl", "-sS", "-g", "-k", "--ssl-reqd", "--no-ftp-skip-pasv-ip", "-o", &to];
                let words: Vec<String> =
                    words.iter().chain(more).chain([&url.as_str()]).map(|word| (*word).to_owned()).collect();
                let (output, took) = field.client(&words, Duration::from_secs(15));
                assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
                println!("curl FTPS DNAT {gate}: {took:?}");
            }
        }
    });
}

#[test]
fn ftps_passes_in_both_modes_where_clients_are_translated() {
    in_namespaces(|| {
        nft(SNAT);
        let field = crate::ftps::field();
        for (family, server) in SERVER.iter().enumerate() {
            for active in [false, true] {
                crate::ftps::works(&field, "lftp", family, active);
                println!("lftp FTPS SNAT {server} active={active}: works");
            }
        }
        let told = |image| field.log().contains(&format!("announced={image}:"));
        let both = || told("10.71.2.1") && told("[fd71:2::1]");
        assert!(until(Duration::from_secs(5), both), "{}", field.log());
    });
}

#[test]
fn ftps_passes_for_many_clients_behind_one_translated_address() {
    in_namespaces(|| {
        nft(SNAT);
        let field = crate::ftps::field();
        let url = |family: usize| {
            if family == 0 {
                format!("ftp://{}/file.bin", SERVER[0])
            } else {
                format!("ftp://[{}]/file.bin", SERVER[1])
            }
        };
        std::thread::scope(|scope| {
            for (n, client) in [CLIENT, OTHER_CLIENT].iter().cycle().take(8).enumerate() {
                let (field, url) = (&field, &url);
                scope.spawn(move || {
                    for family in [0, 1] {
                        let to = format!("got-{n}-{family}");
                        let words = [
                            "curl",
                            "-sS",
                            "-g",
                            "-k",
                            "--ssl-reqd",
                            "--interface",
                            client[family],
                            "-o",
                            &to,
                            &url(family),
                        ];
                        let (output, _) = field.client(&words.map(str::to_owned), Duration::from_secs(20));
                        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                    }
                });
            }
        });
    });
}

/// Through translation lines grow and shrink: the kernel's helper has to adjust every number that follows, and fails in
/// places. Here are two connections.
#[test]
fn rule_35_announcement_hole_and_image_agree_and_the_next_100_commands_arrive() {
    in_namespaces(|| {
        nft(SNAT);
        nft(DNAT);
        let stage = Stage::new(&[]);
        for family in [0, 1] {
            let (public, image) = (GATE[family], ["10.71.2.1", "fd71:2::1"][family]);
            let mut d = stage.session_by(family, public, CLIENT[family], image);
            // 227 names the public address; 10.71.1.1 and 10.71.2.2 with a port of 4 or 5 digits.
            for port in [5000, 10_000 + u16::try_from(family).unwrap()] {
                let to = d.server_port(port);
                d.server_listens(to);
                d.client.say(d.passive());
                d.server.hears(d.passive());
                d.server.say(&d.agreed(to));
                let told = d.client.hears("22");
                let seen = at(public, port);
                assert!(told.contains(d.agreed(seen).split('(').nth(1).unwrap()), "{told}");
                hundred(&mut d);
                assert!(d.client_reaches(seen), "{seen}");
                assert!(d.client_is_kept_from(seen), "once");
                // PORT names the image and a port of the gate's choice.
                let mine = d.client_port(port + 10);
                d.client_listens(mine);
                d.client.say(&d.active(mine));
                let line = d.server.line().unwrap();
                let shown = shown(&line);
                assert_eq!(shown.ip(), at(image, 0).ip(), "{line}");
                d.server.say("200 Fine.");
                d.client.hears("200");
                hundred(&mut d);
                assert!(d.server_reaches(shown), "{line}");
                assert!(d.server_is_kept_from(shown), "once");
                d.is_alive();
            }
        }
    });
}

/// A hundred commands of different lengths, each answered by its own words.
fn hundred(d: &mut Dialogue<'_>) {
    for n in 0..100 {
        let word = "x".repeat(n);
        d.client.say(&format!("STAT {n}{word}"));
        assert_eq!(d.server.line().unwrap(), format!("STAT {n}{word}"));
        d.server.say(&format!("213 {n}{word}"));
        assert_eq!(d.client.line().unwrap(), format!("213 {n}{word}"));
    }
}

/// The address in PORT or EPRT.
fn shown(line: &str) -> SocketAddr {
    if let Some(six) = line.strip_prefix("PORT ") {
        let n: Vec<u16> = six.split(',').map(|n| n.parse().unwrap()).collect();
        return at(&format!("{}.{}.{}.{}", n[0], n[1], n[2], n[3]), n[4] * 256 + n[5]);
    }
    let parts: Vec<&str> = line.split('|').collect();
    at(parts[2], parts[3].parse().unwrap())
}
