//! The server's side: asks the gate, over one connection that is kept open.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use portway_net::{ClientTls, Control, GATE_NAME, connect_from, prepare_control};
use portway_pinhole::{Hole, HoleId, PinholeError, Pinholes, Waiting};
use portway_proto::Expected;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::wire::{Answer, Ask, LONGEST, Outcome, Request, emit, parse};

/// How long connecting may take, and then each answer. The client waits meanwhile, so it is told soon.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions that may wait to be sent.
const QUEUE: usize = 1024;
/// The lower bits of a [`HoleId`] are the gate's number, the upper ones say on which connection.
const NUMBER_BITS: u32 = 48;

/// Pinholes in a remote gate.
///
/// The connection is opened at once and again when it breaks; while the gate cannot be reached every
/// [`Pinholes::open`] fails within two seconds, and the data command is answered 425.
#[derive(Debug)]
pub struct AgentPinholes {
    questions: mpsc::Sender<Question>,
}

#[derive(Debug)]
struct Question {
    ask: Ask,
    /// Gets the number of the connection, too.
    answer: oneshot::Sender<Result<(u64, Outcome), io::Error>>,
}

impl AgentPinholes {
    /// Begins to talk to the gate at `to`; `tls` trusts the gate's authority and shows our certificate.
    ///
    /// Must be called within a runtime.
    #[must_use]
    pub fn start(to: SocketAddr, tls: ClientTls) -> Self {
        let (questions, asked) = mpsc::channel(QUEUE);
        tokio::spawn(Line { to, tls, asked, epoch: 0, next: 1 }.run());
        Self { questions }
    }

    async fn ask(&self, ask: Ask) -> io::Result<(u64, Outcome)> {
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(Question { ask, answer }).map_err(|_| io::ErrorKind::WouldBlock)?;
        // Connecting and asking each have their own patience; this one is for a line that hangs.
        match timeout(2 * PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn open_one(&self, want: Expected) -> Result<Hole, PinholeError> {
        let (from, to, control) = (want.from, want.to(), want.control);
        let ask = Ask::Open { from, to, seconds: want.within.as_secs().max(1), control };
        match self.ask(ask).await.map_err(PinholeError::Unreachable)? {
            (epoch, Outcome::Opened { hole, announce }) => {
                Ok(Hole { id: HoleId((epoch << NUMBER_BITS) | hole), announce })
            }
            (_, Outcome::Denied { why }) => Err(PinholeError::Denied { to: want.to(), why }),
            (_, Outcome::Failed { why }) => Err(PinholeError::Filter(io::Error::other(why))),
            (_, Outcome::Closed) => Err(PinholeError::Filter(io::ErrorKind::InvalidData.into())),
        }
    }
}

impl Pinholes for AgentPinholes {
    fn open(&self, want: Expected) -> Option<Waiting<'_, Result<Hole, PinholeError>>> {
        // What a host says to itself meets no gate.
        if want.from.to_canonical().is_loopback() && want.to().ip().to_canonical().is_loopback() {
            return None;
        }
        Some(Box::pin(self.open_one(want)))
    }

    fn close(&self, id: HoleId) -> Waiting<'_, ()> {
        Box::pin(async move {
            // The line drops it if the connection is another by now: that one's end has closed the hole.
            let _ = self.ask(Ask::Close { hole: id.0 }).await;
        })
    }
}

/// Owns the connection.
struct Line {
    to: SocketAddr,
    tls: ClientTls,
    asked: mpsc::Receiver<Question>,
    epoch: u64,
    next: u64,
}

type Pending = HashMap<u64, (Instant, oneshot::Sender<Result<(u64, Outcome), io::Error>>)>;

impl Line {
    async fn run(mut self) {
        let mut first = None;
        loop {
            let error = match timeout(PATIENCE, self.connect()).await {
                Ok(Ok(stream)) => {
                    self.epoch += 1;
                    self.talk(stream, first.take()).await
                }
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            // Nobody waits longer than for this one attempt.
            if let Some(question) = first.take() {
                fail(question, &error);
            }
            while let Ok(question) = self.asked.try_recv() {
                fail(question, &error);
            }
            // Whoever asks next gets a new attempt, at once.
            first = self.asked.recv().await;
            if first.is_none() {
                return;
            }
        }
    }

    async fn connect(&self) -> io::Result<Control> {
        let stream = connect_from(None, self.to).await?;
        prepare_control(&stream)?;
        let tls = self.tls.control(GATE_NAME).map_err(io::Error::other)?;
        Control::from(stream).connect_tls(&tls).await.map_err(io::Error::other)
    }

    /// Asks and hands out answers until the connection breaks; says how it did.
    async fn talk(&mut self, stream: Control, first: Option<Question>) -> io::Error {
        let (reader, mut writer) = tokio::io::split(stream);
        let mut lines = Lines::new(reader);
        let mut pending = Pending::new();
        let mut question = first;
        let error = loop {
            if let Some(question) = question.take()
                && let Some(line) = self.number(question, &mut pending)
            {
                let sent = timeout(PATIENCE, async {
                    writer.write_all(&line).await?;
                    writer.flush().await
                });
                if let Err(error) = sent.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                    break error;
                }
            }
            let oldest = pending.values().map(|(asked, _)| *asked).min();
            tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(asked) => question = Some(asked),
                    None => return io::ErrorKind::BrokenPipe.into(),
                },
                line = lines.next() => match line.map(|line| parse::<Answer>(&line)) {
                    Ok(Some(answer)) => {
                        if let Some((_, asker)) = pending.remove(&answer.id) {
                            let _ = asker.send(Ok((self.epoch, answer.result)));
                        }
                    }
                    Ok(None) => break io::Error::new(io::ErrorKind::InvalidData, "what answers there is no gate"),
                    Err(error) => break error,
                },
                () = sleep_until(oldest.unwrap_or_else(Instant::now) + PATIENCE), if oldest.is_some() => {
                    break io::ErrorKind::TimedOut.into();
                }
            }
        };
        for (_, asker) in pending.into_values() {
            let _ = asker.send(Err(copy(&error)));
        }
        error
    }

    /// Numbers a question; `None` if it needs none, since its hole went with an earlier connection.
    fn number(&mut self, question: Question, pending: &mut Pending) -> Option<Vec<u8>> {
        let ask = match question.ask {
            Ask::Close { hole } => {
                if hole >> NUMBER_BITS != self.epoch & (u64::MAX >> NUMBER_BITS) {
                    let _ = question.answer.send(Ok((self.epoch, Outcome::Closed)));
                    return None;
                }
                Ask::Close { hole: hole & ((1 << NUMBER_BITS) - 1) }
            }
            open @ Ask::Open { .. } => open,
        };
        let id = self.next;
        self.next += 1;
        pending.insert(id, (Instant::now(), question.answer));
        Some(emit(&Request { id, ask }))
    }
}

fn fail(question: Question, error: &io::Error) {
    let _ = question.answer.send(Err(copy(error)));
}

/// The same error for somebody else.
fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// Lines of bounded length; dropping a read half-way loses nothing.
pub(crate) struct Lines {
    reader: BufReader<ReadHalf<Control>>,
    line: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(reader: ReadHalf<Control>) -> Self {
        Self { reader: BufReader::with_capacity(LONGEST, reader), line: Vec::new() }
    }

    /// The next line. May be dropped and called again.
    ///
    /// # Errors
    /// `UnexpectedEof` at the end, `InvalidData` if a line is too long.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        let room = (LONGEST + 1).saturating_sub(self.line.len()) as u64;
        // What was read before a drop stays in `line`.
        (&mut self.reader).take(room).read_until(b'\n', &mut self.line).await?;
        match self.line.last() {
            Some(b'\n') => Ok(std::mem::take(&mut self.line)),
            _ if self.line.len() > LONGEST => Err(io::ErrorKind::InvalidData.into()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
