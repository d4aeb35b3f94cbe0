//! The server's side of a control connection: lines in, replies out, nothing held while idle.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use portway_proto::{Command, LineError, LineReader, Reply};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::urgent::read_behind_urgent;
use crate::{Control, ControlTls, TlsError, TlsInfo};

/// Octets read at a time; more stays in the kernel, which slows a flooding client down.
const READ: usize = 4096;

/// Replies that are waiting to be sent go out at the latest when they are this long.
const WRITE: usize = 16 * 1024;

/// Lines that may wait for the end of a transfer; more stay in the kernel.
const WAITING: usize = 512;

/// How long work goes on for a client that has closed its side: it may still read the reply (`nc -N` does), or may be gone.
const AFTER_END: Duration = Duration::from_secs(10);

/// How long the last replies of a session may take to leave.
const GOODBYE: Duration = Duration::from_secs(5);

/// What came from the client.
#[derive(Debug)]
pub enum Received {
    /// A line without its end.
    Line(Vec<u8>),
    /// A line that is none.
    Bad(LineError),
}

/// The client left while something was done for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It closed the connection.
    Closed,
    /// The connection broke, or the client read no replies for too long.
    Reset,
}

/// Lines in, replies out: the control connection of whoever plays the server, also a proxy.
#[derive(Debug)]
pub struct ControlChannel {
    stream: Option<Control>,
    reader: LineReader,
    /// Lines that came during a transfer and wait for its end.
    waiting: VecDeque<Received>,
    out: Vec<u8>,
    /// So many octets of `out` have been sent.
    sent: usize,
    /// Since when the client has closed its side.
    ended: Option<Instant>,
    /// How long a client may take to read a reply.
    patience: Duration,
}

impl ControlChannel {
    /// A channel on a fresh connection. A client that does not read a reply for `patience` is an error.
    #[must_use]
    pub fn new(stream: Control, patience: Duration) -> Self {
        Self {
            stream: Some(stream),
            reader: LineReader::new(),
            waiting: VecDeque::new(),
            out: Vec::new(),
            sent: 0,
            ended: None,
            patience,
        }
    }

    /// What the TLS handshake agreed on; `None` while plain.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.stream.as_ref()?.tls()
    }

    /// The version of TLS, for logs; `None` while plain.
    #[must_use]
    pub fn tls_version(&self) -> Option<&'static str> {
        self.stream.as_ref()?.tls().map(|tls| tls.version)
    }

    /// The next line that is here already.
    pub fn take_line(&mut self) -> Option<Received> {
        if let Some(waiting) = self.waiting.pop_front() {
            return Some(waiting);
        }
        let line = self.reader.next_line();
        if line.is_none() {
            self.reader.shrink();
            self.waiting = VecDeque::new();
        }
        Some(match line? {
            Ok(line) => Received::Line(line),
            Err(error) => Received::Bad(error),
        })
    }

    /// A line that came since the transfer began; those put back stay where they are.
    pub fn take_new_line(&mut self) -> Option<Received> {
        Some(match self.reader.next_line()? {
            Ok(line) => Received::Line(line),
            Err(error) => Received::Bad(error),
        })
    }

    /// Keeps a line for after the transfer.
    pub fn put_back(&mut self, received: Received) {
        self.waiting.push_back(received);
    }

    /// Takes an ABOR out of the lines that wait.
    pub fn take_abort(&mut self) -> bool {
        let abort = |received: &Received| match received {
            Received::Line(line) => matches!(Command::parse(line), Ok(Command::Abor)),
            Received::Bad(_) => false,
        };
        let found = self.waiting.iter().position(abort);
        found.and_then(|at| self.waiting.remove(at)).is_some()
    }

    /// Keeps all lines that are here for later.
    pub fn put_off(&mut self) {
        while let Some(received) = self.take_new_line() {
            self.put_back(received);
        }
    }

    /// Whether lines wait for the end of the transfer.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is nothing to be sent and nothing more is read: the client has closed its side, or so
    /// much waits that it has to wait, too.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.out.is_empty() && (self.ended.is_some() || self.waiting.len() >= WAITING)
    }

    /// Whether the client has gone without QUIT, which is an ABOR (RFC 959 §4.1.1). Ask when all new lines
    /// have been taken.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        let quit = |received: &Received| match received {
            Received::Line(line) => matches!(Command::parse(line), Ok(Command::Quit)),
            Received::Bad(_) => false,
        };
        self.ended.is_some() && !self.reader.has_pending() && !self.waiting.iter().any(quit)
    }

    /// Waits for octets and reads them. `Ok(false)` is the end. Safe to drop while it waits.
    ///
    /// # Errors
    /// As the connection, which is of no more use then.
    pub async fn read(&mut self) -> io::Result<bool> {
        let Self { stream, reader, ended, .. } = self;
        let Some(stream) = stream.as_mut() else { return Ok(false) };
        let read = poll_fn(|cx| poll_some(stream, reader, cx)).await;
        if !matches!(read, Ok(1..)) {
            ended.get_or_insert_with(Instant::now);
        }
        read.map(|octets| octets > 0)
    }

    /// Reads to the end if the client has closed its side by now, or does so within `patience`, as far as lines may
    /// wait; else nothing, or what it has said meanwhile. The kernel is asked, since it knows before the reactor does.
    ///
    /// # Errors
    /// As the connection, which is of no more use then.
    pub async fn read_to_end(&mut self, patience: Duration) -> io::Result<bool> {
        // A killed program's connections end one right after the other, in any order.
        tokio::task::yield_now().await;
        if !patience.is_zero() && !self.has_closed() && !self.is_silent() {
            match tokio::time::timeout(patience, self.read()).await {
                Ok(Ok(true)) => self.put_off(),
                Ok(end) => return end,
                Err(_still_there) => {}
            }
        }
        let closed = self.has_closed();
        while closed && !self.is_silent() {
            if !self.read().await? {
                return Ok(false);
            }
            self.put_off();
        }
        Ok(true)
    }

    fn has_closed(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| has_hung_up(stream.stream()))
    }

    /// Sends what is queued; if nothing is, waits for octets and reads them, as [`Self::read`]. Safe to drop
    /// while it waits.
    ///
    /// # Errors
    /// As the connection, which is of no more use then.
    pub async fn exchange(&mut self) -> io::Result<bool> {
        if self.out.is_empty() { self.read().await } else { self.flush().await.map(|()| true) }
    }

    /// Waits for work to be done, or for the client to leave: then the work is dropped. Lines that come
    /// meanwhile wait. A client that has only closed its side may still read: what it asked for has 10 s from then on.
    ///
    /// # Errors
    /// [`Left`]: nobody is there to be told.
    pub async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Left> {
        let mut work = pin!(work);
        loop {
            let silent = self.is_silent();
            let until = self.ended.filter(|_| self.is_abandoned()).map(|ended| ended + AFTER_END);
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                news = self.exchange(), if !silent => {
                    self.put_off();
                    if let Err(error) = news
                        && (self.is_abandoned() || error.kind() == io::ErrorKind::TimedOut)
                    {
                        return Err(Left::Reset);
                    }
                }
                () = sleep_until(until), if until.is_some() => return Err(Left::Closed),
            }
        }
    }

    /// Queues a reply; [`Self::flush`] sends it.
    pub fn queue(&mut self, reply: &Reply) {
        reply.emit(&mut self.out);
    }

    /// Whether the queue is so long that it must be sent before more is done.
    #[must_use]
    pub const fn must_flush(&self) -> bool {
        self.out.len() >= WRITE
    }

    /// Sends what is queued. A client that does not read its replies is an error. Safe to drop while it waits.
    ///
    /// # Errors
    /// As the connection, which is of no more use then.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let Self { stream, out, sent, patience, .. } = self;
        let Some(stream) = stream.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
        let sending = async {
            while let Some(rest) = out.get(*sent..).filter(|rest| !rest.is_empty()) {
                match stream.write(rest).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    some => *sent += some,
                }
            }
            stream.flush().await
        };
        let done = tokio::time::timeout(*patience, sending).await;
        (self.out, self.sent) = (Vec::new(), 0);
        done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Turns to TLS. What was read in the clear behind AUTH is dropped, never run (the STARTTLS injection of
    /// RFC 4217 §15): then no handshake is made, and it returns how many octets that were.
    ///
    /// # Errors
    /// [`TlsError`]; the connection is of no more use.
    pub async fn start_tls(&mut self, tls: &ControlTls) -> Result<usize, TlsError> {
        let injected = self.reader.clear() + self.waiting.len();
        self.waiting.clear();
        if injected > 0 {
            return Ok(injected);
        }
        let Some(stream) = self.stream.take() else {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        };
        self.stream = Some(stream.start_tls(tls).await?);
        Ok(injected)
    }

    /// Turns back to plain text (CCC).
    ///
    /// # Errors
    /// As the connection, which is of no more use then.
    pub async fn stop_tls(&mut self) -> io::Result<()> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        self.stream = Some(stream.clear_tls().await?);
        Ok(())
    }

    /// Ends the connection so that the last reply still arrives.
    pub async fn close(&mut self) {
        self.patience = self.patience.min(GOODBYE);
        let _ = self.flush().await;
        if let Some(mut stream) = self.stream.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
        }
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Whether the other side has closed its direction, or all of it.
fn has_hung_up(stream: &TcpStream) -> bool {
    let mut asked = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&now)).is_ok_and(|hung_up| hung_up > 0)
}

/// One read into a buffer that exists only now.
fn poll_some(stream: &mut Control, reader: &mut LineReader, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut buffer = [const { MaybeUninit::uninit() }; READ];
    let mut buffer = ReadBuf::uninit(&mut buffer);
    ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
    let read = buffer.filled().len();
    reader.feed(buffer.filled());
    // A whole line is no part of a Synch, so that what comes all the time costs no second look.
    if stream.tls().is_none() && buffer.filled().last().is_some_and(|&last| last != b'\n') {
        let behind = buffer.initialize_unfilled_to(buffer.remaining());
        let octets = read_behind_urgent(stream.stream(), behind);
        reader.feed(behind.get(..octets).unwrap_or_default());
    }
    Poll::Ready(Ok(read))
}
