//! All files over one data connection, in block mode (RFC 959 §3.4.2).
//!
//! The end of a file is a mark in its blocks, so the data connection stays, and thousands of files need one
//! port, one hole in each firewall and one TLS handshake. A window of commands is always under way; a file
//! costs far less than a round trip. Uploads follow their commands unasked: a server that refuses one closes
//! the data connection, so that what is under way becomes nobody's file, and says 425 to those behind it.

use std::collections::VecDeque;
use std::iter::Peekable;

use portway_data::{Channel, Options, Progress, receive_stream, send_stream};
use portway_proto::client::{self, Answer, CommandId, DataEnd, found_nothing};
use portway_proto::row::RowFormat;
use portway_proto::{Command, Mode, Protection, RawReply, Representation, write_blocks};
use tokio::time::Instant;

use super::{Ending, Moved, Small, Start, receive};
use crate::connection::data_open;
use crate::listing::{LARGEST, Listing, read_rows};
use crate::{Cause, Connection, Error, Fetched, Phase};

/// Commands under way at the same time, at most.
const WINDOW: usize = 64;
/// Octets that are sent in one piece.
const PIECE: usize = 256 * 1024;

impl Connection {
    /// Makes sure that there is a data connection in block mode; false if this server has none.
    pub(crate) async fn open_blocks(&mut self) -> Result<bool, Error> {
        if self.kept().is_some() && self.is_usable() {
            return Ok(true);
        }
        // In active mode the server connects with the first transfer only, too late for what follows.
        let passive = self.ways().first().is_some_and(|way| way.is_passive());
        if !self.is_usable() || !self.offers_blocks() || !passive {
            return Ok(false);
        }
        self.renew_tickets().await?;
        if self.needs_type(Representation::Image) {
            self.queue(&Command::Type(Representation::Image))?;
        }
        if self.needs_protection() {
            self.queue(&Command::Prot(Protection::Private))?;
        }
        if self.needs_mode(Mode::Block) {
            self.queue(&Command::Mode(Mode::Block))?;
        }
        let opened = self.open_data().await?;
        if self.needs_mode(Mode::Block) || self.needs_type(Representation::Image) || self.needs_protection() {
            self.refuse_blocks();
            return Ok(false);
        }
        let Channel::Link(link) = opened.channel else { return Ok(false) };
        self.trace().record(|| data_open(link.facts()));
        let (tls, within) = (self.data_tls(), self.settings().timeouts.tls);
        let Ok(conn) = link.ready(tls.as_ref(), within).await else {
            // What is wrong is found out by a transfer of its own.
            self.refuse_blocks();
            return Ok(false);
        };
        self.trace().note("block mode: all small files share this data connection");
        self.keep(Some(conn));
        Ok(true)
    }

    /// A listing over the data connection that stays, or the server's refusal; `None` where that cannot be had, or did not come out right.
    pub(crate) async fn list_by_blocks(&mut self, path: Option<&[u8]>) -> Option<Result<Listing, Error>> {
        if !self.features().mlst() || !matches!(self.open_blocks().await, Ok(true)) {
            return None;
        }
        let command = Command::Mlsd(path);
        let id = self.queue(&command).ok()?;
        self.flush(Phase::Command).await.ok()?;
        let first = self.answer_to(id).await?;
        match first.reply {
            reply if found_nothing(&reply) => return Some(Ok(Listing::default())),
            // Its data connection is gone, or the verb was never there.
            RawReply { code: 425 | 426 | 500 | 502 | 504, .. } => return None,
            reply if reply.code >= 400 => {
                let command = client::shown(&command);
                return Some(Err(Error::new(Phase::Command, Cause::Refused { command, reply })));
            }
            _ => {}
        }
        let (mut text, mut conn) = (Vec::new(), self.keep(None)?);
        let sink = |octets: &[u8]| {
            if text.len().saturating_add(octets.len()) > LARGEST {
                return Err(std::io::Error::other("the listing is larger than 256 MiB"));
            }
            text.extend_from_slice(octets);
            Ok(())
        };
        let received = receive_stream(&mut conn, sink, self.block_options(), &Progress::new()).await;
        if received.is_ok() {
            self.keep(Some(conn.rest()));
        }
        let last = self.last_answer(first).await?;
        (received.is_ok() && last.code / 100 == 2).then(|| read_rows(&text, RowFormat::Mlsx))
    }

    pub(super) async fn by_blocks<T: Small, E: Ending<T>>(
        &mut self,
        left: &mut Peekable<impl Iterator<Item = T>>,
        ending: &E,
        done: &mut impl FnMut(&T, Result<Fetched, Error>),
        alone: &mut Vec<T>,
    ) {
        let mut flights: VecDeque<(T, CommandId)> = VecDeque::new();
        // Files whose turn did not come before the data connection was gone.
        let mut again: VecDeque<T> = VecDeque::new();
        let (mut window, mut fresh) = (WINDOW, true);
        // The last upload whose octets were under way when one before it was refused.
        let mut doubtful: Option<CommandId> = None;
        loop {
            if flights.is_empty() && self.kept().is_none() {
                if again.is_empty() && left.peek().is_none() {
                    break;
                }
                fresh = true;
                if !matches!(self.open_blocks().await, Ok(true)) {
                    break;
                }
            }
            if flights.len() <= window / 2 && self.kept().is_some() {
                let mut wire = Vec::new();
                while flights.len() < window && wire.len() < PIECE {
                    let Some(job) = again.pop_front().or_else(|| left.next()) else { break };
                    let start = job.start(ending.folder());
                    let queued = start.and_then(|start| Some((self.queue(&job.command()).ok()?, start)));
                    match queued {
                        Some((transfer, Start::Receive(_))) => flights.push_back((job, transfer)),
                        Some((transfer, Start::Send(octets))) => {
                            write_blocks(&mut wire, &octets, true);
                            flights.push_back((job, transfer));
                        }
                        None => alone.push(job),
                    }
                }
                if self.flush(Phase::Command).await.is_err() {
                    break;
                }
                self.send_wire(wire).await;
            }
            let Some((job, transfer)) = flights.pop_front() else {
                if left.peek().is_none() && again.is_empty() { break } else { continue }
            };
            let Some((moved, reply)) = self.land(&job, transfer).await else {
                alone.push(job);
                break;
            };
            let finished = match doubtful {
                // A server that does not close the connection takes one file's octets for the next one's.
                Some(last) if transfer <= last => None,
                _ => ending.finish(&job, &moved, &reply),
            };
            if is_upload(&job) && reply.code >= 400 {
                doubtful = flights.back().map(|(_, last)| *last).or(doubtful);
            }
            match finished {
                Some(result) => {
                    window = WINDOW.min(window + 1);
                    if result.is_ok() {
                        ending.after(self, &job);
                    }
                    done(&job, result);
                }
                None if reply.code == 425 && !fresh => again.push_back(job),
                None => {
                    // Less is sent for nothing if the next one is refused, too.
                    window = (window / 2).max(1);
                    alone.push(job);
                }
            }
            fresh = false;
        }
        alone.extend(flights.into_iter().map(|(job, _)| job).chain(again));
        if self.is_usable() && self.flush(Phase::Command).await.is_ok() {
            self.settle_replies().await;
        }
    }

    /// The end of one file; `None` if the control connection is of no more use.
    async fn land<T: Small>(&mut self, job: &T, transfer: CommandId) -> Option<(Moved, RawReply)> {
        let first = self.answer_to(transfer).await?;
        let (upload, begun) = (is_upload(job), first.reply.code < 400);
        let moved = if !begun {
            Moved::failed()
        } else if upload {
            Moved { octets: Vec::new(), count: job.size(), end: DataEnd::Clean }
        } else if let Some(mut conn) = self.keep(None) {
            let moved = receive(&mut conn, job.size(), self.block_options()).await;
            if moved.end == DataEnd::Clean {
                self.keep(Some(conn.rest()));
            }
            moved
        } else {
            Moved::failed()
        };
        let last = self.last_answer(first).await?;
        if last.code >= 400 && (upload || begun) {
            // The server closes it, see above; if not, nobody knows where the next file begins.
            self.keep(None);
        }
        Some((moved, last))
    }

    /// Sends blocks, unless the server has closed the connection; then the replies say what it has.
    async fn send_wire(&mut self, wire: Vec<u8>) {
        if wire.is_empty() {
            return;
        }
        let Some(mut conn) = self.keep(None) else { return };
        let mut wire = Some(wire);
        let source = |out: &mut Vec<u8>| {
            out.append(&mut wire.take().unwrap_or_default());
            Ok(false)
        };
        let options = Options { blocks: false, ..self.block_options() };
        if send_stream(&mut conn, source, options, &Progress::new()).await.is_ok() {
            self.keep(Some(conn.rest()));
        }
    }

    fn block_options(&self) -> Options<'static> {
        let settings = self.settings();
        Options {
            stall: settings.timeouts.stall,
            limit_rate: settings.limit_rate,
            blocks: true,
            ..Options::default()
        }
    }

    /// The first reply to a command; those to commands before it are passed over.
    async fn answer_to(&mut self, id: CommandId) -> Option<Answer> {
        let timeouts = self.settings().timeouts;
        let deadline = Instant::now() + timeouts.reply.max(timeouts.stall);
        loop {
            let answer = self.answer(Phase::FinalReply, deadline).await.ok()?;
            if !answer.fits {
                self.abandon();
                return None;
            }
            if answer.id == id {
                return Some(answer);
            }
        }
    }

    /// The final reply to the command that `first` answers.
    async fn last_answer(&mut self, first: Answer) -> Option<RawReply> {
        let mut answer = first;
        while !answer.last {
            answer = self.answer_to(answer.id).await?;
        }
        Some(answer.reply)
    }

    /// Back to a data connection for each transfer.
    pub(crate) async fn leave_blocks(&mut self) -> Result<(), Error> {
        self.keep(None);
        let reply = self.call(&Command::Mode(Mode::Stream)).await?;
        if reply.code / 100 == 2 {
            return Ok(());
        }
        Err(Error::new(Phase::Command, Cause::Refused { command: "MODE S".to_owned(), reply }))
    }
}

fn is_upload(job: &impl Small) -> bool {
    matches!(job.command(), Command::Stor(_))
}
