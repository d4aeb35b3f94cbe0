//! Many small files over one control connection: commands for the next files leave before the replies to the
//! last ones have come.
//!
//! Pairs of `EPSV` and `RETR` (or `PORT` and `RETR`) are sent ahead, a window of files at a time. The server
//! works them off in order, so every data connection still belongs to one file. A file that does not come
//! out right is done again on its own, where every failure gets its cause; a server that loses its place is
//! remembered and gets one command at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write as _};
use std::time::Duration;

use portway_data::{DataConn, Failure, Link, Listening, Options, Progress, receive_stream, send_stream};
use portway_net::ClientControlTls;
use portway_proto::client::{AddressTrust, Answer, CommandId, DataEnd, Event, Evidence, Judgement, passive};
use portway_proto::{Command, Epsv, RawReply, Representation, Timestamp, printable};
use portway_vfs::{LocalFs, VPath, Vfs, Write};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::{Connection, Error, Fetched, GetOptions, PutOptions, Way};

/// Files up to this size are worth it; larger ones are bound by bandwidth.
pub(crate) const SMALL: u64 = 128 * 1024;
/// Files whose commands are under way at the same time, at most.
const WINDOW: usize = 16;

/// Silence in a batch of small files after which the server is taken to have lost its place.
const QUIET: Duration = Duration::from_secs(4);

/// One file to fetch.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its path at the server.
    pub path: Vec<u8>,
    /// Its name in the target folder.
    pub name: VPath,
    /// Its size, from a listing.
    pub size: u64,
    /// Its time, from a listing.
    pub time: Option<Timestamp>,
}

/// One file to store.
#[derive(Debug)]
pub struct Offered {
    /// Its path at the server.
    pub path: Vec<u8>,
    /// Where it is here, opened for reading.
    pub file: File,
    /// Its size.
    pub size: u64,
}

/// A file on its way.
struct Flight<T> {
    job: T,
    way: CommandId,
    transfer: CommandId,
    data: Option<JoinHandle<Moved>>,
    doubtful: bool,
}

/// What moved on a data connection.
struct Moved {
    octets: Vec<u8>,
    count: u64,
    end: DataEnd,
}

/// What a batch needs of each file.
trait Small: Sized {
    fn command(&self) -> Command<'_>;
    /// Moves the octets; runs beside the dialogue.
    fn start(&self) -> Option<Start>;
}

/// What the data side of a file is to do.
enum Start {
    Receive(u64),
    Send(Vec<u8>),
}

impl Small for Wanted {
    fn command(&self) -> Command<'_> {
        Command::Retr(&self.path)
    }

    fn start(&self) -> Option<Start> {
        Some(Start::Receive(self.size))
    }
}

impl Small for Offered {
    fn command(&self) -> Command<'_> {
        Command::Stor(&self.path)
    }

    fn start(&self) -> Option<Start> {
        let mut octets = Vec::new();
        (&self.file).take(SMALL + 1).read_to_end(&mut octets).ok()?;
        (octets.len() as u64 == self.size).then_some(Start::Send(octets))
    }
}

impl Connection {
    /// Fetches small files into `folder`, and tells of each when it is done.
    pub async fn get_many(
        &mut self,
        folder: &LocalFs,
        wanted: Vec<Wanted>,
        options: GetOptions,
        mut done: impl FnMut(&Wanted, Result<Fetched, Error>),
    ) {
        // What is larger does not fit into memory, and is bound by bandwidth anyhow.
        let (small, large): (Vec<Wanted>, Vec<Wanted>) =
            wanted.into_iter().partition(|one| one.size <= SMALL);
        let mut left: VecDeque<Wanted> = small.into();
        let mut alone = Vec::new();
        if self.pipelines() && !left.is_empty() {
            let finish = |wanted: &Wanted, moved: Moved, reply: RawReply| {
                let evidence = Evidence {
                    expected: Some(wanted.size),
                    reached: moved.count,
                    end: moved.end,
                    reply: Some(reply.code),
                    upload: false,
                };
                let by_proof = match evidence.judge() {
                    Judgement::Complete => false,
                    Judgement::CompleteByProof => true,
                    _ => return None,
                };
                let local = |error| Error::local(printable(wanted.name.as_bytes()), error);
                Some(write(folder, wanted, &moved.octets, options).map_err(local).map(|()| Fetched {
                    size: wanted.size,
                    resumed_at: 0,
                    by_proof,
                    digest: false,
                }))
            };
            alone = self.pipeline(&mut left, finish, &mut done).await;
        }
        for wanted in alone.into_iter().chain(left).chain(large) {
            let options = GetOptions { known: Some((wanted.size, wanted.time)), ..options };
            let result = self.get(&wanted.path, folder, &wanted.name, options, &Progress::new()).await;
            done(&wanted, result);
        }
    }

    /// Stores small files, and tells of each when it is done.
    pub async fn put_many(
        &mut self,
        offered: Vec<Offered>,
        options: PutOptions,
        mut done: impl FnMut(&Offered, Result<Fetched, Error>),
    ) {
        let mut left: VecDeque<Offered> = offered.into();
        let mut alone = Vec::new();
        let simple = !options.atomic && !options.keep_time && !options.keep_mode && !options.resume;
        if simple && self.pipelines() {
            let finish = |offered: &Offered, moved: Moved, reply: RawReply| {
                let whole =
                    moved.count == offered.size && moved.end == DataEnd::Clean && reply.code / 100 == 2;
                whole.then_some(Ok(Fetched {
                    size: offered.size,
                    resumed_at: 0,
                    by_proof: false,
                    digest: false,
                }))
            };
            alone = self.pipeline(&mut left, finish, &mut done).await;
        }
        for offered in alone.into_iter().chain(left) {
            let result = self.put(&offered.file, &offered.path, options, &Progress::new()).await;
            done(&offered, result);
        }
    }

    /// Whether commands may be sent ahead: the way to data is known to work, and the server keeps its place.
    fn pipelines(&mut self) -> bool {
        let fact = self.settings().memory.recall(self.memory_key());
        // What another session of this process has just found out counts for this one, too.
        self.believe(fact.works);
        // A limit is kept per transfer.
        let unlimited = self.settings().limit_rate.is_none();
        self.is_usable()
            && unlimited
            && self.chosen_way().is_some_and(|way| way.is_passive() || self.listens_alone())
            && !fact.no_pipelining
    }

    /// Works `left` off. Returns the files that have to be done on their own; what was not begun stays in
    /// `left`.
    async fn pipeline<T: Small>(
        &mut self,
        left: &mut VecDeque<T>,
        finish: impl Fn(&T, Moved, RawReply) -> Option<Result<Fetched, Error>>,
        done: &mut impl FnMut(&T, Result<Fetched, Error>),
    ) -> Vec<T> {
        let mut alone = Vec::new();
        let mut flights: VecDeque<Flight<T>> = VecDeque::new();
        if self.prepare_batch().await.is_err() {
            return alone;
        }
        loop {
            if self.short_of_tickets() {
                if flights.is_empty() && self.prepare_batch().await.is_err() {
                    return alone;
                }
            } else if flights.len() <= WINDOW / 2 {
                while flights.len() < WINDOW && self.is_usable() {
                    let Some(job) = left.pop_front() else { break };
                    match self.take_off(job) {
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
            let patience = self.data_budget(QUIET).min(self.settings().timeouts.stall);
            let event = match self.next_event(Instant::now() + patience).await {
                Ok(Some(event)) => event,
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
                if !self.open_flight(flight, &reply).await {
                    // The server now waits on a port that nobody can reach.
                    self.mark_broken();
                    break;
                }
            } else if flights.front().is_some_and(|flight| flight.transfer == id) {
                let Some(flight) = flights.pop_front() else { continue };
                let limit = self.settings().timeouts.final_reply;
                let ended = match flight.data {
                    Some(data) if reply.code < 400 => timeout(limit, data).await.ok().and_then(Result::ok),
                    Some(data) => {
                        data.abort();
                        None
                    }
                    None => None,
                };
                let result =
                    ended.filter(|_| !flight.doubtful).and_then(|moved| finish(&flight.job, moved, reply));
                match result {
                    Some(result) => done(&flight.job, result),
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
        alone
    }

    fn learn_no_pipelining(&self) {
        self.trace_note("commands sent ahead confuse this server: one file at a time from now on");
        self.settings().memory.learn(self.memory_key(), |fact| fact.no_pipelining = true);
    }

    /// Queues the pair of commands for one file.
    fn take_off<T: Small>(&mut self, job: T) -> Result<Flight<T>, T> {
        let Some(way) = self.chosen_way() else { return Err(job) };
        let mut data = None;
        let queued = match way {
            Way::Epsv => self.queue(&Command::Epsv(Epsv::Same)),
            Way::Pasv => self.queue(&Command::Pasv),
            Way::Port | Way::Eprt => {
                let ports = self.settings().active_ports.clone();
                let Ok(mut listening) = Listening::open(self.local().ip(), ports) else { return Err(job) };
                let announced = self.announcement(&listening);
                let Some(start) = job.start() else { return Err(job) };
                let (peer, tls) = (self.peer().ip(), self.data_tls());
                let stall = self.settings().timeouts.stall;
                data = Some(tokio::spawn(async move {
                    match listening.accept(peer, stall).await {
                        Ok(link) => move_octets(link, tls, start, stall).await,
                        Err(_) => Moved { octets: Vec::new(), count: 0, end: DataEnd::Never },
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

    /// Takes the reply to EPSV or PASV and connects; false if the way does not work any more.
    async fn open_flight<T: Small>(&mut self, flight: &mut Flight<T>, reply: &RawReply) -> bool {
        if flight.data.is_some() || reply.code >= 400 {
            flight.doubtful |= reply.code >= 400;
            return true;
        }
        let Ok(goal) = passive(reply, self.peer().ip(), AddressTrust::Peer) else { return false };
        let budget = self.data_budget(self.settings().timeouts.data_connect);
        let Ok(link) = self.dial(goal.to, budget).await else { return false };
        let Some(start) = flight.job.start() else {
            flight.doubtful = true;
            return true;
        };
        let (tls, stall) = (self.data_tls(), self.settings().timeouts.stall);
        flight.data = Some(tokio::spawn(move_octets(link, tls, start, stall)));
        true
    }

    async fn prepare_batch(&mut self) -> Result<(), Error> {
        self.renew_tickets().await?;
        if self.needs_type(Representation::Image) {
            self.demand(&Command::Type(Representation::Image)).await?;
        }
        Ok(())
    }
}

async fn move_octets(link: Link, tls: Option<ClientControlTls>, start: Start, stall: Duration) -> Moved {
    let failed = || Moved { octets: Vec::new(), count: 0, end: DataEnd::Broken };
    let conn = match tls {
        None => link.plain(),
        Some(tls) => match timeout(stall, link.secure(&tls)).await {
            Ok(Ok(conn)) => conn,
            _ => return failed(),
        },
    };
    match start {
        Start::Receive(size) => receive(conn, size, stall).await,
        Start::Send(octets) => {
            let count = octets.len() as u64;
            match send(conn, octets, stall).await {
                Ok(()) => Moved { octets: Vec::new(), count, end: DataEnd::Clean },
                Err(_) => failed(),
            }
        }
    }
}

async fn receive(mut conn: DataConn, size: u64, stall: Duration) -> Moved {
    let mut octets = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(1 << 20));
    // A server that sends more than it listed does not fill the memory.
    let most = size.saturating_add(1);
    let sink = |piece: &[u8]| {
        if (octets.len() as u64).saturating_add(piece.len() as u64) > most {
            return Err(std::io::Error::other("more than the listing said"));
        }
        octets.extend_from_slice(piece);
        Ok(())
    };
    let options = Options { stall, ..Options::default() };
    let result = receive_stream(&mut conn, sink, options, &Progress::new()).await;
    let end = match result {
        Ok(_) => DataEnd::Clean,
        Err(Failure::Truncated) => DataEnd::Unfinished,
        Err(_) => DataEnd::Broken,
    };
    if end == DataEnd::Clean {
        let _ = conn.finish().await;
    }
    let count = octets.len() as u64;
    Moved { octets, count, end }
}

async fn send(mut conn: DataConn, octets: Vec<u8>, stall: Duration) -> Result<(), Failure> {
    let mut octets = Some(octets);
    let source = |out: &mut Vec<u8>| {
        out.append(&mut octets.take().unwrap_or_default());
        Ok(false)
    };
    let options = Options { stall, ..Options::default() };
    send_stream(&mut conn, source, options, &Progress::new()).await?;
    conn.finish().await
}

fn write(
    folder: &LocalFs,
    wanted: &Wanted,
    octets: &[u8],
    options: GetOptions,
) -> Result<(), portway_vfs::VfsError> {
    let upload = folder.create(&wanted.name, Write::Replace)?;
    upload.file().write_all(octets).map_err(portway_vfs::VfsError::from)?;
    upload.commit()?;
    if let (true, Some(time)) = (options.keep_time, wanted.time) {
        folder.set_modified(&wanted.name, time.unix(), time.nanos())?;
    }
    Ok(())
}
