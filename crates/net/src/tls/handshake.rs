//! A handshake that owns its state, and what it agreed on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::{HandshakeKind, ProtocolVersion};

use super::engine::Engine;
use super::error::{Fault, Party};
use super::identity::{addresses, subject};
use super::stream::TlsStream;
use super::tickets::ConnectionTickets;
use super::{TlsError, TlsInfo, TlsMin};

/// A handshake under way. Polling it again after it has finished is an error, not a panic.
pub(crate) struct Handshake {
    stream: Result<TlsStream, Option<TlsError>>,
    needed: TlsMin,
    tickets: Option<Arc<ConnectionTickets>>,
}

impl Handshake {
    pub(crate) fn new(
        stream: Result<TlsStream, TlsError>,
        needed: TlsMin,
        tickets: Option<Arc<ConnectionTickets>>,
    ) -> Self {
        Self { stream: stream.map_err(Some), needed, tickets }
    }
}

impl Handshake {
    pub(crate) fn tickets(&self) -> Option<Arc<ConnectionTickets>> {
        self.tickets.clone()
    }
}

impl Future for Handshake {
    type Output = Result<(TlsStream, TlsInfo), TlsError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let stream = match &mut this.stream {
            Ok(stream) => stream,
            Err(error) => return Poll::Ready(Err(error.take().unwrap_or_else(finished_before))),
        };
        let result = std::task::ready!(stream.poll_handshake(cx));
        let peer = if stream.engine().is_server() { Party::Client } else { Party::Server };
        let Ok(mut stream) = std::mem::replace(&mut this.stream, Err(None)) else {
            return Poll::Ready(Err(finished_before()));
        };
        Poll::Ready(result.map_err(|fault: Fault| fault.explain(peer, this.needed)).map(|()| {
            let sni = stream.take_offer().and_then(|offer| offer.sni);
            let mut info = info(stream.engine(), sni);
            if let (true, Some(tickets)) = (info.resumed, &this.tickets) {
                info.sibling = tickets.resumed();
            }
            if let (false, Some(tickets)) = (stream.holds(), &this.tickets) {
                tickets.sent(false);
            }
            (stream, info)
        }))
    }
}

fn finished_before() -> TlsError {
    TlsError::Setup("this handshake has finished before".into())
}

fn info(engine: &Engine, sni: Option<String>) -> TlsInfo {
    let state = engine.state();
    let (subject, addresses) = match (engine.is_server(), state.peer_certificates()) {
        (true, Some([cert, ..])) => (subject(cert), addresses(cert)),
        _ => (None, Vec::new()),
    };
    TlsInfo {
        version: match state.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        },
        cipher: state.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown"),
        resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        sibling: false,
        sni,
        alpn: state.alpn_protocol().map(<[u8]>::to_vec),
        client_cert_subject: subject,
        client_cert_addresses: addresses,
    }
}
