//! From a URL to a session: name, TCP, greeting, TLS, login.

use std::sync::Arc;

use portway_net::{ClientControlTls, ClientTls, ClientTlsOptions, Control, Identity, prepare_control};
use portway_proto::client::{ClientSession, CommandId, Features, Login, LoginError, LoginStep};
use portway_proto::{Command, Mechanism, Protection, RawReply, Representation, printable};
use tokio::time::{Instant, timeout};

use super::Connection;
use super::route::{Reached, logins, reach, remembered};
use super::trust::{self, Certified, certified};
use crate::{Cause, Error, Phase, Seen, Settings, Target, TlsChoice, Verdict, memory};

impl Connection {
    /// Opens a session with the server of `target` and logs in.
    ///
    /// # Errors
    /// [`Error`] names the phase that failed.
    pub async fn open(target: &Target, settings: Arc<Settings>) -> Result<Self, Error> {
        let tls12 = settings.tls12_only;
        Self::open_as(target, settings, tls12).await
    }

    async fn open_as(target: &Target, settings: Arc<Settings>, tls12: bool) -> Result<Self, Error> {
        let trace = settings.trace.next_connection();
        let Reached { stream, peer, local, round_trip, through } = reach(target, &settings, &trace).await?;
        prepare_control(&stream).map_err(|error| Error::new(Phase::Connect, Cause::Control(error)))?;
        let mut connection = Self {
            target: target.clone(),
            trace,
            control: Control::from(stream),
            session: ClientSession::new(),
            peer,
            local,
            round_trip,
            through,
            doorway: Default::default(),
            tls: None,
            private: false,
            features: Features::default(),
            greeting: String::new(),
            tried: Verdict::default(),
            chosen: None,
            public: None,
            memory_key: memory::key(local.ip(), peer, &remembered(target, &settings)),
            tls12,
            had_tickets: false,
            next: None,
            swallows_noop: false,
            wants_pret: false,
            broken: false,
            kept: None,
            no_blocks: false,
            settings,
        };
        if target.implicit_tls {
            connection = connection.start_tls().await?;
        }
        connection.greet().await?;
        if !target.implicit_tls && connection.settings.tls != TlsChoice::Off {
            connection = connection.ask_for_tls().await?;
        }
        connection.login().await?;
        connection.settle().await?;
        Ok(connection)
    }

    /// Replaces a control connection that is of no more use, and keeps what was learnt about ways to data.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn reconnect(&mut self) -> Result<(), Error> {
        let fresh = Self::open_as(&self.target, Arc::clone(&self.settings), self.tls12).await?;
        let old = std::mem::replace(self, fresh);
        old.trace.record(|| Seen::Closed);
        self.tried = old.tried;
        self.chosen = old.chosen;
        self.public = old.public;
        self.no_blocks = old.no_blocks;
        self.next = old.next;
        self.swallows_noop = old.swallows_noop;
        self.wants_pret = old.wants_pret;
        Ok(())
    }

    async fn greet(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + self.settings.timeouts.greeting;
        loop {
            let answer = self.answer(Phase::Greeting, deadline).await?;
            if answer.id != CommandId::GREETING || !answer.fits {
                return Err(self.out_of_step(Phase::Greeting, "the connection".to_owned(), answer.reply));
            }
            if answer.reply.code >= 400 {
                let cause = Cause::Login(LoginError::Busy { text: words(&answer.reply) });
                return Err(self.fail(Phase::Greeting, cause));
            }
            if answer.last {
                self.greeting = words(&answer.reply);
                return Ok(());
            }
        }
    }

    /// AUTH TLS (RFC 4217 §4).
    async fn ask_for_tls(mut self) -> Result<Self, Error> {
        let reply = self.call_in(Phase::Tls, &Command::Auth(Mechanism::Tls)).await?;
        if reply.code == 234 || reply.code == 334 {
            return self.start_tls().await;
        }
        if self.settings.tls == TlsChoice::Required {
            let command = "AUTH TLS".to_owned();
            let mut error = Error::new(Phase::Tls, Cause::Refused { command, reply });
            error.remedy =
                Some("this server has no TLS; --tls off sends password and files in the clear".to_owned());
            return Err(error);
        }
        self.trace.note("the server has no TLS: password and files go in the clear");
        Ok(self)
    }

    async fn start_tls(mut self) -> Result<Self, Error> {
        let server = certified(&self.target, &self.settings);
        let tls =
            client_tls(&self.settings, &server, self.tls12).map_err(|error| Error::new(Phase::Tls, error))?;
        if self.session.tls_started() {
            let cause = Cause::Policy(
                "the server sent text in the clear behind its AUTH reply: somebody may be in between",
            );
            return Err(Error::new(Phase::Tls, cause));
        }
        let limit = self.settings.timeouts.tls;
        self.control = match timeout(limit, self.control.connect_tls(&tls)).await {
            Err(_) => return Err(Error::new(Phase::Tls, Cause::Silence(limit))),
            Ok(Err(error)) => return Err(trust::refused(error, &tls, &self.settings, &server)),
            Ok(Ok(control)) => control,
        };
        trust::remember(&tls, &self.settings, &server)?;
        if let Some(info) = self.control.tls() {
            let (version, cipher, resumed) =
                (info.version.to_string(), info.cipher.to_string(), info.resumed);
            self.trace.record(|| Seen::Tls { channel: "control", version, cipher, resumed });
        }
        self.tls = Some(tls);
        self.private = true;
        Ok(self)
    }

    async fn login(&mut self) -> Result<(), Error> {
        for credentials in logins(&self.target, &self.settings) {
            let mut login = Login::new(credentials);
            let mut reply = self.call_in(Phase::Login, &login.first()).await?;
            loop {
                reply = match login.step(&reply) {
                    LoginStep::Send(command) => self.call_in(Phase::Login, &command).await?,
                    LoginStep::LoggedIn => break,
                    LoginStep::Failed(error) => return Err(self.fail(Phase::Login, Cause::Login(error))),
                };
            }
        }
        Ok(())
    }

    /// Asks for features and sets what every transfer needs, all in one round trip.
    async fn settle(&mut self) -> Result<(), Error> {
        let feat = self.queue(&Command::Feat)?;
        let mut prot = None;
        if self.private {
            self.queue(&Command::Pbsz(0))?;
            prot = Some(self.queue(&Command::Prot(Protection::Private))?);
        }
        let last = self.queue(&Command::Type(Representation::Image))?;
        self.flush(Phase::Command).await?;
        let deadline = Instant::now() + self.settings.timeouts.reply;
        loop {
            let answer = self.answer(Phase::Command, deadline).await?;
            if !answer.fits {
                return Err(self.out_of_step(Phase::Command, "FEAT".to_owned(), answer.reply));
            }
            if !answer.last {
                continue;
            }
            if answer.id == feat {
                self.features = Features::read(&answer.reply);
            }
            if Some(answer.id) == prot && answer.reply.code >= 400 {
                self.private = false;
                if self.settings.tls == TlsChoice::Required {
                    let command = "PROT P".to_owned();
                    return Err(Error::new(Phase::Tls, Cause::Refused { command, reply: answer.reply }));
                }
                self.trace.note("the server encrypts no data connections: files go in the clear");
            }
            if answer.id == last {
                break;
            }
        }
        // Some servers list UTF8 and want to be told (draft-ietf-ftpext-utf-8-option).
        if self.features.has("UTF8") {
            self.call(&Command::Opts { command: b"UTF8", options: Some(b"ON") }).await?;
        }
        Ok(())
    }
}

fn client_tls(
    settings: &Settings,
    server: &Certified,
    tls12_only: bool,
) -> Result<ClientControlTls, portway_net::TlsError> {
    let identity = settings.identity.as_ref().map(|(cert, key)| Identity::load(cert, key)).transpose()?;
    let trust = trust::of(settings, server);
    let options = ClientTlsOptions { trust, tls12_only, identity, ..ClientTlsOptions::default() };
    ClientTls::new(&options)?.control(&server.host)
}

fn words(reply: &RawReply) -> String {
    reply.lines.iter().map(|line| printable(line.trim_ascii())).collect::<Vec<_>>().join(" / ")
}
