//! Addresses and ways: translation, middleboxes, IPv6 and packet sizes.

use super::super::setting::{Announce, Brand, Meddling, Naming, Protection, Transfer, User, Wall, Wire};
use super::{ACTIVE, CURL, Case, PASSIVE, TRUSTING, by, case, helper, nft, option, settings};

/// Translated and wrongly announced addresses.
pub(super) fn translation() -> Vec<Case> {
    let wrong = |name, meaning, culprit, server, cure: &str, announce| {
        case(name, meaning, culprit, server, settings(server, cure), |s| {
            (s.server_hidden, s.far, s.announce) = (true, Wall::ServiceAndRange, announce);
            s.transfer = TRUSTING;
        })
    };
    const PRIVATE: &str = "server_nat_private_address";
    const INSIDE: &str = "behind its NAT the server announces its inner address";
    const OLD: &str = "the server announces an address that it had some day";
    vec![
        case(
            "client-nat-private-port-vsftpd",
            "behind its NAT the client announces a private address",
            "client_nat_private_port",
            Brand::Vsftpd,
            by("client_nat", "nftables", "command", &helper("prerouting")),
            |s| {
                (s.client_hidden, s.near) = (true, Wall::Outwards);
                s.transfer = ACTIVE;
            },
        ),
        case(
            "client-nat-private-port-proftpd",
            "behind its NAT the client announces a private address",
            "client_nat_private_port",
            Brand::Proftpd,
            by("client_nat", "nftables", "command", &helper("prerouting")),
            |s| {
                (s.client_hidden, s.near) = (true, Wall::Outwards);
                s.transfer = ACTIVE;
            },
        ),
        wrong(
            "server-nat-private-vsftpd",
            INSIDE,
            PRIVATE,
            Brand::Vsftpd,
            "pasv_address=<PUBLIC ADDRESS>",
            Announce::Own,
        ),
        wrong(
            "server-nat-private-proftpd",
            INSIDE,
            PRIVATE,
            Brand::Proftpd,
            "MasqueradeAddress <PUBLIC ADDRESS>",
            Announce::Own,
        ),
        wrong(
            "server-nat-private-pure-ftpd",
            INSIDE,
            PRIVATE,
            Brand::PureFtpd,
            "ForcePassiveIP <PUBLIC ADDRESS>",
            Announce::Own,
        ),
        wrong(
            "server-nat-private-portway",
            INSIDE,
            PRIVATE,
            Brand::Portway,
            "passive_address = \"<PUBLIC ADDRESS>\"",
            Announce::Own,
        ),
        wrong(
            "wrong-address-vsftpd",
            OLD,
            "wrong_passive_address",
            Brand::Vsftpd,
            "pasv_address=<PUBLIC ADDRESS>",
            Announce::Stale,
        ),
        wrong(
            "wrong-address-pure-ftpd",
            OLD,
            "wrong_passive_address",
            Brand::PureFtpd,
            "ForcePassiveIP <PUBLIC ADDRESS>",
            Announce::Stale,
        ),
        case(
            "nat-forgets-idle-control",
            "the client's NAT forgets a control connection that is silent",
            "control_idle_timeout",
            Brand::Vsftpd,
            by(
                "client_nat",
                "kernel",
                "command",
                "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=7440",
            ),
            |s| {
                (s.client_hidden, s.near, s.wire) = (true, Wall::Outwards, Wire::Forgetful);
                // A user who reads for a while between two files.
                s.transfer = Transfer { client: User::Lftp, more: "cls; sleep 4", times: 1 };
            },
        ),
    ]
}

/// What lies on the way.
pub(super) fn ways() -> Vec<Case> {
    vec![
        case(
            "epsv-broken",
            "a box at the client's network swallows the reply to EPSV",
            "epsv_broken",
            Brand::Vsftpd,
            option("curl", "--disable-epsv"),
            |s| {
                (s.client_hidden, s.near) = (true, Wall::Outwards);
                s.meddling = Some(Meddling::Swallows229);
                s.transfer = CURL;
            },
        ),
        case(
            "alg-rewrites-227",
            "a box at the client's network writes its own address into the reply to PASV",
            "alg_rewrites_227",
            Brand::Proftpd,
            option("curl", "--ftp-skip-pasv-ip"),
            |s| {
                (s.client_hidden, s.near, s.protection) = (true, Wall::Outwards, Protection::Offered);
                s.meddling = Some(Meddling::Rewrites227);
                s.transfer = TRUSTING;
            },
        ),
        case(
            "ipv6-black-hole",
            "the name has an IPv6 address, and the server's firewall drops IPv6",
            "ipv6_black_hole",
            Brand::Proftpd,
            nft("server_firewall", "meta nfproto ipv6 accept"),
            |s| {
                (s.naming, s.wire) = (Naming::Both, Wire::No6);
                // As a client that tries one address after the other, in the order of the resolver.
                s.transfer =
                    Transfer { client: User::Curl, more: "--happy-eyeballs-timeout-ms 60000", times: 1 };
            },
        ),
        case(
            "mtu-black-hole-pure-ftpd",
            "a cable takes small packets only, and nobody is told",
            "mtu_black_hole",
            Brand::PureFtpd,
            nft("server_firewall", "tcp flags syn tcp option maxseg size set 1200"),
            |s| {
                s.wire = Wire::Narrow;
                s.transfer = PASSIVE;
            },
        ),
        case(
            "mtu-black-hole-vsftpd",
            "a cable takes small packets only, and nobody is told",
            "mtu_black_hole",
            Brand::Vsftpd,
            nft("server_firewall", "tcp flags syn tcp option maxseg size set 1200"),
            |s| {
                s.wire = Wire::Narrow;
                s.transfer = CURL;
            },
        ),
    ]
}
