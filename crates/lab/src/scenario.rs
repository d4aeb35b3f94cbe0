//! The arrangements of firewalls that occur in the field.

use serde::{Deserialize, Serialize};

use crate::cell::Mode;

/// Where firewalls stand and what they let through by themselves. Every one of them drops what it does not allow,
/// in silence, as firewalls do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// A router that filters nothing: what works here works.
    Open,
    /// One firewall between both that admits connections to port 21 only.
    Strict,
    /// The client's network: everything outwards, nothing inwards.
    ClientSide,
    /// The server's network: port 21 inwards, everything outwards.
    ServerSide,
    /// One of each.
    Both,
    /// [`Self::Strict`], and the client's address is translated.
    Snat,
    /// [`Self::Strict`], and the server's address is translated.
    Dnat,
    /// The client's own host: everything out, nothing in.
    ClientHost,
    /// The server's own host: port 21 in, and nothing else in either direction.
    ServerHost,
}

/// Whose firewall it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A machine between client and server.
    Between,
    /// The client's machine.
    Client,
    /// The server's machine.
    Server,
}

impl Scenario {
    /// Each of them, the simplest first.
    pub const ALL: [Self; 9] = [
        Self::Open,
        Self::Strict,
        Self::ClientSide,
        Self::ServerSide,
        Self::Both,
        Self::Snat,
        Self::Dnat,
        Self::ClientHost,
        Self::ServerHost,
    ];

    /// Its name, as typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Strict => "strict",
            Self::ClientSide => "client-side",
            Self::ServerSide => "server-side",
            Self::Both => "both",
            Self::Snat => "snat",
            Self::Dnat => "dnat",
            Self::ClientHost => "client-host",
            Self::ServerHost => "server-host",
        }
    }

    /// Reads its name.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name().eq_ignore_ascii_case(name))
    }

    /// One sentence for people who have never heard of active and passive mode.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Open => "A router that filters nothing, for comparison",
            Self::Strict => {
                "A firewall in the middle lets clients reach port 21 of the server, and nothing else"
            }
            Self::ClientSide => "The client's firewall lets everything out and nothing in",
            Self::ServerSide => "The server's firewall lets port 21 in and everything out",
            Self::Both => "Client and server each have a firewall of their own kind",
            Self::Snat => "As strict, and the firewall hides the client's address behind its own",
            Self::Dnat => "As strict, and the firewall hides the server's address behind its own",
            Self::ClientHost => "The client's own machine lets everything out and nothing in",
            Self::ServerHost => "The server's own machine lets port 21 in, and nothing else in or out",
        }
    }

    /// Whose firewall it is.
    #[must_use]
    pub const fn place(self) -> Place {
        match self {
            Self::ClientHost => Place::Client,
            Self::ServerHost => Place::Server,
            _ => Place::Between,
        }
    }

    /// How many machines stand between client and server.
    #[must_use]
    pub const fn gates(self) -> usize {
        if matches!(self, Self::Both) { 2 } else { 1 }
    }

    /// Whether the data connection of this mode gets through only if somebody opens the firewall for it.
    #[must_use]
    pub const fn needs_hole(self, mode: Mode) -> bool {
        match self {
            Self::Open => false,
            Self::ClientSide | Self::ClientHost => matches!(mode, Mode::Active),
            Self::ServerSide => matches!(mode, Mode::Passive),
            Self::Strict | Self::Both | Self::Snat | Self::Dnat | Self::ServerHost => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_found_by_the_name_it_shows() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::read(scenario.name()), Some(scenario));
            let written = serde_json::to_string(&scenario).expect("a name");
            assert_eq!(written, format!("{:?}", scenario.name()));
        }
        assert_eq!(Scenario::read("all"), None);
    }
}
