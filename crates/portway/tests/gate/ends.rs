//! Clients that go before their servers do.

use std::net::Shutdown;
use std::time::Duration;

use crate::field::{in_namespaces, until};
use crate::rules::BOTH;
use crate::words::{SOON, Stage};

/// Whether no session is in the book.
fn nobody(stage: &Stage) -> bool {
    !stage.field.status().contains(r#""kind":"session""#)
}

#[test]
fn a_client_that_goes_under_tls_gives_its_place_back_though_its_server_stays() {
    in_namespaces(|| {
        let stage = Stage::new(&["--max-sessions-per-address", "1"]);
        for family in BOTH {
            let mut d = stage.session(family);
            d.exchange("AUTH TLS", "234 Go on.");
            d.client.stream.shutdown(Shutdown::Both).unwrap();
            assert_eq!(d.server.line(), None, "the server hears of it");
            assert!(until(Duration::from_secs(10), || nobody(&stage)), "{}", stage.field.status());
            assert_eq!(stage.session(family).holes(), 0);
        }
    });
}

#[test]
fn a_client_that_is_gone_altogether_gives_its_place_back_though_an_answer_is_due() {
    in_namespaces(|| {
        let stage = Stage::new(&[]);
        for family in BOTH {
            let mut d = stage.session(family);
            d.client.say("STAT");
            d.server.hears("STAT");
            d.client.stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(d.server.line(), None);
            assert!(!nobody(&stage), "an answer is due");
            // Closed like that, it resets.
            rustix::net::sockopt::set_socket_linger(&d.client.stream, Some(Duration::ZERO)).unwrap();
            drop(d.client);
            assert!(until(SOON, || nobody(&stage)), "{}", stage.field.status());
        }
    });
}

#[test]
fn a_client_that_has_said_its_last_word_still_hears_the_answers() {
    in_namespaces(|| {
        let stage = Stage::new(&[]);
        for family in BOTH {
            let mut d = stage.session(family);
            d.client.send(b"NOOP\r\nSTAT\r\n");
            d.client.stream.shutdown(Shutdown::Write).unwrap();
            d.server.hears("NOOP");
            d.server.say("200 Fine.");
            d.server.hears("STAT");
            d.server.say("211 All is well.");
            d.client.hears("200");
            d.client.hears("211");
        }
    });
}
