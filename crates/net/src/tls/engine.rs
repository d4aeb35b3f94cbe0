//! TLS without I/O: octets of the socket in, octets for the socket out, in buffers of our own.
//!
//! rustls is driven through its unbuffered interface. It decrypts in the buffer the socket was read into,
//! keeps nothing while idle, and leaves what stands behind a close_notify alone, so that CCC loses nothing.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};

use super::octets::Octets;

/// What rustls wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// The handshake goes on when more octets come.
    Handshake,
    /// All that came is decrypted; data may be sent.
    Traffic,
    /// The peer's close_notify has come.
    Nothing,
}

/// One TLS connection, the server's or the client's side.
pub(crate) struct Engine {
    side: Side,
    pub(crate) octets: Buffers,
    /// Once rustls has failed, it must be left alone.
    failed: Option<Error>,
}

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// The octets on their way.
#[derive(Default)]
pub(crate) struct Buffers {
    /// From the socket, not yet decrypted.
    pub(crate) incoming: Octets,
    /// For the socket.
    pub(crate) outgoing: Octets,
    /// Decrypted, but there was no room for it yet. Never more than `incoming` held.
    pub(crate) plain: Octets,
    /// close_notify has come; what is in `incoming` now is no longer TLS.
    pub(crate) peer_closed: bool,
}

impl Engine {
    pub(crate) fn server(conn: UnbufferedServerConnection) -> Self {
        Self { side: Side::Server(conn), octets: Buffers::default(), failed: None }
    }

    pub(crate) fn client(conn: UnbufferedClientConnection) -> Self {
        Self { side: Side::Client(conn), octets: Buffers::default(), failed: None }
    }

    pub(crate) fn state(&self) -> &CommonState {
        match &self.side {
            Side::Server(conn) => conn,
            Side::Client(conn) => conn,
        }
    }

    pub(crate) fn is_server(&self) -> bool {
        matches!(self.side, Side::Server(_))
    }

    /// Works off what came, until `sink` is full or nothing is left. Returns how many octets of data it put
    /// into `sink`; with an empty one, data waits in `plain`.
    ///
    /// # Errors
    /// The connection is dead; an alert that says so is outgoing.
    pub(crate) fn advance(&mut self, sink: &mut [u8]) -> Result<(usize, Wants), Error> {
        self.run(sink, Act::Read)
    }

    /// Encrypts `data` behind what is outgoing already, in records of 16 KiB.
    ///
    /// # Errors
    /// The handshake is not finished, or the connection is dead.
    pub(crate) fn encrypt(&mut self, data: &[u8]) -> Result<(), Error> {
        self.run(&mut [], Act::Encrypt(data)).map(drop)
    }

    /// Puts close_notify behind what is outgoing already; doing it twice does nothing.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        self.run(&mut [], Act::Close).map(drop)
    }

    fn run(&mut self, sink: &mut [u8], act: Act<'_>) -> Result<(usize, Wants), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = match &mut self.side {
            Side::Server(conn) => self.octets.run(conn, sink, act),
            Side::Client(conn) => self.octets.run(conn, sink, act),
        };
        self.failed = result.as_ref().err().cloned();
        result
    }
}

/// What to do once rustls is ready for data.
#[derive(Clone, Copy)]
enum Act<'a> {
    Read,
    Encrypt(&'a [u8]),
    Close,
}

impl Buffers {
    fn run<M: Machine>(
        &mut self,
        conn: &mut M,
        sink: &mut [u8],
        act: Act<'_>,
    ) -> Result<(usize, Wants), Error> {
        let mut filled = 0;
        loop {
            if filled == sink.len() && filled > 0 {
                return Ok((filled, Wants::Traffic));
            }
            let mut closed = false;
            let UnbufferedStatus { mut discard, state } = conn.process(self.incoming.filled_mut());
            let wants = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        filled +=
                            put(record.payload, sink.get_mut(filled..).unwrap_or_default(), &mut self.plain);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    append(&mut self.outgoing, 0, |room| encode(&mut message, room))?;
                    None
                }
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    // It is in `outgoing` and leaves in order; rustls need not wait for that.
                    sent.done();
                    None
                }
                Ok(ConnectionState::BlockedHandshake) => Some(Wants::Handshake),
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    self.send(traffic, act)?;
                    Some(if self.peer_closed { Wants::Nothing } else { Wants::Traffic })
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    None
                }
                Ok(ConnectionState::Closed) => {
                    closed = true;
                    Some(Wants::Nothing)
                }
                Ok(_) => return Err(Error::General("early data, which we never asked for".into())),
                Err(error) => {
                    self.incoming.discard(discard);
                    self.take_alert(conn);
                    return Err(error);
                }
            };
            self.incoming.discard(discard);
            match (wants, act) {
                (Some(Wants::Handshake), Act::Encrypt(_)) => return Err(Error::HandshakeNotComplete),
                (Some(Wants::Nothing), Act::Encrypt(_)) if closed => return Err(Error::EncryptError),
                (Some(wants), _) => return Ok((filled, wants)),
                (None, _) => {}
            }
        }
    }

    fn send<D>(&mut self, mut traffic: WriteTraffic<'_, D>, act: Act<'_>) -> Result<(), Error> {
        let short = |e| match e {
            EncryptError::InsufficientSize(e) => Short::By(e.required_size),
            EncryptError::EncryptExhausted => Short::Forever,
        };
        match act {
            Act::Read => Ok(()),
            Act::Encrypt(data) => {
                // Header, nonce, type and tag of a record are 37 octets at most.
                let wanted = data.len() + (data.len() / RECORD + 1) * 64;
                append(&mut self.outgoing, wanted, |room| traffic.encrypt(data, room).map_err(short))
            }
            Act::Close => {
                append(&mut self.outgoing, 64, |room| traffic.queue_close_notify(room).map_err(short))
            }
        }
    }

    /// After an error, rustls has an alert for the peer. It must not be asked for anything else any more: it
    /// would look at the octets again, and asserts that it sends one fatal alert only.
    fn take_alert<M: Machine>(&mut self, conn: &mut M) {
        while conn.has_message() {
            let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut message)), .. } =
                conn.process(self.incoming.filled_mut())
            else {
                return;
            };
            let done = append(&mut self.outgoing, 0, |room| encode(&mut message, room));
            if done.is_err() {
                return;
            }
        }
    }
}

fn encode<D>(message: &mut EncodeTlsData<'_, D>, room: &mut [u8]) -> Result<usize, Short> {
    match message.encode(room) {
        Ok(n) => Ok(n),
        Err(EncodeError::InsufficientSize(e)) => Err(Short::By(e.required_size)),
        Err(EncodeError::AlreadyEncoded) => Ok(0),
    }
}

/// Payload of a full record.
pub(crate) const RECORD: usize = 16 * 1024;

/// Puts `payload` where there is room for it: first `sink`, then `rest`.
fn put(payload: &[u8], sink: &mut [u8], rest: &mut Octets) -> usize {
    let (now, later) = payload.split_at(payload.len().min(sink.len()));
    if let Some(room) = sink.get_mut(..now.len()) {
        room.copy_from_slice(now);
    }
    if !later.is_empty() {
        rest.push(later);
    }
    now.len()
}

/// Why octets could not be appended.
enum Short {
    /// So much room is needed.
    By(usize),
    /// The key has been used up.
    Forever,
}

/// Lets `write` append to `buffer`, giving it more room if it asks.
fn append(
    buffer: &mut Octets,
    wanted: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Short>,
) -> Result<(), Error> {
    let mut room = wanted;
    loop {
        match write(buffer.spare(room)) {
            Ok(n) => {
                buffer.commit(n);
                return Ok(());
            }
            Err(Short::By(needed)) if needed > room => room = needed,
            Err(_) => return Err(Error::EncryptError),
        }
    }
}

/// The call both sides of rustls have, without a common trait.
trait Machine {
    type Data;
    /// True if the next call hands out a message for the peer, before it looks at any octet.
    fn has_message(&self) -> bool;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Machine for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn has_message(&self) -> bool {
        self.wants_write()
    }

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Machine for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn has_message(&self) -> bool {
        self.wants_write()
    }

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}
