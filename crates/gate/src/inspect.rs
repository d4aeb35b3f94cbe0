//! The second engine: packets of control connections are held in a queue and judged; TCP stays between the two ends.
//!
//! - [`segment`] reads and writes packets, [`lane`] puts one direction of a connection together.
//! - [`dialogue`] is the judgement: lines, [`Watch`](portway_proto::watch::Watch), what leaves in their place.
//! - [`flow`] is one connection as packets see it; [`session`] opens its holes.
//! - [`rules`] brings the packets here and refuses whatever comes by without a judgement.

mod dialogue;
mod flow;
mod half;
mod keeper;
mod lane;
mod rules;
mod segment;
mod session;
mod substitute;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portway_nft::{Held, Packet, Remote, Verdict};
use portway_ops::{Log, Notice, Shown};
use portway_proto::watch::AuthTls;

use crate::gate::Shared;
use crate::ledger::Ledger;
use crate::records;
use crate::{GateConfig, GateError};

use flow::{Fate, Flow};
use keeper::Side;
use segment::{Segment, flag};

const SWEEP: Duration = Duration::from_millis(250);
/// How soon we notice that we are to stop.
const LOOK: Duration = Duration::from_millis(50);
/// How long after such a moment a connection that acknowledges what never came by here is cut off, in place of its packet: all
/// that follows would be dropped, too. At other times such packets are forged.
const SUSPECT: Duration = Duration::from_secs(120);
/// Octets that all dialogues together may keep; then those that keep much take nothing new until less is kept.
const KEPT_IN_ALL: usize = 64 << 20;
/// What every dialogue may keep even then.
const KEPT_ANYWAY: usize = 4096;

/// Connections that are remembered at most, those that were never answered to and those that are over included; from
/// half of this on it is a flood.
const CONNECTIONS: usize = 1 << 16;

/// Settings of this engine alone.
#[derive(Clone, Debug)]
pub struct InspectConfig {
    /// The number of the packet queue. Default 2121.
    pub queue: u16,
    /// What becomes of connections whose begin was not seen. Default [`MidStream::Reset`].
    pub mid_stream: MidStream,
    /// Also watch over control connections of this host's own servers and clients. Default false.
    pub this_host: bool,
}

/// What becomes of connections that were there before the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MidStream {
    /// They are reset: nobody knows what was said.
    #[default]
    Reset,
    /// They pass unread, and nothing in them opens a hole.
    Pass,
}

impl Default for InspectConfig {
    fn default() -> Self {
        Self { queue: 2121, mid_stream: MidStream::default(), this_host: false }
    }
}

/// A gate that holds packets, ready to run.
#[derive(Debug)]
pub struct Inspect {
    shared: Arc<Shared>,
    table: Flows,
    queue: Held,
}

/// What this engine needs CAP_NET_ADMIN for, done; from here on the helper has it alone.
#[derive(Debug)]
pub struct PreparedInspect {
    config: GateConfig,
    own: InspectConfig,
    kernel: Remote,
    queue: Held,
}

impl PreparedInspect {
    /// Makes rules ready for the queue that the helper holds; from then on control connections wait for
    /// [`Inspect::run`]. Needs CAP_NET_ADMIN.
    ///
    /// # Errors
    /// [`GateError`]; nothing is left behind.
    pub fn new(
        config: GateConfig,
        own: InspectConfig,
        mut kernel: Remote,
        queue: Held,
    ) -> Result<Self, GateError> {
        if config.watch.auth_tls == AuthTls::Bridge {
            return Err(GateError::Bridge);
        }
        if let Err(error) = rules::install(&config, &own) {
            let _ = kernel.leave();
            return Err(error.into());
        }
        // They are as they are to be; if they cannot be looked after, the first sweep says so.
        let _ = kernel.mended();
        Ok(Self { config, own, kernel, queue })
    }

    /// Takes the rules away again.
    pub fn give_up(mut self) {
        let _ = self.kernel.leave();
    }
}

/// All connections.
#[derive(Debug)]
struct Flows {
    shared: Arc<Shared>,
    mid_stream: MidStream,
    all: HashMap<(SocketAddr, SocketAddr), Flow>,
    /// Octets that they keep.
    kept: usize,
    /// How often the rules were put back, as far as it was noticed, and until when connections show what they lost.
    restored: (u32, Option<Instant>),
}

impl Inspect {
    /// Begins the book.
    #[must_use]
    pub fn start(prepared: PreparedInspect, log: Log) -> Self {
        let PreparedInspect { config, own, kernel, queue } = prepared;
        let detail = format!("control ports {:?}, packets held in queue {}", config.ports, own.queue);
        log.record(Notice { what: "gate", detail: Shown::from(detail) });
        let shared = Arc::new(Shared::new(config, kernel, log));
        let table = Flows {
            shared: Arc::clone(&shared),
            mid_stream: own.mid_stream,
            all: HashMap::new(),
            kept: 0,
            restored: (0, None),
        };
        Self { shared, table, queue }
    }

    /// The book: for the status, and for agents of servers.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.shared.ledger)
    }

    /// Judges until `stop` is ready; then holes are closed and rules taken away. Connections of others go on.
    ///
    /// Packets are judged on a thread of their own: no verdict waits for anything but another verdict.
    ///
    /// # Errors
    /// [`GateError::Helper`]: there is no helper any more, and control connections are refused by the rules that it
    /// has left.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), GateError> {
        let stopping = Arc::new(AtomicBool::new(false));
        let ledger = self.ledger();
        let mut judge = {
            let stopping = Arc::clone(&stopping);
            tokio::task::spawn_blocking(move || self.judge(&stopping))
        };
        tokio::select! {
            () = stop => {
                stopping.store(true, Ordering::Relaxed);
                // First the rules, then the queue: running transfers are to go on, not to be reset.
                let left = judge.await;
                ledger.finish();
                drop(left);
                Ok(())
            }
            _ = &mut judge => Err(GateError::Helper),
        }
    }

    /// Judges until told to stop, or the helper is gone; gives the queue back, which is to be shut last.
    fn judge(mut self, stopping: &AtomicBool) -> Held {
        let mut swept = Instant::now();
        while !stopping.load(Ordering::Relaxed) {
            // An error is of one moment, a packet without its verdict at worst: it will be sent again.
            let _ = self.queue.wait(LOOK);
            let served = self.queue.serve(|packet| self.table.judge(&packet));
            if served.is_err_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof) {
                break;
            }
            let now = Instant::now();
            if now.saturating_duration_since(swept) >= SWEEP {
                if !self.shared.ledger.sweep() {
                    break;
                }
                self.table.sweep(now);
                self.table.look_out(now);
                swept = now;
            }
        }
        self.queue
    }
}

impl Flows {
    fn judge(&mut self, packet: &Packet<'_>) -> Verdict {
        let Some(segment) = Segment::read(packet.octets) else { return Verdict::Drop };
        let bit = self.shared.config.mark;
        match self.fate(&segment, packet.octets, Instant::now()) {
            Fate::Pass => Verdict::Accept { mark: packet.mark | bit, octets: None },
            Fate::Rewrite(octets) => Verdict::Accept { mark: packet.mark | bit, octets: Some(octets) },
            // Without the mark the next chain resets its sender.
            Fate::Reset if !segment.has(flag::RST) => {
                Verdict::Accept { mark: packet.mark & !bit, octets: None }
            }
            Fate::Reset | Fate::Drop => Verdict::Drop,
        }
    }

    fn fate(&mut self, segment: &Segment, packet: &[u8], now: Instant) -> Fate {
        let (from, to) = (segment.from, segment.to);
        let (key, side) = if self.all.contains_key(&(to, from)) {
            ((to, from), Side::Server)
        } else {
            ((from, to), Side::Client)
        };
        let crowded = self.kept > KEPT_IN_ALL;
        if let Some(flow) = self.all.get_mut(&key)
            && !(flow.is_over()
                && side == Side::Client
                && segment.flags & (flag::SYN | flag::ACK) == flag::SYN)
        {
            let before = flow.held();
            if crowded && before > KEPT_ANYWAY && !segment.payload(packet).is_empty() {
                return Fate::Drop;
            }
            let suspect = self.restored.1.is_some_and(|until| now < until);
            let fate = flow.take(&self.shared, side, segment, packet, (now, suspect));
            self.kept = (self.kept + flow.held()).saturating_sub(before);
            return fate;
        }
        self.stranger(segment, packet, now)
    }

    /// A packet of no connection that we know.
    fn stranger(&mut self, segment: &Segment, packet: &[u8], now: Instant) -> Fate {
        let config = &self.shared.config;
        let is_control = |port| config.ports.contains(&port) || config.implicit_ports.contains(&port);
        match segment.flags & (flag::SYN | flag::ACK) {
            flag::SYN if is_control(segment.to.port()) => {
                // State is kept from the server's answer on, so that spoofed SYNs cost nothing.
                let client = segment.from.ip();
                if !self.shared.ledger.may_log_in(client) {
                    self.shared.ledger.turn_away(client, "too many failed logins from this address");
                    return Fate::Reset;
                }
                if let Err(refusal) = self.shared.limits.admit(client) {
                    self.shared.ledger.turn_away(client, refusal);
                    return Fate::Reset;
                }
                self.all.remove(&(segment.from, segment.to));
                Fate::Rewrite(flow::without_payload(segment, packet))
            }
            0x12 if is_control(segment.from.port()) && self.all.len() >= CONNECTIONS => Fate::Drop,
            0x12 if is_control(segment.from.port()) => {
                self.all.insert((segment.to, segment.from), Flow::answered(segment, now));
                Fate::Rewrite(flow::without_payload(segment, packet))
            }
            // The end of a connection that was never one: a closed port says no.
            _ if segment.has(flag::RST) => Fate::Rewrite(flow::without_payload(segment, packet)),
            0x10 if self.mid_stream == MidStream::Pass => Fate::Pass,
            _ => Fate::Reset,
        }
    }

    /// Notices that the rules were gone for a moment.
    fn look_out(&mut self, now: Instant) {
        let restored = self.shared.ledger.restored();
        if restored != self.restored.0 {
            self.restored = (restored, Some(now + SUSPECT));
        }
    }

    fn sweep(&mut self, now: Instant) {
        let (shared, kept) = (&self.shared, &mut self.kept);
        let flood = self.all.len() > CONNECTIONS / 2;
        self.all.retain(|_, flow| {
            let stays = flow.stays(shared, flood, now);
            if !stays {
                *kept = kept.saturating_sub(flow.held());
            }
            stays
        });
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        for flow in self.all.values_mut() {
            flow.end(&self.shared);
        }
    }
}
