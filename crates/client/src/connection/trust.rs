//! Whose certificate is believed on the control connection, and what the user is told when it is not.

use portway_net::{ClientControlTls, ProxyKind, TlsError, Trust};

use crate::{ChangedCertificate, Error, Phase, Settings, Target, TlsTrust};

/// The server that has to show a certificate.
pub(super) struct Certified {
    /// The name that it must bear.
    pub(super) host: String,
    /// The name under which it is known: host and port.
    pub(super) known_as: String,
}

/// Behind an FTP proxy the proxy itself is what answers to AUTH TLS.
pub(super) fn certified(target: &Target, settings: &Settings) -> Certified {
    let proxy = settings.reach.proxy.as_deref();
    match proxy.filter(|proxy| proxy.kind == ProxyKind::Ftp) {
        Some(proxy) => Certified { host: proxy.host.clone(), known_as: proxy.authority() },
        None => Certified { host: target.host.clone(), known_as: target.authority() },
    }
}

/// What the settings say, for this server.
pub(super) fn of(settings: &Settings, server: &Certified) -> Trust {
    match &settings.trust {
        TlsTrust::File(file) => Trust::Only(file.clone()),
        TlsTrust::Pinned(fingerprint) => Trust::Pinned(fingerprint.clone()),
        TlsTrust::Nobody => Trust::Insecure,
        TlsTrust::System => match settings.known.recall(&server.known_as) {
            Some(known) => Trust::SystemOrPinned(known),
            None if settings.known.trusts_first() => Trust::SystemOrAnyone,
            None => Trust::System,
        },
    }
}

/// Writes down a certificate that was believed at first sight.
pub(super) fn remember(tls: &ClientControlTls, settings: &Settings, server: &Certified) -> Result<(), Error> {
    let first = settings.trust == TlsTrust::System
        && !tls.is_vouched_for()
        && settings.known.recall(&server.known_as).is_none();
    let Some(shown) = tls.server_fingerprint().filter(|_| first) else { return Ok(()) };
    settings.known.learn(&server.known_as, &shown).map_err(|error| {
        let file = settings.known.file().map(|file| file.display().to_string()).unwrap_or_default();
        Error::local(file, format_args!("{error}; a certificate that cannot be remembered is not believed"))
    })
}

/// A handshake that failed; for a refused certificate with what to do about it.
pub(super) fn refused(
    error: TlsError,
    tls: &ClientControlTls,
    settings: &Settings,
    server: &Certified,
) -> Error {
    let shown = tls.server_fingerprint().filter(|_| matches!(error, TlsError::ServerCertificate(_)));
    let Some(shown) = shown else { return Error::new(Phase::Tls, error) };
    let known = settings.known.recall(&server.known_as).filter(|_| settings.trust == TlsTrust::System);
    if let Some(known) = known {
        let file = settings.known.file().map(|file| file.display().to_string()).unwrap_or_default();
        let server = server.known_as.clone();
        let remedy = format!(
            "ask its administrator; if the change is meant, remove the line of {server} from {file} and use \
             --trust-first again, or --pin SHA256:{shown}"
        );
        let mut error = Error::new(Phase::Tls, ChangedCertificate { server, known, shown });
        error.remedy = Some(remedy);
        return error;
    }
    let mut error = Error::new(Phase::Tls, error);
    error.remedy = Some(format!(
        "it has the fingerprint SHA256:{shown}. If its administrator confirms that: --pin SHA256:{shown} for this \
         once, --trust-first to keep it from now on. Otherwise --ca FILE names who signed it, and --insecure \
         trusts anybody"
    ));
    error
}
