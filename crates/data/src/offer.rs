//! Passive mode: a port that was announced, until its connection has come.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use portway_net::{DataTls, Hello, SessionTag, TlsError};
use portway_proto::Announced;
use tokio::time::{Instant, timeout_at};

use crate::conn::{ChannelMode, Facts, Proven, Stream};
use crate::hole::OpenHole;
use crate::listener::adopt;
use crate::ports::PortLease;
use crate::proof::{Came, Handshakes, Judgement, Lobby, Spoke, Waiting, judge};
use crate::shared::Seat;
use crate::{DataConn, Failure, Party, Proof, sys};

/// How long a login of the same address is awaited whose session's ticket came on a data connection, and how
/// often that is looked at.
const DECIDE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a connection with a sibling's ticket waits for one with the session's own.
const OWNER_FIRST: Duration = Duration::from_millis(300);

/// How long another connection is awaited after one of the client's address has proven useless once the command
/// is here: one in clear where TLS was agreed on, one whose handshake broke off, or one that did not resume. Nearly always that was the
/// owner's, and he learns now what is wrong; where it was a neighbour's, the owner's comes within this time.
const ANOTHER: Duration = Duration::from_secs(2);

/// Connections looked at before other tasks get a turn.
const AT_ONCE: usize = 64;

/// Connections of the client's address that may wait in silence.
const SILENT: usize = 32;

/// An announced port. Dropping it frees the port at once.
///
/// Only connections from the client's address count. Under TLS they must complete the handshake and show what
/// [`Proof`] asks for; until one has, the offer goes on waiting, whoever else comes.
pub struct Offer {
    party: Party,
    proof: Proof,
    at: Way,
    bound: SocketAddr,
    announced: SocketAddr,
    hole: Option<OpenHole>,
    lobby: Lobby,
    handshakes: Handshakes,
    arrived: Option<(Stream, SocketAddr, Proven)>,
    held: Option<Held>,
    /// ClientHellos with the ticket of a session of this address that has not logged in yet.
    undecided: Vec<(Waiting, SessionTag)>,
    look_again: Option<Pin<Box<tokio::time::Sleep>>>,
    tally: Tally,
}

/// Where connections come from.
pub(crate) enum Way {
    /// A port of our own.
    Exclusive(PortLease),
    /// A seat at a port shared with others.
    Shared(Seat),
    /// The connection has come and the port is free again.
    Closed,
}

/// A connection of the same user that may be meant for another of his sessions.
struct Held {
    data: Box<DataTls>,
    peer: SocketAddr,
    until: Pin<Box<tokio::time::Sleep>>,
}

/// What came and was not the owner; decides what the failure is called.
#[derive(Default)]
struct Tally {
    strangers: u32,
    not_resumed: bool,
    no_handshake: bool,
    broken: Option<TlsError>,
    /// When the last connection of the client's address came to nothing.
    useless: Option<Instant>,
}

impl Offer {
    pub(crate) fn new(
        party: Party,
        proof: Proof,
        at: Way,
        bound: SocketAddr,
        announced: SocketAddr,
        hole: Option<OpenHole>,
    ) -> Self {
        Self {
            party,
            proof,
            at,
            bound,
            announced,
            hole,
            lobby: Lobby::new(SILENT),
            handshakes: Handshakes::new(),
            arrived: None,
            held: None,
            undecided: Vec::new(),
            look_again: None,
            tally: Tally::default(),
        }
    }

    /// The address and port for the reply.
    #[must_use]
    pub fn announce(&self) -> SocketAddr {
        self.announced
    }

    /// The same, as the codec wants it: 227 takes [`Announced::host_port`], 229 [`Announced::port_only`].
    #[must_use]
    pub fn announced(&self) -> Announced {
        Announced::new(self.announced)
    }

    /// True once the connection is here; [`Self::take`] returns at once then, and reply 125 is due in place of
    /// 150 (RFC 959 §5.4).
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.arrived.is_some()
    }

    /// Waits until the session's connection has come, has completed its TLS handshake and is kept inside.
    ///
    /// Poll this from the moment the port is announced, beside the control connection: some clients wait for
    /// our part of the handshake before they send the command. Cancel-safe.
    ///
    /// # Errors
    /// [`Failure::NoSocket`] if this process has no descriptor left. No stranger makes it fail.
    pub async fn arrive(&mut self) -> Result<(), Failure> {
        poll_fn(|cx| self.poll_arrive(cx)).await
    }

    /// The connection; waits for it until `deadline`.
    ///
    /// # Errors
    /// [`Failure`] says what came instead of it, if anything did.
    pub async fn take(mut self, deadline: Instant) -> Result<DataConn, Failure> {
        let asked = Instant::now();
        match timeout_at(deadline, self.arrive_or_fail(asked)).await {
            Ok(arrived) => arrived?,
            Err(_late) => return Err(self.why_nobody(asked.elapsed())),
        }
        let strangers = self.strangers();
        let Some((stream, peer, proven)) = self.arrived.take() else {
            return Err(self.why_nobody(asked.elapsed()));
        };
        let waited = asked.elapsed();
        let facts = Facts { peer, local: self.bound, mode: ChannelMode::Passive, proven, strangers, waited };
        Ok(DataConn::new(stream, facts, self.hole.take()))
    }

    /// As [`Self::arrive`]; gives up early when what came was useless and nothing else is on its way.
    async fn arrive_or_fail(&mut self, asked: Instant) -> Result<(), Failure> {
        let mut patience = pin!(tokio::time::sleep_until(asked + ANOTHER));
        poll_fn(|cx| {
            if let Poll::Ready(arrived) = self.poll_arrive(cx) {
                return Poll::Ready(arrived);
            }
            let Some(useless) = self.tally.useless.filter(|_| self.awaits_nobody()) else {
                return Poll::Pending;
            };
            let until = useless.max(asked) + ANOTHER;
            if patience.deadline() < until {
                patience.as_mut().reset(until);
            }
            ready!(patience.as_mut().poll(cx));
            Poll::Ready(Err(self.why_nobody(asked.elapsed())))
        })
        .await
    }

    /// Whether no connection is here that may still turn out to be the owner's.
    fn awaits_nobody(&self) -> bool {
        self.lobby.is_empty()
            && self.handshakes.is_empty()
            && self.undecided.is_empty()
            && self.held.is_none()
    }

    fn poll_arrive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut turns = AT_ONCE;
        while self.arrived.is_none() {
            match self.poll_came(cx) {
                Poll::Pending => break,
                Poll::Ready(came) => came.and_then(|came| self.receive(came)).map_err(Failure::NoSocket)?,
            }
            turns -= 1;
            if turns == 0 {
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.poll_lobby(cx);
        self.poll_undecided(cx);
        self.poll_handshakes(cx);
        self.poll_held(cx);
        if self.arrived.is_some() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// The next connection; `None` if it was a stranger's, who is gone already.
    fn poll_came(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Came>>> {
        match &mut self.at {
            Way::Closed => Poll::Pending,
            Way::Shared(seat) => seat.poll_next(cx).map(|came| Ok(Some(came))),
            Way::Exclusive(lease) => {
                let Some(listener) = lease.listener() else { return Poll::Pending };
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                if peer.ip().to_canonical() == self.party.client() {
                    return Poll::Ready(Ok(Some(Came::Raw(stream, peer))));
                }
                self.tally.strangers = self.tally.strangers.saturating_add(1);
                sys::reset_on_close(&stream);
                Poll::Ready(Ok(None))
            }
        }
    }

    fn receive(&mut self, came: Option<Came>) -> io::Result<()> {
        match (came, &self.party.tls) {
            (None, _) => {}
            (Some(Came::Raw(stream, peer)), None) => {
                let stream = adopt(stream)?;
                self.arrived = Some((Stream::Plain(stream), peer, Proven::Address));
                self.close();
            }
            (Some(Came::Raw(stream, peer)), Some(_)) => self.lobby.enter(adopt(stream)?, peer, false),
            (Some(Came::Spoken { stream, peer, named }), Some(tls)) => {
                self.handshakes.start(tls, stream, peer, named);
            }
            (Some(Came::Spoken { stream, .. }), None) => sys::reset_on_close(&stream),
        }
        Ok(())
    }

    /// Answers every ClientHello that is complete.
    fn poll_lobby(&mut self, cx: &mut Context<'_>) {
        let Some(tls) = &self.party.tls else { return };
        while let Some((waiting, spoke)) = self.lobby.poll_spoke(cx) {
            let named = match spoke {
                Spoke::Hello(Hello::Session(tag))
                    if self.undecided.len() < SILENT && tls.may_become_sibling(tag) =>
                {
                    self.undecided.push((waiting, tag));
                    continue;
                }
                Spoke::Hello(Hello::Session(tag)) => tag == tls.tag(),
                Spoke::Hello(Hello::NoSession) => false,
                Spoke::Hello(Hello::NotTls | Hello::NeedMore) | Spoke::Gone => {
                    self.tally.no_handshake = true;
                    self.tally.useless = Some(Instant::now());
                    sys::reset_on_close(&waiting.stream);
                    continue;
                }
            };
            self.handshakes.start(tls, waiting.stream, waiting.peer, named);
        }
    }

    /// Answers those whose session has logged in meanwhile, or takes too long to.
    fn poll_undecided(&mut self, cx: &mut Context<'_>) {
        let Some(tls) = &self.party.tls else { return };
        while !self.undecided.is_empty() {
            let look_again = self.look_again.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK_AGAIN)));
            if look_again.as_mut().poll(cx).is_pending() {
                return;
            }
            look_again.as_mut().reset(Instant::now() + LOOK_AGAIN);
            let now = Instant::now();
            let patient =
                |waiting: &Waiting, tag| tls.may_become_sibling(tag) && now < waiting.since + DECIDE;
            let (wait, decided) = std::mem::take(&mut self.undecided)
                .into_iter()
                .partition(|(waiting, tag)| patient(waiting, *tag));
            self.undecided = wait;
            for (waiting, _) in decided {
                self.handshakes.start(tls, waiting.stream, waiting.peer, false);
            }
        }
    }

    fn poll_handshakes(&mut self, cx: &mut Context<'_>) {
        let Some(tls) = self.party.tls.clone() else { return };
        while self.arrived.is_none()
            && let Some((peer, result)) = self.handshakes.poll_done(cx)
        {
            match result {
                Err(error) => {
                    self.tally.broken = Some(error);
                    self.tally.useless = Some(Instant::now());
                }
                Ok(data) => match judge(self.proof, data.info(), &tls, &self.party.history) {
                    Judgement::Serve(proven) => {
                        self.arrived = Some((Stream::Tls(Box::new(data)), peer, proven));
                        self.close();
                    }
                    Judgement::Hold if self.held.is_none() => {
                        let until = Box::pin(tokio::time::sleep(OWNER_FIRST));
                        self.held = Some(Held { data: Box::new(data), peer, until });
                    }
                    Judgement::Hold | Judgement::Refuse => {
                        self.tally.not_resumed = true;
                        self.tally.useless = Some(Instant::now());
                        sys::reset_on_close(data.stream());
                    }
                },
            }
        }
    }

    /// Serves a connection with a sibling's ticket when the owner's own has not come meanwhile. From then on
    /// the client is known to mix its tickets, and waits no more.
    fn poll_held(&mut self, cx: &mut Context<'_>) {
        let Some(mut held) = self.held.take() else { return };
        if self.arrived.is_some() {
            sys::reset_on_close(held.data.stream());
        } else if held.until.as_mut().poll(cx).is_ready() {
            let sibling = held.data.info().sibling;
            if sibling {
                self.party.history.mixed_tickets();
            }
            let proven = if sibling { Proven::Sibling } else { Proven::Address };
            self.arrived = Some((Stream::Tls(held.data), held.peer, proven));
            self.close();
        } else {
            self.held = Some(held);
        }
    }

    /// Frees the port; whoever else is waiting there is closed.
    fn close(&mut self) {
        self.tally.strangers = self.strangers();
        match std::mem::replace(&mut self.at, Way::Closed) {
            Way::Exclusive(lease) => lease.served(),
            Way::Shared(seat) => seat.served(),
            Way::Closed => {}
        }
        self.lobby.retain(|_| false);
        self.undecided.clear();
        self.handshakes = Handshakes::new();
    }

    fn strangers(&self) -> u32 {
        match &self.at {
            Way::Shared(seat) => self.tally.strangers.saturating_add(seat.strangers()),
            _ => self.tally.strangers,
        }
    }

    fn why_nobody(&mut self, waited: Duration) -> Failure {
        let port = self.announced.port();
        let (ambiguous, no_handshake) = match &self.at {
            Way::Shared(seat) => seat.turned_away(),
            _ => (0, false),
        };
        let silent = !self.lobby.is_empty() || !self.handshakes.is_empty();
        match (self.tally.broken.take(), self.strangers()) {
            _ if self.tally.not_resumed => Failure::NotResumed,
            (Some(error), _) => Failure::HandshakeFailed(error),
            _ if ambiguous > 0 => Failure::Ambiguous { port, count: ambiguous },
            _ if no_handshake || silent || self.tally.no_handshake => Failure::NoHandshake { port },
            (None, 0) => Failure::NobodyCame { port, waited },
            (None, count) => Failure::OnlyStrangersCame { port, count },
        }
    }
}
