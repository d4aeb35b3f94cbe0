//! What the rules about commands make of a line.

use portway_ops::Refused;
use portway_proto::{Command, RawReply, quote, unquote};

use portway_interpreter::End;

use super::Session;
use crate::rules::{self, Ruled, Sender};

impl Session {
    /// Judges a command by the rules of this session.
    pub(super) async fn ruled(&mut self, command: &Command<'_>) -> Result<Ruled, End> {
        if self.filter.rules.is_empty() {
            return Ok(Ruled::Pass);
        }
        self.learn_directory(command).await?;
        let ruled = rules::judge(&self.filter.rules, command, self.sender());
        if matches!(ruled, Ruled::Denied(_)) {
            self.client.record(Refused {
                session: Some(self.client.entry.id()),
                peer: self.client.peer.ip().to_canonical(),
                what: command.verb().map_or("command", |verb| verb.name()),
                why: "rule",
            });
            return Ok(ruled);
        }
        // Where the session is after these only the server knows.
        if let (
            Command::Cwd(_)
            | Command::Cdup
            | Command::Rnto(_)
            | Command::Site(_)
            | Command::Unserved { .. }
            | Command::Other { .. },
            Some(server),
        ) = (command, &mut self.upstream)
        {
            server.directory = None;
        }
        Ok(ruled)
    }

    /// A 257 with the path as the client names it, where rules have moved it.
    pub(super) fn with_clients_path(&self, reply: RawReply) -> RawReply {
        if reply.code != 257 || self.filter.rules.is_empty() {
            return reply;
        }
        let told = reply.lines.last().and_then(|line| unquote(line));
        let back = told.and_then(|path| rules::moved_back(&self.filter.rules, &path, self.sender()));
        match back {
            // RFC 959 Appendix II.
            Some(path) => {
                RawReply { code: 257, lines: vec![[&quote(&path)[..], b" is the directory."].concat()] }
            }
            None => reply,
        }
    }

    /// Who sends commands now.
    pub(super) fn sender(&self) -> Sender<'_> {
        match &self.upstream {
            Some(server) => Sender {
                user: &server.accepted,
                host: server.leg.host(),
                directory: server.directory.as_deref(),
            },
            None => Sender { user: b"", host: "", directory: None },
        }
    }

    /// Asks the server where the session is, once after each move, if the rules have whole paths in them.
    async fn learn_directory(&mut self, command: &Command<'_>) -> Result<(), End> {
        let logged_in = self.client.dialogue.user().is_some();
        let Some(server) = &self.upstream else { return Ok(()) };
        let known = server.directory.is_some() || !logged_in;
        if known || !rules::names_path(command) || !rules::need_directory(&self.filter.rules) {
            return Ok(());
        }
        let Some(reply) = self.ask(&Command::Pwd).await? else { return Ok(()) };
        let told = (reply.code == 257).then(|| reply.lines.first()).flatten();
        if let (Some(line), Some(server)) = (told, &mut self.upstream) {
            server.directory = unquote(line).filter(|path| path.starts_with(b"/"));
        }
        Ok(())
    }
}
