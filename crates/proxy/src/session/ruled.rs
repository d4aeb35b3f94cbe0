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
            self.note_move(command);
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
        self.note_move(command);
        Ok(ruled)
    }

    /// Where the session is after some commands only the server knows.
    fn note_move(&mut self, command: &Command<'_>) {
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

    /// Learns where the session is, if the rules have whole paths in them.
    async fn learn_directory(&mut self, command: &Command<'_>) -> Result<(), End> {
        let logged_in = self.client.dialogue.user().is_some();
        if !logged_in || !rules::names_path(command) || !rules::need_directory(&self.filter.rules) {
            return Ok(());
        }
        self.ask_directory().await
    }

    /// Asks the server where the session is, once after each move.
    pub(super) async fn ask_directory(&mut self) -> Result<(), End> {
        if self.upstream.as_ref().is_none_or(|server| server.directory.is_some()) {
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
