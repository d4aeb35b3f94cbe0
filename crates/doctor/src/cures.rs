//! What helps, as text to paste.

mod choice;
mod clients;
mod rules;
mod servers;

use std::net::IpAddr;

use serde::Serialize;

use crate::{Command, Evidence, Family, Greeting, Mode, Outcome};

pub(crate) use choice::of;

/// One cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cure {
    /// On which machine.
    pub place: Place,
    /// For which program.
    pub program: Program,
    /// What the text is.
    pub kind: Kind,
    /// What to paste. What nobody but the administrator can know stands in `<ANGLE BRACKETS>`.
    pub text: String,
}

/// Where a cure belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The machine this runs on.
    Client,
    /// The firewall before it.
    ClientFirewall,
    /// The NAT before it.
    ClientNat,
    /// The firewall before the server.
    ServerFirewall,
    /// The NAT before the server.
    ServerNat,
    /// The server.
    Server,
    /// The name service.
    Dns,
}

impl Place {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "on this machine",
            Self::ClientFirewall => "on the firewall at your side",
            Self::ClientNat => "on the NAT router at your side",
            Self::ServerFirewall => "on the firewall before the server",
            Self::ServerNat => "on the NAT router before the server",
            Self::Server => "on the server",
            Self::Dns => "in the name service",
        }
    }
}

macro_rules! programs {
    ($($name:ident $word:literal;)*) => {
        /// What a cure is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(missing_docs)]
        pub enum Program {
            $($name,)*
        }

        impl Program {
            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

programs! {
    Portway "portway";
    PortwayGate "portway-gate";
    PortwayServe "portway-serve";
    Nftables "nftables";
    Iptables "iptables";
    Ufw "ufw";
    Firewalld "firewalld";
    WindowsDefender "windows-defender";
    Vsftpd "vsftpd";
    Proftpd "proftpd";
    PureFtpd "pure-ftpd";
    FilezillaServer "filezilla-server";
    Lftp "lftp";
    Curl "curl";
    Filezilla "filezilla";
    Kernel "kernel";
    Router "router";
}

/// What the text of a cure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Shell lines, as root.
    Command,
    /// Lines for the server's configuration, in place of lines with the same key.
    Settings,
    /// Options for the program's command line.
    Option,
}

/// What cures are filled in with.
pub(crate) struct Facts<'a> {
    pub(crate) seen: &'a Evidence,
    /// The server as seen from here.
    pub(crate) server: Option<IpAddr>,
    /// We, as the server sees us.
    pub(crate) client: Option<IpAddr>,
    /// The control port.
    pub(crate) control: u16,
}

impl Facts<'_> {
    fn new(seen: &Evidence) -> Facts<'_> {
        let ready = seen.roads.iter().find(|road| road.greeting == Greeting::Ready);
        let road = ready.or(seen.roads.first());
        Facts {
            seen,
            server: road.map(|road| road.to.ip()),
            client: seen.seen_as.or(seen.local),
            control: seen.port,
        }
    }

    fn works(&self, mode: Mode) -> bool {
        self.seen.attempts.iter().any(|a| a.command.mode() == mode && a.outcome == Outcome::Works)
    }

    fn works_by(&self, command: Command) -> bool {
        self.seen.attempts.iter().any(|a| a.command == command && a.outcome == Outcome::Works)
    }
}

impl Cure {
    pub(crate) fn new(place: Place, program: Program, kind: Kind, text: impl Into<String>) -> Self {
        Self { place, program, kind, text: text.into() }
    }
}

/// Lets what came through a hole of ours pass a firewall on the same machine.
pub(crate) fn admit_holes() -> Vec<Cure> {
    let nft = rules::admit_mark(&[rules::Hook::Input]);
    let old = ["iptables", "ip6tables"]
        .map(|program| format!("{program} -I INPUT -m connmark --mark 0x100000/0x100000 -j ACCEPT"))
        .join("\n");
    [(Program::Nftables, nft), (Program::Iptables, old)]
        .map(|(program, text)| Cure::new(Place::Server, program, Kind::Command, text))
        .into()
}

pub(crate) fn family(ip: Option<IpAddr>) -> Family {
    ip.map_or(Family::Ipv4, Family::of)
}
