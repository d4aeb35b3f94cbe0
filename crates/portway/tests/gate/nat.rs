//! Through an administrator's address translation: the gate follows it.

use std::time::Duration;

use crate::field::{Field, Server, Wall, inside};
use crate::lab::{GATE, SERVER, nft};
use crate::matrix::every_mode;

const SNAT: &str = "table inet nat { chain post { type nat hook postrouting priority srcnat;
    oifname srv ip saddr 10.71.1.0/24 snat ip to 10.71.2.1
    oifname srv ip6 saddr fd71:1::/64 snat ip6 to fd71:2::1
}; }";
const DNAT: &str = "table inet nat { chain pre { type nat hook prerouting priority dstnat;
    iifname cli ip daddr 10.71.1.1 tcp dport 21 dnat ip to 10.71.2.2
    iifname cli ip6 daddr fd71:1::1 tcp dport 21 dnat ip6 to fd71:2::2
}; }";

#[test]
fn every_cell_works_where_clients_are_translated() {
    inside("nat::every_cell_works_where_clients_are_translated", || {
        nft(SNAT);
        let field = Field::new(Wall::Strict).gate(&[]).server(Server::of_others());
        every_mode(&field, "SNAT", SERVER);
        assert!(field.log().contains("client_seen_as=10.71.2.1"), "{}", field.log());
    });
}

#[test]
fn every_cell_works_where_the_server_is_translated() {
    inside("nat::every_cell_works_where_the_server_is_translated", || {
        nft(DNAT);
        let field = Field::new(Wall::Strict).gate(&[]).server(Server::of_others());
        every_mode(&field, "DNAT", GATE);
        assert!(field.log().contains("server_seen_as=10.71.1.1:21"), "{}", field.log());
    });
}

#[test]
fn every_cell_works_where_both_are_translated() {
    inside("nat::every_cell_works_where_both_are_translated", || {
        nft(SNAT);
        nft(DNAT);
        let field = Field::new(Wall::Strict).gate(&[]).server(Server::of_others());
        every_mode(&field, "both", GATE);
    });
}

#[test]
fn ftps_passes_where_the_server_is_translated() {
    inside("nat::ftps_passes_where_the_server_is_translated", || {
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
