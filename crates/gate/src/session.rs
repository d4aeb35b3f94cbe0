//! One control connection, relayed: two sockets, one [`Watch`] between them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_net::{read_past_urgent, send_urgent};
use portway_proto::watch::{Notice, Opening, Ruling, Watch};
use portway_proto::{Announced, Command, LineReader, ReplyReader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::bridge::{Entrusted, Handover};
use crate::gate::Shared;
use crate::ledger::{Asking, Ledger};
use crate::records::{Found, Records};
use crate::rows::SessionRow;

mod entrance;

pub(crate) use entrance::run;

/// How long a server may be silent under TLS when its client has ended: whether an answer is still due cannot be read
/// there, and servers that hear the end say goodbye at once.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long we go on reading from a client after the last word to it, so that the word arrives: a connection
/// closed on unread octets is reset, and a reset takes what was sent before it along.
const LAST_WORD: Duration = Duration::from_secs(1);
const READ: usize = 4096;
/// Telnet's interrupt and data mark, the last octet urgent (RFC 854; `IAC IP IAC DM`).
const SYNCH: &[u8] = b"\xff\xf4\xff\xf2";

/// A session under way.
struct Session {
    shared: Arc<Shared>,
    number: u64,
    /// What is known of both ends; [`Ledger`](crate::Ledger) has the same with its number.
    row: SessionRow,
    /// The port that the server was told in place of the client's own.
    shown: Option<u16>,
    client_addr: SocketAddr,
    client: TcpStream,
    server: TcpStream,
    watch: Watch,
    lines: LineReader,
    replies: ReplyReader,
    /// The client sent Telnet's interrupt and no ABOR or STAT behind it yet.
    interrupted: bool,
    /// The records of each side, while it speaks TLS.
    tls: [Option<Records>; 2],
    /// TLS came first, and clear text never follows.
    implicit: bool,
    hole: Option<u64>,
    client_ended: bool,
    over: bool,
    /// It is over here, and goes on under TLS at the bridge.
    bridged: bool,
    entry: Entry,
}

/// The session's line in the book; gone with this value, also where the gate ends and sessions are dropped as they
/// stand.
struct Entry(Arc<Ledger>, u64);

/// Whose octets.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

async fn linger(stream: &mut TcpStream) {
    let _ = timeout(LAST_WORD, async {
        let _ = stream.shutdown().await;
        let mut buffer = [0; READ];
        while stream.read(&mut buffer).await.is_ok_and(|octets| octets > 0) {}
    })
    .await;
}

impl Session {
    async fn relay(mut self) -> io::Result<()> {
        let result = self.pass_on().await;
        // Also after an error: whatever ended the session, its hole goes first.
        let rulings = self.watch.on_end();
        let _ = self.perform(rulings).await;
        if self.bridged {
            return self.hand_over().await;
        }
        self.shared.ledger.end(self.number);
        let _ = self.server.shutdown().await;
        linger(&mut self.client).await;
        result
    }

    /// The server hears no more from here: the bridge asks for a session of its own.
    async fn hand_over(self) -> io::Result<()> {
        let Self { shared, row, client, server, client_addr, implicit, entry, number, .. } = self;
        drop(server);
        if let Some(bridge) = &shared.bridge {
            let (server, seen_as) = (row.server, row.server_seen_as);
            let ledger = Arc::clone(&shared.ledger);
            let entrusted = Entrusted { ledger, session: number, client: client_addr.ip() };
            let stream = client;
            bridge
                .serve(Handover { stream, client: client_addr, server, seen_as, implicit, entrusted })
                .await;
        }
        drop(entry);
        Ok(())
    }

    async fn pass_on(&mut self) -> io::Result<()> {
        let (mut from_client, mut from_server) = ([0; READ], [0; READ]);
        while !self.over {
            // What waits for an answer of the server waits in the kernel, where the client feels it.
            let listen = !self.client_ended && (self.tls[0].is_some() || !self.lines.has_pending());
            let silence = if self.client_ended && self.tls[0].is_some() {
                FAREWELL.min(self.shared.config.idle)
            } else {
                self.shared.config.idle
            };
            tokio::select! {
                read = read_past_urgent(&self.client, &mut from_client), if listen => match read? {
                    0 => self.client_says_no_more().await?,
                    octets => self.client_says(from_client.get(..octets).unwrap_or_default()).await?,
                },
                read = self.server.read(&mut from_server) => match read? {
                    0 => return Ok(()),
                    octets => self.server_says(from_server.get(..octets).unwrap_or_default()).await?,
                },
                // It has gone altogether, with answers due that nobody waits for any more.
                gone = self.client.ready(Interest::ERROR), if self.client_ended => return gone.map(drop),
                () = tokio::time::sleep(silence) => {
                    if self.tls[0].is_none() {
                        let line = b"421 The firewall ends a session that has been silent for long.\r\n";
                        self.send(Side::Client, line).await?;
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn client_says(&mut self, octets: &[u8]) -> io::Result<()> {
        let clear = self.strip_tls(Side::Client, octets).await?;
        self.lines.feed(clear);
        self.interrupted |= self.lines.take_interrupt();
        self.take_commands().await
    }

    async fn server_says(&mut self, octets: &[u8]) -> io::Result<()> {
        let clear = self.strip_tls(Side::Server, octets).await?;
        self.replies.feed(clear);
        while let Some(reply) = self.replies.next_reply() {
            let rulings = match reply {
                Ok(reply) => self.watch.on_reply(&reply, Instant::now()),
                Err(error) => self.watch.on_reply_error(&error),
            };
            self.perform(rulings).await?;
            self.take_commands().await?;
        }
        Ok(())
    }

    /// FIN of the control connection closes the hole; answers that are still due are passed on.
    async fn client_says_no_more(&mut self) -> io::Result<()> {
        self.client_ended = true;
        self.shut();
        if self.tls[0].is_some() || self.watch.awaited() > 0 || self.lines.has_pending() {
            self.send_fin_if_done().await
        } else {
            self.over = true;
            Ok(())
        }
    }

    async fn send_fin_if_done(&mut self) -> io::Result<()> {
        if self.client_ended && !self.lines.has_pending() { self.server.shutdown().await } else { Ok(()) }
    }

    async fn take_commands(&mut self) -> io::Result<()> {
        while !self.over && self.watch.is_ready_for_command() {
            let Some(line) = self.lines.next_line() else { return self.send_fin_if_done().await };
            let line = line.as_deref().map_err(|error| *error);
            if let Ok(line) = line {
                self.note_user(line);
            }
            let wakes = matches!(line.map(Command::parse), Ok(Ok(Command::Abor | Command::Stat(_))));
            let rulings = self.watch.on_command(line, Instant::now());
            if wakes
                && std::mem::take(&mut self.interrupted)
                && rulings.iter().any(|ruling| matches!(ruling, Ruling::ToServer(_)))
            {
                // RFC 959 §4.1.3: a server that is busy with a transfer hears nothing without it (vsftpd waits for SIGURG).
                let sent = timeout(self.shared.config.write_within, send_urgent(&self.server, SYNCH)).await;
                sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            }
            self.perform(rulings).await?;
        }
        Ok(())
    }

    fn note_user(&self, line: &[u8]) {
        if let Some((verb, name)) = line.split_at_checked(5)
            && verb.eq_ignore_ascii_case(b"USER ")
        {
            let name = name.get(..64).unwrap_or(name);
            let user = String::from_utf8_lossy(name).into_owned();
            self.shared.ledger.amend(self.number, |row| row.user = Some(user));
        }
    }

    async fn perform(&mut self, rulings: Vec<Ruling>) -> io::Result<()> {
        for ruling in rulings {
            match ruling {
                Ruling::ToServer(octets) => {
                    let octets = self.as_the_server_knows_it(octets);
                    self.send(Side::Server, &octets).await?;
                }
                Ruling::ToClient(octets) => self.send(Side::Client, &octets).await?,
                Ruling::Open(opening) => {
                    let line = self.open(&opening);
                    self.send(Side::Client, &line).await?;
                }
                Ruling::Shut => self.shut(),
                Ruling::Opaque => {
                    let dropped = self.lines.clear();
                    if dropped > 0 {
                        self.refuse(&Notice::Injected);
                    }
                    self.tls = [Some(Records::default()), Some(Records::default())];
                    self.shared.ledger.amend(self.number, |row| row.opaque = true);
                }
                Ruling::Note(Notice::LoginRefused) => self.login_refused().await?,
                Ruling::Note(notice) => self.refuse(&notice),
                Ruling::StartTls => {
                    if self.lines.clear() > 0 {
                        self.refuse(&Notice::Injected);
                    } else {
                        self.shared.ledger.amend(self.number, |row| row.opaque = true);
                        self.bridged = self.shared.bridge.is_some();
                    }
                    self.over = true;
                    return Ok(());
                }
                // Whatever else a ruling may be one day ends the session.
                _ => {
                    self.over = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whoever guesses passwords is cut off, here as by a good server.
    async fn login_refused(&mut self) -> io::Result<()> {
        let client = self.client_addr.ip();
        if self.shared.ledger.login_refused(self.number, client) {
            return Ok(());
        }
        self.shared.ledger.refuse(self.number, client, "too many failed logins");
        self.over = true;
        let line = b"421 Too many failed logins from your address; try again in some minutes.\r\n";
        self.send(Side::Client, line).await
    }

    /// Opens the hole before the line about it is sent, and gives that line.
    fn open(&mut self, opening: &Opening) -> Vec<u8> {
        self.shut();
        if self.client_ended {
            return opening.failed("the client has ended the session");
        }
        let want = &opening.want;
        let to_server = want.to().ip() == self.row.server.ip().to_canonical();
        let nat = self.row.nat(to_server, want.to(), self.shown.take());
        let announced = nat.announced.filter(|_| to_server);
        let asking = Asking {
            holder: self.number,
            session: self.number,
            by: "relay".to_owned(),
            client: self.client_addr.ip(),
            announced: nat.announced,
            translate: nat.translate,
        };
        match self.shared.ledger.open(asking, want.from, want.to(), want.within) {
            Ok(hole) => {
                self.hole = Some(hole);
                opening.line(announced)
            }
            Err(why) => opening.failed(why),
        }
    }

    /// PORT and EPRT with the address by which the server knows the client, where that is translated.
    fn as_the_server_knows_it(&mut self, line: Vec<u8>) -> Vec<u8> {
        let Some(image) = self.row.client_seen_as else { return line };
        let Some(command) = line.strip_suffix(b"\r\n").and_then(|line| Command::parse(line).ok()) else {
            return line;
        };
        // Two clients behind one address may announce the same port, so it is replaced, too.
        let port = self.shared.ledger.shown_port();
        let announced = Announced::new(SocketAddr::new(image, port));
        let command = match command {
            Command::Port(_) => Command::Port(announced),
            Command::Eprt(_) => Command::Eprt(announced),
            _ => return line,
        };
        let mut translated = Vec::new();
        if command.emit(&mut translated).is_err() {
            return line;
        }
        self.shown = Some(port);
        translated
    }

    fn shut(&mut self) {
        if let Some(hole) = self.hole.take() {
            self.shared.ledger.close(hole, self.number);
        }
    }

    fn refuse(&self, notice: &Notice) {
        self.shared.ledger.refuse(self.number, self.client_addr.ip(), notice);
    }

    /// Passes TLS on as it is, and gives what is clear text behind it.
    async fn strip_tls<'a>(&mut self, side: Side, octets: &'a [u8]) -> io::Result<&'a [u8]> {
        let (this, to) = match side {
            Side::Client => (0, Side::Server),
            Side::Server => (1, Side::Client),
        };
        let Some(records) = &mut self.tls[this] else { return Ok(octets) };
        let (cipher, clear) = match records.feed(octets) {
            Found::Tls => (octets, &[][..]),
            Found::ClearFrom(at) => octets.split_at_checked(at).unwrap_or((octets, &[])),
            Found::Broken => {
                self.shared.ledger.refuse(
                    self.number,
                    self.client_addr.ip(),
                    "neither TLS nor FTP after AUTH",
                );
                self.over = true;
                return Ok(&[]);
            }
        };
        self.send(to, cipher).await?;
        if clear.is_empty() {
            return Ok(clear);
        }
        // Clear text in place of a handshake is no CCC.
        if self.implicit || self.tls.iter().flatten().any(|records| !records.has_spoken()) {
            self.shared.ledger.refuse(self.number, self.client_addr.ip(), "clear text in place of TLS");
            self.over = true;
            return Ok(&[]);
        }
        self.tls[this] = None;
        if self.watch.is_opaque() {
            self.shared.ledger.amend(self.number, |row| row.opaque = false);
            let rulings = self.watch.resume();
            self.perform(rulings).await?;
        }
        Ok(clear)
    }

    async fn send(&mut self, side: Side, octets: &[u8]) -> io::Result<()> {
        let stream = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        let sent = timeout(self.shared.config.write_within, stream.write_all(octets)).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}
