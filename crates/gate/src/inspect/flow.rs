//! One control connection as its packets show it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portway_ops::Ticket;

use super::dialogue::Dialogue;
use super::keeper::{Outcome, Part, Side};
use super::segment::{Segment, flag};
use super::session::{Holder, Session};
use crate::gate::Shared;

/// How long the client may take to answer the server's SYN.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// The same while others fill the table. Who needs longer is let in when the server repeats its answer.
const HURRIED: Duration = Duration::from_secs(3);
/// How long what is sent once more still finds its connection after the end.
const LINGER: Duration = Duration::from_secs(10);
/// How long a connection that was cut off is remembered, so that both ends learn of it.
const CUT: Duration = Duration::from_secs(120);

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on as it is.
    Pass,
    /// This goes on in its place.
    Rewrite(Vec<u8>),
    /// Nothing goes on, and its sender is told with a reset.
    Reset,
    /// Nothing goes on.
    Drop,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Flow {
    stage: Stage,
    /// The last packet.
    seen: Instant,
}

#[derive(Debug)]
enum Stage {
    /// The server has answered the SYN. Whoever forges addresses gets as far as this, so that it costs no place.
    Answered { client: SocketAddr, server: SocketAddr, syns: [u32; 2] },
    /// Both have spoken.
    Open(Box<Open>),
    /// It was cut off: whoever still sends is reset.
    Over,
}

#[derive(Debug)]
struct Open {
    dialogue: Dialogue,
    session: Session,
    /// A SYN of the client over a connection that it may have forgotten.
    renewed: Option<u32>,
    ended: bool,
    /// Given back with the flow.
    _place: Ticket,
}

impl Flow {
    /// A connection whose server answers.
    pub(crate) fn answered(answer: &Segment, now: Instant) -> Self {
        let (client, server) = (answer.to, answer.from);
        let syns = [answer.ack.wrapping_sub(1), answer.seq];
        Self { stage: Stage::Answered { client, server, syns }, seen: now }
    }

    /// Octets in memory.
    pub(crate) fn held(&self) -> usize {
        if let Stage::Open(open) = &self.stage { open.dialogue.held() } else { 0 }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether to remember it any longer; what has been silent for too long is cut off. In a flood of SYNs the
    /// client has less time to answer.
    pub(crate) fn stays(&mut self, shared: &Shared, flood: bool, now: Instant) -> bool {
        let silent = now.saturating_duration_since(self.seen);
        match &self.stage {
            Stage::Answered { .. } => silent < if flood { HURRIED } else { HANDSHAKE },
            Stage::Over => silent < CUT,
            Stage::Open(open) if open.ended => silent < LINGER,
            Stage::Open(open) => {
                if silent > shared.config.idle {
                    let client = open.session.row.client.ip();
                    shared.ledger.refuse(open.session.number, client, "silent for too long");
                    self.cut(shared, now);
                }
                true
            }
        }
    }

    /// Ends its session, if it has one.
    pub(crate) fn end(&mut self, shared: &Shared) {
        if let Stage::Open(open) = &mut self.stage {
            let Open { dialogue, session, .. } = &mut **open;
            dialogue.end(&mut Holder { shared, session });
            session.end(shared);
        }
    }

    fn cut(&mut self, shared: &Shared, now: Instant) {
        self.end(shared);
        self.stage = Stage::Over;
        self.seen = now;
    }

    /// Takes a packet of one side; `suspect` says that some may have passed by unread.
    pub(crate) fn take(
        &mut self,
        shared: &Shared,
        side: Side,
        segment: &Segment,
        packet: &[u8],
        (now, suspect): (Instant, bool),
    ) -> Fate {
        if !self.is_over() {
            self.seen = now;
        }
        if segment.has(flag::SYN) {
            return self.syn(shared, side, segment, packet, now);
        }
        if segment.has(flag::RST) {
            return self.reset(shared, side, segment, packet, now);
        }
        if let Stage::Answered { client, server, syns, .. } = &self.stage {
            let answers = side == Side::Client
                && segment.has(flag::ACK)
                && segment.ack == syns[1].wrapping_add(1)
                && segment.seq == syns[0].wrapping_add(1);
            if !answers {
                // Octets that overtake the handshake come again.
                return Fate::Drop;
            }
            let place = match shared.limits.admit(client.ip()) {
                Ok(place) => place,
                Err(refusal) => {
                    shared.ledger.turn_away(client.ip(), refusal);
                    self.cut(shared, now);
                    return Fate::Reset;
                }
            };
            let Ok((session, watch, implicit)) = Session::begin(shared, *client, *server) else {
                return Fate::Drop;
            };
            let dialogue = Dialogue::new(*syns, watch, implicit);
            self.stage =
                Stage::Open(Box::new(Open { dialogue, session, renewed: None, ended: false, _place: place }));
        }
        let Stage::Open(open) = &mut self.stage else { return Fate::Reset };
        if !segment.has(flag::ACK) {
            return Fate::Drop;
        }
        let octets = segment.payload(packet);
        let fin = segment.has(flag::FIN);
        let part = Part { seq: segment.seq, ack: Some(segment.ack), octets, fin, room: segment.room() };
        let Open { dialogue, session, ended, .. } = &mut **open;
        match dialogue.segment(side, part, now, &mut Holder { shared, session }) {
            Outcome::Drop if suspect && dialogue.has_missed(side, segment.ack) => {
                let client = session.row.client.ip();
                shared.ledger.refuse(
                    session.number,
                    client,
                    "something passed unread while the rules were gone",
                );
                self.cut(shared, now);
                Fate::Reset
            }
            Outcome::Drop => Fate::Drop,
            Outcome::Close(seq) => {
                self.cut(shared, now);
                Fate::Rewrite(segment.rewritten(packet, seq, flag::RST | flag::ACK, &[]))
            }
            Outcome::Leave(leaving) => {
                if dialogue.has_ended() && !*ended {
                    *ended = true;
                    session.end(shared);
                }
                let same = leaving.seq == segment.seq && leaving.octets == octets && leaving.fin == fin;
                if same && !segment.has(flag::URG) {
                    return Fate::Pass;
                }
                let flags = segment.flags & !flag::FIN | if leaving.fin { flag::FIN } else { 0 };
                Fate::Rewrite(segment.rewritten(packet, leaving.seq, flags, &leaving.octets))
            }
        }
    }

    fn syn(&mut self, shared: &Shared, side: Side, segment: &Segment, packet: &[u8], now: Instant) -> Fate {
        let pass = Fate::Rewrite(without_payload(segment, packet));
        let answer = segment.has(flag::ACK);
        let expected = segment.ack.wrapping_sub(1);
        match &mut self.stage {
            Stage::Over => Fate::Reset,
            Stage::Answered { syns, .. } => match (side, answer) {
                (Side::Client, false) => pass,
                (Side::Server, true) => {
                    // The client's first ACK says which of them it believes.
                    *syns = [expected, segment.seq];
                    pass
                }
                _ => Fate::Drop,
            },
            Stage::Open(open) => match (side, answer) {
                (Side::Client, false) => {
                    open.renewed =
                        Some(segment.seq).filter(|syn| *syn != open.dialogue.lane(Side::Client).syn());
                    pass
                }
                (Side::Server, true) if open.dialogue.lane(Side::Server).syn() == segment.seq => pass,
                (Side::Server, true) if open.renewed == Some(expected) => {
                    self.end(shared);
                    *self = Self::answered(segment, now);
                    pass
                }
                _ => Fate::Drop,
            },
        }
    }

    /// A reset counts if the receiver will believe it, too (RFC 5961 §3.2).
    fn reset(&mut self, shared: &Shared, side: Side, segment: &Segment, packet: &[u8], now: Instant) -> Fate {
        let believed = match &self.stage {
            // Also that of our own rules, which leaves by way of this host's own hook.
            Stage::Over => return Fate::Rewrite(without_payload(segment, packet)),
            Stage::Answered { syns, .. } => {
                let [client, server] = *syns;
                let own = if side == Side::Client { client } else { server };
                segment.seq == own.wrapping_add(1) || (segment.has(flag::ACK) && side == Side::Server)
            }
            Stage::Open(open) => {
                let renewed = open.renewed.is_some_and(|syn| segment.ack == syn.wrapping_add(1));
                if renewed && side == Side::Server && segment.has(flag::ACK) {
                    return Fate::Rewrite(without_payload(segment, packet));
                }
                open.dialogue.lane(side).is_current(segment.seq)
            }
        };
        if !believed {
            return Fate::Drop;
        }
        self.cut(shared, now);
        Fate::Rewrite(without_payload(segment, packet))
    }
}

/// The packet without what it carries: a SYN with data is answered as one without, and the data come again (RFC 7413 §4.2.2).
pub(crate) fn without_payload(segment: &Segment, packet: &[u8]) -> Vec<u8> {
    segment.rewritten(packet, segment.seq, segment.flags & !flag::FIN, &[])
}
