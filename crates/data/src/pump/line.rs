//! Reads from and writes to a data connection, at the pace that is allowed.

use std::io;

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::pace::Pace;
use super::{Options, Progress};
use crate::Failure;
use crate::conn::{DataConn, Stream, Way};

/// One transfer's hold on its connection.
pub(super) struct Line<'a> {
    pub(super) stream: &'a mut Stream,
    pub(super) pace: Pace<'a>,
    /// Nothing has been tried yet. The runtime learns of a new socket's readiness only on its next round, so
    /// the first call is made without asking it: a short file needs no second one.
    fresh: bool,
}

impl<'a> Line<'a> {
    pub(super) fn new(
        conn: &'a mut DataConn,
        way: Way,
        options: &Options<'_>,
        progress: &'a Progress,
    ) -> Result<Self, Failure> {
        let stream = conn.begin(way)?;
        let pace = Pace::new(stream, options, progress);
        Ok(Self { stream, pace, fresh: true })
    }

    /// Sends all of `octets`, the last ones of the transfer: under TLS a short piece takes its end mark with it.
    pub(super) async fn write_last(&mut self, octets: &[u8]) -> Result<(), Failure> {
        if let Stream::Tls(tls) = &mut *self.stream
            && !octets.is_empty()
        {
            let granted = self.pace.allow(octets.len()).await;
            if granted >= octets.len() {
                self.pace.wait(tls.write_last(octets)).await?.map_err(Failure::of_socket)?;
                self.pace.unused(granted.saturating_sub(octets.len()));
                self.pace.moved(octets.len()).await;
                return Ok(());
            }
            self.pace.unused(granted);
        }
        self.write_all(octets).await
    }

    /// Sends all of `octets`.
    pub(super) async fn write_all(&mut self, mut octets: &[u8]) -> Result<(), Failure> {
        while !octets.is_empty() {
            let granted = self.pace.allow(octets.len()).await;
            let piece = octets.get(..granted).unwrap_or(octets);
            let sent = match &mut *self.stream {
                Stream::Tls(tls) => {
                    self.pace.wait(tls.write_all(piece)).await?.map_err(Failure::of_socket)?;
                    piece.len()
                }
                Stream::Plain(stream) => {
                    let call = || Ok(send(&*stream, piece, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?);
                    when_ready(stream, Interest::WRITABLE, &mut self.pace, &mut self.fresh, call)
                        .await?
                        .map_err(Failure::of_socket)?
                }
            };
            self.pace.unused(granted.saturating_sub(sent));
            self.pace.moved(sent).await;
            octets = octets.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Receives what is there, and waits for it; `Ok(0)` is the peer's end mark.
    pub(super) async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let granted = self.pace.allow(buf.len()).await;
        let room = buf.len().min(granted);
        let buf = buf.get_mut(..room).unwrap_or_default();
        let received = match &mut *self.stream {
            Stream::Tls(tls) => self.pace.wait(tls.read(buf)).await?,
            Stream::Plain(stream) => {
                let call = || Ok(recv(&*stream, &mut *buf, RecvFlags::DONTWAIT)?.0);
                when_ready(stream, Interest::READABLE, &mut self.pace, &mut self.fresh, call).await?
            }
        };
        let received = received.map_err(Failure::of_socket)?;
        self.pace.unused(granted.saturating_sub(received));
        self.pace.moved(received).await;
        Ok(received)
    }

    /// Makes a call on the plain socket as soon as it would not block; `None` under TLS.
    pub(super) async fn when_ready<R>(
        &mut self,
        interest: Interest,
        mut call: impl FnMut(&TcpStream) -> io::Result<R>,
    ) -> Result<io::Result<R>, Failure> {
        let stream = self.stream.tcp();
        when_ready(stream, interest, &mut self.pace, &mut self.fresh, || call(stream)).await
    }
}

async fn when_ready<R>(
    stream: &TcpStream,
    interest: Interest,
    pace: &mut Pace<'_>,
    fresh: &mut bool,
    mut call: impl FnMut() -> io::Result<R>,
) -> Result<io::Result<R>, Failure> {
    let blocked = |result: &io::Result<R>| {
        result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    if std::mem::take(fresh) {
        let result = call();
        if !blocked(&result) {
            return Ok(result);
        }
    }
    loop {
        let result = stream.try_io(interest, &mut call);
        if !blocked(&result) {
            return Ok(result);
        }
        if let Err(error) = pace.wait(stream.ready(interest)).await? {
            return Ok(Err(error));
        }
    }
}
