//! Why TLS did not come about, in words for a person.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::{AlertDescription, CertificateError, Error};

use super::TlsMin;
use crate::hello::Offer;

/// Why TLS did not come about. The text says what happened, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    // The peer's doing.
    /// The peer does not speak TLS at all.
    #[error("{peer} sent plain text where TLS was expected (\"{first}\"): {}", peer.plain_cure())]
    NotTls {
        /// Who.
        peer: Party,
        /// The first octets, made printable.
        first: String,
    },
    /// The client is too old.
    #[error("no common version: the client offers {offered}, this server needs {needed}; update the client")]
    Version {
        /// The newest version the client knows.
        offered: String,
        /// The oldest version the server takes.
        needed: &'static str,
    },
    /// The client is for another protocol (ALPACA: a browser led to an FTP port).
    #[error("the client offered ALPN {offered}, not ftp: it is no FTP client")]
    Alpn {
        /// What it offered, with commas.
        offered: String,
    },
    /// The client knows no cipher we know.
    #[error("no common cipher or key exchange ({what}): update the client")]
    Cipher {
        /// Which part of the agreement failed.
        what: String,
    },
    /// The client showed no certificate, or a bad one.
    #[error("the client's certificate was refused: {0}")]
    ClientCertificate(String),
    /// The server showed a certificate we do not trust.
    #[error("the server's certificate was refused: {0}")]
    ServerCertificate(String),
    /// A data connection ended at another server than the control connection.
    #[error(
        "the data connection shows another certificate than the control connection: somebody is in between"
    )]
    OtherServer,
    /// The peer broke off.
    #[error("{peer} broke off with the alert \"{alert}\"{hint}")]
    Alert {
        /// Who.
        peer: Party,
        /// The alert, as RFC 8446 §6 names it.
        alert: String,
        /// What that mostly means; empty, or beginning with a colon.
        hint: &'static str,
    },
    /// The peer closed the connection half-way.
    #[error("{peer} closed the connection before the TLS handshake was finished")]
    Closed {
        /// Who.
        peer: Party,
    },
    /// The peer broke the rules of TLS.
    #[error("{peer} broke the rules of TLS: {what}")]
    Broken {
        /// Who.
        peer: Party,
        /// The rule.
        what: String,
    },
    // Our own doing.
    /// A certificate or key file cannot be used.
    #[error("{path}: {what}", path = path.display())]
    File {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Certificate and key are not a pair, or a name cannot stand in a certificate.
    #[error("{0}")]
    Setup(String),
    // Nobody's.
    /// The connection broke.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(#[from] io::Error),
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The other end is a client.
    Client,
    /// The other end is a server.
    Server,
}

impl Party {
    fn plain_cure(self) -> &'static str {
        match self {
            Self::Client => "switch encryption on in the client, or let it connect to the port for plain FTP",
            Self::Server => {
                "this port wants no TLS, or wants it only after AUTH TLS; try ftp:// in place of ftps://"
            }
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the client",
            Self::Server => "the server",
        })
    }
}

/// What went wrong in a handshake, before it is put into words.
#[derive(Debug)]
pub(crate) enum Fault {
    Closed,
    Io(io::Error),
    Tls {
        error: Error,
        /// The client's hello, if there was one.
        offer: Option<Box<Offer>>,
        /// The first octets that could not be worked off.
        first: Vec<u8>,
    },
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Fault {
    pub(crate) fn explain(self, peer: Party, needed: TlsMin) -> TlsError {
        let (error, offer, first) = match self {
            Self::Closed => return TlsError::Closed { peer },
            Self::Io(error) => return TlsError::Io(error),
            Self::Tls { error, offer, first } => (error, offer.unwrap_or_default(), first),
        };
        match error {
            Error::InvalidMessage(_) if looks_like_text(&first) => {
                TlsError::NotTls { peer, first: printable(&first) }
            }
            Error::NoApplicationProtocol => TlsError::Alpn {
                offered: offer.alpn.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", "),
            },
            // Old hellos lack more than the version; the version is what a person can change.
            Error::PeerIncompatible(_) if (1..needed.on_the_wire()).contains(&offer.newest) => {
                TlsError::Version { offered: version_name(offer.newest), needed: needed.name() }
            }
            Error::PeerIncompatible(what) => TlsError::Cipher { what: format!("{what:?}") },
            Error::NoCertificatesPresented => certificate(peer, "none was shown, but one is required".into()),
            Error::InvalidCertificate(why) => certificate(peer, certificate_fault(&why)),
            Error::AlertReceived(alert) => {
                TlsError::Alert { peer, alert: alert_name(alert), hint: alert_hint(alert) }
            }
            other => TlsError::Broken { peer, what: other.to_string() },
        }
    }
}

fn certificate(peer: Party, why: String) -> TlsError {
    match peer {
        Party::Client => TlsError::ClientCertificate(why),
        Party::Server => TlsError::ServerCertificate(why),
    }
}

fn certificate_fault(why: &CertificateError) -> String {
    match why {
        // Those after the first are said of another key, or one of another kind, under a name we trust.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "nobody we trust has signed it".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; is the clock right?".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another host name".into()
        }
        CertificateError::ApplicationVerificationFailure => "it is not the one that was pinned".into(),
        CertificateError::Revoked => "it has been revoked".into(),
        other => other.to_string(),
    }
}

/// `certificate_unknown` for `CertificateUnknown`: the spelling of RFC 8446 §6.
fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn alert_hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired => {
            ": it does not trust the certificate it was shown; accept it there, or use one from a known authority"
        }
        AlertDescription::ProtocolVersion => ": it knows no version of TLS that is acceptable here",
        AlertDescription::HandshakeFailure => ": it found no cipher in common",
        AlertDescription::CertificateRequired => ": it asks for a client certificate",
        AlertDescription::NoApplicationProtocol => ": it is no FTP server",
        AlertDescription::UserCanceled => ": somebody cancelled there",
        _ => "",
    }
}

/// The name people know a version by.
fn version_name(wire: u16) -> String {
    match wire {
        0x0300 => "SSL 3.0".into(),
        0x0301..=0x0304 => format!("TLS 1.{}", wire - 0x0301),
        other => format!("version {other:#06x}"),
    }
}

/// True for what an FTP or HTTP peer says first: a word or a reply code.
fn looks_like_text(first: &[u8]) -> bool {
    first.len() >= 3 && first.iter().take(3).all(|octet| octet.is_ascii_alphanumeric())
}

/// The first line, at most 40 octets, safe to print. PASS keeps its secret.
fn printable(octets: &[u8]) -> String {
    let line = octets.split(|&o| o == b'\r' || o == b'\n').next().unwrap_or_default();
    if line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"PASS")) {
        return "PASS ***".into();
    }
    line.iter()
        .take(40)
        .map(|&o| if o.is_ascii_graphic() || o == b' ' { char::from(o) } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_rfc() {
        assert_eq!(alert_name(AlertDescription::CertificateUnknown), "certificate_unknown");
        assert_eq!(version_name(0x0301), "TLS 1.0");
        assert_eq!(version_name(0x0304), "TLS 1.3");
    }

    #[test]
    fn a_signer_of_a_trusted_name_with_a_key_of_another_kind_is_nobody_we_trust() {
        let why = CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: vec![6, 8],
            public_key_algorithm_id: vec![6, 9],
        };
        assert_eq!(certificate_fault(&why), "nobody we trust has signed it");
    }

    #[test]
    fn what_is_quoted_is_one_printable_line_without_a_password() {
        assert_eq!(printable(b"USER a\x1b[2J\r\nPASS x"), "USER a?[2J");
        assert_eq!(printable(b"pass secret"), "PASS ***");
    }
}
