//! Replies as servers write them, read by what they mean.

use proptest::prelude::*;

use super::*;

#[test]
fn features_are_read_in_every_dress() {
    let list = "Features:\n MDTM\n211-SIZE\n mlst type*;size*;\nREST STREAM\n AUTH TLS;TLS-C;SSL\n \
                HASH SHA-1*;SHA-256;MD5\n XCRC \"f\"\nPRET\nEnd";
    let features = Features::read(&reply(211, list));
    for name in ["MDTM", "SIZE", "mlst", "PRET", "XCRC"] {
        assert!(features.has(name), "{name} (quirk 13)");
    }
    assert!(features.mlst() && features.has_with("REST", "STREAM") && features.has_with("AUTH", "tls"));
    assert!(!features.has("End") && !features.has("Features:"));
    assert_eq!(features.hashes().first(), Some(&(Algorithm::Sha256, false)));
    assert!(features.hashes().contains(&(Algorithm::Sha1, true)));
    assert_eq!(features.digest_verbs(), [Algorithm::Crc32]);
    assert!(Features::read(&reply(500, "what")).is_empty());
    assert!(Features::read(&reply(211, "no features")).is_empty());
}

#[test]
fn passive_replies_lead_to_the_control_peer_alone() {
    let peer: IpAddr = "198.51.100.1".parse().unwrap();
    let at = |port: u16| Ok((std::net::SocketAddr::new(peer, port), None));
    let instead = |port: u16, why: Rewrite| Ok((std::net::SocketAddr::new(peer, port), Some(why)));
    #[rustfmt::skip]
    let rows = [
        ("by the book", 227, "Entering (198,51,100,1,200,10)", at(51210)),
        ("no brackets (quirk 17)", 227, "=198,51,100,1,200,10", at(51210)),
        ("equals sign (quirk 17)", 227, "ok (=198,51,100,1,200,10)", at(51210)),
        ("several lines (quirk 14)", 227, "Hello\nthere (198,51,100,1,200,10)", at(51210)),
        ("too large an octet (quirk 18)", 227, "(198,51,100,1,300,10)", Err(PassiveError::Unreadable { code: 227 })),
        ("negative (quirk 18)", 227, "(198,51,100,1,-3,10)", Err(PassiveError::Unreadable { code: 227 })),
        ("zero address (quirk 19)", 227, "(0,0,0,0,200,10)", instead(51210, Rewrite::Unspecified)),
        ("private address (quirk 19)", 227, "(10,9,9,9,200,10)",
            instead(51210, Rewrite::Private("10.9.9.9".parse().unwrap()))),
        ("foreign address (quirk 19)", 227, "(203,0,113,9,200,10)",
            instead(51210, Rewrite::Foreign("203.0.113.9".parse().unwrap()))),
        ("extended", 229, "ok (|||51210|)", at(51210)),
        ("exclamation marks (quirk 20)", 229, "ok (!!!51210!)", at(51210)),
        ("227 in answer to EPSV (quirk 20)", 227, "(198,51,100,1,200,10)", at(51210)),
        ("wrong 22x without a port (quirk 20)", 226, "done", Err(PassiveError::Unreadable { code: 226 })),
        ("refused", 502, "no", Err(PassiveError::Refused { code: 502 })),
    ];
    for (name, code, text, expected) in rows {
        let got = passive(&reply(code, text), peer, AddressTrust::Peer).map(|p| (p.to.addr(), p.rewritten));
        assert_eq!(got, expected, "{name}");
    }
    let low = passive(&reply(227, "(198,51,100,1,0,22)"), peer, AddressTrust::Peer);
    assert!(matches!(low, Err(PassiveError::Unsafe(_))), "no server sends us to a service");
    let trusted = passive(&reply(227, "(203,0,113,9,200,10)"), peer, AddressTrust::Announced).unwrap();
    assert_eq!(trusted.to.addr().to_string(), "203.0.113.9:51210");
}

#[test]
fn single_replies_are_read_as_servers_write_them() {
    assert_eq!(size(&reply(213, "1234")), Some(1234));
    assert_eq!(size(&reply(213, " 1234 ")), Some(1234));
    assert_eq!(size(&reply(213, "-1")), None, "quirk 30");
    assert_eq!(size(&reply(550, "SIZE not allowed in ASCII mode")), None, "quirk 30");
    for (text, expected) in [
        ("Opening BINARY mode data connection for f (123 bytes).", Some(123)),
        ("Opening (1,234,567 Bytes)", Some(1_234_567)),
        ("f (1.5 of 3 bytes)", None),
        ("f (x9) (123 bytes)", Some(123)),
        ("Opening", None),
    ] {
        assert_eq!(size_hint(&reply(150, text)), expected, "quirk 29: {text}");
    }
    assert_eq!(modified(&reply(213, "20240102030405.123")).map(|t| t.unix()), Some(1_704_164_645));
    assert!(modified(&reply(213, "191000102030405")).is_some(), "quirk 55");
    assert_eq!(quoted_path(&reply(257, "\"a\"\"b\" created")).as_deref(), Some(&b"a\"b"[..]), "quirk 52");
    let crc = reply(250, "XCRC 1A2B3C4D");
    assert_eq!(digest(&crc, Algorithm::Crc32).as_deref(), Some("1a2b3c4d"));
    let hash = reply(213, "MD5 0-9 d41d8cd98f00b204e9800998ecf8427e ffffffffffffffffffffffffffffffff");
    assert_eq!(digest(&hash, Algorithm::Md5).as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
    let refused = reply(500, "I won't open a connection to 192.168.1.2 (only to 203.0.113.7)");
    assert_eq!(accepted_address(&refused), Some("203.0.113.7".parse().unwrap()), "quirk 24");
    assert_eq!(accepted_address(&reply(500, "Illegal PORT command.")), None);
}

#[test]
fn refusals_say_whether_another_try_helps() {
    #[rustfmt::skip]
    let rows = [
        (530, "Sorry, too many users", Temper::FewerConnections),
        (421, "Too many connections (8) from this IP", Temper::FewerConnections),
        (421, "Timeout", Temper::Later),
        (550, "Broken pipe", Temper::Later),
        (550, "No such file", Temper::Never),
        (500, "OOPS: vsf_sysutil_bind", Temper::Later),
        (425, "Can't open data connection", Temper::DataChannel),
        (426, "Failure writing network stream", Temper::DataChannel),
        (522, "SSL connection failed; session reuse required: see require_ssl_reuse", Temper::SessionReuse),
        (425, "Unable to build data connection: TLS session of data connection not resumed", Temper::SessionReuse),
        (450, "TLS session of data connection has not resumed", Temper::SessionReuse),
    ];
    for (code, text, expected) in rows {
        assert_eq!(temper(&reply(code, text)), expected, "{code} {text} (quirks 7, 8, 10, 25, 41)");
    }
    assert!(found_nothing(&reply(450, "No files found")), "quirk 9");
    assert!(found_nothing(&reply(550, "No files found.")), "quirk 9");
    assert!(!found_nothing(&reply(550, "No such file or directory")));
    assert!(is_out_of_turn(&reply(450, "PORT: data transfer in progress")));
    assert!(
        !is_out_of_turn(&reply(450, "No files found"))
            && !is_out_of_turn(&reply(425, "transfer in progress"))
    );
}

proptest! {
    #[test]
    fn readings_survive_any_words(code in 100_u16..700, lines in prop::collection::vec(any::<Vec<u8>>(), 1..4)) {
        let reply = RawReply { code, lines };
        let peer = "192.0.2.1".parse().unwrap();
        if let Ok(read) = passive(&reply, peer, AddressTrust::Peer) {
            prop_assert_eq!(read.to.addr().ip(), peer);
            prop_assert!(read.to.addr().port() >= 1024);
        }
        let _ = (size(&reply), size_hint(&reply), modified(&reply), quoted_path(&reply), accepted_address(&reply));
        let _ = (digest(&reply, Algorithm::Md5), temper(&reply), found_nothing(&reply), is_out_of_turn(&reply), Features::read(&reply));
        let _ = Login::new(Credentials::default()).step(&reply);
    }
}
