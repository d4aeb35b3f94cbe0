//! What the kernel's helper loses, wraps or opens: through the gate it gets an answer, and nothing opens.

use crate::field::{in_namespaces, until};
use crate::words::{SOON, Stage, at_once};

#[test]
fn every_malformed_announcement_of_a_client_is_answered_and_opens_nothing() {
    in_namespaces(|| {
        with::every_malformed_announcement_of_a_client_is_answered_and_opens_nothing(&Stage::new(&[]));
    });
}

#[test]
fn every_malformed_announcement_of_a_server_becomes_425_and_opens_nothing() {
    in_namespaces(|| {
        with::every_malformed_announcement_of_a_server_becomes_425_and_opens_nothing(&Stage::new(&[]));
    });
}

#[test]
fn announcements_that_the_kernels_helper_misses_or_loses_work() {
    in_namespaces(|| {
        with::announcements_that_the_kernels_helper_misses_or_loses_work(&Stage::new(&[]));
    });
}

/// The rest of the probes: after QUIT, after RST, after a refusal, slipstream, unsolicited, echoed, said twice.
#[test]
fn nothing_opens_after_an_end_a_refusal_or_words_that_only_look_like_an_announcement() {
    in_namespaces(|| {
        let stage = Stage::new(&[]);
        for family in [0, 1] {
            let mut d = stage.session(family);
            let to = d.server_port(5000);
            d.server_listens(to);
            // Echoed: what a user typed comes back in an error, in a segment of its own.
            let echoed = d.agreed(to);
            d.client.say(&format!("STAT {echoed}"));
            d.server.hears("STAT");
            d.server.send(b"550-no such file:\r\n");
            d.server.send(format!("{echoed}\r\n"));
            d.server.send(b"550 Sorry.\r\n");
            for _ in 0..3 {
                d.client.line().unwrap();
            }
            assert!(d.client_is_kept_from(to), "echoed");
            // Refused: the announcement is in a reply that says no.
            d.client.say(d.passive());
            d.server.hears(d.passive());
            d.server.say(&format!("500 {}", &echoed[4..]));
            d.client.hears("500");
            assert!(d.client_is_kept_from(to), "after 500");
            // Said twice: a second announcement to one command.
            d.client.say(d.passive());
            d.server.hears(d.passive());
            d.server.send(format!("{echoed}\r\n{}\r\n", d.agreed(d.server_port(5001))));
            d.client.hears("22");
            assert!(d.client_reaches(to));
            assert!(until(SOON, || d.holes() == 0), "{}", d.field.status());
            d.is_alive();
            // After QUIT, and after a reset: what was agreed is gone with the session.
            d.exchange(d.passive(), &echoed);
            d.exchange("QUIT", "221 Bye.");
            assert!(d.client_is_kept_from(to), "after QUIT");
            let mut d = stage.session(family);
            d.exchange(d.passive(), &echoed);
            rustix::net::sockopt::set_socket_linger(&d.client.stream, Some(std::time::Duration::ZERO))
                .unwrap();
            let mut server = d.server;
            drop(d.client);
            assert_eq!(server.line(), None);
            let from = crate::lab::at(crate::lab::CLIENT[family], 0);
            let kept =
                stage.field.lab.client.run(move || {
                    crate::lab::connect(from, to, std::time::Duration::from_millis(300)).is_err()
                });
            assert!(kept, "after RST");
        }
    });
}

/// The probes, for any engine.
pub(crate) mod with {
    use super::*;

    pub(crate) fn every_malformed_announcement_of_a_client_is_answered_and_opens_nothing(stage: &Stage) {
        let mut d = stage.session(1);
        for line in [
            "EPRT",
            "EPRT ",
            "EPRT  |2|fd71:1::2|5000|",
            "EPRT\t|2|fd71:1::2|5000|",
            "EPRT |2|fd71:1::2|5000| ",
            "EPRT |2|fd71:1::2|70536|",
            "EPRT |2|fd71:1::2|22|",
            "EPRT |2|fd71:1::2|05000|",
            "EPRT |2|fd71:1::3|5000|",
            "EPRT |2|fd71:1::2|5000",
            "EPRT |1|10.71.1.2|5000|",
            "EPRT |3|fd71:1::2|5000|",
            "PORT 10,71,1,2,19,136",
            "PASV",
            "LPRT 6,16,253,113,0,1,0,0,0,0,0,0,0,0,0,0,0,2,2,19,136",
        ] {
            at_once(line, || {
                d.client.say(line);
                let reply = d.client.line().unwrap();
                assert!(reply.starts_with('5'), "{line:?} got {reply:?}");
            });
            assert_eq!(d.holes(), 0, "{line:?}");
        }
        d.is_alive();
        let mut d = stage.session(0);
        for line in [
            "PORT",
            "PORT ",
            "PORT  10,71,1,2,19,136",
            "PORT\t10,71,1,2,19,136",
            "PORT 10,71,1,2,19,136 ",
            "PORT 10,71,1,258,19,136",
            "PORT 10,71,1,2,0,5000",
            "PORT 10,71,1,2,256,22",
            "PORT 4294967306,71,1,2,19,136",
            "PORT 10,71,1,2,0,22",
            "PORT 010,71,1,2,19,136",
            "PORT +10,71,1,2,19,136",
            "PORT 10,71,1,2,0x13,136",
            "PORT 10,71,1,2,19,136,1",
            "PORT 10,71,1,2,19",
            "PORT 10.71.1.2,19,136",
            " PORT 10,71,1,2,19,136",
            "EPRT |1|10.71.1.2|70536|",
            "EPRT |1|10.71.1.2|22|",
            "EPRT |1|10.71.1.2|5000",
            "EPRT |3|10.71.1.2|5000|",
            "EPRT |2|fd71:1::2|5000|",
            "LPRT 4,4,10,71,1,2,2,19,136",
        ] {
            at_once(line, || {
                d.client.say(line);
                let reply = d.client.line().unwrap();
                assert!(reply.starts_with('5'), "{line:?} got {reply:?}");
            });
            assert_eq!(d.holes(), 0, "{line:?}");
        }
        // A verb of its own, which only the server can judge: even its consent opens nothing.
        d.exchange("PORTX 10,71,1,2,19,136", "200 Fine.");
        assert_eq!(d.holes(), 0);
        d.is_alive();
    }

    pub(crate) fn every_malformed_announcement_of_a_server_becomes_425_and_opens_nothing(stage: &Stage) {
        let mut d = stage.session(0);
        for line in [
            "227 Entering Passive Mode (10,71,2,3,19,136)",
            "227 Entering Passive Mode (10,71,2,2,0,22)",
            "227 Entering Passive Mode (10,71,2,258,19,136)",
            "227 Entering Passive Mode (10,71,2,2,256,22)",
            "227 Entering Passive Mode (10,71,2,2,0,5000)",
            "227 Entering Passive Mode",
            "229 Entering Extended Passive Mode (|||5000|)",
        ] {
            at_once(line, || {
                d.client.say("PASV");
                d.server.hears("PASV");
                d.server.say(line);
                d.client.hears("425");
            });
            assert_eq!(d.holes(), 0, "{line:?}");
        }
        let mut six = stage.session(1);
        for line in [
            "229 Mode (|||22|)",
            "229 Mode (|||70536|)",
            "229 Mode (|2|fd71:2::3|5000|)",
            "227 =10,71,2,2,19,136",
        ] {
            at_once(line, || {
                six.client.say("EPSV");
                six.server.hears("EPSV");
                six.server.say(line);
                six.client.hears("425");
            });
            assert_eq!(six.holes(), 0, "{line:?}");
        }
        six.is_alive();
        for line in
            ["229 Mode (|||22|)", "229 Mode (|||70536|)", "229 Mode (ok)", "229 Mode (|1|10.71.2.3|5000|)"]
        {
            d.client.say("EPSV");
            d.server.hears("EPSV");
            d.server.say(line);
            d.client.hears("425");
            assert_eq!(d.holes(), 0, "{line:?}");
        }
        d.is_alive();
    }

    pub(crate) fn announcements_that_the_kernels_helper_misses_or_loses_work(stage: &Stage) {
        for (nth, before) in ["NOOP\r\n", ""].iter().enumerate() {
            let mut d = stage.session(0);
            let to = d.client_port(5000 + u16::try_from(nth).unwrap());
            d.client_listens(to);
            d.client.send(format!("{before}{}\r\n", d.active(to)));
            if !before.is_empty() {
                d.server.hears("NOOP");
                d.server.say("200 Fine.");
                d.client.hears("200");
            }
            d.server.hears("PORT");
            d.server.say("200 Fine.");
            d.client.hears("200");
            assert!(d.server_reaches(to));
        }
        for (nth, text) in ["227 Mode 2 (ADDRESS)", "227 Mode ADDRESS", "227 =ADDRESS"].iter().enumerate() {
            let mut d = stage.session(0);
            let to = d.server_port(5000 + u16::try_from(nth).unwrap());
            d.server_listens(to);
            d.client.say("PASV");
            d.server.hears("PASV");
            let [high, low] = to.port().to_be_bytes();
            for octet in
                format!("{}\r\n", text.replace("ADDRESS", &format!("10,71,2,2,{high},{low}"))).bytes()
            {
                d.server.send([octet]);
            }
            let told = d.client.line().unwrap();
            if told.starts_with("227") {
                assert!(d.client_reaches(to), "{text}");
            } else {
                assert!(told.starts_with("425"), "{text}: {told}");
                assert_eq!(d.holes(), 0);
            }
        }
    }
}
