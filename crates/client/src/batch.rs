//! Many small files over one control connection: commands for the next files leave before the replies to the
//! last ones have come.
//!
//! Two ways. With portway's own server, and any other that names MODE B in FEAT, all files share one data
//! connection (`blocks`). With all others each file has its own, and pairs of `EPSV` and `RETR` (or `PORT` and
//! `RETR`) are sent ahead, a window of files at a time (`ahead`). The server works commands off in order, so
//! every piece of data still belongs to one file. A file that does not come out right is done again on its
//! own, where every failure gets its cause.

use std::io::Read;
use std::iter::Peekable;

use portway_data::{DataConn, Failure, Options, Progress, receive_stream};
use portway_proto::client::{DataEnd, Evidence, Judgement};
use portway_proto::{Command, RawReply, Site, Timestamp, printable};
use portway_vfs::{LocalFs, VPath, Vfs};

use crate::{Connection, Error, Fetched, GetOptions, PutOptions, Verify};

mod ahead;
mod blocks;
mod flight;
mod trial;

/// Files up to this size are worth it; larger ones are bound by bandwidth.
pub(crate) const SMALL: u64 = 128 * 1024;

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
    /// Its permission bits, from a listing.
    pub mode: Option<u32>,
}

/// One file to store.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Its path at the server.
    pub path: Vec<u8>,
    /// Its name in the folder here.
    pub name: VPath,
    /// Its size.
    pub size: u64,
    /// Its time of last change, Unix seconds.
    pub modified: i64,
    /// Its permission bits.
    pub mode: u32,
}

/// What moved on a data connection.
pub(crate) struct Moved {
    octets: Vec<u8>,
    count: u64,
    end: DataEnd,
}

impl Moved {
    fn failed() -> Self {
        Self { octets: Vec::new(), count: 0, end: DataEnd::Broken }
    }
}

/// What a batch needs of each file.
trait Small: Sized {
    /// RETR or STOR.
    fn command(&self) -> Command<'_>;
    fn size(&self) -> u64;
    /// What the data side is to do; `None` if the file here is not what it was.
    fn start(&self, folder: &LocalFs) -> Option<Start>;
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

    fn size(&self) -> u64 {
        self.size
    }

    fn start(&self, _: &LocalFs) -> Option<Start> {
        // What is larger does not fit into memory, and is bound by bandwidth anyhow.
        (self.size <= SMALL).then_some(Start::Receive(self.size))
    }
}

impl Small for Offered {
    fn command(&self) -> Command<'_> {
        Command::Stor(&self.path)
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn start(&self, folder: &LocalFs) -> Option<Start> {
        let (file, entry) = folder.open(&self.name).ok()?;
        let mut octets = Vec::with_capacity(usize::try_from(entry.size.min(SMALL)).ok()? + 1);
        file.take(SMALL + 1).read_to_end(&mut octets).ok()?;
        (octets.len() as u64 == self.size).then_some(Start::Send(octets))
    }
}

/// What decides about a file when its data and its final reply are there, and who is told.
trait Ending<T> {
    /// `None`: do it again on its own.
    fn finish(&self, job: &T, moved: &Moved, reply: &RawReply) -> Option<Result<Fetched, Error>>;
    /// What follows a file that came out right, without waiting for it.
    fn after(&self, connection: &mut Connection, job: &T);
    fn folder(&self) -> &LocalFs;
}

struct Down<'a> {
    folder: &'a LocalFs,
    options: GetOptions,
}

impl Ending<Wanted> for Down<'_> {
    fn finish(&self, wanted: &Wanted, moved: &Moved, reply: &RawReply) -> Option<Result<Fetched, Error>> {
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
        let time = wanted.time.filter(|_| self.options.keep_time).map(|time| (time.unix(), time.nanos()));
        let stored = self.folder.store(&wanted.name, &moved.octets, time);
        let local = |error| Error::local(printable(wanted.name.as_bytes()), error);
        let fetched = Fetched { size: wanted.size, resumed_at: 0, by_proof, digest: false };
        let stored = stored.map_err(local).and_then(|()| self.options.give_mode(self.folder, wanted));
        Some(stored.map(|()| fetched))
    }

    fn after(&self, _: &mut Connection, _: &Wanted) {}

    fn folder(&self) -> &LocalFs {
        self.folder
    }
}

impl GetOptions {
    /// The permission bits that the listing told, if they are wanted.
    pub(crate) fn give_mode(&self, folder: &LocalFs, wanted: &Wanted) -> Result<(), Error> {
        let Some(mode) = wanted.mode.filter(|_| self.keep_mode) else { return Ok(()) };
        let local = |error| Error::local(printable(wanted.name.as_bytes()), error);
        folder.set_mode(&wanted.name, mode & 0o777).map_err(local)
    }
}

struct Up<'a> {
    folder: &'a LocalFs,
    options: PutOptions,
}

impl Ending<Offered> for Up<'_> {
    fn finish(&self, offered: &Offered, moved: &Moved, reply: &RawReply) -> Option<Result<Fetched, Error>> {
        let whole = moved.count == offered.size && moved.end == DataEnd::Clean && reply.code / 100 == 2;
        let fetched = Fetched { size: offered.size, resumed_at: 0, by_proof: false, digest: false };
        whole.then_some(Ok(fetched))
    }

    fn after(&self, connection: &mut Connection, offered: &Offered) {
        // A server that keeps its own time or mode is no failure of the transfer: nobody waits for these.
        if self.options.keep_time
            && connection.features().has("MFMT")
            && let Some(time) = Timestamp::from_unix(offered.modified, 0)
        {
            let digits = time.to_string();
            let _ = connection.queue(&Command::Mfmt { time: digits.as_bytes(), path: &offered.path });
        }
        if self.options.keep_mode {
            let site = Site::Chmod { mode: offered.mode & 0o777, path: &offered.path };
            let _ = connection.queue(&Command::Site(site));
        }
    }

    fn folder(&self) -> &LocalFs {
        self.folder
    }
}

impl Connection {
    /// Fetches small files into `folder`, and tells of each when it is done.
    pub async fn get_many(
        &mut self,
        folder: &LocalFs,
        wanted: impl IntoIterator<Item = Wanted>,
        options: GetOptions,
        mut done: impl FnMut(&Wanted, Result<Fetched, Error>),
    ) {
        let mut left = wanted.into_iter().peekable();
        let ending = Down { folder, options };
        // A digest is asked for file by file.
        let simple = options.verify != Verify::Digest;
        while left.peek().is_some() {
            let alone = match simple {
                true => self.fast(&mut left, &ending, &mut done).await,
                false => left.next().into_iter().collect(),
            };
            for wanted in alone {
                let options = GetOptions { known: Some((wanted.size, wanted.time)), ..options };
                let result = self.get(&wanted.path, folder, &wanted.name, options, &Progress::new()).await;
                let result = result.and_then(|fetched| {
                    options.give_mode(folder, &wanted)?;
                    Ok(fetched)
                });
                done(&wanted, result);
            }
        }
    }

    /// Stores small files of `folder`, and tells of each when it is done.
    pub async fn put_many(
        &mut self,
        folder: &LocalFs,
        offered: impl IntoIterator<Item = Offered>,
        options: PutOptions,
        mut done: impl FnMut(&Offered, Result<Fetched, Error>),
    ) {
        let mut left = offered.into_iter().peekable();
        let ending = Up { folder, options };
        let simple = !options.atomic && !options.resume && options.verify != Verify::Digest;
        while left.peek().is_some() {
            let alone = match simple {
                true => self.fast(&mut left, &ending, &mut done).await,
                false => left.next().into_iter().collect(),
            };
            for offered in alone {
                let local = |error| Error::local(printable(offered.name.as_bytes()), error);
                let result = match folder.open(&offered.name).map_err(local) {
                    Ok((file, _)) => self.put(&file, &offered.path, options, &Progress::new()).await,
                    Err(error) => Err(error),
                };
                done(&offered, result);
            }
        }
    }

    /// Works `left` off, by the fastest way that this server knows, until it is empty or something goes wrong.
    /// Returns the files that have to be done on their own: at least one if no fast way is left.
    async fn fast<T: Small, E: Ending<T>>(
        &mut self,
        left: &mut Peekable<impl Iterator<Item = T>>,
        ending: &E,
        done: &mut impl FnMut(&T, Result<Fetched, Error>),
    ) -> Vec<T> {
        let mut alone = Vec::new();
        // A limit is kept per transfer.
        if self.settings().limit_rate.is_some() {
            alone.extend(left.next());
        } else if matches!(self.open_blocks().await, Ok(true)) {
            self.by_blocks(left, ending, done, &mut alone).await;
        } else if self.pipelines() && self.prepare_batch().await.is_ok() {
            self.by_windows(left, ending, done, &mut alone).await;
        } else {
            alone.extend(left.next());
        }
        alone
    }

    /// Takes the replies that nobody has waited for.
    async fn settle_replies(&mut self) {
        let deadline = tokio::time::Instant::now() + self.settings().timeouts.reply;
        while self.is_usable() && self.awaits_replies() {
            if self.answer(crate::Phase::Command, deadline).await.is_err() {
                break;
            }
        }
    }
}

/// Takes one file in. What is more than the listing said is counted and not kept.
async fn receive(conn: &mut DataConn, size: u64, options: Options<'_>) -> Moved {
    let mut octets = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(1 << 20));
    // A server that sends more than it listed does not fill the memory, and not for ever.
    let (most, mut count) = (size.saturating_add(1), 0_u64);
    let sink = |piece: &[u8]| {
        count = count.saturating_add(piece.len() as u64);
        if count <= most {
            octets.extend_from_slice(piece);
        } else if count > most.saturating_add(16 * SMALL) {
            return Err(std::io::Error::other("more than the listing said"));
        }
        Ok(())
    };
    let end = match receive_stream(conn, sink, options, &Progress::new()).await {
        Ok(_) => DataEnd::Clean,
        Err(Failure::Truncated) => DataEnd::Unfinished,
        Err(_) => DataEnd::Broken,
    };
    Moved { octets, count, end }
}
