//! Why no data connection came about, and whose doing that is.

use std::fmt;
use std::net::SocketAddr;

use portway_data::LinkError;
use serde::Serialize;

use crate::Blame;

/// What the attempts to open a data connection showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Each attempt in order.
    pub attempts: Vec<Attempt>,
}

/// One attempt to open a data connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// `EPSV`, `PASV`, `EPRT` or `PORT`.
    pub by: &'static str,
    /// Where the connection was to go.
    pub to: Option<SocketAddr>,
    /// What came of it.
    pub outcome: Outcome,
    /// In words.
    pub detail: String,
}

/// What came of an attempt to open a data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The command was refused.
    CommandRefused,
    /// No answer to our SYN, or no SYN from the server.
    Silent,
    /// A reset.
    Reset,
    /// ICMP said no.
    Unreachable,
    /// The server says it could not connect (425).
    ServerCouldNot,
    /// The proxy does not do it.
    Proxy,
    /// Something of this machine.
    Local,
}

impl Verdict {
    /// Who is to blame, and what to do, from the pattern of the attempts.
    #[must_use]
    pub fn judge(&self) -> (Blame, String) {
        let passive = |a: &&Attempt| matches!(a.by, "EPSV" | "PASV");
        let count = |outcome: Outcome, want_passive: bool| {
            self.attempts.iter().filter(|a| passive(a) == want_passive && a.outcome == outcome).count()
        };
        let tried_active = self.attempts.iter().any(|a| !passive(&a) && a.outcome != Outcome::CommandRefused);
        let mut ports: Vec<String> = self
            .attempts
            .iter()
            .filter(|a| passive(a) && a.outcome != Outcome::CommandRefused)
            .filter_map(|a| a.to.map(|to| to.port().to_string()))
            .collect();
        ports.dedup();
        let ports = ports.join(", ");
        let refused = |want_passive: bool| count(Outcome::CommandRefused, want_passive) > 0;
        let and_active = if tried_active {
            "; active mode failed as well: a firewall or NAT on this side lets no connection from the server in"
        } else if refused(false) {
            "; the server refuses active mode"
        } else {
            "; until then --mode active or --mode auto may work"
        };
        if self.attempts.iter().any(|a| a.outcome == Outcome::Proxy) {
            let text = "the proxy leads to the control port and not to the data port: its rules must allow the \
                        server's passive ports; a proxy for the web alone is of no use for FTP";
            return (Blame::OurNetwork, text.to_owned());
        }
        if count(Outcome::Silent, true) > 0 {
            let text = format!(
                "a firewall at the server drops its passive ports ({ports} seen): its administrator must open the passive range{and_active}"
            );
            return (Blame::TheirNetwork, text);
        }
        if count(Outcome::Unreachable, true) > 0 {
            let text = format!(
                "a firewall rejects connections to the passive ports ({ports} seen); it is on the way to the server{and_active}"
            );
            return (Blame::Network, text);
        }
        if count(Outcome::Reset, true) > 0 {
            let text = format!(
                "the passive ports ({ports} seen) are rejected: the server's firewall or NAT does not forward its passive range{and_active}"
            );
            return (Blame::TheirNetwork, text);
        }
        if tried_active {
            let text = if refused(true) {
                "the server refuses passive mode, and its own connection does not reach this machine: a firewall or NAT on \
                 this side drops it; let the server in (--active-ports, --active-address), or have its administrator allow \
                 passive mode"
            } else {
                "the server's connection does not reach this machine: a firewall or NAT on this side drops it; \
                 use passive mode, or set --active-ports and --active-address and let that range in"
            };
            return (Blame::OurNetwork, text.to_owned());
        }
        if refused(true) && !refused(false) {
            return (
                Blame::Server,
                "the server refuses passive mode; try --mode active or --mode auto".to_owned(),
            );
        }
        if refused(false) && !refused(true) {
            return (
                Blame::Server,
                "the server refuses active mode; try --mode passive or --mode auto".to_owned(),
            );
        }
        (Blame::Server, "the server refuses every data mode; --mode or --tls may change that".to_owned())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, attempt) in self.attempts.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            match attempt.to {
                Some(to) => write!(f, "{separator}{} {to}: {}", attempt.by, attempt.detail)?,
                None => write!(f, "{separator}{}: {}", attempt.by, attempt.detail)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn outcome_of(error: &LinkError) -> Outcome {
    match error {
        LinkError::Refused => Outcome::Reset,
        LinkError::Unreachable(_) => Outcome::Unreachable,
        LinkError::Proxy(_) => Outcome::Proxy,
        LinkError::Silent { .. } | LinkError::NobodyCame { .. } => Outcome::Silent,
        _ => Outcome::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, Error, Phase};

    fn attempt(by: &'static str, outcome: Outcome) -> Attempt {
        Attempt { by, to: Some("198.51.100.1:40000".parse().unwrap()), outcome, detail: "x".to_owned() }
    }

    #[test]
    fn the_pattern_of_attempts_names_the_side_to_blame() {
        use Outcome::{CommandRefused, Reset, Silent, Unreachable};
        for (name, attempts, blame, says) in [
            (
                "server firewall drops",
                vec![("EPSV", Silent), ("PASV", Silent)],
                Blame::TheirNetwork,
                "open the passive range",
            ),
            (
                "both blocked",
                vec![("EPSV", Silent), ("PORT", Silent)],
                Blame::TheirNetwork,
                "active mode failed as well",
            ),
            ("rejected", vec![("EPSV", Reset), ("EPSV", Reset)], Blame::TheirNetwork, "does not forward"),
            ("ICMP", vec![("EPSV", Unreachable)], Blame::Network, "rejects"),
            ("active alone", vec![("PORT", Silent)], Blame::OurNetwork, "use passive mode"),
            (
                "passive refused, active blocked",
                vec![("EPSV", CommandRefused), ("PORT", Silent)],
                Blame::OurNetwork,
                "this side",
            ),
            (
                "passive refused and forced",
                vec![("EPSV", CommandRefused)],
                Blame::Server,
                "try --mode active",
            ),
            (
                "active refused and forced",
                vec![("PORT", CommandRefused)],
                Blame::Server,
                "try --mode passive",
            ),
            (
                "passive silent, active refused",
                vec![("EPSV", Silent), ("PORT", CommandRefused)],
                Blame::TheirNetwork,
                "the server refuses active mode",
            ),
            (
                "all refused",
                vec![("EPSV", CommandRefused), ("PORT", CommandRefused)],
                Blame::Server,
                "refuses every",
            ),
        ] {
            let attempts = attempts.into_iter().map(|(by, outcome)| attempt(by, outcome)).collect();
            let error = Error::new(Phase::DataConnect, Cause::NoData(Verdict { attempts }));
            assert_eq!(error.blame, blame, "{name}");
            assert!(error.remedy().unwrap().contains(says), "{name}: {}", error.remedy().unwrap());
        }
    }
}
