use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("a test address")
}

#[test]
fn port_is_read_as_the_rfc_writes_it_and_nothing_else() {
    for (arg, want) in [
        ("192,0,2,7,4,1", Some("192.0.2.7:1025")),
        ("0,0,0,0,255,255", Some("0.0.0.0:65535")),
        ("192,0,2,258,4,1", None),
        ("192,0,2,7,256,22", None),
        ("192,0,2,7,0,5000", None),
        ("4294967306,0,2,7,4,1", None),
        ("192,0,2,7,4", None),
        ("192,0,2,7,4,1,1", None),
        ("192,0,2,7,4,1 ", None),
        (" 192,0,2,7,4,1", None),
        ("192,0,2,07,4,1", None),
        ("192,0,2,+7,4,1", None),
        ("192,0,2,,4,1", None),
        ("0x10,0,2,7,4,1", None),
        ("", None),
    ] {
        let got = Announced::parse_host_port(arg.as_bytes()).ok().map(Announced::claim);
        assert_eq!(got, want.map(addr), "{arg:?}");
    }
}

#[test]
fn eprt_takes_any_delimiter_but_no_wrong_number() {
    use AnnounceError::{Extended, Family};
    for (arg, want) in [
        ("|1|192.0.2.7|1025|", Ok("192.0.2.7:1025")),
        ("|2|2001:db8::7|1025|", Ok("[2001:db8::7]:1025")),
        ("!1!192.0.2.7!65535!", Ok("192.0.2.7:65535")),
        ("|1|2001:db8::7|1025|", Err(Extended)),
        ("|2|192.0.2.7|1025|", Err(Extended)),
        ("|2|::ffff:192.0.2.7|1025|", Err(Extended)),
        ("|2|fe80::1%eth0|1025|", Err(Extended)),
        ("|1|192.0.2.7|65536|", Err(Extended)),
        ("|1|192.0.2.7|065535|", Err(Extended)),
        ("|1|192.0.2.7|102500|", Err(Extended)),
        ("|1|192.0.2.7|1025", Err(Extended)),
        ("|1|192.0.2.7|1025|x", Err(Extended)),
        ("|1|192.0.2.7|1025||", Err(Extended)),
        ("|1|192.0.2.07|1025|", Err(Extended)),
        ("|3|192.0.2.7|1025|", Err(Family)),
        ("|||1025|", Err(Extended)),
        ("1|192.0.2.7|1025|", Err(Extended)),
        ("", Err(Extended)),
    ] {
        let got = Announced::parse_extended(arg.as_bytes()).map(Announced::claim);
        assert_eq!(got, want.map(addr), "{arg:?}");
    }
}

#[test]
fn a_gate_reads_227_and_229_strictly() {
    let v4 = |text: &str| Announced::parse_passive(text.as_bytes()).ok().map(Announced::claim);
    assert_eq!(v4("Entering Passive Mode (192,0,2,7,4,1)."), Some(addr("192.0.2.7:1025")));
    assert_eq!(v4("Mode 2 (192,0,2,7,4,1)"), Some(addr("192.0.2.7:1025")));
    assert_eq!(v4("Entering Passive Mode 192,0,2,7,4,1"), None);
    assert_eq!(v4("(192,0,2,7,4,1)(192,0,2,7,4,2)"), None);
    let v6 = |text: &str| {
        Announced::parse_extended_passive(text.as_bytes(), Family::V6).ok().map(|a| a.claim().port())
    };
    assert_eq!(v6("Entering Extended Passive Mode (|||1025|)"), Some(1025));
    assert_eq!(v6("(ok) (|||1025|)"), None);
    assert_eq!(v6("(|||70536|)"), None);
    assert_eq!(v6("(|2|::1|1025|)"), None);
    assert_eq!(v6("|||1025|"), None);
}

#[test]
fn a_client_reads_what_servers_in_the_field_write() {
    for (text, want) in [
        ("Entering Passive Mode (192,0,2,7,4,1)", Some("192.0.2.7:1025")),
        ("Entering Passive Mode 192,0,2,7,4,1", Some("192.0.2.7:1025")),
        ("=192,0,2,7,4,1", Some("192.0.2.7:1025")),
        ("(=192,0,2,7,4,1)", Some("192.0.2.7:1025")),
        ("Passive 2 mode (192, 0, 2, 7, 4, 1)", Some("192.0.2.7:1025")),
        ("PASV OK (ftp://192,0,2,7,4,1)", Some("192.0.2.7:1025")),
        ("first\nEntering (192,0,2,7,4,1)\n", Some("192.0.2.7:1025")),
        ("Entering Passive Mode (192,0,2,7,4,300)", None),
        ("Entering Passive Mode (192,0,2,7,4)", None),
        ("Entering Extended Passive Mode (|||1025|)", Some("0.0.0.0:1025")),
        ("Entering Extended Passive Mode (!!!1025!)", Some("0.0.0.0:1025")),
        ("Entering |||1025|", Some("0.0.0.0:1025")),
        ("(|1|192.0.2.7|1025|)", Some("0.0.0.0:1025")),
        ("(|||70536|)", None),
        ("", None),
    ] {
        let got = passive_reply_lenient(text.as_bytes(), Family::V4).map(Announced::claim);
        assert_eq!(got, want.map(addr), "{text:?}");
    }
}

#[test]
fn only_the_peers_own_unprivileged_port_is_vetted() {
    let peer: IpAddr = "192.0.2.7".parse().expect("an address");
    for (claim, good) in [
        ("192.0.2.7:1024", true),
        ("[::ffff:192.0.2.7]:1025", true),
        ("192.0.2.7:1023", false),
        ("192.0.2.7:0", false),
        ("192.0.2.8:1025", false),
        ("0.0.0.0:1025", false),
        ("127.0.0.1:1025", false),
        ("224.0.0.1:1025", false),
        ("255.255.255.255:1025", false),
        ("[2001:db8::1]:1025", false),
    ] {
        assert_eq!(Announced::new(addr(claim)).vet(peer).is_ok(), good, "{claim}");
    }
}

#[test]
fn what_is_emitted_is_read_back() {
    let v4 = Announced::new(addr("192.0.2.7:50001"));
    let v6 = Announced::new(addr("[2001:db8::7]:50001"));
    let six = v4.host_port().expect("IPv4 has the old form").to_string();
    assert_eq!(six, "192,0,2,7,195,81");
    assert_eq!(Announced::parse_host_port(six.as_bytes()), Ok(v4));
    assert!(v6.host_port().is_none());
    for both in [v4, v6] {
        assert_eq!(Announced::parse_extended(both.extended().to_string().as_bytes()), Ok(both));
    }
    assert_eq!(v6.port_only().to_string(), "|||50001|");
}

proptest::proptest! {
    #[test]
    fn no_octets_make_the_readers_panic(text: Vec<u8>) {
        let _ = Announced::parse_host_port(&text);
        let _ = Announced::parse_extended(&text);
        let _ = Announced::parse_passive(&text);
        let _ = Announced::parse_extended_passive(&text, Family::V4);
        let _ = passive_reply_lenient(&text, Family::V6);
    }

    #[test]
    fn whatever_is_read_strictly_reads_the_same_when_emitted(ip: [u8; 4], port: u16) {
        let announced = Announced::new(SocketAddr::from((ip, port)));
        let six = announced.host_port().map(|six| six.to_string()).unwrap_or_default();
        proptest::prop_assert_eq!(Announced::parse_host_port(six.as_bytes()), Ok(announced));
    }
}
