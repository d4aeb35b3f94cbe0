//! Clients that come by a balancer, which says in a PROXY header who they are.

use std::net::SocketAddr;

use crate::field::{in_namespaces, until};
use crate::lab::{CLIENT, OTHER_CLIENT, SERVER, at, connect};
use crate::rules::BOTH;
use crate::words::{SOON, Stage, dial};

/// The header, in its first version, of a balancer that was called by `client`.
fn header(client: SocketAddr, reached: SocketAddr) -> String {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let ends = format!("{} {} {} {}", client.ip(), reached.ip(), client.port(), reached.port());
    format!("PROXY {family} {ends}\r\n")
}

/// A gate that believes the second client's addresses, and nobody else.
fn stage() -> Stage {
    Stage::new(&["--proxy-protocol", OTHER_CLIENT[0], "--proxy-protocol", OTHER_CLIENT[1]])
}

#[test]
fn rule_41_announcements_and_holes_are_those_of_the_client_that_a_listed_balancer_names() {
    in_namespaces(|| {
        let stage = stage();
        for family in BOTH {
            let said = header(at(CLIENT[family], 40_000), at(SERVER[family], 21));
            let mut d = stage.session_for(family, OTHER_CLIENT[family], said.as_bytes());
            // Rule 10: the balancer's own address is a stranger's now, the client's is not.
            d.client.say(&d.active(at(OTHER_CLIENT[family], 5000)));
            d.client.hears("501");
            let to = d.client_port(5000);
            d.client_listens(to);
            d.exchange(&d.active(to), "200 Fine.");
            assert!(d.server_reaches(to));
            // Rule 13: the hole is the client's, and not the balancer's.
            let to = d.server_port(5001);
            d.server_listens(to);
            d.exchange(d.passive(), &d.agreed(to));
            let balancer = at(OTHER_CLIENT[family], 0);
            let soon = std::time::Duration::from_millis(300);
            assert!(stage.field.lab.client.run(move || connect(balancer, to, soon).is_err()));
            assert!(d.client_reaches(to));
            assert!(stage.field.status().contains(CLIENT[family]), "{}", stage.field.status());
        }
    });
}

#[test]
fn rule_41_from_anybody_else_a_proxy_header_is_no_ftp() {
    in_namespaces(|| {
        let stage = stage();
        for family in BOTH {
            let mut d = stage.connect(family);
            d.server.say("220 Hello.");
            d.client.hears("220");
            d.client.say(header(at(OTHER_CLIENT[family], 40_000), at(SERVER[family], 21)).trim_end());
            while d.client.line().is_some() {}
            assert_eq!(d.server.line(), None, "not a word of it reaches the server");
            assert_eq!(d.holes(), 0);
            assert!(!stage.field.status().contains(OTHER_CLIENT[family]), "{}", stage.field.status());
        }
    });
}

#[test]
fn rule_41_a_listed_balancer_that_sends_no_header_is_cut_off_before_the_server_hears_of_it() {
    in_namespaces(|| {
        let stage = stage();
        for family in BOTH {
            // Without a header, and with one of the other family, to which no server's address fits.
            let other = header(at(CLIENT[1 - family], 40_000), at(SERVER[1 - family], 21));
            for (n, words) in ["USER ann\r\nPASS x\r\n", &other].into_iter().enumerate() {
                let (from, to) = (at(OTHER_CLIENT[family], 0), at(SERVER[family], 21));
                let mut stream = stage.field.lab.client.run(move || dial(from, to));
                std::io::Write::write_all(&mut stream, words.as_bytes()).unwrap();
                stream.set_read_timeout(Some(SOON)).unwrap();
                let mut said = Vec::new();
                if let Err(error) = std::io::Read::read_to_end(&mut stream, &mut said) {
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                }
                assert_eq!(said, b"", "{words:?}");
                let told =
                    || stage.field.status().matches("no PROXY header that counts").count() > 2 * family + n;
                assert!(until(SOON, told), "{}", stage.field.status());
            }
            assert!(!stage.field.status().contains(r#""kind":"session""#), "{}", stage.field.status());
        }
    });
}
