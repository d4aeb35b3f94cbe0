//! What the kernel's helper loses, wraps or opens: through the gate it gets an answer, and nothing opens.

use crate::field::inside;
use crate::words::{Stage, at_once};

#[test]
fn every_malformed_announcement_of_a_client_is_answered_and_opens_nothing() {
    inside("probes::every_malformed_announcement_of_a_client_is_answered_and_opens_nothing", || {
        let stage = Stage::new(&[]);
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
    });
}

#[test]
fn every_malformed_announcement_of_a_server_becomes_425_and_opens_nothing() {
    inside("probes::every_malformed_announcement_of_a_server_becomes_425_and_opens_nothing", || {
        let stage = Stage::new(&[]);
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
    });
}

#[test]
fn announcements_that_the_kernels_helper_misses_or_loses_work() {
    inside("probes::announcements_that_the_kernels_helper_misses_or_loses_work", || {
        let stage = Stage::new(&[]);
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
    });
}
