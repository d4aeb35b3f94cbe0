//! Whether the control channel can be encrypted, and what is wrong with the certificate.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use portway_client::TlsTrust;
use portway_doctor::{CertificateFault, Evidence, Software, Tls};
use portway_net::{Certificate, ClientTls, ClientTlsOptions, TlsError, Trust};
use portway_proto::client::Features;

use super::{greeted, under_tls};
use crate::doctor::probe::Plan;
use crate::doctor::talk::{Talk, shown, words};

/// AUTH TLS, the handshake and the certificate.
pub(super) async fn look_at_tls(plan: &mut Plan, to: SocketAddr, seen: &mut Evidence) -> Tls {
    let host = plan.wish.target.host.clone();
    let implicit = plan.wish.target.implicit_tls;
    let wanted = match rules(&plan.wish.settings.trust) {
        Ok(rules) => rules,
        Err(error) => return Tls::Failed(error.to_string()),
    };
    let anybody = match rules(&TlsTrust::Nobody) {
        Ok(rules) => rules,
        Err(error) => return Tls::Failed(error.to_string()),
    };
    let strict = match greeted(plan, to, implicit).await {
        Ok(talk) => talk,
        Err(why) => return Tls::Failed(why),
    };
    let strict = match implicit {
        true => strict,
        false => match agreed(strict, seen).await {
            Ok(talk) => talk,
            Err(tls) => return tls,
        },
    };
    let fault = match strict.start_tls(&wanted, &host).await {
        Ok(talk) => {
            talk.quit().await;
            None
        }
        Err(TlsError::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
            // The server's part of the handshake is the first thing that is large: try with small segments.
            plan.mss = Some(536);
            None
        }
        Err(error) => Some(error),
    };
    plan.tls = Some(anybody.clone());
    let Some(loose) = under_tls(plan, to).await else {
        if plan.mss.take().is_some() {
            plan.tls = None;
            return Tls::Cut("no answer".to_owned());
        }
        plan.tls = None;
        return match fault {
            // It was the server that could not be entered once more.
            None | Some(TlsError::ServerCertificate(_)) => Tls::Failed("the handshake failed".to_owned()),
            Some(error) => Tls::Cut(error.to_string()),
        };
    };
    let certificate = loose.tls.as_ref().and_then(portway_net::ClientControlTls::server_certificate);
    loose.quit().await;
    if let Some(TlsError::ServerCertificate(why)) = fault {
        seen.certificate = Some(match certificate {
            Some(certificate) => fault_of(&certificate, &host, &why),
            None => CertificateFault::Untrusted(why),
        });
    } else if let Some(error) = fault {
        seen.certificate = Some(CertificateFault::Untrusted(error.to_string()));
    }
    Tls::Works
}

/// What is wrong with a certificate that was refused.
fn fault_of(certificate: &Certificate, host: &str, why: &str) -> CertificateFault {
    let now = SystemTime::now();
    let days = |time: Duration| time.as_secs() / 86_400;
    if let Ok(over) = now.duration_since(certificate.not_after) {
        return CertificateFault::Expired(format!("it expired {} days ago", days(over)));
    }
    if let Ok(early) = certificate.not_before.duration_since(now) {
        return CertificateFault::Expired(format!("it is not valid for another {} days", days(early) + 1));
    }
    if !certificate.is_for(host) && (!certificate.self_signed || why.contains("name")) {
        return CertificateFault::WrongName(certificate.names.clone());
    }
    let whose = if certificate.self_signed {
        "it is self-signed".to_owned()
    } else {
        format!("signed by {}", certificate.issuer)
    };
    CertificateFault::Untrusted(format!("{why}: {whose}"))
}

/// The rules for TLS: as the user wants them, or such that any certificate passes.
fn rules(trust: &TlsTrust) -> Result<ClientTls, TlsError> {
    let trust = match trust {
        TlsTrust::System => Trust::System,
        TlsTrust::File(file) => Trust::Only(file.clone()),
        TlsTrust::Pinned(fingerprint) => Trust::Pinned(fingerprint.clone()),
        TlsTrust::Nobody => Trust::Insecure,
    };
    ClientTls::new(&ClientTlsOptions { trust, ..ClientTlsOptions::default() })
}

/// AUTH TLS, with what the server says about it.
async fn agreed(mut talk: Talk, seen: &mut Evidence) -> Result<Talk, Tls> {
    let features = match talk.call(&portway_proto::Command::Feat).await {
        Ok(reply) => Features::read(&reply),
        Err(lost) => return Err(Tls::Failed(lost.to_string())),
    };
    seen.names_epsv = features.has("EPSV");
    let reply = match talk.ask_for_tls().await {
        Ok(None) => return Ok(talk),
        Ok(Some(reply)) => reply,
        Err(lost) => return Err(Tls::Failed(format!("AUTH TLS: {lost}"))),
    };
    let said = words(&reply);
    // A server that knows the command and has no TLS says so, whatever its FEAT lists.
    let unknown = ["not understood", "unknown", "unrecognized", "unrecognised", "not recognized", "syntax"]
        .iter()
        .any(|word| said.to_ascii_lowercase().contains(word));
    let offers = ["AUTH", "PBSZ", "PROT"].into_iter().find(|name| features.has(name));
    let verdict = match (echoed_other(&said), offers) {
        (Some(other), _) => {
            Tls::Stripped(format!("AUTH TLS was sent, and the server quotes {other}: {}", shown(&reply)))
        }
        (None, Some(offer)) if unknown => Tls::Stripped(format!(
            "FEAT offers {offer}, and the server says that it does not know AUTH: {}",
            shown(&reply)
        )),
        _ => Tls::NotOffered,
    };
    seen.software = Software::guess(&talk.said);
    talk.quit().await;
    Err(verdict)
}

/// A verb in a refusal that is none: what a middlebox put in place of ours.
fn echoed_other(said: &str) -> Option<String> {
    said.split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| word.len() >= 3 && word.chars().all(|c| matches!(c, 'X' | 'x')))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_of_crosses_is_a_middlebox() {
        assert_eq!(echoed_other("Unknown command XXXX").as_deref(), Some("XXXX"));
        assert_eq!(echoed_other("AUTH not understood"), None);
    }
}
