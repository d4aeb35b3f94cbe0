//! The client's side of TLS: whom to trust, and one store of tickets for each control connection.
//!
//! Servers demand that a data connection resumes the session of its control connection, and TLS 1.3 tickets
//! are used once. So each control connection keeps all tickets it gets, also those of its data connections,
//! and shares them with nobody.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS12;
use tokio::net::TcpStream;

use super::engine::Engine;
use super::handshake::Handshake;
use super::provider::provider;
use super::store::TicketStore;
use super::stream::{TlsStream, Use};
use super::trust::{Rules, Watcher};
use super::{Certificate, DataTls, Identity, TlsControl, TlsError, TlsMin};

/// Which servers a client believes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Trust {
    /// Authorities in the system's store; the default.
    #[default]
    System,
    /// Authorities in the system's store, and those in this PEM file.
    SystemAnd(PathBuf),
    /// Authorities in this PEM file only.
    Only(PathBuf),
    /// The one certificate with this SHA-256 fingerprint, whatever name or date it bears; colons are optional.
    Pinned(String),
    /// Authorities in the system's store, and besides the one certificate with this SHA-256 fingerprint.
    SystemOrPinned(String),
    /// Authorities in the system's store, and besides anybody, to be remembered by
    /// [`ClientControlTls::server_fingerprint`] (trust on first use).
    SystemOrAnyone,
    /// Anybody. A data connection must still show the certificate of its control connection.
    Insecure,
}

/// What a client asks of servers.
#[derive(Clone, Debug, Default)]
pub struct ClientTlsOptions {
    /// Which servers to believe.
    pub trust: Trust,
    /// The oldest version accepted. Default TLS 1.2.
    pub min: TlsMin,
    /// Go no further than TLS 1.2, whose sessions can be resumed at will: for servers whose TLS 1.3 tickets
    /// run out. Default false.
    pub tls12_only: bool,
    /// The certificate shown to servers that ask for one. Default none.
    pub identity: Option<Identity>,
}

/// A client's rules; shared by all its connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientTls {
    base: Arc<ClientConfig>,
    rules: Arc<Rules>,
    min: TlsMin,
}

impl ClientTls {
    /// Puts trust and rules together. Reads the system's store once, where the options ask for it.
    ///
    /// # Errors
    /// [`TlsError::File`] if a file of authorities cannot be read; [`TlsError::Setup`] if there are none at
    /// all, the fingerprint is none, or no version is left.
    pub fn new(options: &ClientTlsOptions) -> Result<Self, TlsError> {
        let versions = match (options.min, options.tls12_only) {
            (TlsMin::V12, true) => &[&TLS12][..],
            (TlsMin::V13, true) => return Err(TlsError::Setup("TLS 1.3 at least and 1.2 at most".into())),
            (min, false) => min.versions(),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(versions)
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        let rules = Arc::new(Rules::of(&options.trust)?);
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Watcher::new(&rules)));
        let mut base = match &options.identity {
            Some(identity) => {
                let resolver = SingleCertAndKey::from(Arc::clone(&identity.0));
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        base.resumption = Resumption::disabled();
        Ok(Self { base: Arc::new(base), rules, min: options.min })
    }

    /// TLS for one control connection to `host` (a name or an address) and its data connections.
    ///
    /// # Errors
    /// [`TlsError::Setup`] if `host` is neither.
    pub fn control(&self, host: &str) -> Result<ClientControlTls, TlsError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError::Setup(format!("{host:?} is no host name")))?;
        let store = Arc::new(TicketStore::default());
        let mut config = ClientConfig::clone(&self.base);
        config.resumption = Resumption::store(Arc::clone(&store) as _);
        let watcher = Arc::new(Watcher::new(&self.rules));
        config.dangerous().set_certificate_verifier(Arc::clone(&watcher) as _);
        let data = Arc::new(config.clone());
        config.alpn_protocols = vec![b"ftp".to_vec()];
        let control = Arc::new(config);
        let certificate = Mutex::default();
        let session = Session { control, data, name, min: self.min, store, watcher, certificate };
        Ok(ClientControlTls(Arc::new(session)))
    }
}

/// TLS of one control connection, and of the data connections that resume its session. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientControlTls(Arc<Session>);

#[derive(Debug)]
struct Session {
    /// Offers ALPN `ftp` (ALPACA: no server for another protocol answers that).
    control: Arc<ClientConfig>,
    /// Offers no ALPN: servers disagree whether data connections are `ftp` or `ftp-data`, and refuse the
    /// wrong one; none refuses this.
    data: Arc<ClientConfig>,
    name: ServerName<'static>,
    min: TlsMin,
    store: Arc<TicketStore>,
    watcher: Arc<Watcher>,
    /// What the server showed on the control connection.
    certificate: Mutex<Option<CertificateDer<'static>>>,
}

impl ClientControlTls {
    /// The client's handshake on the control connection.
    ///
    /// # Errors
    /// [`TlsError`]; the server has been told by an alert, and the connection is of no more use.
    pub async fn connect_control(&self, stream: TcpStream) -> Result<TlsControl, TlsError> {
        let (stream, info) = self.handshake(stream, Use::Control, &self.0.control).await?;
        *self.0.certificate.lock().unwrap_or_else(PoisonError::into_inner) = certificate_of(&stream);
        Ok(TlsControl { stream, info })
    }

    /// The client's handshake on a data connection; shows a ticket if there is one left.
    ///
    /// If the session was not resumed, the server must show the certificate of the control connection again.
    pub fn connect_data(&self, stream: TcpStream) -> ClientDataHandshake {
        let handshake = self.handshake(stream, Use::Data, &self.0.data);
        ClientDataHandshake { handshake, session: Arc::clone(&self.0) }
    }

    /// Data connections that can still resume. A TLS 1.3 ticket counts once and expires; a TLS 1.2 session can
    /// be resumed at will, which counts as `usize::MAX`. At 0, a server that demands resumption refuses: open
    /// a new control connection before that.
    ///
    /// Tickets arrive behind the handshake: right after [`Self::connect_control`] there are none yet, they
    /// come in with the next reply.
    pub fn tickets_left(&self) -> usize {
        self.0.store.left()
    }

    /// SHA-256 of the certificate the server showed last, as `AB:CD:…`; also of one that was refused.
    pub fn server_fingerprint(&self) -> Option<String> {
        self.0.watcher.seen().map(|seen| seen.fingerprint)
    }

    /// Whether an authority vouches for that certificate; false if it was believed for another reason, or not.
    pub fn is_vouched_for(&self) -> bool {
        self.0.watcher.seen().is_some_and(|seen| seen.vouched)
    }

    /// What the server showed on the control connection.
    pub fn server_certificate(&self) -> Option<Certificate> {
        let certificate = self.0.certificate.lock().unwrap_or_else(PoisonError::into_inner);
        Certificate::read(certificate.as_deref()?)
    }

    /// The same for data connections that resume nothing: for finding out whether a server insists.
    #[must_use]
    pub fn without_resumption(&self) -> Self {
        let mut config = ClientConfig::clone(&self.0.data);
        config.resumption = Resumption::disabled();
        let config = Arc::new(config);
        let certificate = self.0.certificate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self(Arc::new(Session {
            control: Arc::clone(&config),
            data: config,
            name: self.0.name.clone(),
            min: self.0.min,
            store: Arc::default(),
            watcher: Arc::clone(&self.0.watcher),
            certificate: Mutex::new(certificate),
        }))
    }

    fn handshake(&self, io: TcpStream, usage: Use, config: &Arc<ClientConfig>) -> Handshake {
        let stream = UnbufferedClientConnection::new(Arc::clone(config), self.0.name.clone())
            .map(|conn| TlsStream::new(io, Engine::client(conn), usage))
            .map_err(|error| TlsError::Setup(error.to_string()));
        Handshake::new(stream, self.0.min, None)
    }
}

fn certificate_of(stream: &TlsStream) -> Option<CertificateDer<'static>> {
    stream.engine().state().peer_certificates()?.first().cloned()
}

/// A client's handshake on a data connection. It owns all its state: await it, or keep it and poll it by
/// `&mut` from a select loop.
#[must_use = "a handshake does nothing until it is polled"]
pub struct ClientDataHandshake {
    handshake: Handshake,
    session: Arc<Session>,
}

impl Future for ClientDataHandshake {
    type Output = Result<DataTls, TlsError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (stream, info) = ready!(Pin::new(&mut self.handshake).poll(cx))?;
        let expected = self.session.certificate.lock().unwrap_or_else(PoisonError::into_inner);
        if !info.resumed && certificate_of(&stream) != *expected {
            return Poll::Ready(Err(TlsError::OtherServer));
        }
        drop(expected);
        Poll::Ready(Ok(DataTls::new(stream, info, None)))
    }
}
