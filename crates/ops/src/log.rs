//! The log: events in from any thread, lines out from one.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::event::{Event, Severity, Warning};
use crate::{Diagnosis, Meter, Sink, Xferlog, text};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-11-22T10:15:08Z login session=12 peer=192.0.2.7 user="ann" ok tls=1.3`
    #[default]
    Text,
    /// One JSON object per line: `time` (RFC 3339, milliseconds), `event`, and the event's fields.
    Json,
}

/// Lines that wait for the writer at most; further ones push out the oldest.
const QUEUE: usize = 8192;

/// How long lines are gathered after a silence, so that busy sessions do not wake the writer for each.
const GATHER: Duration = Duration::from_millis(5);

/// Whole lines go out together up to what a pipe takes in one piece (PIPE_BUF), so that lines of several programs do
/// not mix there either.
const TOGETHER: usize = 4096;

/// How long the last handle's drop waits for what is still queued.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A cheap handle to the log; clone it freely.
///
/// [`record`](Self::record) never waits for the sink: a thread of its own writes. When the sink is slower than
/// the events, the oldest ordinary lines are dropped first and their number is logged. Dropping the last handle
/// writes what is queued, for at most 2 s.
#[derive(Clone, Debug)]
pub struct Log {
    owner: Arc<Owner>,
}

/// Shared by the handles, not by the writer thread: its drop is the end of the log.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    meter: Meter,
    diagnosis: Diagnosis,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something was queued, or the log was closed.
    work: Condvar,
    /// A line was written.
    progress: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Lines dropped since the last time that this was logged.
    dropped: u64,
    /// Items ever queued (or dropped), and those of them that are done with.
    queued: u64,
    done: u64,
    closed: bool,
    /// The writer waits to be woken.
    asleep: bool,
    /// Threads that wait until lines are written.
    watched: usize,
}

#[derive(Debug)]
enum Item {
    Line(SystemTime, Event),
    Reopen,
}

/// What the writer does next.
enum Next {
    /// This, and it tells how many lines were dropped before.
    Item(Item, u64),
    /// Writes what it has.
    Nothing,
    End,
}

impl Log {
    /// Starts the writer.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn new(format: LogFormat, sink: Sink) -> io::Result<Self> {
        Self::start(Writer::new(format, sink, None), QUEUE)
    }

    /// Like [`new`](Self::new), and each file transfer goes to the xferlog too.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn with_xferlog(format: LogFormat, sink: Sink, xferlog: Xferlog) -> io::Result<Self> {
        Self::start(Writer::new(format, sink, Some(xferlog)), QUEUE)
    }

    fn start(writer: Writer, capacity: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
            capacity,
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&theirs))?;
        Ok(Self {
            owner: Arc::new(Owner { shared, meter: Meter::default(), diagnosis: Diagnosis::default() }),
        })
    }

    /// Counts the event and queues its line, with the time of now.
    pub fn record(&self, event: impl Into<Event>) {
        let event = event.into();
        self.owner.meter.count(&event);
        let verdict = self.owner.diagnosis.note(&event, SystemTime::now());
        self.queue(event);
        if let Some(verdict) = verdict {
            self.queue(Warning { what: "data_connections", detail: verdict.into() }.into());
        }
    }

    fn queue(&self, event: Event) {
        let mut queue = self.owner.shared.lock();
        // Lines in the writer's hands count, too.
        if queue.queued - queue.done >= self.owner.shared.capacity as u64 {
            queue.drop_one();
        }
        queue.push(Item::Line(SystemTime::now(), event));
        self.owner.shared.wake(queue);
    }

    /// Opens log files anew by their names; call it on SIGHUP. Lines recorded before go to the old files.
    pub fn reopen(&self) {
        let mut queue = self.owner.shared.lock();
        queue.push(Item::Reopen);
        self.owner.shared.wake(queue);
    }

    /// Waits until all that was recorded before is written, or `patience` has passed.
    ///
    /// Returns whether all is written. Blocks the thread; meant for shutdown.
    pub fn flush(&self, patience: Duration) -> bool {
        self.owner.shared.wait_for_queued(patience)
    }

    /// The running verdict on data connections.
    #[must_use]
    pub fn diagnosis(&self) -> &Diagnosis {
        &self.owner.diagnosis
    }

    /// The counters of everything ever recorded here, whether its line was dropped or not.
    pub fn meter(&self) -> &Meter {
        &self.owner.meter
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
        self.shared.wait_for_queued(LAST_WORDS);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole between any two statements; a panic elsewhere must not silence the log.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the writer if it sleeps; one that gathers looks by itself.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.work.notify_one();
        }
    }

    fn wait_for_queued(&self, patience: Duration) -> bool {
        let mut queue = self.lock();
        let target = queue.queued;
        queue.watched += 1;
        self.work.notify_one();
        let waited = self.progress.wait_timeout_while(queue, patience, |queue| queue.done < target);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        queue.watched -= 1;
        queue.done >= target
    }

    /// What to do next for a writer that has lines in its hands, or none.
    fn next(&self, in_hand: u64) -> Next {
        let mut queue = self.lock();
        loop {
            if let Some(item) = queue.items.pop_front() {
                return Next::Item(item, std::mem::take(&mut queue.dropped));
            }
            if in_hand > 0 {
                return Next::Nothing;
            }
            if queue.closed {
                return Next::End;
            }
            queue.asleep = true;
            let woken = self.work.wait_while(queue, |queue| queue.items.is_empty() && !queue.closed);
            queue = woken.unwrap_or_else(PoisonError::into_inner);
            queue.asleep = false;
            let more = |queue: &mut Queue| queue.watched == 0 && !queue.closed;
            let gathered = self.work.wait_timeout_while(queue, GATHER, more);
            queue = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// So many more are done with.
    fn done(&self, items: u64) {
        let mut queue = self.lock();
        queue.done += items;
        if queue.watched > 0 {
            self.progress.notify_all();
        }
    }
}

impl Queue {
    fn push(&mut self, item: Item) {
        self.items.push_back(item);
        self.queued += 1;
    }

    /// Makes room: the oldest ordinary line goes, or the oldest warning if there are only warnings.
    fn drop_one(&mut self) {
        let ordinary =
            |item: &Item| matches!(item, Item::Line(_, event) if event.severity() == Severity::Info);
        let line = |item: &Item| matches!(item, Item::Line(..));
        let victim = self.items.iter().position(ordinary).or_else(|| self.items.iter().position(line));
        if let Some(victim) = victim {
            self.items.remove(victim);
            self.dropped += 1;
            self.done += 1;
        }
    }
}

/// The thread's side.
#[derive(Debug)]
struct Writer {
    format: LogFormat,
    sink: Sink,
    xferlog: Option<Xferlog>,
    /// Lines that go out next.
    lines: String,
    /// Items that have been taken and are not done with.
    in_hand: u64,
}

impl Writer {
    fn new(format: LogFormat, sink: Sink, xferlog: Option<Xferlog>) -> Self {
        Self { format, sink, xferlog, lines: String::new(), in_hand: 0 }
    }

    fn run(mut self, shared: &Shared) {
        loop {
            match shared.next(self.in_hand) {
                Next::Item(item, dropped) => {
                    if dropped > 0 {
                        let detail = format!("{dropped} lines dropped: the log is read or stored too slowly");
                        let warning = Warning { what: "log_lines_dropped", detail: detail.into() };
                        self.write(SystemTime::now(), &warning.into());
                    }
                    match item {
                        Item::Line(time, event) => self.write(time, &event),
                        Item::Reopen => self.reopen(),
                    }
                    self.in_hand += 1;
                    if self.lines.len() >= TOGETHER {
                        self.put(shared);
                    }
                }
                Next::Nothing => self.put(shared),
                Next::End => return,
            }
        }
    }

    fn put(&mut self, shared: &Shared) {
        self.out();
        shared.done(std::mem::take(&mut self.in_hand));
    }

    fn out(&mut self) {
        if !self.lines.is_empty() {
            // A log that cannot be written (disk full, pipe closed) must not stop the server, and there is nobody
            // left to tell.
            let _ = self.sink.write_lines(self.lines.as_bytes());
            self.lines.clear();
        }
    }

    fn write(&mut self, time: SystemTime, event: &Event) {
        let line = self.format.line(time, event);
        if self.lines.len() + line.len() >= TOGETHER {
            self.out();
        }
        self.lines.push_str(&line);
        self.lines.push('\n');
        if let (Some(xferlog), Event::Transfer(transfer)) = (&mut self.xferlog, event) {
            let _ = xferlog.write(time, transfer);
        }
    }

    fn reopen(&mut self) {
        self.out();
        let results = [Some(self.sink.reopen()), self.xferlog.as_mut().map(Xferlog::reopen)];
        for error in results.into_iter().flatten().filter_map(Result::err) {
            let detail = format!("cannot open the log anew, the old file goes on: {error}");
            self.write(SystemTime::now(), &Warning { what: "log_reopen", detail: detail.into() }.into());
        }
    }
}

impl LogFormat {
    /// One event as one line, without the line end.
    pub fn line(self, time: SystemTime, event: &Event) -> String {
        let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        match self {
            Self::Text => {
                let mut fields = String::with_capacity(256);
                // Only an event that is not flat fails, and there is none.
                let _ = text::write(event, &mut fields);
                format!("{time:.0} {fields}")
            }
            Self::Json => {
                let line = JsonLine { time: format!("{time:.3}"), event };
                serde_json::to_string(&line).unwrap_or_default()
            }
        }
    }
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

#[cfg(test)]
mod tests;
