//! A data connection for each file, and the commands for a window of files sent ahead.
//!
//! A server that loses its place is remembered and gets one command at a time. Over a long way active mode is
//! the faster one: the server connects without waiting for us. It is tried once where nothing speaks against
//! it, and what came of it is remembered.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::net::IpAddr;
use std::time::Duration;

use portway_data::{DataConn, Failure, Link, Listening, Options, Progress, send_stream};
use portway_net::ClientControlTls;
use portway_proto::client::{AddressTrust, Answer, CommandId, DataEnd, Event, passive};
use portway_proto::{Command, Epsv, Family, RawReply, Representation};
use portway_vfs::LocalFs;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{Ending, Moved, Small, Start, receive};
use crate::{Connection, Error, Fetched, ModeChoice, Way};

/// Files whose commands are under way at the same time, at most.
const WINDOW: usize = 16;
/// Silence in a batch of small files after which the server is taken to have lost its place.
const QUIET: Duration = Duration::from_secs(4);
/// Round trips shorter than this are not worth a try of another mode.
const LONG_WAY: Duration = Duration::from_millis(5);
/// How long the first data connection in active mode may take, at least.
const TRIAL: Duration = Duration::from_millis(1500);

/// A file on its way.
struct Flight<T> {
    job: T,
    way: CommandId,
    transfer: CommandId,
    data: Option<JoinHandle<Moved>>,
    doubtful: bool,
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

    /// The way for a batch, and whether it is a trial.
    fn batch_way(&self) -> Option<(Way, bool)> {
        let chosen = self.chosen_way()?;
        if !chosen.is_passive() || self.settings().mode != ModeChoice::Auto || self.round_trip() < LONG_WAY {
            return Some((chosen, false));
        }
        let fact = self.settings().memory.recall(self.memory_key());
        let v4 = Family::of(self.peer().ip()) == Family::V4;
        let active = if v4 { Way::Port } else { Way::Eprt };
        Some(match fact.batch {
            Some(way) if way == active => (active, false),
            None if !fact.fails.contains_key(&active) && self.is_seen_as_here() => (active, true),
            _ => (chosen, false),
        })
    }

    /// Whether the server sees us under our own address, as far as addresses tell.
    fn is_seen_as_here(&self) -> bool {
        self.listens_alone()
            && (self.settings().active_address.is_some()
                || is_private(self.local().ip()) == is_private(self.peer().ip()))
    }

    /// Works `left` off until it is empty, or something goes wrong.
    pub(super) async fn by_windows<T: Small, E: Ending<T>>(
        &mut self,
        left: &mut Peekable<impl Iterator<Item = T>>,
        ending: &E,
        done: &mut impl FnMut(&T, Result<Fetched, Error>),
        alone: &mut Vec<T>,
    ) {
        let mut flights: VecDeque<Flight<T>> = VecDeque::new();
        let Some((way, mut trial)) = self.batch_way() else {
            alone.extend(left.next());
            return;
        };
        let folder = ending.folder();
        loop {
            if self.short_of_tickets() {
                if flights.is_empty() && self.prepare_batch().await.is_err() {
                    alone.extend(left.next());
                    return;
                }
            } else if flights.len() <= WINDOW / 2 {
                while flights.len() < WINDOW && self.is_usable() {
                    let Some(job) = left.next() else { break };
                    match self.take_off(job, way, folder) {
                        Ok(flight) => flights.push_back(flight),
                        Err(job) => alone.push(job),
                    }
                }
                if self.send_ahead().await.is_err() {
                    break;
                }
            }
            if flights.is_empty() {
                break;
            }
            let quiet = if trial { self.data_budget(TRIAL) } else { self.data_budget(QUIET) };
            let patience = quiet.min(self.settings().timeouts.stall);
            let event = match self.next_event(Instant::now() + patience).await {
                Ok(Some(event)) => event,
                Ok(None) if trial => {
                    self.learn_no_active(way, "no connection from the server");
                    break;
                }
                // Servers that read commands while a transfer runs mix up the data connections, and stop.
                Ok(None) => {
                    self.learn_no_pipelining();
                    break;
                }
                Err(_) => break,
            };
            let Event::Answer(Answer { id, reply, last, fits, .. }) = event else { continue };
            if !fits {
                self.learn_no_pipelining();
                self.mark_broken();
                break;
            }
            if !last {
                continue;
            }
            if let Some(flight) = flights.iter_mut().find(|flight| flight.way == id) {
                if trial && reply.code >= 400 {
                    self.learn_no_active(way, &String::from_utf8_lossy(&reply.lines.concat()));
                    self.mark_broken();
                    break;
                }
                if !self.open_flight(flight, &reply, folder).await {
                    // The server now waits on a port that nobody can reach.
                    self.mark_broken();
                    break;
                }
            } else if flights.front().is_some_and(|flight| flight.transfer == id) {
                let Some(flight) = flights.pop_front() else { continue };
                if trial && matches!(reply.code, 425 | 426) {
                    self.learn_no_active(way, "the server could not connect");
                    alone.push(flight.job);
                    self.mark_broken();
                    break;
                }
                let limit = self.settings().timeouts.final_reply;
                let ended = match flight.data {
                    Some(data) if reply.code < 400 => timeout(limit, data).await.ok().and_then(Result::ok),
                    Some(data) => {
                        data.abort();
                        None
                    }
                    None => None,
                };
                let moved = ended.filter(|_| !flight.doubtful);
                let result = moved.and_then(|moved| ending.finish(&flight.job, &moved, &reply));
                match result {
                    Some(result) => {
                        if result.is_ok() {
                            ending.after(self, &flight.job);
                            if std::mem::take(&mut trial) {
                                let key = self.memory_key().to_owned();
                                self.settings().memory.learn(&key, |fact| fact.batch = Some(way));
                            }
                        }
                        done(&flight.job, result);
                    }
                    None => alone.push(flight.job),
                }
            }
        }
        if !flights.is_empty() {
            self.mark_broken();
        }
        for flight in flights {
            if let Some(data) = flight.data {
                data.abort();
            }
            alone.push(flight.job);
        }
        if self.is_usable() && self.send_ahead().await.is_ok() {
            self.settle_replies().await;
        }
    }

    fn learn_no_active(&mut self, way: Way, why: &str) {
        self.trace_note("active mode, which would be faster from here, does not work");
        let key = self.memory_key().to_owned();
        self.settings().memory.learn(&key, |fact| {
            fact.batch = None;
            fact.fails.insert(way, why.to_owned());
        });
        self.mark_broken();
    }

    fn learn_no_pipelining(&self) {
        self.trace_note("commands sent ahead confuse this server: one file at a time from now on");
        self.settings().memory.learn(self.memory_key(), |fact| fact.no_pipelining = true);
    }

    /// Queues the pair of commands for one file.
    fn take_off<T: Small>(&mut self, job: T, way: Way, folder: &LocalFs) -> Result<Flight<T>, T> {
        let mut data = None;
        let queued = match way {
            Way::Epsv => self.queue(&Command::Epsv(Epsv::Same)),
            Way::Pasv => self.queue(&Command::Pasv),
            Way::Port | Way::Eprt => {
                let ports = self.settings().active_ports.clone();
                let Ok(mut listening) = Listening::open(self.local().ip(), ports) else { return Err(job) };
                let announced = self.announcement(&listening);
                let Some(start) = job.start(folder) else { return Err(job) };
                let (peer, tls) = (self.peer().ip(), self.data_tls());
                let stall = self.settings().timeouts.stall;
                let options = self.ahead_options();
                data = Some(tokio::spawn(async move {
                    match listening.accept(peer, stall).await {
                        Ok(link) => move_octets(link, tls, start, options).await,
                        Err(_) => Moved { end: DataEnd::Never, ..Moved::failed() },
                    }
                }));
                self.queue(&if way == Way::Port {
                    Command::Port(announced)
                } else {
                    Command::Eprt(announced)
                })
            }
        };
        let transfer = queued.and_then(|way| Ok((way, self.queue(&job.command())?)));
        match transfer {
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
        let budget = self.data_budget(self.settings().timeouts.data_connect);
        let Ok(link) = self.dial(goal.to, budget).await else { return false };
        let Some(start) = flight.job.start(folder) else {
            flight.doubtful = true;
            return true;
        };
        flight.data = Some(tokio::spawn(move_octets(link, self.data_tls(), start, self.ahead_options())));
        true
    }
}

/// Addresses that networks keep to themselves (RFC 1918, RFC 6598, RFC 4193), and this machine's own.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

async fn move_octets(
    link: Link,
    tls: Option<ClientControlTls>,
    start: Start,
    options: Options<'static>,
) -> Moved {
    let mut conn = match tls {
        None => link.plain(),
        Some(tls) => match timeout(options.stall, link.secure(&tls)).await {
            Ok(Ok(conn)) => conn,
            _ => return Moved::failed(),
        },
    };
    match start {
        Start::Receive(size) => {
            let moved = receive(&mut conn, size, options).await;
            if moved.end == DataEnd::Clean {
                let _ = conn.finish().await;
            }
            moved
        }
        Start::Send(octets) => {
            let count = octets.len() as u64;
            match send(conn, octets, options).await {
                Ok(()) => Moved { octets: Vec::new(), count, end: DataEnd::Clean },
                Err(_) => Moved::failed(),
            }
        }
    }
}

async fn send(mut conn: DataConn, octets: Vec<u8>, options: Options<'_>) -> Result<(), Failure> {
    let mut octets = Some(octets);
    let source = |out: &mut Vec<u8>| {
        out.append(&mut octets.take().unwrap_or_default());
        Ok(false)
    };
    send_stream(&mut conn, source, options, &Progress::new()).await?;
    conn.finish().await
}
