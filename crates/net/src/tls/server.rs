//! The server's side of TLS: one certificate for all, one ticket key for each control connection.
//!
//! A data connection must prove that it belongs to a control connection. It does so by resuming that
//! connection's TLS session. To make "resumed" mean exactly that, each control connection has its own ticket
//! key, and there is no session cache: a ticket of any other session cannot be decrypted here, and its owner
//! falls to a full handshake, which [`TlsInfo::resumed`] tells.
//!
//! Against commands smuggled in before TLS (`AUTH TLS\r\nNOOP\r\n` in one segment): the octets that the server
//! read past the AUTH line must be thrown away by whoever holds its line buffer, or better, end the session.
//! What is still in the socket then is read as TLS here, and fails.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use rustls::server::{
    NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier, danger::ClientCertVerifier,
};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;

use super::engine::Engine;
use super::handshake::Handshake;
use super::identity::read_certificates;
use super::kin::Kin;
use super::leaves::{ByName, Leaves};
use super::provider::provider;
use super::stream::{TlsStream, Use};
use super::tickets::{ConnectionTickets, SessionTag, SessionTickets};
use super::{DataTls, Identity, TlsControl, TlsError, TlsMin};

/// What a server asks of its clients.
#[derive(Clone, Debug)]
pub struct ServerTlsOptions {
    /// PEM file of authorities: a client's certificate must be signed by one of them. Default none: clients
    /// are not asked for a certificate.
    pub client_ca: Option<PathBuf>,
    /// Refuse clients that show none. Default false. Of no effect without `client_ca`.
    pub require_client_cert: bool,
    /// The oldest version accepted. Default TLS 1.2.
    pub min: TlsMin,
    /// TLS 1.3 tickets sent on each control connection. Default 8: clients that use a ticket once need one
    /// for each data connection they open before they have read the ticket of another.
    pub control_tickets: usize,
}

impl Default for ServerTlsOptions {
    fn default() -> Self {
        Self { client_ca: None, require_client_cert: false, min: TlsMin::V12, control_tickets: 8 }
    }
}

/// The server's certificate and rules; shared by all its connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// What all connections have in common. Without a ticketer.
    base: Arc<ArcSwap<ServerConfig>>,
    min: TlsMin,
    control_tickets: usize,
    kin: Arc<Kin>,
}

impl ServerTls {
    /// Puts certificate and rules together.
    ///
    /// # Errors
    /// [`TlsError::File`] if the client authorities cannot be read.
    pub fn new(identity: Identity, options: ServerTlsOptions) -> Result<Self, TlsError> {
        let ServerTlsOptions { client_ca, require_client_cert, min, control_tickets } = options;
        let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
        let mut base = ServerConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(min.versions())
            .map_err(setup)?
            .with_client_cert_verifier(client_verifier(client_ca, require_client_cert)?)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.0)));
        base.session_storage = Arc::new(NoServerSessionStorage {});
        // Our order counts, with AES-128-GCM first: OpenSSL's clients put AES-256 first out of habit.
        base.ignore_client_order = true;
        let base = Arc::new(ArcSwap::from_pointee(base));
        Ok(Self { base, min, control_tickets, kin: Arc::default() })
    }

    /// Swaps the certificate. Control connections that exist keep theirs, for their data connections too.
    ///
    /// Load the new one first ([`Identity::load`]); if that fails, the old one simply stays.
    pub fn reload(&self, identity: Identity) {
        let resolver = Arc::new(SingleCertAndKey::from(identity.0));
        self.base.rcu(|base| {
            let mut base = ServerConfig::clone(base);
            base.cert_resolver = Arc::clone(&resolver) as _;
            base
        });
    }

    /// TLS for one control connection and its data connections: a new ticket key and a new tag.
    pub fn control(&self) -> ControlTls {
        self.control_by(self.base.load_full())
    }

    /// The same, in the name of another server: with a certificate of `leaves` for the name that the client asks for,
    /// or else for `host`.
    pub fn control_as(&self, leaves: &Arc<Leaves>, host: &str) -> ControlTls {
        let mut base = ServerConfig::clone(&self.base.load());
        base.cert_resolver = Arc::new(ByName { leaves: Arc::clone(leaves), otherwise: host.to_owned() });
        self.control_by(Arc::new(base))
    }

    fn control_by(&self, base: Arc<ServerConfig>) -> ControlTls {
        ControlTls(Arc::new(Session {
            base,
            tickets: SessionTickets::new(Arc::clone(&self.kin)).map(Arc::new),
            min: self.min,
            control_tickets: self.control_tickets,
            one_use: AtomicBool::new(false),
        }))
    }
}

fn client_verifier(ca: Option<PathBuf>, required: bool) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(path) = ca else { return Ok(WebPkiClientVerifier::no_client_auth()) };
    let file = |what: String| TlsError::File { path: path.clone(), what };
    let mut roots = RootCertStore::empty();
    for cert in read_certificates(&path)? {
        roots.add(cert).map_err(|error| file(error.to_string()))?;
    }
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider()));
    if !required {
        verifier = verifier.allow_unauthenticated();
    }
    verifier.build().map_err(|error| file(error.to_string()))
}

/// TLS of one control connection: its own ticket key, so that only its own data connections resume. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct ControlTls(Arc<Session>);

#[derive(Debug)]
struct Session {
    base: Arc<ServerConfig>,
    tickets: Option<Arc<SessionTickets>>,
    min: TlsMin,
    control_tickets: usize,
    /// TLS 1.3 was agreed on: clients should use a ticket once only (RFC 8446 §C.4).
    one_use: AtomicBool,
}

impl ControlTls {
    /// The tag that stands in clear at the head of every ticket of this session.
    pub fn tag(&self) -> SessionTag {
        self.0.tickets.as_ref().map_or(SessionTag([0; 16]), |tickets| tickets.tag())
    }

    /// Says who is logged in; `None` for nobody. A data connection may then resume the session of a sibling,
    /// another control connection of that user from the same address, and
    /// [`TlsInfo::sibling`](super::TlsInfo::sibling) tells.
    pub fn belong_to(&self, user: Option<&[u8]>) {
        if let Some(tickets) = &self.0.tickets {
            tickets.belong_to(user);
        }
    }

    /// Whether the session named `tag` is another control connection of the same user from the same address.
    pub fn is_sibling(&self, tag: SessionTag) -> bool {
        self.0.tickets.as_ref().is_some_and(|tickets| tickets.is_sibling(tag))
    }

    /// Whether the same user has another control connection from the same address.
    pub fn has_sibling(&self) -> bool {
        self.0.tickets.as_ref().is_some_and(|tickets| tickets.has_sibling())
    }

    /// Whether the session named `tag` comes from the same address and may yet log in as the same user: a
    /// ClientHello with its ticket is better answered when that is known.
    pub fn may_become_sibling(&self, tag: SessionTag) -> bool {
        self.0.tickets.as_ref().is_some_and(|tickets| tickets.undecided(tag))
    }

    /// The server's handshake on the control connection; offers the ALPN protocols `ftp` and
    /// `x-filezilla-ftp`, and accepts clients that offer none.
    ///
    /// # Errors
    /// [`TlsError`]; the client has been told by an alert, and the connection is of no more use.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsControl, TlsError> {
        if let (Some(tickets), Ok(peer)) = (&self.0.tickets, stream.peer_addr()) {
            tickets.enter(peer.ip());
        }
        let alpn = [&b"ftp"[..], b"x-filezilla-ftp"];
        let (stream, info) = self.handshake(stream, Use::Control, &alpn, self.0.control_tickets).await?;
        self.0.one_use.store(info.version == "1.3", Ordering::Relaxed);
        Ok(TlsControl { stream, info })
    }

    /// The server's handshake on a data connection; answers the ClientHello at once. Offers the ALPN protocols
    /// `ftp-data` and `ftp`, and accepts clients that offer none.
    ///
    /// Whether it belongs to this control connection is told by [`TlsInfo::resumed`](super::TlsInfo) alone.
    pub fn accept_data(&self, stream: TcpStream) -> DataHandshake {
        // One ticket for each one used: a client that reads to the end never runs out.
        DataHandshake(self.handshake(stream, Use::Data, &[b"ftp-data", b"ftp"], 1))
    }

    /// True once every TLS 1.3 ticket the client surely got has been used: a client that uses a ticket once,
    /// and closes uploads without reading, has none left and must be forgiven a full handshake. Always false
    /// under TLS 1.2, where a ticket may be shown again.
    ///
    /// Tickets sent behind an upload count from the moment on that the client has used such a one.
    pub fn tickets_exhausted(&self) -> bool {
        self.0.one_use.load(Ordering::Relaxed)
            && self.0.tickets.as_ref().is_none_or(|tickets| tickets.exhausted())
    }

    fn handshake(&self, io: TcpStream, usage: Use, alpn: &[&[u8]], tickets: usize) -> Handshake {
        let mut config = ServerConfig::clone(&self.0.base);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.send_tls13_tickets = tickets;
        let tickets = self.0.tickets.clone().map(|session| Arc::new(ConnectionTickets::new(session)));
        if let Some(tickets) = &tickets {
            config.ticketer = Arc::clone(tickets) as _;
        }
        let stream = UnbufferedServerConnection::new(Arc::new(config))
            .map(|conn| TlsStream::new(io, Engine::server(conn), usage))
            .map_err(|error| TlsError::Setup(error.to_string()));
        Handshake::new(stream, self.0.min, tickets)
    }
}

/// A handshake on a data connection. It owns all its state: await it, or keep it and poll it by `&mut` from a
/// select loop; nothing is lost when another branch wins.
#[must_use = "a handshake does nothing until it is polled"]
pub struct DataHandshake(pub(crate) Handshake);

impl Future for DataHandshake {
    type Output = Result<DataTls, TlsError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.0).poll(cx));
        let tickets = self.0.tickets();
        Poll::Ready(result.map(|(stream, info)| DataTls::new(stream, info, tickets)))
    }
}
