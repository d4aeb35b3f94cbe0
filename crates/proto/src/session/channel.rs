//! How the next data connection is agreed on: PASV, EPSV, PORT, EPRT, and the commands that use it.

use super::action::{Action, Channel, Transfer, TransferKind};
use super::server::{ServerSession, reply};
use std::net::IpAddr;

use crate::{Announced, Code, Epsv, Family, Protection, Refused, Reply, Verb};

impl ServerSession {
    pub(super) fn passive(&mut self) -> Action<'static> {
        if self.epsv_all {
            return after_epsv_all("PASV");
        }
        if Family::of(self.peer) == Family::V6 {
            return Action::Reply(wants_epsv());
        }
        self.channel = Channel::None;
        Action::Offer(Verb::Pasv)
    }

    pub(super) fn extended_passive(&mut self, kind: Epsv) -> Action<'static> {
        match kind {
            Epsv::All => {
                // RFC 2428 §4: from here on only EPSV.
                self.epsv_all = true;
                self.channel = Channel::None;
                return reply(Code::OK, "Only EPSV from here.");
            }
            Epsv::Family(family) if family != Family::of(self.peer) => {
                return Action::Reply(wrong_family(Family::of(self.peer)));
            }
            _ => {}
        }
        self.channel = Channel::None;
        Action::Offer(Verb::Epsv)
    }

    pub(super) fn active(&mut self, verb: Verb, announced: Announced) -> Action<'static> {
        if self.epsv_all {
            return after_epsv_all(verb.name());
        }
        let family = Family::of(self.peer);
        if Family::of(announced.claim().ip()) != family {
            return Action::Reply(wrong_family(family));
        }
        self.channel = Channel::None;
        let vetted = match announced.vet(self.peer) {
            Err(Refused::ForeignHost { announced: claim, .. })
                if self.policy.translated_clients && is_private(claim) =>
            {
                announced.vet_port_on(self.peer)
            }
            other => other,
        };
        match vetted {
            Ok(vetted) => Action::Target(verb, vetted),
            Err(refused) => reply(Code::BAD_PARAMETER, format_args!("{}: {refused}.", verb.name())),
        }
    }

    pub(super) fn transfer<'a>(&mut self, kind: TransferKind<'a>) -> Action<'a> {
        let (channel, restart) = (std::mem::take(&mut self.channel), std::mem::take(&mut self.restart));
        if self.policy.tls_required && self.protection == Protection::Clear {
            return reply(
                Code::DATA_PROTECTION_REQUIRED,
                "This server sends data over TLS only: send PROT P.",
            );
        }
        if channel == Channel::None {
            return reply(Code::CANT_OPEN_DATA, "No data channel: send EPSV, PASV, EPRT or PORT first.");
        }
        let (representation, mode, protection) = (self.representation, self.mode, self.protection);
        let deflate_level = self.deflate_level;
        Action::Transfer(Transfer { kind, channel, restart, representation, mode, deflate_level, protection })
    }
}

/// Addresses that mean nothing outside of somebody's own network (RFC 1918, RFC 6598, RFC 4193).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || matches!(v4.octets(), [100, 64..=127, ..]),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

pub(super) fn wants_epsv() -> Reply {
    Reply::new(Code::PROTOCOL_NOT_SUPPORTED, "PASV has no form for IPv6, send EPSV (2).")
}

pub(super) fn wrong_family(ours: Family) -> Reply {
    // RFC 2428 §2: the list of usable protocols stands in brackets.
    Reply::new(
        Code::PROTOCOL_NOT_SUPPORTED,
        format_args!("Network protocol not supported, use ({})", ours.number()),
    )
}

fn after_epsv_all(verb: &str) -> Action<'static> {
    reply(Code::BAD_SEQUENCE, format_args!("{verb} is refused after EPSV ALL."))
}
