//! Set-ups in which nothing is wrong, however restricted.

use super::super::setting::{Announce, Brand, Login, Naming, Protection, Setting, Transfer, User, Wall};
use super::{ACTIVE, CURL_TLS, Case, STRICT_TLS, TRUSTING};

/// The cases.
pub(super) fn healthy() -> Vec<Case> {
    let well = |name, meaning, server, change: fn(&mut Setting)| {
        let mut setting = Setting::of(server);
        change(&mut setting);
        Case { name, meaning, culprit: None, setting, reference: Vec::new() }
    };
    vec![
        well("healthy-plain-portway", "no firewall, no TLS", Brand::Portway, |_| {}),
        well("healthy-plain-vsftpd", "no firewall, no TLS", Brand::Vsftpd, |s| s.transfer = ACTIVE),
        well("healthy-ftps-portway", "FTPS for those who want it", Brand::Portway, |s| {
            s.protection = Protection::Offered;
            s.transfer = STRICT_TLS;
        }),
        well("healthy-ftps-vsftpd", "FTPS for those who want it", Brand::Vsftpd, |s| {
            s.protection = Protection::Offered;
            s.transfer = CURL_TLS;
        }),
        well("healthy-ftps-proftpd", "FTPS, and a firewall with the range open", Brand::Proftpd, |s| {
            (s.protection, s.far) = (Protection::Offered, Wall::ServiceAndRange);
            s.transfer = CURL_TLS;
        }),
        well(
            "healthy-active-only",
            "the server refuses passive mode by its configuration",
            Brand::Vsftpd,
            |s| {
                s.lines = &["pasv_enable=NO"];
                s.transfer = ACTIVE;
            },
        ),
        well(
            "healthy-passive-only",
            "the server refuses active mode by its configuration",
            Brand::Vsftpd,
            |s| {
                s.lines = &["port_enable=NO"];
                s.near = Wall::Outwards;
            },
        ),
        well("healthy-client-nat-helper", "a NAT with the kernel's FTP helper", Brand::Vsftpd, |s| {
            (s.client_hidden, s.near, s.helper.0) = (true, Wall::Outwards, true);
            s.transfer = ACTIVE;
        }),
        well("healthy-server-nat", "a NAT that the server knows about", Brand::Proftpd, |s| {
            (s.server_hidden, s.far, s.announce) = (true, Wall::ServiceAndRange, Announce::Public);
            s.transfer = TRUSTING;
        }),
        well("healthy-ipv6", "IPv6 alone", Brand::Portway, |s| s.naming = Naming::V6),
        well("healthy-dual-stack", "IPv4 and IPv6", Brand::Proftpd, |s| s.naming = Naming::Both),
        well("healthy-implicit", "implicit FTPS", Brand::Portway, |s| {
            (s.protection, s.implicit) = (Protection::Offered, true);
            s.transfer = Transfer { client: User::Curl, more: "--ftp-pasv", times: 1 };
        }),
        well(
            "healthy-strict-helper",
            "a strict firewall with the kernel's FTP helper",
            Brand::PureFtpd,
            |s| {
                (s.far, s.helper.1) = (Wall::Service, true);
            },
        ),
        well("healthy-account", "an account, and a few passive ports", Brand::Proftpd, |s| {
            (s.login, s.ports) = (Login::User, 6);
        }),
    ]
}
