//! What a set-up is made of. The default is one in which everything works; a case changes what it is about.

use serde::{Deserialize, Serialize};

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Brand {
    Portway,
    Vsftpd,
    Proftpd,
    PureFtpd,
}

impl Brand {
    /// As `portway doctor` calls it in its cures.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Portway => "portway-serve",
            Self::Vsftpd => "vsftpd",
            Self::Proftpd => "proftpd",
            Self::PureFtpd => "pure-ftpd",
        }
    }

    /// The server of other people's that it is.
    pub(super) const fn peer(self) -> Option<portway_peers::Brand> {
        match self {
            Self::Portway => None,
            Self::Vsftpd => Some(portway_peers::Brand::Vsftpd),
            Self::Proftpd => Some(portway_peers::Brand::Proftpd),
            Self::PureFtpd => Some(portway_peers::Brand::PureFtpd),
        }
    }
}

/// What a firewall lets through besides answers. Those at the client's network look outwards, those at the
/// server's inwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wall {
    /// Everything.
    None,
    /// What comes from inside; the rest is dropped.
    Outwards,
    /// The same; the rest is reset.
    OutwardsReset,
    /// From inside to a few well-known ports; from outside what comes from port 20, as before there was state.
    WellKnown,
    /// From outside to the control ports, and everything from inside.
    Service,
    /// The same; the rest is reset.
    ServiceReset,
    /// From outside to the control ports and the passive range, and everything from inside.
    ServiceAndRange,
    /// The same with the lower half of the range.
    ServiceAndHalf,
    /// From outside to the control ports and the range, and nothing from inside.
    ServiceOnly,
    /// From outside to the passive range, which is no use without the control ports.
    RangeAlone,
}

/// What is wrong on the way, besides firewalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// Nothing.
    Clean,
    /// The server's gate drops what comes from port 20.
    Port20,
    /// The server's gate lets no IPv6 through.
    No6,
    /// The server's gate drops what the client sends to the passive range, but for the first packet.
    SynOnly,
    /// A cable in the middle takes small packets only, and nobody is told.
    Narrow,
    /// The client's gate forgets connections that are silent for two seconds.
    Forgetful,
}

/// What a box at the client's network does to control connections that it relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meddling {
    /// It puts its own address into 227, without listening there.
    Rewrites227,
    /// It swallows the reply to EPSV.
    Swallows229,
    /// It writes X over AUTH TLS, in both directions.
    StripsAuth,
    /// It ends connections in which TLS begins.
    CutsTls,
}

/// Whether the server encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    Off,
    Offered,
    /// Offered; a data connection must resume the session of its control connection.
    Resumed,
    Required,
}

/// Who logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    Anonymous,
    /// An account.
    User,
    /// An account, with a wrong password.
    Wrong,
}

/// The server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paper {
    Good,
    Expired,
    OtherName,
}

/// What the server's name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// Its IPv4 address.
    V4,
    /// Its IPv6 address.
    V6,
    /// Both.
    Both,
    /// Nothing.
    Nowhere,
}

/// What the server announces as its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announce {
    /// Its own.
    Own,
    /// The one that clients use.
    Public,
    /// One that was right some day.
    Stale,
}

/// A set-up.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) server: Brand,
    /// The firewall of the client's network.
    pub(super) near: Wall,
    /// The firewall of the server's network.
    pub(super) far: Wall,
    /// Told by iptables in place of nft.
    pub(super) far_iptables: bool,
    /// The client's own machine lets out everything and in answers only, and helpers are not assigned.
    pub(super) own: bool,
    /// The client's address is translated.
    pub(super) client_hidden: bool,
    /// The server's address is translated; its ports are forwarded.
    pub(super) server_hidden: bool,
    /// The kernel's FTP helper at the client's gate, and at the server's.
    pub(super) helper: (bool, bool),
    /// Whether `portway gate` may be started on the server's gate.
    pub(super) gate: bool,
    pub(super) wire: Wire,
    pub(super) meddling: Option<Meddling>,
    pub(super) protection: Protection,
    /// Whether there is a port with TLS from the first octet on, too.
    pub(super) implicit: bool,
    pub(super) login: Login,
    pub(super) paper: Paper,
    pub(super) naming: Naming,
    pub(super) announce: Announce,
    /// How many ports the passive range has.
    pub(super) ports: u16,
    /// Somebody else keeps every port of the range busy.
    pub(super) held: bool,
    /// The server is not started.
    pub(super) down: bool,
    /// Further lines of its configuration, in its own language.
    pub(super) lines: &'static [&'static str],
    /// What is broken: this transfer does not work.
    pub(super) transfer: Transfer,
}

impl Setting {
    /// One in which everything works.
    pub(super) fn of(server: Brand) -> Self {
        Self {
            server,
            near: Wall::None,
            far: Wall::None,
            far_iptables: false,
            own: false,
            client_hidden: false,
            server_hidden: false,
            helper: (false, false),
            gate: false,
            wire: Wire::Clean,
            meddling: None,
            protection: Protection::Off,
            implicit: false,
            login: Login::Anonymous,
            paper: Paper::Good,
            naming: Naming::V4,
            announce: Announce::Own,
            ports: 40,
            held: false,
            down: false,
            lines: &[],
            transfer: Transfer { client: User::Portway, more: "--mode passive", times: 1 },
        }
    }
}

/// The program that the client's user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    Portway,
    Curl,
    Lftp,
}

/// A download of the large file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) client: User,
    /// Its options, as typed; for lftp, what it does first.
    pub(super) more: &'static str,
    /// It must work so many times one after the other.
    pub(super) times: u8,
}
