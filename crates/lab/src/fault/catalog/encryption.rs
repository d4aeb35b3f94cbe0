//! TLS: what it hides from firewalls, what servers demand, and certificates.

use super::super::setting::{Brand, Meddling, Paper, Protection, Transfer, User, Wall};
use super::{CURL_TLS, Case, STRICT_TLS, TO_RANGE, case, nft, option, settings};

/// The cases.
pub(super) fn encryption() -> Vec<Case> {
    let blind = |name, server| {
        case(
            name,
            "the server's firewall opens by the kernel's helper, which is blind under TLS",
            "ftp_helper_blind_under_tls",
            server,
            nft("server_firewall", TO_RANGE),
            |s| {
                (s.far, s.helper.1, s.protection) = (Wall::Service, true, Protection::Offered);
                s.transfer = CURL_TLS;
            },
        )
    };
    let paper = |name, meaning, culprit, server, paper, cure: &str| {
        case(name, meaning, culprit, server, settings(server, cure), |s| {
            (s.protection, s.paper) = (Protection::Offered, paper);
            s.transfer = STRICT_TLS;
        })
    };
    let resumed = |name, server, cure: &str| {
        case(
            name,
            "the server wants resumed TLS sessions, and the client cannot",
            "data_tls_resumption_required",
            server,
            settings(server, cure),
            |s| {
                s.protection = Protection::Resumed;
                s.transfer = Transfer { client: User::Curl, more: "--ssl-reqd --no-sessionid", times: 1 };
            },
        )
    };
    const PORTWAY_PAPERS: &str = "cert = \"<CERTIFICATE>\"\nkey = \"<KEY>\"";
    vec![
        blind("helper-blind-under-tls-vsftpd", Brand::Vsftpd),
        blind("helper-blind-under-tls-proftpd", Brand::Proftpd),
        resumed("session-reuse-vsftpd", Brand::Vsftpd, "require_ssl_reuse=NO"),
        resumed("session-reuse-proftpd", Brand::Proftpd, "TLSOptions NoSessionReuseRequired"),
        resumed("session-reuse-portway", Brand::Portway, "data_proof = \"auto\""),
        case(
            "data-tls-refused",
            "the server encrypts the control connection and refuses to encrypt data",
            "data_tls_refused",
            Brand::Proftpd,
            settings(Brand::Proftpd, "TLSRequired ctrl"),
            |s| {
                s.protection = Protection::Offered;
                s.lines = &["TLSRequired ctrl+!data"];
                s.transfer = STRICT_TLS;
            },
        ),
        paper(
            "certificate-expired-portway",
            "the server's certificate has expired",
            "certificate_expired",
            Brand::Portway,
            Paper::Expired,
            PORTWAY_PAPERS,
        ),
        paper(
            "certificate-expired-vsftpd",
            "the server's certificate has expired",
            "certificate_expired",
            Brand::Vsftpd,
            Paper::Expired,
            "rsa_cert_file=<CERTIFICATE>\nrsa_private_key_file=<KEY>",
        ),
        paper(
            "certificate-of-another-name",
            "the server's certificate is for another name",
            "certificate_wrong_name",
            Brand::Proftpd,
            Paper::OtherName,
            "TLSRSACertificateFile <CERTIFICATE>\nTLSRSACertificateKeyFile <KEY>",
        ),
        case(
            "tls-stripped",
            "a box at the client's network writes X over AUTH TLS",
            "alg_strips_auth_tls",
            Brand::Portway,
            option("portway", "ftps://<NAME>/"),
            |s| {
                (s.client_hidden, s.near, s.protection) = (true, Wall::Outwards, Protection::Offered);
                (s.meddling, s.implicit) = (Some(Meddling::StripsAuth), true);
                s.transfer = STRICT_TLS;
            },
        ),
        case(
            "tls-cut",
            "a box at the client's network ends connections in which TLS begins behind AUTH",
            "tls_cut",
            Brand::Portway,
            option("portway", "ftps://<NAME>/"),
            |s| {
                (s.client_hidden, s.near, s.protection) = (true, Wall::Outwards, Protection::Offered);
                (s.meddling, s.implicit) = (Some(Meddling::CutsTls), true);
                s.transfer = STRICT_TLS;
            },
        ),
    ]
}
