//! Who a command is for: the proxy, the server, or both.

use portway_proto::{Action, Announced, Code, Command, RawReply, Reply, Site};

use portway_interpreter::End;

use super::Session;
use crate::features;
use crate::rules::Ruled;
use crate::upstream::{Lost, Said};
use crate::{Kind, login};

impl Session {
    /// Serves one line.
    pub(super) async fn judge_line(&mut self, line: &[u8]) -> Result<(), End> {
        let Ok(command) = Command::parse(line) else {
            let action = self.client.dialogue.line(line);
            return self.act(action).await;
        };
        match self.ruled(&command).await? {
            Ruled::Pass => self.serve_line(line, command).await,
            Ruled::Denied(reply) => {
                self.client.control.queue(&reply);
                Ok(())
            }
            Ruled::Instead(line) => match Command::parse(&line) {
                Ok(command) => self.serve_line(&line, command).await,
                Err(error) => {
                    self.client.control.queue(&error.reply());
                    Ok(())
                }
            },
        }
    }

    async fn serve_line(&mut self, line: &[u8], command: Command<'_>) -> Result<(), End> {
        match command {
            Command::User(_) | Command::Pass(_) | Command::Acct(_) => self.enter(line, command).await,
            Command::Port(announced) | Command::Eprt(announced) if self.denied_port(&announced).is_some() => {
                let port = self.denied_port(&announced).unwrap_or_default();
                let why = format!("port {port} is on the list of denied ports");
                self.tell_origin(&why);
                self.client.say(Code::BAD_PARAMETER, format_args!("The firewall's {why}."));
                Ok(())
            }
            // What concerns the client's own leg never reaches the server.
            Command::Auth(_)
            | Command::Pbsz(_)
            | Command::Prot(_)
            | Command::Ccc
            | Command::Abor
            | Command::Quit
            | Command::Rein => {
                let action = self.client.dialogue.line(line);
                self.act(action).await
            }
            Command::Pasv | Command::Epsv(_) | Command::Port(_) | Command::Eprt(_) => {
                let action = self.client.dialogue.line(line);
                self.act(action).await?;
                self.open_server_side_ahead().await
            }
            Command::Host(name) => {
                let action = self.client.dialogue.line(line);
                if matches!(&action, Action::Reply(reply) if reply.code() == Code::READY) {
                    self.host = Some(name.to_vec());
                }
                self.act(action).await
            }
            Command::Other { verb, arg: Some(host) } if self.takes_open(verb, b"OPEN") => {
                self.open_command(host).await
            }
            // RFC 6384 §11: what an FTP ALG between address families has to say about itself.
            Command::Other { verb, arg } if verb.eq_ignore_ascii_case(b"ALGS") => {
                self.client.control.queue(&algs(arg.unwrap_or_default()));
                Ok(())
            }
            // `SITE host` opens a server; logged in, SITE is the server's.
            Command::Site(Site::Other(host))
                if self.upstream.is_none() && self.takes_open(b"SITE", b"SITE") =>
            {
                self.open_command(host).await
            }
            Command::Feat => self.feat().await,
            Command::Help(topic) => self.help(line, topic.is_some()).await,
            Command::Retr(_)
            | Command::Stor(_)
            | Command::Appe(_)
            | Command::Stou(_)
            | Command::List(_)
            | Command::Nlst(_)
            | Command::Mlsd(_) => self.begin_transfer(line, command).await,
            _ if self.upstream.is_none() => {
                let action = match command {
                    // What they say depends on the server.
                    Command::Syst | Command::Stat(_) => Action::Reply(not_connected()),
                    _ => self.client.dialogue.line(line),
                };
                self.act(action).await
            }
            // Settings that both legs have to know.
            Command::Type(_) | Command::Mode(_) | Command::Rest(_) => self.set(line, command).await,
            command => self.pass_on(&command).await.map(drop),
        }
    }

    /// The port of an announcement, if data connections must not lead there.
    fn denied_port(&self, announced: &Announced) -> Option<u16> {
        let port = announced.vet(self.client.peer.ip()).ok()?.addr().port();
        self.config.leg.denied_ports.contains(&port).then_some(port)
    }

    fn takes_open(&self, verb: &[u8], open: &[u8]) -> bool {
        matches!(self.config.kind, Kind::Forward(_)) && verb.eq_ignore_ascii_case(open)
    }

    /// Has the server answer, and passes its reply on. The code that the client got.
    pub(super) async fn pass_on(&mut self, command: &Command<'_>) -> Result<u16, End> {
        if let Err(refused) = self.filter.judge(command) {
            let code = refused.code().number();
            self.client.control.queue(&refused);
            return Ok(code);
        }
        let Some(server) = &mut self.upstream else {
            self.client.control.queue(&not_connected());
            return Ok(530);
        };
        let id = match self.client.control.attend(server.leg.send(command)).await? {
            Ok(Ok(id)) => id,
            Ok(Err(refused)) => {
                self.pass_reply(&refused);
                return Ok(refused.code);
            }
            Err(lost) => return self.server_lost(&lost).map(|()| 421),
        };
        let mut begun = None;
        loop {
            let Some(server) = &mut self.upstream else { return Ok(421) };
            match self.client.control.attend(server.leg.next_part(id)).await? {
                Ok(Said::Part(part)) => {
                    self.pass_part(&part, begun.is_some(), true);
                    begun = Some(part.code);
                    // The server waits for a client that does not read.
                    self.client.flush().await?;
                }
                Ok(Said::End(mut rest)) => {
                    // The client waits for the code that it was told first.
                    rest.code = begun.unwrap_or(rest.code);
                    let rest = if begun.is_some() { rest } else { self.with_clients_path(rest) };
                    self.pass_part(&rest, begun.is_some(), false);
                    return Ok(rest.code);
                }
                Err(lost) => return self.cut_short(begun, &lost).map(|()| 421),
            }
        }
    }

    /// The server is lost, perhaps in the middle of a reply.
    fn cut_short(&mut self, begun: Option<u16>, lost: &Lost) -> Result<(), End> {
        if let Some(code) = begun {
            let end = RawReply { code, lines: vec![b"(cut short)".to_vec()] };
            self.pass_part(&end, true, false);
        }
        self.server_lost(lost)
    }

    fn pass_part(&mut self, raw: &RawReply, begun: bool, more: bool) {
        match Reply::part_passed_on(raw, begun, more) {
            Some(part) => self.client.control.queue(&part),
            None => self.pass_reply(raw),
        }
    }

    /// Has the server answer; `None` if it is lost, and the client has been told.
    pub(super) async fn ask(
        &mut self,
        command: &Command<'_>,
    ) -> Result<Option<portway_proto::RawReply>, End> {
        let Some(server) = &mut self.upstream else {
            self.client.control.queue(&not_connected());
            return Ok(None);
        };
        match self.client.control.attend(server.leg.call(command)).await? {
            Ok(reply) => Ok(Some(reply)),
            Err(lost) => self.server_lost(&lost).map(|()| None),
        }
    }

    /// TYPE, MODE and REST: the server decides, and what it accepts holds for our leg, too.
    async fn set(&mut self, line: &[u8], command: Command<'_>) -> Result<(), End> {
        if matches!(command, Command::Mode(portway_proto::Mode::Block)) {
            // A data connection of ours carries one transfer.
            let text = "MODE: only S (stream) and Z (deflate) pass the proxy.";
            self.client.control.queue(&Reply::new(Code::PARAMETER_NOT_IMPLEMENTED, text));
            return Ok(());
        }
        if matches!(command, Command::Mode(portway_proto::Mode::Deflate)) && self.config.inspect.is_some() {
            let text = "MODE: only S (stream) passes the proxy, which looks into files.";
            self.client.control.queue(&Reply::new(Code::PARAMETER_NOT_IMPLEMENTED, text));
            return Ok(());
        }
        if self.client.dialogue.user().is_none() {
            let action = self.client.dialogue.line(line);
            return self.act(action).await;
        }
        let code = self.pass_on(&command).await?;
        if (200..400).contains(&code) {
            let _ = self.client.dialogue.command(command);
        }
        Ok(())
    }

    async fn feat(&mut self) -> Result<(), End> {
        let known = match &mut self.upstream {
            Some(server) => server.features.clone(),
            // All servers behind a reverse proxy are taken to be alike.
            None => match &self.config.kind {
                Kind::Reverse(routes) => routes.only_group().and_then(|group| group.features()),
                Kind::Forward(_) | Kind::Transparent(_) => None,
            },
        };
        let known = match known {
            None if self.upstream.is_some() => {
                let Some(reply) = self.ask(&Command::Feat).await? else { return Ok(()) };
                self.remember_features(&reply);
                Some(reply)
            }
            known => known,
        };
        let reply = features::feat(known.as_ref(), &self.client.parts.policy, &self.filter, self.sender());
        self.client.control.queue(&reply);
        Ok(())
    }

    fn remember_features(&mut self, reply: &portway_proto::RawReply) {
        // Some servers say more after the login.
        if reply.code / 100 != 2 || self.client.dialogue.user().is_none() {
            return;
        }
        if let Some(server) = &mut self.upstream {
            server.features = Some(reply.clone());
        }
        if let Kind::Reverse(routes) = &self.config.kind
            && let Some(group) = routes.only_group()
        {
            group.has_features(reply);
        }
    }

    async fn help(&mut self, line: &[u8], topic: bool) -> Result<(), End> {
        if topic {
            let action = self.client.dialogue.line(line);
            return self.act(action).await;
        }
        let server = match self.upstream {
            Some(_) => match self.ask(&Command::Help(None)).await? {
                Some(reply) => Some(reply),
                None => return Ok(()),
            },
            None => None,
        };
        self.client.control.queue(&features::help(server.as_ref(), &self.filter, self.sender()));
        Ok(())
    }

    async fn open_command(&mut self, host: &[u8]) -> Result<(), End> {
        if self.client.parts.policy.tls_required && !self.client.dialogue.is_secure() {
            self.client.say(Code::NOT_LOGGED_IN, "This proxy needs TLS: send AUTH TLS first.");
            return Ok(());
        }
        match self.login.open(host) {
            login::Step::Go(then) => self.go(then).await,
            login::Step::Refuse(why) => {
                self.client.say(Code::NOT_LOGGED_IN, why);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn not_connected() -> Reply {
    Reply::new(Code::NOT_LOGGED_IN, "No server is connected: log in first.")
}

/// RFC 6384 §11. Both legs choose their data commands by themselves, so there is nothing to turn on or off.
fn algs(token: &[u8]) -> Reply {
    let token = token.trim_ascii();
    if token.eq_ignore_ascii_case(b"STATUS64") || token.eq_ignore_ascii_case(b"ENABLE64") {
        return Reply::new(Code::ALG_STATUS, "EPSV EPRT");
    }
    if token.eq_ignore_ascii_case(b"DISABLE64") {
        return Reply::new(
            Code::PARAMETER_NOT_IMPLEMENTED,
            "ALGS: the proxy ends both sessions and always translates.",
        );
    }
    Reply::new(Code::BAD_PARAMETER, "ALGS: expected STATUS64, ENABLE64 or DISABLE64.")
}
