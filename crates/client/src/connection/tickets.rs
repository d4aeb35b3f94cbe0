//! TLS sessions for data connections: what is left to resume, and a new control connection where nothing is.

use portway_proto::RawReply;
use portway_proto::client::{Temper, temper};

use super::Connection;
use crate::Error;

impl Connection {
    /// Some servers send no TLS 1.3 tickets on uploads, and each counts once. Before the last one is gone the
    /// control connection is made anew under TLS 1.2, whose session can be resumed at will.
    pub(crate) async fn renew_tickets(&mut self) -> Result<(), Error> {
        let Some(tls) = self.tls.as_ref().filter(|_| self.private) else { return Ok(()) };
        if tls.tickets_left() > 0 {
            self.had_tickets = true;
            return Ok(());
        }
        if !self.had_tickets || self.tls12 {
            return Ok(());
        }
        self.trace.note("the TLS tickets are used up: a new control connection, under TLS 1.2");
        self.tls12 = true;
        self.reconnect().await
    }

    /// Whether another data connection could not resume.
    pub(crate) fn short_of_tickets(&self) -> bool {
        let tls = self.tls.as_ref().filter(|_| self.private);
        self.had_tickets && !self.tls12 && tls.is_some_and(|tls| tls.tickets_left() == 0)
    }

    /// Whether the server refused because the data connection did not resume; the next one will be able to.
    pub(super) fn wants_reuse(&mut self, reply: Option<&RawReply>) -> bool {
        let wants = reply.is_some_and(|reply| reply.code >= 400 && temper(reply) == Temper::SessionReuse);
        if !wants || !self.private || self.tls12 {
            return false;
        }
        self.trace.note("the server wants the TLS session resumed: a new control connection, under TLS 1.2");
        self.tls12 = true;
        self.broken = true;
        true
    }
}
