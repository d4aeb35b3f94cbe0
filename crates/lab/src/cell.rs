//! One transfer under one arrangement, and how it went.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::{Place, Scenario};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$each])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name, as typed and printed.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Reads its name.
            #[must_use]
            pub fn read(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name().eq_ignore_ascii_case(name))
            }
        }
    };
}

words! {
    /// Who opens the data connection (RFC 959 §5.1.1, `PORT` and `PASV`).
    Mode {
        /// The server, to a port that the client announced.
        Active = "active",
        /// The client, to a port that the server announced.
        Passive = "passive",
    }
}

words! {
    /// The network protocol.
    Family {
        /// IPv4.
        V4 = "ipv4",
        /// IPv6.
        V6 = "ipv6",
    }
}

words! {
    /// The program that fetches the file.
    Client {
        /// `portway get`.
        Portway = "portway",
        /// lftp.
        Lftp = "lftp",
        /// curl.
        Curl = "curl",
    }
}

words! {
    /// The program that serves it.
    Server {
        /// `portway serve`.
        Portway = "portway",
        /// vsftpd.
        Vsftpd = "vsftpd",
    }
}

words! {
    /// What is done so that the data connection gets through.
    Cure {
        /// Nothing.
        None = "none",
        /// The kernel's FTP helper (nf_conntrack_ftp, nf_nat_ftp) on each firewall.
        KernelHelper = "kernel-helper",
        /// portway's pinholes.
        Portway = "portway",
        /// The same, by gates that hold packets and end no connection (`gate run --engine inspect`), wherever a machine
        /// stands between client and server.
        Inspect = "inspect",
    }
}

impl Cure {
    /// Those that are tried unless others are asked for.
    pub const USUAL: [Self; 3] = [Self::None, Self::KernelHelper, Self::Portway];

    /// Whether portway does it.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Portway | Self::Inspect)
    }
}

/// One transfer to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// Where the firewalls stand.
    pub scenario: Scenario,
    /// Who opens the data connection.
    pub mode: Mode,
    /// Whether both channels are encrypted (explicit FTPS, RFC 4217).
    pub tls: bool,
    /// The network protocol.
    pub family: Family,
    /// Who fetches.
    pub client: Client,
    /// Who serves.
    pub server: Server,
    /// What is done about the firewalls.
    pub cure: Cure,
}

impl Cell {
    /// Every cell of one scenario, for the given programs and cures, in the order in which the table shows them.
    #[must_use]
    pub fn of(scenario: Scenario, clients: &[Client], servers: &[Server], cures: &[Cure]) -> Vec<Self> {
        let mut cells = Vec::new();
        for tls in [false, true] {
            for &mode in Mode::ALL {
                for &family in Family::ALL {
                    for &client in clients {
                        // Releases of curl hang here whatever lies between (curl/curl#10666).
                        if client == Client::Curl && tls && mode == Mode::Active {
                            continue;
                        }
                        for &server in servers {
                            for &cure in cures {
                                cells.push(Self { scenario, mode, tls, family, client, server, cure });
                            }
                        }
                    }
                }
            }
        }
        cells
    }

    /// Which piece of portway opens the firewall, and where it runs.
    #[must_use]
    pub fn piece(&self) -> Piece {
        match (self.cure, self.scenario, self.scenario.place()) {
            (Cure::None | Cure::KernelHelper, ..) | (_, Scenario::Open, _) => Piece::None,
            // Holding packets is for machines between, so far.
            (Cure::Inspect, _, Place::Server | Place::Client) => Piece::None,
            (.., Place::Server) if self.server == Server::Portway => Piece::Server,
            (.., Place::Client) if self.client == Client::Portway => Piece::Client,
            // A gate cannot read what is encrypted, so the server has to tell it; ours does.
            (.., Place::Between)
                if self.tls && self.server == Server::Portway && self.scenario.needs_hole(self.mode) =>
            {
                Piece::Agent
            }
            // Others tell it nothing, and nobody ends TLS who ends no connection.
            (Cure::Inspect, _, Place::Between) => Piece::Gate,
            (.., Place::Between) if self.tls && self.scenario.needs_hole(self.mode) => Piece::Bridge,
            (.., Place::Between) => Piece::Gate,
            _ => Piece::None,
        }
    }

    /// Whether portway promises that the file arrives.
    ///
    /// Not where the firewall is on the machine of a client or server that opens none.
    #[must_use]
    pub fn promised(&self) -> bool {
        self.cure.is_ours()
            && (!self.scenario.needs_hole(self.mode)
                || match self.piece() {
                    Piece::Agent | Piece::Bridge | Piece::Server | Piece::Client => true,
                    Piece::Gate => !self.tls,
                    Piece::None => false,
                })
    }
}

/// A piece of portway that opens a firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// None: none is needed or wanted, or there is none.
    None,
    /// `portway gate run` on each machine between client and server.
    Gate,
    /// The same, and `portway serve --pinholes agent:…` tells the one that is in the way.
    Agent,
    /// `portway gate run --auth-tls bridge` on each machine between client and server.
    Bridge,
    /// `portway serve --pinholes nft`.
    Server,
    /// `portway get --pinholes nft`.
    Client,
}

words! {
    /// How a transfer went.
    Verdict {
        /// The file arrived, whole and right.
        Works = "works",
        /// A firewall swallowed the data connection, and nothing happened until the time was up or the client lost
        /// its patience.
        Blocked = "blocked",
        /// The client was told no, and gave up.
        Refused = "refused",
    }
}

/// How a cell went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How the transfer went.
    pub verdict: Verdict,
    /// From the client's start to its end, or to the end of the time it had.
    pub took: Duration,
    /// The last line the client wrote, if it failed.
    pub said: String,
}

/// A cell as one line of JSON, with the keys `scenario, mode, tls, family, client, server, gate, cure, result,
/// seconds`; `result` is `works`, `blocked` or `refused`.
#[must_use]
pub fn record(cell: &Cell, outcome: &Outcome) -> String {
    #[derive(Serialize)]
    struct Record<'a> {
        scenario: &'a str,
        mode: Mode,
        tls: bool,
        family: Family,
        client: Client,
        server: Server,
        gate: &'a str,
        cure: Cure,
        result: &'a str,
        seconds: f64,
    }
    let record = Record {
        scenario: cell.scenario.name(),
        mode: cell.mode,
        tls: cell.tls,
        family: cell.family,
        client: cell.client,
        server: cell.server,
        // The same word, until one scenario has gates of several kinds.
        gate: cell.scenario.name(),
        cure: cell.cure,
        result: outcome.verdict.name(),
        seconds: (outcome.took.as_secs_f64() * 1000.0).round() / 1000.0,
    };
    // Strings and numbers always have a JSON form.
    serde_json::to_string(&record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_exactly_the_promised_keys() {
        let cell = Cell::of(Scenario::Strict, &[Client::Lftp], &[Server::Vsftpd], &Cure::USUAL)[0];
        let outcome =
            Outcome { verdict: Verdict::Blocked, took: Duration::from_millis(8001), said: String::new() };
        let line = record(&cell, &outcome);
        assert_eq!(
            line,
            r#"{"scenario":"strict","mode":"active","tls":false,"family":"ipv4","client":"lftp","server":"vsftpd","gate":"strict","cure":"none","result":"blocked","seconds":8.001}"#
        );
    }

    #[test]
    fn a_scenario_has_every_mode_family_protection_and_cure() {
        let cells = Cell::of(Scenario::Both, Client::ALL, Server::ALL, Cure::ALL);
        // 2 modes, 2 families, 2 protections; curl: without active FTPS.
        assert_eq!(cells.len(), (8 + 8 + 6) * 2 * 4);
    }

    #[test]
    fn every_firewall_has_its_piece_of_portway_and_a_promise_where_that_suffices() {
        let find = |scenario, mode, tls, client, server| {
            let cells = Cell::of(scenario, &[client], &[server], &[Cure::Portway]);
            let cell = cells.into_iter().find(|cell| cell.mode == mode && cell.tls == tls);
            cell.map(|cell| (cell.piece(), cell.promised()))
        };
        let ours = |scenario, mode, tls| find(scenario, mode, tls, Client::Lftp, Server::Portway);
        assert_eq!(ours(Scenario::Open, Mode::Passive, true), Some((Piece::None, true)));
        assert_eq!(ours(Scenario::ClientSide, Mode::Passive, true), Some((Piece::Gate, true)));
        assert_eq!(ours(Scenario::ClientSide, Mode::Active, true), Some((Piece::Agent, true)));
        assert_eq!(ours(Scenario::ClientSide, Mode::Active, false), Some((Piece::Gate, true)));
        assert_eq!(ours(Scenario::ServerHost, Mode::Active, true), Some((Piece::Server, true)));
        assert_eq!(ours(Scenario::ClientHost, Mode::Active, false), Some((Piece::None, false)));
        assert_eq!(ours(Scenario::ClientHost, Mode::Passive, false), Some((Piece::None, true)));
        let get = find(Scenario::ClientHost, Mode::Active, true, Client::Portway, Server::Vsftpd);
        assert_eq!(get, Some((Piece::Client, true)));
        let held = |server, tls| {
            let cells = Cell::of(Scenario::Strict, &[Client::Lftp], &[server], &[Cure::Inspect]);
            let cell = cells.into_iter().find(|cell| cell.tls == tls);
            cell.map(|cell| (cell.piece(), cell.promised()))
        };
        assert_eq!(held(Server::Vsftpd, false), Some((Piece::Gate, true)));
        assert_eq!(held(Server::Portway, true), Some((Piece::Agent, true)));
        assert_eq!(held(Server::Vsftpd, true), Some((Piece::Gate, false)));
        let theirs = |mode, tls| find(Scenario::ServerSide, mode, tls, Client::Lftp, Server::Vsftpd);
        assert_eq!(theirs(Mode::Passive, true), Some((Piece::Bridge, true)));
        assert_eq!(theirs(Mode::Active, true), Some((Piece::Gate, true)));
    }
}
