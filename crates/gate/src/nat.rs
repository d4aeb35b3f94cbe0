//! What address translation asks of an announcement.
//!
//! The gate follows what an administrator's rules did to the control connection: the client knows the server by a
//! public address, or the server knows the client by one, or both. Announcements then name the public address, and
//! the data connection is translated alike.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use portway_nft::{Key, Remote, Translation};

use crate::rows::SessionRow;

/// What to announce, and what to translate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nat {
    pub(crate) announced: Option<SocketAddr>,
    pub(crate) translate: Vec<Translation>,
}

impl SessionRow {
    /// For a data connection of this session to `to`, which leads to the server or else to the client; `shown` is
    /// the port that the server was told in place of the client's.
    pub(crate) fn nat(&self, to_server: bool, to: SocketAddr, shown: Option<u16>) -> Nat {
        let mut nat = Nat::default();
        let (client, server) = (self.client.ip(), self.server.ip());
        if to_server {
            if let Some(public) = self.server_seen_as {
                let public = SocketAddr::new(public.ip(), to.port());
                nat.announced = Some(public);
                nat.translate.push(Translation::To { key: Key::new(client, public), into: to });
            }
            return nat;
        }
        if let Some(image) = self.client_seen_as {
            let image = SocketAddr::new(image, shown.unwrap_or(to.port()));
            nat.announced = Some(image);
            nat.translate.push(Translation::To { key: Key::new(server, image), into: to });
        }
        if let Some(public) = self.server_seen_as {
            // Clients check who calls: it must be the server that they know.
            nat.translate.push(Translation::From { key: Key::new(server, to), into: public.ip() });
        }
        nat
    }
}

/// Translations in the kernel, each as long as anybody needs it.
///
/// A hole that was used is in the book until its session goes on, and meanwhile the server may announce the same
/// port to another session of the same client.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    users: HashMap<Translation, usize>,
}

impl Shared {
    /// Begins all of them, or none.
    ///
    /// # Errors
    /// As [`Remote::translate`]; `AlreadyExists` if the same connection is translated into another.
    pub(crate) fn begin(
        &mut self,
        kernel: &mut Remote,
        all: &[Translation],
        within: Duration,
    ) -> io::Result<()> {
        for (done, one) in all.iter().enumerate() {
            if self.users.contains_key(one) {
                // With a new time limit; gone already if the old one was up.
                let _ = kernel.restore(one);
            }
            if let Err(error) = kernel.translate(one, within) {
                self.end(kernel, all.get(..done).unwrap_or_default());
                return Err(error);
            }
            *self.users.entry(*one).or_default() += 1;
        }
        Ok(())
    }

    /// Ends those that nobody else needs.
    pub(crate) fn end(&mut self, kernel: &mut Remote, all: &[Translation]) {
        for one in all {
            let Some(users) = self.users.get_mut(one) else { continue };
            *users -= 1;
            if *users == 0 {
                self.users.remove(one);
                // Gone already if its time was up.
                let _ = kernel.restore(one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_35_announcement_and_translation_agree() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let row = SessionRow {
            session: 1,
            client: addr("10.0.0.7:40000"),
            server: addr("10.1.0.1:21"),
            server_seen_as: Some(addr("203.0.113.1:21")),
            client_seen_as: Some(addr("203.0.113.2:0").ip()),
            user: None,
            opaque: false,
        };
        let passive = row.nat(true, addr("10.1.0.1:5000"), None);
        assert_eq!(passive.announced, Some(addr("203.0.113.1:5000")));
        let key = Key::new(row.client.ip(), addr("203.0.113.1:5000"));
        assert_eq!(passive.translate, [Translation::To { key, into: addr("10.1.0.1:5000") }]);
        let active = row.nat(false, addr("10.0.0.7:5000"), Some(6000));
        assert_eq!(active.announced, Some(addr("203.0.113.2:6000")));
        assert_eq!(active.translate.len(), 2);
        let plain = SessionRow { server_seen_as: None, client_seen_as: None, ..row };
        assert_eq!(plain.nat(true, addr("10.1.0.1:5000"), None), Nat::default());
    }
}
