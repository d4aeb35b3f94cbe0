//! Serving the gate that started us: the loop, and what a gate alone may ask.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use portway_nft::wire::{Answer, Ask, MOST_LISTED, Outcome, REQUEST, Request};
use portway_nft::{
    End, Filter, FilterError, Flow, Flows, GATE_TABLE, Holder, Holes, Kept, LocalRoutes, OpenError,
    OwnAddresses, Queue, Translation, Translations, Want, answered_to, asked_for, remove_gate_table,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::RunError;
use crate::options::{Gate, Options};
use crate::privileges::keep_net_admin_only;
use crate::serve::outcome;
use crate::signals::Signals;
use crate::socket::{answer, receive};

/// All holes have one holder.
const GATE: u64 = 1;
/// How long the helper of an earlier gate may take to end.
const HANDOVER: Duration = Duration::from_secs(2);
/// Ends of holes that the gate has not heard of yet; it asks four times a second.
const UNTOLD: usize = 1 << 16;

/// Everything that the gate's requests work on.
struct Served {
    holes: Holes<Filter>,
    untold: VecDeque<(u64, End)>,
    translations: Translations,
    own: OwnAddresses,
    policy: portway_nft::Policy,
    tracked: Flows,
    listed: Vec<Flow>,
    routes: Option<LocalRoutes>,
    /// Whether those are in use: packets in a queue need no way to this host.
    routed: bool,
    rules: Option<Kept>,
    mended: u32,
}

/// Serves until the gate is gone. Its holes are shut then; its rules stay and refuse, unless it has asked us to take
/// them away.
pub(crate) fn serve(gate: &Gate, options: &Options) -> Result<(), RunError> {
    // A terminal or a service manager tells all of us to end: the gate goes first, and needs us for it.
    let _signals = Signals::block().map_err(RunError::Wait)?;
    let requests = rustix::stdio::stdin().try_clone_to_owned().map_err(RunError::Wait)?;
    let prepared = prepare(gate, options);
    let (mut served, mut held) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // The gate says it to whoever started it.
            refuse(&requests, &error).map_err(RunError::Wait)?;
            return Ok(());
        }
    };
    loop {
        let ready = wait(&requests, held.as_ref(), served.changes(), served.next_sweep());
        let Ready { asked, packets, changed } = ready.map_err(RunError::Wait)?;
        served.sweep(Instant::now());
        if packets && held.as_mut().is_some_and(|held| held.turn().is_err()) {
            // Without a judge packets go on unmarked, and are refused.
            held = None;
        }
        if changed {
            // What cannot be put back now is told, and tried again, when the gate asks.
            let _ = served.mend();
        }
        if asked && one_request(&requests, &mut served).is_err() {
            return Ok(());
        }
    }
}

fn prepare(gate: &Gate, options: &Options) -> Result<(Served, Option<Holder>), RunError> {
    let version = env!("CARGO_PKG_VERSION");
    if gate.version != version {
        return Err(RunError::Version(version));
    }
    let filter = soon(|| Filter::install(&options.layout), |error| matches!(error, FilterError::Held))?;
    let held = match gate.queue {
        Some(number) => {
            let packets = rustix::stdio::stdout().try_clone_to_owned().map_err(RunError::Queue)?;
            let busy = |error: &io::Error| error.kind() == io::ErrorKind::ResourceBusy;
            Some(Holder::new(soon(|| Queue::bind(number), busy).map_err(RunError::Queue)?, packets))
        }
        None => None,
    };
    keep_net_admin_only(options.user).map_err(RunError::Privileges)?;
    let served = Served {
        holes: Holes::new(filter, options.policy.clone(), OwnAddresses::of_this_host()),
        untold: VecDeque::new(),
        translations: Translations::of(GATE_TABLE).map_err(RunError::Wait)?,
        own: OwnAddresses::of_this_host(),
        policy: options.policy.clone(),
        tracked: Flows::marked(options.layout.mark).map_err(RunError::Wait)?,
        listed: Vec::new(),
        routes: gate.routes,
        routed: gate.queue.is_none(),
        rules: None,
        mended: 0,
    };
    Ok((served, held))
}

/// Tries again for a while as long as somebody has what we want: the helper of a gate that was killed goes when it
/// notices, and the next gate may be quicker.
fn soon<T, E>(mut get: impl FnMut() -> Result<T, E>, taken: impl Fn(&E) -> bool) -> Result<T, E> {
    let end = Instant::now() + HANDOVER;
    loop {
        match get() {
            Err(error) if taken(&error) && Instant::now() < end => std::thread::sleep(HANDOVER / 100),
            other => return other,
        }
    }
}

/// What there is to do.
struct Ready {
    asked: bool,
    packets: bool,
    changed: bool,
}

/// Waits for a request, a packet, a change of the ruleset or the end of a hole.
fn wait(
    requests: &OwnedFd,
    held: Option<&Holder>,
    changes: Option<BorrowedFd<'_>>,
    until: Option<Instant>,
) -> io::Result<Ready> {
    let mut all = vec![PollFd::new(requests, PollFlags::IN)];
    all.extend(changes.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    let packets = held.map(Holder::awaited);
    all.extend(packets.iter().flatten().map(|(fd, what)| PollFd::from_borrowed_fd(*fd, *what)));
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut all, left.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = all.iter().map(|fd| !fd.revents().is_empty());
    let asked = ready.next().unwrap_or_default();
    let changed = changes.is_some() && ready.next().unwrap_or_default();
    Ok(Ready { asked, changed, packets: ready.any(|ready| ready) })
}

/// Serves one request; an error says that the gate is gone, or speaks another language.
fn one_request(requests: &OwnedFd, served: &mut Served) -> io::Result<()> {
    let mut room = [0; REQUEST + 1];
    let record = match receive(requests, &mut room) {
        Ok(Some(record)) => record,
        Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error),
    };
    let request = Request::parse(record).ok_or(io::ErrorKind::InvalidData)?;
    let result = served.answer(request.ask, Instant::now());
    answer(requests, &Answer { tag: request.tag, result }.emit())
}

/// Answers the first request with the reason why we cannot serve.
fn refuse(requests: &OwnedFd, why: &RunError) -> io::Result<()> {
    wait(requests, None, None, None)?;
    let result = Outcome::Failed(0, why.to_string());
    answer(requests, &Answer { tag: 0, result }.emit())
}

impl Served {
    fn answer(&mut self, ask: Ask, now: Instant) -> Outcome {
        let address = |found: io::Result<_>| found.map_or_else(|error| failed(&error), Outcome::Address);
        let done = |done: io::Result<()>| done.map_or_else(|error| failed(&error), |()| Outcome::Done);
        match ask {
            Ask::Open(want) => match self.holes.open(&want, GATE, now) {
                Ok(hole) => Outcome::Opened(hole),
                Err(error) => outcome(&error),
            },
            Ask::Close(hole) => Outcome::Closed(self.holes.close(hole, GATE, now).map(|ended| ended.how)),
            Ask::Ended => {
                let used = self.holes.find_used(now);
                self.note(used);
                let some = self.untold.len().min(MOST_LISTED);
                Outcome::Ended(self.untold.drain(..some).collect())
            }
            Ask::Translate(what, within) => match self.admit(&what, within, now) {
                Ok(()) => done(self.translations.add(&what, within)),
                Err(error) => outcome(&error),
            },
            Ask::Restore(what) => done(self.translations.remove(&what)),
            Ask::AnsweredTo(from, to) => address(answered_to(from, to)),
            Ask::AskedFor(server, client) => address(asked_for(server, client)),
            Ask::Flows(skip) => self.flows(usize::try_from(skip).unwrap_or(usize::MAX)),
            Ask::Look(from, asked) => match self.tracked.look(from, asked) {
                Ok(found) => Outcome::Flows(found.into_iter().collect()),
                Err(error) => failed(&error),
            },
            Ask::Mended => match self.keep().and_then(|()| self.mend()) {
                Ok(()) => Outcome::Times(std::mem::take(&mut self.mended)),
                Err(error) => failed(&error),
            },
            Ask::Leave => {
                self.rules = None;
                if let Some(routes) = self.routes {
                    routes.remove();
                }
                done(remove_gate_table())
            }
        }
    }

    /// Takes the rules that are there for those that are to be there, once.
    fn keep(&mut self) -> io::Result<()> {
        if self.rules.is_none() {
            self.rules = Some(Kept::of(GATE_TABLE)?);
        }
        Ok(())
    }

    /// Puts back what somebody took away: without the rules control connections would pass unread.
    fn mend(&mut self) -> io::Result<()> {
        let Some(rules) = &mut self.rules else { return Ok(()) };
        let routes = self.routes.filter(|_| self.routed).map_or(Ok(false), LocalRoutes::mend);
        self.mended += u32::from(rules.mend()? | routes?);
        Ok(())
    }

    /// Readable when the ruleset has changed.
    fn changes(&self) -> Option<BorrowedFd<'_>> {
        self.rules.as_ref().map(|rules| rules.as_fd())
    }

    /// A translation leads nowhere that no hole may lead.
    fn admit(&mut self, what: &Translation, within: Duration, now: Instant) -> Result<(), OpenError> {
        let key = what.leads();
        let here = self.own.at(now, [key.to.ip(), key.from]).map_err(OpenError::Addresses)?;
        Ok(self.policy.admit(&Want { key, within }, here)?)
    }

    fn flows(&mut self, skip: usize) -> Outcome {
        if skip == 0 {
            match self.tracked.list() {
                Ok(all) => self.listed = all,
                Err(error) => return failed(&error),
            }
        }
        Outcome::Flows(self.listed.iter().skip(skip).take(MOST_LISTED).copied().collect())
    }

    fn next_sweep(&self) -> Option<Instant> {
        self.holes.next_sweep()
    }

    fn sweep(&mut self, now: Instant) {
        let over = self.holes.sweep(now);
        self.note(over);
    }

    fn note(&mut self, ended: Vec<portway_nft::Ended>) {
        self.untold.extend(ended.into_iter().map(|hole| (hole.id, hole.how)));
        while self.untold.len() > UNTOLD {
            self.untold.pop_front();
        }
    }
}

fn failed(error: &io::Error) -> Outcome {
    Outcome::Failed(error.raw_os_error().unwrap_or(0), error.to_string())
}
