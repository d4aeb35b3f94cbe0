//! AUTH, PROT and CCC (RFC 2228, RFC 4217).

use super::action::{Action, Channel};
use super::server::{ServerSession, reply};
use crate::{Code, Mechanism, Protection, Reply};

impl ServerSession {
    pub(super) fn auth(&mut self, mechanism: Mechanism<'_>) -> Action<'static> {
        match mechanism {
            _ if !self.policy.tls => reply(Code::NOT_IMPLEMENTED, "TLS is off on this server."),
            Mechanism::Other(_) => reply(Code::PARAMETER_NOT_IMPLEMENTED, "AUTH: only TLS is served."),
            _ if self.secure => reply(Code::BAD_SEQUENCE, "The control channel is under TLS already."),
            kind => {
                self.pbsz = kind == Mechanism::TlsWithData;
                self.protection =
                    if kind == Mechanism::TlsWithData { Protection::Private } else { Protection::Clear };
                Action::StartTls(Reply::new(Code::AUTH_OK, "Start TLS now."))
            }
        }
    }

    pub(super) fn protect(&mut self, level: Protection) -> Action<'static> {
        if !self.pbsz {
            // RFC 4217 §9: PBSZ comes first, and PBSZ needs AUTH.
            return reply(Code::BAD_SEQUENCE, "AUTH TLS and PBSZ 0 come before PROT.");
        }
        if level == Protection::Clear && self.policy.tls_required {
            return reply(Code::DENIED_BY_POLICY, "This server sends data over TLS only.");
        }
        if self.protection != level {
            // An open port was announced for the other kind.
            self.channel = Channel::None;
        }
        self.protection = level;
        reply(
            Code::OK,
            match level {
                Protection::Private => "Data goes over TLS.",
                Protection::Clear => "Data goes in the clear.",
            },
        )
    }

    pub(super) fn clear_command_channel(&self) -> Action<'static> {
        if !self.secure {
            // RFC 4217 §6 and RFC 2228 §3: CCC without protection is 533.
            return reply(Code::PROTECTION_DENIED, "The control channel is clear already.");
        }
        if !self.policy.ccc {
            return reply(Code::DENIED_BY_POLICY, "CCC is off: commands stay under TLS.");
        }
        Action::StopTls(Reply::new(Code::OK, "Commands go in the clear from here."))
    }
}
