//! Logging in: at the proxy, if it asks for that, and at the server.

use portway_ops::{Login as Logged, LoginResult, Refused, SessionState, Shown};
use portway_proto::{Action, Code, Command, RawReply, Verdict};
use zeroize::Zeroizing;

use super::command::not_connected;
use portway_interpreter::{End, NotIn};

use super::{Server, Session};
use crate::Kind;
use crate::guesses::{Guesser, TooOften, Turn};
use crate::login::{Step, Then};
use crate::quota::{Allowance, TooMany};
use crate::rules::other_name;
use crate::upstream::NoServer;

impl Session {
    /// USER, PASS and ACCT.
    pub(super) async fn enter(&mut self, line: &[u8], command: Command<'_>) -> Result<(), End> {
        if let Command::User(name) = command {
            if name.iter().any(u8::is_ascii_control) {
                // Pure-FTPd reads `_` in place of each, others leave them out: who it is there, nobody here can tell.
                self.client.say(Code::BAD_PARAMETER, "USER: no name has control characters in it.");
                return Ok(());
            }
            // The dialogue knows what must come before, such as TLS, and who is no FTP client at all.
            let action = self.client.dialogue.line(line);
            if !matches!(&action, Action::Reply(reply) if reply.code() == Code::NEED_PASSWORD) {
                return self.act(action).await;
            }
        }
        let forward = matches!(self.config.kind, Kind::Forward(_));
        let connected = self.upstream.is_some();
        let step = match command {
            Command::User(name) if forward => self.login.user(name, connected),
            Command::User(name) => return self.log_in_behind(line, name).await,
            Command::Pass(secret) if forward => self.login.password(secret),
            Command::Acct(secret) if forward => self.login.account(secret),
            _ => Step::Pass,
        };
        match step {
            Step::AskPassword => {
                self.client.say(Code::NEED_PASSWORD, "Password of the proxy's account, please.");
            }
            Step::AskAccount => {
                self.client.say(Code::NEED_ACCOUNT, "Now ACCT with the password for this proxy.");
            }
            Step::Refuse(why) => self.client.say(Code::NOT_LOGGED_IN, why),
            Step::Check { name, secret, then } => {
                if self.check(&name, &secret).await? {
                    // A second login gives the place of the first back.
                    self.account = Allowance::default();
                    match self.config.user_limits.admit_account(&name) {
                        Ok(allowance) => self.account = allowance,
                        Err(full) => return self.too_many(full),
                    }
                    self.login.checked();
                    return self.go(then).await;
                }
            }
            Step::Go(then) => return self.go(then).await,
            Step::Pass if self.upstream.is_none() => {
                self.client.say(Code::BAD_SEQUENCE, "USER comes before PASS and ACCT.");
            }
            // Pure-FTPd and others answer it with 202 before any login: only who was asked for it logs in by it.
            Step::Pass
                if matches!(command, Command::Acct(_))
                    && !self.upstream.as_ref().is_some_and(|server| server.wants_account) =>
            {
                return self.pass_on(&command).await.map(drop);
            }
            Step::Pass => {
                if let (Command::User(name), Some(server)) = (&command, &mut self.upstream) {
                    server.user = name.to_vec();
                }
                return self.log_in(&command).await;
            }
        }
        Ok(())
    }

    /// Goes on after the login at the proxy.
    pub(super) async fn go(&mut self, then: Then) -> Result<(), End> {
        match then {
            Then::Welcome => {
                self.client.say(Code::LOGGED_IN, "Logged in at the proxy; now USER name@host, or OPEN host.");
            }
            Then::Connect(to) => match self.connect_to(&to).await? {
                Ok(()) => {
                    let greeting = self.upstream.as_ref().map(|server| server.leg.greeting().clone());
                    let words = greeting.map(|reply| crate::upstream::shown(&reply)).unwrap_or_default();
                    self.client.say(Code::READY, format_args!("Connected to {to} ({words}); now USER."));
                }
                Err(error) => {
                    // It counts as a login that failed, and nobody fails without a name.
                    let _ = self.client.dialogue.command(Command::User(b"OPEN"));
                    return self.refuse_server(&error);
                }
            },
            Then::LogIn { to, user, password } => {
                // Leaving the old server forgets the name that the dialogue was told.
                let connected = self.connect_to(&to).await?;
                let _ = self.client.dialogue.command(Command::User(&user));
                match connected {
                    Ok(()) => {
                        if let Some(server) = &mut self.upstream {
                            server.user.clone_from(&user);
                        }
                        return self.log_in_with(&user, password).await;
                    }
                    Err(error) => return self.refuse_server(&error),
                }
            }
        }
        Ok(())
    }

    /// A reverse or transparent proxy: the name decides where to, and goes there as it is.
    async fn log_in_behind(&mut self, line: &[u8], name: &[u8]) -> Result<(), End> {
        let connected = self.connect_for(name).await?;
        let _ = self.client.dialogue.line(line);
        match connected {
            Ok(()) => {
                if let Some(server) = &mut self.upstream {
                    server.user = name.to_vec();
                }
                if let Some(taken) = &self.takeover {
                    taken.origin.user(name);
                }
                self.log_in_with(name, None).await
            }
            Err(error) => self.refuse_server(&error),
        }
    }

    /// Tells the client why there is no server. Who tries one after the other is sent away, as one who guesses
    /// passwords.
    fn refuse_server(&mut self, error: &NoServer) -> Result<(), End> {
        let enough = matches!(self.client.dialogue.verified(Verdict::Rejected), Action::Close(_));
        if matches!(error, NoServer::NotAllowed(_)) {
            self.client.record(Refused {
                session: Some(self.client.entry.id()),
                peer: self.client.peer.ip().to_canonical(),
                what: "destination",
                why: "not_allowed",
            });
        }
        let code = if error.may_pass() { Code::UNAVAILABLE } else { Code::NOT_LOGGED_IN };
        // A reverse proxy does not tell strangers how its network looks.
        match self.config.kind {
            Kind::Reverse(_) => {
                self.client
                    .say(code, "The server behind this proxy is not available; the proxy's log says why.");
            }
            Kind::Forward(_) | Kind::Transparent(_) => self.client.say(code, format_args!("{error}.")),
        }
        if enough { Err(End::REFUSED) } else { Ok(()) }
    }

    async fn log_in_with(&mut self, user: &[u8], password: Option<Zeroizing<Vec<u8>>>) -> Result<(), End> {
        let Some(password) = password else { return self.log_in(&Command::User(user)).await };
        let Some(reply) = self.ask(&Command::User(user)).await? else { return Ok(()) };
        match reply.code {
            331..=336 => self.log_in(&Command::Pass(&password)).await,
            _ => self.judged(&reply).await,
        }
    }

    /// Passes a step of the login on.
    async fn log_in(&mut self, command: &Command<'_>) -> Result<(), End> {
        if self.upstream.is_none() {
            self.client.control.queue(&not_connected());
            return Ok(());
        }
        self.client.entry.set_state(SessionState::LoggingIn);
        let turn = match self.turn(command).await? {
            Ok(turn) => turn,
            Err(TooOften) => return self.guessed_too_often(),
        };
        let reply = self.ask(command).await?;
        self.client.entry.set_state(SessionState::Idle);
        let Some(reply) = reply else { return Ok(()) };
        let guest = self.upstream.as_ref().is_some_and(|server| other_name(&server.user).is_some());
        match (turn, reply.code) {
            // Whoever logs in anonymously has shown nothing that would make up for wrong guesses.
            (Some(turn), 200..=299) if !guest => turn.judged(true),
            (Some(turn), 530) => turn.judged(false),
            _ => {}
        }
        self.judged(&reply).await
    }

    /// Whether the client may have another password tried. A server that knows whose connection it is counts by itself.
    async fn turn(&mut self, command: &Command<'_>) -> Result<Result<Option<Turn>, TooOften>, End> {
        let known = self.takeover.is_some() || self.config.leg.header.is_some();
        let (Command::Pass(_), Some(server), false) = (command, &self.upstream, known) else {
            return Ok(Ok(None));
        };
        let at = self.users_at(server);
        let turn = self.config.guesses.turn(Guesser::new(self.client.peer.ip(), at));
        Ok(self.client.control.attend(turn).await?.map(Some))
    }

    fn guessed_too_often(&mut self) -> Result<(), End> {
        self.client.record(Refused {
            session: Some(self.client.entry.id()),
            peer: self.client.peer.ip().to_canonical(),
            what: "login",
            why: "throttled",
        });
        let why = "Too many failed logins from your address; try again in some minutes.";
        self.client.say(Code::UNAVAILABLE, why);
        Err(End::REFUSED)
    }

    /// The address that tells users of one name apart: all servers behind a reverse proxy are taken to have the same.
    fn users_at(&self, server: &Server) -> Option<std::net::IpAddr> {
        match self.config.kind {
            Kind::Reverse(_) => None,
            Kind::Forward(_) | Kind::Transparent(_) => Some(server.leg.peer().ip().to_canonical()),
        }
    }

    /// What the server said to a step of the login.
    async fn judged(&mut self, reply: &RawReply) -> Result<(), End> {
        if let Some(server) = &mut self.upstream {
            server.wants_account = reply.code == Code::NEED_ACCOUNT.number();
        }
        let refused = match reply.code {
            200..=299 => match &mut self.upstream {
                None => return Ok(()),
                Some(server) => match self.client.control.attend(server.leg.protect()).await? {
                    Ok(()) => {
                        if let Err(full) = self.take_place() {
                            return self.too_many(full);
                        }
                        self.is_in();
                        self.delete_leftovers().await?;
                        if self.upstream.is_some() {
                            self.pass_reply(reply);
                        }
                        return Ok(());
                    }
                    Err(NoServer::Lost(lost)) => return self.server_lost(&lost),
                    Err(error) => {
                        self.leave_server();
                        return self.refuse_server(&error);
                    }
                },
            },
            300..=399 => {
                self.pass_reply(reply);
                return Ok(());
            }
            _ => reply,
        };
        self.log_login(Some("refused_by_server"));
        if self.takeover.as_ref().is_some_and(|taken| !taken.origin.login_refused()) {
            let why = "Too many failed logins from your address; try again in some minutes.";
            self.client.say(Code::UNAVAILABLE, why);
            return Err(End::REFUSED);
        }
        // Some servers go on with the old login, and then PASS is answered 230 again.
        if let Some(server) = &mut self.upstream {
            server.user.clone_from(&server.accepted);
        }
        match self.client.dialogue.verified(Verdict::Rejected) {
            Action::Close(reply) => {
                self.client.control.queue(&reply);
                Err(End::REFUSED)
            }
            _ => {
                self.pass_reply(refused);
                Ok(())
            }
        }
    }

    /// Takes the user's place among those that it may have here.
    fn take_place(&mut self) -> Result<(), TooMany> {
        let at = self.upstream.as_ref().and_then(|server| self.users_at(server));
        let Some(server) = &mut self.upstream else { return Ok(()) };
        server.allowance = Allowance::default();
        let limits = &self.config.user_limits;
        server.allowance = limits.admit_user(&server.user, server.leg.host(), at)?;
        Ok(())
    }

    fn too_many(&mut self, full: TooMany) -> Result<(), End> {
        self.client.record(Refused {
            session: Some(self.client.entry.id()),
            peer: self.client.peer.ip().to_canonical(),
            what: "login",
            why: "too_many_of_user",
        });
        self.leave_server();
        self.client.say(Code::UNAVAILABLE, format_args!("There are {full}; closing."));
        Err(End::REFUSED)
    }

    /// The server let the user in.
    fn is_in(&mut self) {
        let _ = self.client.dialogue.verified(Verdict::Accepted(String::new()));
        self.calls = 0;
        self.log_login(None);
        let Some(server) = &mut self.upstream else { return };
        server.accepted.clone_from(&server.user);
        server.directory = None;
        let name = name_at(&server.user, server.leg.host());
        self.client.belongs_to(Some(&name));
    }

    fn log_login(&self, reason: Option<&'static str>) {
        let Some(server) = &self.upstream else { return };
        self.client.record(Logged {
            session: self.client.entry.id(),
            peer: self.client.peer.ip().to_canonical(),
            user: Shown::from(name_at(&server.user, server.leg.host())),
            result: if reason.is_none() { LoginResult::Ok } else { LoginResult::Failed },
            tls: self.client.control.tls_version(),
            reason,
        });
    }

    /// Checks an account of the proxy; if it is wrong, the client has been told.
    async fn check(&mut self, name: &[u8], secret: &[u8]) -> Result<bool, End> {
        let peer = self.client.peer.ip();
        let refused = match &self.config.door {
            Some(door) => self.client.control.attend(door.check(peer, name, secret)).await?.err(),
            None => None,
        };
        self.client.record(Logged {
            session: self.client.entry.id(),
            peer: peer.to_canonical(),
            user: Shown::new(name),
            result: if refused.is_none() { LoginResult::Ok } else { LoginResult::Failed },
            tls: self.client.control.tls_version(),
            reason: refused.as_ref().map(|NotIn(_, why)| *why),
        });
        let Some(NotIn(verdict, _)) = refused else { return Ok(true) };
        let action = self.client.dialogue.verified(verdict);
        self.act(action).await.map(|()| false)
    }
}

fn name_at(user: &[u8], host: &str) -> Vec<u8> {
    [user, b"@", host.as_bytes()].concat()
}
