//! Real clients against the subject, in every mode that they know.
//!
//! Each line of the tables below is one test: one client, one place of the matrix, all it can do.

mod day;
mod large;
mod names;

use anyhow::Result;
use portway_e2e::clients::{Curl, Ftplib, Lftp, Ncftp, NetFtp, Portway, Prompt, Wget};
use portway_e2e::{Cell, Family, Mode, Security};

macro_rules! table {
    ($($sentence:ident: $client:expr => { $($cell:ident: $mode:ident $family:ident $security:ident;)* })*) => {
        $(mod $sentence {
            use super::*;
            $(#[test]
            fn $cell() -> Result<()> {
                let cell = Cell { mode: Mode::$mode, family: Family::$family, security: Security::$security };
                day::spend(&$client, cell)
            })*

            #[test]
            fn with_names_that_are_hard_to_spell() -> Result<()> {
                names::carry(&$client)
            }
        })*
    };
}

table! {
    portway_does_all_it_can: Portway => {
        passive_ipv4_plain: Passive V4 Plain;
        passive_ipv6_plain: Passive V6 Plain;
        active_ipv4_plain: Active V4 Plain;
        active_ipv6_plain: Active V6 Plain;
        passive_ipv4_explicit_tls: Passive V4 Explicit;
        passive_ipv6_explicit_tls: Passive V6 Explicit;
        active_ipv4_explicit_tls: Active V4 Explicit;
        active_ipv6_explicit_tls: Active V6 Explicit;
        passive_ipv4_implicit_tls: Passive V4 Implicit;
        passive_ipv6_implicit_tls: Passive V6 Implicit;
        active_ipv4_implicit_tls: Active V4 Implicit;
        active_ipv6_implicit_tls: Active V6 Implicit;
    }
    // lftp announces :: when its control connection is to ::1 (no server may connect there), and falls
    // back to passive mode; active mode over IPv6 it can do only from an address of the network.
    lftp_does_all_it_can: Lftp => {
        passive_ipv4_plain: Passive V4 Plain;
        passive_ipv6_plain: Passive V6 Plain;
        active_ipv4_plain: Active V4 Plain;
        passive_ipv4_explicit_tls: Passive V4 Explicit;
        passive_ipv6_explicit_tls: Passive V6 Explicit;
        active_ipv4_explicit_tls: Active V4 Explicit;
        passive_ipv4_implicit_tls: Passive V4 Implicit;
        passive_ipv6_implicit_tls: Passive V6 Implicit;
        active_ipv4_implicit_tls: Active V4 Implicit;
    }
    // Active mode under TLS is broken in curl 7.88, which Debian 12 has: it takes the connection and
    // never begins the handshake, whatever the server is.
    curl_does_all_it_can: Curl => {
        passive_ipv4_plain: Passive V4 Plain;
        passive_ipv6_plain: Passive V6 Plain;
        active_ipv4_plain: Active V4 Plain;
        active_ipv6_plain: Active V6 Plain;
        passive_ipv4_explicit_tls: Passive V4 Explicit;
        passive_ipv6_explicit_tls: Passive V6 Explicit;
        passive_ipv4_implicit_tls: Passive V4 Implicit;
        passive_ipv6_implicit_tls: Passive V6 Implicit;
    }
    ncftp_does_all_it_can: Ncftp => {
        passive_ipv4_plain: Passive V4 Plain;
        active_ipv4_plain: Active V4 Plain;
    }
    tnftp_does_all_it_can: Prompt::TNFTP => {
        passive_ipv4_plain: Passive V4 Plain;
        passive_ipv6_plain: Passive V6 Plain;
        active_ipv4_plain: Active V4 Plain;
        active_ipv6_plain: Active V6 Plain;
    }
    inetutils_ftp_does_all_it_can: Prompt::INETUTILS => {
        passive_ipv4_plain: Passive V4 Plain;
        passive_ipv6_plain: Passive V6 Plain;
        active_ipv4_plain: Active V4 Plain;
        active_ipv6_plain: Active V6 Plain;
    }
    debians_ftp_does_all_it_can: Prompt::DEBIAN => {
        passive_ipv4_plain: Passive V4 Plain;
        active_ipv4_plain: Active V4 Plain;
    }
    wget_does_all_it_can: Wget => {
        passive_ipv4_plain: Passive V4 Plain;
        passive_ipv6_plain: Passive V6 Plain;
        active_ipv4_plain: Active V4 Plain;
        active_ipv6_plain: Active V6 Plain;
        passive_ipv4_explicit_tls: Passive V4 Explicit;
        passive_ipv6_explicit_tls: Passive V6 Explicit;
        active_ipv4_explicit_tls: Active V4 Explicit;
        active_ipv6_explicit_tls: Active V6 Explicit;
        passive_ipv4_implicit_tls: Passive V4 Implicit;
        passive_ipv6_implicit_tls: Passive V6 Implicit;
        active_ipv4_implicit_tls: Active V4 Implicit;
        active_ipv6_implicit_tls: Active V6 Implicit;
    }
    pythons_ftplib_does_all_it_can: Ftplib => {
        passive_ipv4_plain: Passive V4 Plain;
        passive_ipv6_plain: Passive V6 Plain;
        active_ipv4_plain: Active V4 Plain;
        active_ipv6_plain: Active V6 Plain;
        passive_ipv4_explicit_tls: Passive V4 Explicit;
        passive_ipv6_explicit_tls: Passive V6 Explicit;
        active_ipv4_explicit_tls: Active V4 Explicit;
        active_ipv6_explicit_tls: Active V6 Explicit;
        passive_ipv4_implicit_tls: Passive V4 Implicit;
        active_ipv6_implicit_tls: Active V6 Implicit;
    }
    perls_net_ftp_does_all_it_can: NetFtp => {
        passive_ipv4_plain: Passive V4 Plain;
        passive_ipv6_plain: Passive V6 Plain;
        active_ipv4_plain: Active V4 Plain;
        active_ipv6_plain: Active V6 Plain;
        passive_ipv4_explicit_tls: Passive V4 Explicit;
        passive_ipv6_explicit_tls: Passive V6 Explicit;
        active_ipv4_explicit_tls: Active V4 Explicit;
        active_ipv6_explicit_tls: Active V6 Explicit;
        passive_ipv4_implicit_tls: Passive V4 Implicit;
        passive_ipv6_implicit_tls: Passive V6 Implicit;
        active_ipv4_implicit_tls: Active V4 Implicit;
        active_ipv6_implicit_tls: Active V6 Implicit;
    }
}
