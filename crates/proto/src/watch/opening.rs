//! A hole to open, and the reply that waits for it.

use std::net::SocketAddr;

use crate::{Announced, Code, Expected, Reply};

/// One data connection that both sides agreed on: open the way for it, then let the client know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// For which connection.
    pub want: Expected,
    pub(super) told: Told,
}

/// What the client is told once the way is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The server's reply to PORT or EPRT.
    Agreed(Vec<u8>),
    /// 227 with the address.
    Passive(SocketAddr),
    /// 229 with the port.
    ExtendedPassive(SocketAddr),
}

impl Opening {
    /// The line for the client, CRLF included.
    ///
    /// `announce` takes the place of the server's address and port in 227 and 229, where the gate translates.
    #[must_use]
    pub fn line(&self, announce: Option<SocketAddr>) -> Vec<u8> {
        let mut line = Vec::new();
        match &self.told {
            Told::Agreed(reply) => return reply.clone(),
            Told::Passive(server) => {
                match Announced::new(announce.unwrap_or(*server)).host_port() {
                    Some(six) => Reply::new(Code::PASSIVE, format_args!("Entering Passive Mode ({six}).")),
                    None => Reply::new(Code::CANT_OPEN_DATA, "PASV has no form for IPv6, use EPSV."),
                }
                .emit(&mut line);
            }
            Told::ExtendedPassive(server) => {
                let port = Announced::new(announce.unwrap_or(*server)).port_only();
                Reply::new(Code::EXTENDED_PASSIVE, format_args!("Entering Extended Passive Mode ({port})."))
                    .emit(&mut line);
            }
        }
        line
    }

    /// The line for the client if the way cannot be opened: 425 and the reason.
    #[must_use]
    pub fn failed(&self, why: impl std::fmt::Display) -> Vec<u8> {
        let mut line = Vec::new();
        Reply::new(Code::CANT_OPEN_DATA, format_args!("No data connection: {why}.")).emit(&mut line);
        line
    }
}
