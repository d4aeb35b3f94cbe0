//! A data connection for each file, and the commands for a window of files sent ahead.
//!
//! A server that loses its place is remembered and gets one command at a time.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::time::Duration;

use portway_data::{Listening, Options, Small as Quick};
use portway_proto::client::{AddressTrust, Answer, Event, is_out_of_turn, passive};
use portway_proto::{Command, Epsv, RawReply, Representation};
use portway_vfs::LocalFs;
use tokio::time::Instant;

use super::flight::{Data, Flight};
use super::{Ending, Small};
use crate::{Connection, Error, Fetched, Phase, Way};

/// Files whose commands are under way at the same time, at most.
const WINDOW: usize = 16;
/// Silence in a batch of small files after which the server is taken to have lost its place.
const QUIET: Duration = Duration::from_secs(4);
/// A batch under way.
struct Batch<T> {
    way: Way,
    /// The way is tried for the first time, with one file.
    trial: bool,
    flights: VecDeque<Flight<T>>,
}

impl Connection {
    /// Whether commands may be sent ahead: the way to data is known to work, and the server keeps its place.
    pub(super) fn pipelines(&mut self) -> bool {
        let fact = self.settings().memory.recall(self.memory_key());
        // What another session of this process has just found out counts for this one, too.
        self.believe(fact.works);
        self.is_usable()
            && self.chosen_way().is_some_and(|way| way.is_passive() || self.listens_alone())
            && !fact.no_pipelining
            && !self.wants_pret()
    }

    pub(super) async fn prepare_batch(&mut self) -> Result<(), Error> {
        self.renew_tickets().await?;
        if self.needs_mode(portway_proto::Mode::Stream) {
            self.leave_blocks().await?;
        }
        if self.needs_type(Representation::Image) {
            self.demand(&Command::Type(Representation::Image)).await?;
        }
        Ok(())
    }

    /// Works `left` off until it is empty, or something goes wrong.
    pub(super) async fn by_windows<T: Small, E: Ending<T>>(
        &mut self,
        left: &mut Peekable<impl Iterator<Item = T>>,
        ending: &E,
        done: &mut impl FnMut(&T, Result<Fetched, Error>),
        alone: &mut Vec<T>,
    ) {
        let Some((way, trial)) = self.batch_way() else {
            alone.extend(left.next());
            return;
        };
        let mut batch = Batch { way, trial, flights: VecDeque::new() };
        let folder = ending.folder();
        loop {
            if !self.fill(&mut batch, left, folder, alone).await || batch.flights.is_empty() {
                break;
            }
            let quiet = if batch.trial { self.trial_time() } else { self.data_budget(QUIET) };
            let patience = quiet.min(self.settings().timeouts.stall);
            let event = match self.event(Instant::now() + patience).await {
                Ok(Some(event)) => event,
                Ok(None) if batch.trial => {
                    self.learn_no_active(batch.way, "no connection from the server");
                    break;
                }
                // A port that is silent where others answered: each file on its own finds out about it.
                Ok(None) if batch.waits_for_port() => break,
                // Servers that read commands while a transfer runs mix up the data connections, and stop.
                Ok(None) => {
                    self.learn_no_pipelining();
                    break;
                }
                Err(_) => break,
            };
            let Event::Answer(answer) = event else { continue };
            if !answer.fits {
                self.learn_no_pipelining();
                self.abandon();
                break;
            }
            if !self.heard(&mut batch, answer, ending, done, alone).await {
                self.abandon();
                break;
            }
        }
        if !batch.flights.is_empty() {
            self.abandon();
        }
        for flight in batch.flights {
            if let Some(data) = flight.data {
                data.abort();
            }
            alone.push(flight.job);
        }
        if self.is_usable() && self.flush(Phase::Command).await.is_ok() {
            self.settle_replies().await;
        }
    }

    /// Sends commands for as many files as there is room for; false if the session is at its end.
    async fn fill<T: Small>(
        &mut self,
        batch: &mut Batch<T>,
        left: &mut Peekable<impl Iterator<Item = T>>,
        folder: &LocalFs,
        alone: &mut Vec<T>,
    ) -> bool {
        if self.short_of_tickets() {
            if batch.flights.is_empty() && self.prepare_batch().await.is_err() {
                alone.extend(left.next());
                return false;
            }
            return true;
        }
        if batch.flights.len() > WINDOW / 2 {
            return true;
        }
        while batch.flights.len() < WINDOW && self.is_usable() {
            let Some(job) = left.next() else { break };
            match self.take_off(job, batch.way, folder) {
                Ok(flight) => batch.flights.push_back(flight),
                Err(job) => alone.push(job),
            }
        }
        self.flush(Phase::Command).await.is_ok()
    }

    /// Takes an answer; false if the session is at its end.
    async fn heard<T: Small, E: Ending<T>>(
        &mut self,
        batch: &mut Batch<T>,
        Answer { id, reply, last, .. }: Answer,
        ending: &E,
        done: &mut impl FnMut(&T, Result<Fetched, Error>),
        alone: &mut Vec<T>,
    ) -> bool {
        let (way, folder) = (batch.way, ending.folder());
        if !last {
            return true;
        }
        // Servers that read commands while a transfer runs and refuse them (ProFTPD in active mode): from here on
        // no reply belongs to the command that it seems to answer.
        if is_out_of_turn(&reply) {
            self.learn_no_pipelining();
            return false;
        }
        if let Some(flight) = batch.flights.iter_mut().find(|flight| flight.way == id) {
            if batch.trial && reply.code >= 400 {
                self.learn_no_active(way, &String::from_utf8_lossy(&reply.lines.concat()));
                return false;
            }
            // Otherwise the server now waits on a port that nobody can reach.
            return self.open_flight(flight, &reply, folder).await;
        }
        let next = batch.flights.front().is_some_and(|flight| flight.transfer == id);
        let Some(flight) = (if next { batch.flights.pop_front() } else { None }) else { return true };
        if batch.trial && matches!(reply.code, 425 | 426) {
            self.learn_no_active(way, "the server could not connect");
            alone.push(flight.job);
            return false;
        }
        let moved = match flight.data {
            Some(data) if reply.code < 400 && !flight.doubtful => {
                // The server had its connection before it said that it is done; a moment for the task to see it.
                let awaited = data.is_awaited();
                let limit =
                    if awaited { self.data_budget(QUIET) } else { self.settings().timeouts.final_reply };
                let moved = data.ended(limit.min(self.settings().timeouts.final_reply)).await;
                if awaited && moved.is_none() {
                    self.learn_no_pipelining();
                    alone.push(flight.job);
                    return false;
                }
                moved
            }
            Some(data) => {
                data.abort();
                None
            }
            None => None,
        };
        match moved.and_then(|moved| ending.finish(&flight.job, &moved, &reply)) {
            Some(result) => {
                if result.is_ok() {
                    ending.after(self, &flight.job);
                    if std::mem::take(&mut batch.trial) {
                        self.learn_active(way);
                    }
                }
                done(&flight.job, result);
            }
            None => alone.push(flight.job),
        }
        true
    }

    /// Queues the pair of commands for one file.
    fn take_off<T: Small>(&mut self, job: T, way: Way, folder: &LocalFs) -> Result<Flight<T>, T> {
        let mut data = None;
        let queued = match way {
            Way::Epsv => self.queue(&Command::Epsv(Epsv::Same)),
            Way::Pasv => self.queue(&Command::Pasv),
            Way::Port | Way::Eprt => {
                let ports = self.settings().active_ports.clone();
                let Ok(listening) = Listening::open(self.local().ip(), ports) else { return Err(job) };
                let announced = self.announcement(&listening);
                let Some(start) = job.start(folder) else { return Err(job) };
                let (peer, tls) = (self.peer().ip(), self.data_tls());
                data = Some(Data::once(listening, peer, tls, start, self.ahead_options()));
                self.queue(&if way == Way::Port {
                    Command::Port(announced)
                } else {
                    Command::Eprt(announced)
                })
            }
        };
        match queued.and_then(|way| Ok((way, self.queue(&job.command())?))) {
            Ok((way, transfer)) => Ok(Flight { job, way, transfer, data, doubtful: false }),
            Err(_) => {
                // A name that cannot be sent: the announcement stays unused, the next one replaces it.
                if let Some(data) = data {
                    data.abort();
                }
                Err(job)
            }
        }
    }

    /// Whether data goes straight to the server, and in the clear.
    fn is_plain(&self) -> bool {
        self.is_direct() && self.data_tls().is_none()
    }

    fn ahead_options(&self) -> Options<'static> {
        let settings = self.settings();
        Options { stall: settings.timeouts.stall, limit_rate: settings.limit_rate, ..Options::default() }
    }

    /// Takes the reply to EPSV or PASV and connects; false if the way does not work any more.
    async fn open_flight<T: Small>(
        &mut self,
        flight: &mut Flight<T>,
        reply: &RawReply,
        folder: &LocalFs,
    ) -> bool {
        if flight.data.is_some() || reply.code >= 400 {
            flight.doubtful |= reply.code >= 400;
            return true;
        }
        let Ok(goal) = passive(reply, self.peer().ip(), AddressTrust::Peer) else { return false };
        let begun = match self.is_plain() {
            true => Quick::connect(goal.to).map(|quick| (Some(quick), None)),
            false => {
                let budget = self.data_budget(self.settings().timeouts.data_connect);
                self.dial(goal.to, budget).await.map(|link| (None, Some(link)))
            }
        };
        let Ok(begun) = begun else { return false };
        let Some(start) = flight.job.start(folder) else {
            flight.doubtful = true;
            return true;
        };
        flight.data = match begun {
            (Some(quick), _) => Some(Data::over(quick, start)),
            (_, Some(link)) => Some(Data::through(link, self.data_tls(), start, self.ahead_options())),
            _ => None,
        };
        true
    }
}

impl<T> Batch<T> {
    /// Whether the server waits for a data connection of ours that does not come about.
    fn waits_for_port(&self) -> bool {
        self.flights.front().is_some_and(|flight| flight.data.as_ref().is_some_and(Data::is_missing))
    }
}
