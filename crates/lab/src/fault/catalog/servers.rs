//! The server itself: its ports, its accounts, its name.

use super::super::setting::{Brand, Login, Naming};
use super::{CURL, Case, PASSIVE, by, case, option, settings};

/// The cases.
pub(super) fn servers() -> Vec<Case> {
    vec![
        case(
            "range-exhausted-vsftpd",
            "others hold every port of the passive range",
            "passive_range_exhausted",
            Brand::Vsftpd,
            settings(Brand::Vsftpd, "pasv_min_port=40000\npasv_max_port=40999"),
            |s| {
                (s.ports, s.held) = (3, true);
                s.transfer = PASSIVE;
            },
        ),
        case(
            "login-refused-proftpd",
            "the password is wrong",
            "login_refused",
            Brand::Proftpd,
            option("portway", "ftp://<USER>:<PASSWORD>@<NAME>/"),
            |s| {
                s.login = Login::Wrong;
                s.transfer = PASSIVE;
            },
        ),
        case(
            "login-refused-portway",
            "the password is wrong",
            "login_refused",
            Brand::Portway,
            option("curl", "ftp://<USER>:<PASSWORD>@<NAME>/"),
            |s| {
                s.login = Login::Wrong;
                s.transfer = CURL;
            },
        ),
        case(
            "server-down",
            "the server does not run",
            "server_down",
            Brand::Vsftpd,
            by("server", "vsftpd", "command", "systemctl start vsftpd"),
            |s| {
                s.down = true;
                s.transfer = PASSIVE;
            },
        ),
        case(
            "name-unknown",
            "the server's name leads nowhere",
            "name_not_found",
            Brand::Vsftpd,
            by("dns", "hosts", "command", "echo '<PUBLIC ADDRESS> <NAME>' >> /etc/hosts"),
            |s| {
                s.naming = Naming::Nowhere;
                s.transfer = PASSIVE;
            },
        ),
    ]
}
