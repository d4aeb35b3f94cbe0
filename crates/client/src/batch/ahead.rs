//! A data connection for each file, and the commands for a window of files sent ahead.
//!
//! A server that loses its place is remembered and gets one command at a time.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::time::Duration;

use portway_data::{Listening, Options, Port, Small as Held};
use portway_proto::client::{AddressTrust, Answer, Event, passive};
use portway_proto::{Command, Epsv, RawReply, Representation};
use portway_vfs::LocalFs;
use tokio::time::Instant;

use super::flight::{Data, Flight, HELD, Patience, move_octets};
use super::{Ending, Moved, Small, Start};
use crate::{Connection, Error, Fetched, Way};

/// Files whose commands are under way at the same time, at most: passive, and active.
const WINDOWS: [usize; 2] = [16, 32];
/// Silence in a batch of small files after which the server is taken to have lost its place.
const QUIET: Duration = Duration::from_secs(4);
/// While a server has work for longer than this its replies are let come, to be read together.
const PAUSE: Duration = Duration::from_millis(1);

/// A batch under way.
struct Batch<T> {
    way: Way,
    /// The way is tried for the first time, with one file.
    trial: bool,
    flights: VecDeque<Flight<T>>,
    /// Ports that were used and are free again.
    ports: Vec<Port>,
    /// Files that came out right.
    done: usize,
    /// A better way, for when nothing is under way.
    next: Option<(Way, bool)>,
}

/// Why a file does not take off now.
enum Grounded<T> {
    /// Nothing can be begun with it.
    Alone(T),
    /// All our ports are taken, until a file lands.
    NoPort(T),
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
        let Some((way, trial)) = self.batch_way(0) else {
            alone.extend(left.next());
            return;
        };
        let (flights, ports) = (VecDeque::new(), Vec::new());
        let mut batch = Batch { way, trial, flights, ports, done: 0, next: None };
        let folder = ending.folder();
        let mut grounded = None;
        loop {
            if !self.fill(&mut batch, left, &mut grounded, folder, alone).await || batch.flights.is_empty() {
                break;
            }
            let quiet = if batch.trial { self.trial_time() } else { self.data_budget(QUIET) };
            let patience = quiet.min(self.settings().timeouts.stall);
            // Where the server waits for nothing of ours it pays to wake up once for several files.
            let pause =
                (!batch.way.is_passive() && batch.flights.len() > batch.window() / 2).then_some(PAUSE);
            let event = match self.next_event(Instant::now() + patience, pause).await {
                Ok(Some(event)) => event,
                Ok(None) if batch.trial => {
                    self.learn_no_active(batch.way, "no connection from the server");
                    break;
                }
                // More than the listing said does not fit into the kernel.
                Ok(None) if self.hasten(&mut batch) => continue,
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
                self.mark_broken();
                break;
            }
            if !self.heard(&mut batch, answer, ending, done, alone).await {
                self.mark_broken();
                break;
            }
        }
        alone.extend(grounded);
        if !batch.flights.is_empty() {
            self.mark_broken();
        }
        for flight in batch.flights {
            flight.data.abort();
            alone.push(flight.job);
        }
        if self.is_usable() && self.send_ahead().await.is_ok() {
            self.settle_replies().await;
        }
    }

    /// Sends commands for as many files as there is room for; false if the session is at its end.
    async fn fill<T: Small>(
        &mut self,
        batch: &mut Batch<T>,
        left: &mut Peekable<impl Iterator<Item = T>>,
        grounded: &mut Option<T>,
        folder: &LocalFs,
        alone: &mut Vec<T>,
    ) -> bool {
        if self.short_of_tickets() {
            if batch.flights.is_empty() && self.prepare_batch().await.is_err() {
                alone.extend(grounded.take().or_else(|| left.next()));
                return false;
            }
            return true;
        }
        if batch.flights.len() > batch.window() / 2 {
            return true;
        }
        if batch.next.is_none() && batch.way.is_passive() {
            batch.next = self.batch_way(batch.done).filter(|(way, _)| *way != batch.way);
        }
        if let Some((way, trial)) = batch.next {
            // What is under way lands first.
            if !batch.flights.is_empty() {
                return true;
            }
            (batch.way, batch.trial, batch.next) = (way, trial, None);
        }
        let window = batch.window();
        while batch.flights.len() < window && self.is_usable() {
            let Some(job) = grounded.take().or_else(|| left.next()) else { break };
            match self.take_off(job, batch, folder) {
                Ok(flight) => batch.flights.push_back(flight),
                Err(Grounded::NoPort(job)) if !batch.flights.is_empty() => {
                    *grounded = Some(job);
                    break;
                }
                Err(Grounded::NoPort(job) | Grounded::Alone(job)) => alone.push(job),
            }
        }
        self.send_ahead().await.is_ok()
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
        let options = self.ahead_options();
        let patience = Patience { peer: self.peer().ip(), stall: options.stall };
        if !last {
            if let Some(flight) = batch.flights.front_mut().filter(|flight| flight.transfer == id) {
                flight.data =
                    std::mem::replace(&mut flight.data, Data::None).advance(patience, options, true);
            }
            return true;
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
        let moved = if reply.code < 400 {
            let limit = self.settings().timeouts.final_reply;
            let (moved, port) = flight.data.moved(patience, limit, options).await;
            batch.ports.extend(port);
            moved.filter(|_| !flight.doubtful)
        } else {
            flight.data.abort();
            None
        };
        match moved.and_then(|moved| ending.finish(&flight.job, &moved, &reply)) {
            Some(result) => {
                if result.is_ok() {
                    ending.after(self, &flight.job);
                    batch.done += 1;
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

    /// Lets somebody wait for the first file that waits in the kernel; false if that is so already.
    fn hasten<T>(&self, batch: &mut Batch<T>) -> bool {
        let options = self.ahead_options();
        let patience = Patience { peer: self.peer().ip(), stall: options.stall };
        let Some(flight) = batch.flights.front_mut() else { return false };
        if !matches!(flight.data, Data::Door(..) | Data::Here(..)) {
            return false;
        }
        flight.data = std::mem::replace(&mut flight.data, Data::None).hasten(patience, options);
        true
    }

    /// Queues the pair of commands for one file.
    fn take_off<T: Small>(
        &mut self,
        job: T,
        batch: &mut Batch<T>,
        folder: &LocalFs,
    ) -> Result<Flight<T>, Grounded<T>> {
        let mut data = Data::None;
        let queued = match batch.way {
            Way::Epsv => self.queue(&Command::Epsv(Epsv::Same)),
            Way::Pasv => self.queue(&Command::Pasv),
            way @ (Way::Port | Way::Eprt) => {
                let ports = self.settings().active_ports.clone();
                let port = batch.ports.pop().map_or_else(|| Port::open(self.local().ip(), ports), Ok);
                let Ok(port) = port else { return Err(Grounded::NoPort(job)) };
                let announced = self.announcement_of(port.addr());
                let Some(start) = job.start(folder) else { return Err(Grounded::Alone(job)) };
                data = match self.holds(&job) {
                    true => Data::Door(port, start),
                    false => match port.wait() {
                        Ok(listening) => self.await_server(listening, start),
                        Err(_) => return Err(Grounded::Alone(job)),
                    },
                };
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
                data.abort();
                Err(Grounded::Alone(job))
            }
        }
    }

    /// Whether a file may wait in the kernel until the server says that it is over.
    fn holds(&self, job: &impl Small) -> bool {
        job.size() <= HELD && self.is_direct() && self.data_tls().is_none()
    }

    /// Moves a file as soon as the server connects.
    fn await_server(&self, mut listening: Listening, start: Start) -> Data {
        let (peer, tls, options) = (self.peer().ip(), self.data_tls(), self.ahead_options());
        Data::Task(tokio::spawn(async move {
            match listening.accept(peer, options.stall).await {
                Ok(link) => move_octets(link, tls, start, options).await,
                Err(_) => Moved::failed(),
            }
        }))
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
        if !matches!(flight.data, Data::None) || reply.code >= 400 {
            flight.doubtful |= reply.code >= 400;
            return true;
        }
        let Ok(goal) = passive(reply, self.peer().ip(), AddressTrust::Peer) else { return false };
        let options = self.ahead_options();
        let patience = Patience { peer: self.peer().ip(), stall: options.stall };
        let held = self.holds(&flight.job);
        let (link, near) = if held {
            let Ok(near) = Held::connect(goal.to) else { return false };
            (None, Some(near))
        } else {
            let budget = self.data_budget(self.settings().timeouts.data_connect);
            let Ok(link) = self.dial(goal.to, budget).await else { return false };
            (Some(link), None)
        };
        let Some(start) = flight.job.start(folder) else {
            flight.doubtful = true;
            return true;
        };
        flight.data = match (link, near) {
            (Some(link), _) => Data::Task(tokio::spawn(move_octets(link, self.data_tls(), start, options))),
            (_, Some(near)) => Data::Here(near, start, None).advance(patience, options, false),
            _ => Data::None,
        };
        true
    }
}

impl<T> Batch<T> {
    fn window(&self) -> usize {
        let [passive, active] = WINDOWS;
        match self.way {
            _ if self.trial => 1,
            way if way.is_passive() => passive,
            _ => active,
        }
    }
}
