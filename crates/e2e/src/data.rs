//! A data connection in the hands of a test.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use anyhow::{Context, Result};
use rustls::HandshakeKind;

use crate::tls::TlsStream;

/// A data connection, plain or under TLS.
#[derive(Debug)]
pub enum Data {
    /// In clear.
    Plain(TcpStream),
    /// `PROT P`.
    Tls(Box<TlsStream>),
}

impl Data {
    /// Everything until the server ends the connection in order.
    ///
    /// # Errors
    /// After a reset, a silence, or (under TLS) an end without close_notify.
    pub fn read_all(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        self.read_to_end(&mut all)
            .with_context(|| format!("the data connection broke after {} octets", all.len()))?;
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            // The server may have closed already; it has said all it wants to say.
            let _ = stream.conn.complete_io(&mut stream.sock);
        }
        Ok(all)
    }

    /// Ends an upload in order: close_notify, FIN, and reading until the server has closed, so that
    /// tickets that are under way are kept.
    ///
    /// # Errors
    /// After a reset.
    pub fn finish(mut self) -> Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        match self.read_to_end(&mut rest) {
            Err(why) if why.kind() != io::ErrorKind::UnexpectedEof => Err(why).context("after the upload"),
            _ => Ok(()),
        }
    }

    /// Ends with FIN alone, which under TLS is a truncation (RFC 8446 §6.1).
    ///
    /// # Errors
    /// What the socket says.
    pub fn cut(mut self) -> Result<()> {
        self.flush()?;
        Ok(self.socket().shutdown(Shutdown::Both)?)
    }

    /// Ends with a TCP reset.
    ///
    /// # Errors
    /// What the socket says.
    pub fn reset(mut self) -> Result<()> {
        self.flush()?;
        Ok(socket2::SockRef::from(self.socket()).set_linger(Some(std::time::Duration::ZERO))?)
    }

    /// Completes the handshake and says whether it resumed an earlier session. False in clear.
    ///
    /// # Errors
    /// When the handshake fails.
    pub fn resumed(&mut self) -> Result<bool> {
        let Self::Tls(stream) = self else { return Ok(false) };
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).context("the TLS handshake failed")?;
        }
        Ok(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// The socket below.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Data {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(room),
            Self::Tls(stream) => stream.read(room),
        }
    }
}

impl Write for Data {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(octets),
            Self::Tls(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
