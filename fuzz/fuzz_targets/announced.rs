//! Announcements of data ports: what the strict readers accept is exact, and nothing foreign is ever vetted.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use portway_proto::{Announced, Family, passive_reply_lenient};

fuzz_target!(|data: &[u8]| {
    if let Ok(announced) = Announced::parse_host_port(data) {
        let six = announced.host_port().expect("six numbers are an IPv4 address").to_string();
        assert_eq!(six.as_bytes(), data, "PORT has one spelling");
        vet(announced);
    }
    if let Ok(announced) = Announced::parse_extended(data) {
        let emitted = announced.extended().to_string();
        assert_eq!(Announced::parse_extended(emitted.as_bytes()), Ok(announced), "{emitted}");
        vet(announced);
    }
    for family in [Family::V4, Family::V6] {
        if let Ok(strict) = Announced::parse_extended_passive(data, family) {
            let emitted = format!("Entering Extended Passive Mode ({})", strict.port_only());
            assert_eq!(
                Announced::parse_extended_passive(emitted.as_bytes(), family),
                Ok(strict),
                "{emitted}"
            );
        }
        passive_reply_lenient(data, family).map(vet);
    }
    Announced::parse_passive(data).map(vet).ok();
});

fn vet(announced: Announced) {
    for peer in ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "127.0.0.1"] {
        let peer: IpAddr = peer.parse().expect("an address");
        if let Ok(vetted) = announced.vet(peer) {
            let target = vetted.addr();
            assert_eq!(target.ip().to_canonical(), peer.to_canonical(), "{announced:?}");
            assert!(target.port() >= 1024, "{announced:?}");
        }
    }
}
