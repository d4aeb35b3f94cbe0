//! Firewalls: dropping and resetting, at the client, at the server, and at both.

use super::super::setting::{Brand, Transfer, User, Wall, Wire};
use super::{ACTIVE, CURL, Case, IN_FROM_20, INWARDS, PASSIVE, TO_RANGE, by, case, helper, nft, settings};

/// The cases.
pub(super) fn firewalls() -> Vec<Case> {
    let active = |name, meaning, server, near| {
        // ProFTPD gives port 20 up with root; portway never had it.
        let rule = if matches!(server, Brand::Vsftpd | Brand::PureFtpd) { IN_FROM_20 } else { INWARDS };
        case(name, meaning, "client_firewall_blocks_active", server, nft("client_firewall", rule), |s| {
            s.near = near;
            s.transfer = ACTIVE;
        })
    };
    let passive = |name, meaning, server, far, transfer: Transfer| {
        case(name, meaning, "server_firewall_blocks_passive", server, nft("server_firewall", TO_RANGE), |s| {
            s.far = far;
            s.transfer = transfer;
        })
    };
    const DROPS_ACTIVE: &str = "the client's firewall drops what comes from outside";
    const RESETS_ACTIVE: &str = "the client's firewall resets what comes from outside";
    const DROPS_PASSIVE: &str = "the server's firewall drops the passive range";
    const RESETS_PASSIVE: &str = "the server's firewall resets the passive range";
    vec![
        active("client-drops-active-vsftpd", DROPS_ACTIVE, Brand::Vsftpd, Wall::Outwards),
        active("client-drops-active-proftpd", DROPS_ACTIVE, Brand::Proftpd, Wall::Outwards),
        active("client-drops-active-pure-ftpd", DROPS_ACTIVE, Brand::PureFtpd, Wall::Outwards),
        active("client-drops-active-portway", DROPS_ACTIVE, Brand::Portway, Wall::Outwards),
        active("client-rejects-active-vsftpd", RESETS_ACTIVE, Brand::Vsftpd, Wall::OutwardsReset),
        active("client-rejects-active-proftpd", RESETS_ACTIVE, Brand::Proftpd, Wall::OutwardsReset),
        case(
            "client-own-machine-without-helper",
            "the client's own machine takes answers only, and the kernel's FTP helper is not assigned",
            "ftp_helper_missing",
            Brand::Vsftpd,
            by("client_firewall", "nftables", "command", &helper("output")),
            |s| {
                s.own = true;
                s.transfer = ACTIVE;
            },
        ),
        case(
            "client-drops-passive-proftpd",
            "the client's firewall lets well-known ports out and nothing else",
            "client_firewall_blocks_passive",
            Brand::Proftpd,
            nft("client_firewall", "iifname lan tcp dport 1024-65535 accept"),
            |s| {
                s.near = Wall::WellKnown;
                s.transfer = PASSIVE;
            },
        ),
        case(
            "client-drops-passive-vsftpd",
            "the client's firewall lets well-known ports out and nothing else",
            "client_firewall_blocks_passive",
            Brand::Vsftpd,
            nft("client_firewall", "iifname lan tcp dport 1024-65535 accept"),
            |s| {
                s.near = Wall::WellKnown;
                s.transfer = CURL;
            },
        ),
        passive("server-drops-passive-portway", DROPS_PASSIVE, Brand::Portway, Wall::Service, PASSIVE),
        passive("server-drops-passive-vsftpd", DROPS_PASSIVE, Brand::Vsftpd, Wall::Service, CURL),
        passive("server-drops-passive-proftpd", DROPS_PASSIVE, Brand::Proftpd, Wall::Service, PASSIVE),
        passive("server-drops-passive-pure-ftpd", DROPS_PASSIVE, Brand::PureFtpd, Wall::Service, PASSIVE),
        passive(
            "server-rejects-passive-pure-ftpd",
            RESETS_PASSIVE,
            Brand::PureFtpd,
            Wall::ServiceReset,
            CURL,
        ),
        passive("server-rejects-passive-vsftpd", RESETS_PASSIVE, Brand::Vsftpd, Wall::ServiceReset, PASSIVE),
        case(
            "server-iptables-drops-passive",
            "the server's firewall, told by iptables, drops the passive range",
            "server_firewall_blocks_passive",
            Brand::Vsftpd,
            by(
                "server_firewall",
                "iptables",
                "command",
                "iptables -I FORWARD -p tcp --dport <LOW>:<HIGH> -j ACCEPT",
            ),
            |s| {
                s.far_iptables = true;
                s.transfer = PASSIVE;
            },
        ),
        case(
            "server-drops-active-vsftpd",
            "the server's firewall lets nothing out but answers",
            "server_firewall_blocks_active",
            Brand::Vsftpd,
            nft("server_firewall", IN_FROM_20),
            |s| {
                s.far = Wall::ServiceOnly;
                s.transfer = ACTIVE;
            },
        ),
        case(
            "server-drops-active-portway",
            "the server's firewall lets nothing out but answers",
            "server_firewall_blocks_active",
            Brand::Portway,
            nft("server_firewall", "iifname lan tcp dport 1024-65535 accept"),
            |s| {
                s.far = Wall::ServiceOnly;
                s.transfer = ACTIVE;
            },
        ),
        case(
            "both-drop-portway",
            "the client's firewall drops active data connections, the server's passive ones",
            "both_firewalls_block",
            Brand::Portway,
            nft("server_firewall", TO_RANGE),
            |s| {
                (s.near, s.far) = (Wall::Outwards, Wall::Service);
                s.transfer = PASSIVE;
            },
        ),
        case(
            "both-drop-vsftpd",
            "the client's firewall drops active data connections, the server's passive ones",
            "both_firewalls_block",
            Brand::Vsftpd,
            nft("server_firewall", TO_RANGE),
            |s| {
                (s.near, s.far) = (Wall::Outwards, Wall::Service);
                s.transfer = CURL;
            },
        ),
        case(
            "port-20-filtered",
            "the server's firewall drops what comes from port 20",
            "source_port_20_filtered",
            Brand::Vsftpd,
            settings(Brand::Vsftpd, "connect_from_port_20=NO"),
            |s| {
                s.wire = Wire::Port20;
                s.transfer = ACTIVE;
            },
        ),
        case(
            "range-partly-closed",
            "half of the passive range is open in the server's firewall",
            "passive_range_partly_closed",
            Brand::Vsftpd,
            nft("server_firewall", TO_RANGE),
            |s| {
                s.far = Wall::ServiceAndHalf;
                // Seven times by luck: less than one in a hundred.
                s.transfer = Transfer { client: User::Curl, more: "--connect-timeout 3", times: 7 };
                s.ports = 10;
            },
        ),
        case(
            "control-port-filtered",
            "the server's firewall drops port 21",
            "server_filtered",
            Brand::Proftpd,
            nft("server_firewall", "tcp dport 21 accept"),
            |s| {
                s.far = Wall::RangeAlone;
                s.transfer = PASSIVE;
            },
        ),
        case(
            "syn-only-filter",
            "a firewall passes the first packet of a passive data connection and drops the rest",
            "syn_only_filter",
            Brand::Proftpd,
            nft("server_firewall", TO_RANGE),
            |s| {
                s.wire = Wire::SynOnly;
                s.transfer = PASSIVE;
            },
        ),
    ]
}
