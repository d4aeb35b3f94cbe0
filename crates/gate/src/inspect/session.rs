//! What a dialogue opens, and what the gate's book says about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use portway_nft::Interfaces;
use portway_proto::watch::{Opening, Watch};
use portway_proto::{Announced, Command};

use super::keeper::{Keeper, TooLong};
use crate::gate::Shared;
use crate::ledger::Asking;
use crate::rows::SessionRow;

/// Ports that are announced in place of a translated client's own: of four digits and of five, since the line keeps its
/// length. Both lie outside the kernel's ephemeral range.
const SHOWN: [std::ops::Range<u16>; 2] = [10_000..30_000, 6_100..9_100];

/// A session of the book.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) row: SessionRow,
    hole: Option<u64>,
    shown: Option<u16>,
    ended: bool,
}

impl Session {
    /// Begins a session between these two; with what watches it, and whether it begins with TLS.
    ///
    /// # Errors
    /// If the kernel does not say which addresses are ours.
    pub(crate) fn begin(
        shared: &Shared,
        client: SocketAddr,
        server: SocketAddr,
    ) -> io::Result<(Self, Watch, bool)> {
        let implicit = shared.config.implicit_ports.contains(&server.port());
        let known_as = shared.ledger.answered_to(client, server).unwrap_or(client);
        let client_seen_as = Some(known_as.ip()).filter(|seen| *seen != client.ip());
        let server_seen_as = shared.ledger.asked_for(server, client).filter(|seen| *seen != server);
        let mut policy = shared.config.watch.clone();
        policy.own.extend(Interfaces::read()?.own);
        // A server or client of this host is met at its own address.
        policy.own.retain(|own| *own != client.ip() && *own != server.ip());
        policy.server_is_also.extend(server_seen_as.map(|seen| seen.ip()));
        let row = SessionRow {
            session: 0,
            client,
            server,
            server_seen_as,
            client_seen_as,
            user: None,
            opaque: implicit,
        };
        let number = shared.ledger.begin(|session| SessionRow { session, ..row.clone() });
        shared.ledger.known_as(number, known_as);
        let watch = Watch::new(client.ip(), server.ip(), policy);
        Ok((Self { number, row, hole: None, shown: None, ended: false }, watch, implicit))
    }

    /// Ends it, once.
    pub(crate) fn end(&mut self, shared: &Shared) {
        if !std::mem::replace(&mut self.ended, true) {
            shared.ledger.end(self.number);
        }
    }
}

/// A session in the hands of its dialogue.
#[derive(Debug)]
pub(crate) struct Holder<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) session: &'a mut Session,
}

impl Keeper for Holder<'_> {
    fn open(&mut self, opening: &Opening) -> Result<Option<SocketAddr>, String> {
        self.shut();
        let session = &mut *self.session;
        let want = &opening.want;
        let to_server = want.to().ip() == session.row.server.ip().to_canonical();
        let nat = session.row.nat(to_server, want.to(), session.shown.take());
        let client = session.row.client.ip();
        let asking = Asking {
            holder: session.number,
            session: session.number,
            by: "inspect".to_owned(),
            client,
            announced: nat.announced,
            translate: nat.translate,
        };
        match self.shared.ledger.open(asking, want.from, want.to(), want.within) {
            Ok(hole) => {
                session.hole = Some(hole);
                Ok(nat.announced.filter(|_| to_server))
            }
            Err(why) => Err(why.to_string()),
        }
    }

    fn shut(&mut self) {
        if let Some(hole) = self.session.hole.take() {
            self.shared.ledger.close(hole, self.session.number);
        }
    }

    fn as_the_server_knows_it(&mut self, line: &[u8], length: usize) -> Result<Option<Vec<u8>>, TooLong> {
        let session = &mut *self.session;
        let Some(image) = session.row.client_seen_as else { return Ok(None) };
        let command = line.strip_suffix(b"\r\n").and_then(|line| Command::parse(line).ok());
        let extended = match command {
            Some(Command::Port(_)) => false,
            Some(Command::Eprt(_)) => true,
            _ => return Ok(None),
        };
        // Two clients behind one address may announce the same port, so it is replaced, too.
        let turn = usize::from(self.shared.ledger.shown_port());
        for range in SHOWN {
            let start = turn % range.len();
            let (before, after) = (range.clone().take(start), range.skip(start));
            for port in after.chain(before) {
                let announced = Announced::new(SocketAddr::new(image, port));
                let command = if extended { Command::Eprt(announced) } else { Command::Port(announced) };
                let mut translated = Vec::new();
                if command.emit(&mut translated).is_ok() && translated.len() == length {
                    session.shown = Some(port);
                    return Ok(Some(translated));
                }
            }
        }
        Err(TooLong)
    }

    fn login_refused(&mut self) -> bool {
        let (ledger, client) = (&self.shared.ledger, self.session.row.client.ip());
        let may = ledger.login_refused(self.session.number, client);
        if !may {
            ledger.refuse(self.session.number, client, "too many failed logins");
        }
        may
    }

    fn note(&mut self, why: &dyn fmt::Display) {
        self.shared.ledger.refuse(self.session.number, self.session.row.client.ip(), why);
    }

    fn user(&mut self, name: &[u8]) {
        let name = name.get(..64).unwrap_or(name);
        let user = String::from_utf8_lossy(name).into_owned();
        self.shared.ledger.amend(self.session.number, |row| row.user = Some(user));
    }

    fn opaque(&mut self, opaque: bool) {
        self.shared.ledger.amend(self.session.number, |row| row.opaque = opaque);
    }
}
