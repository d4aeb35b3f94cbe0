//! One control connection from greeting to goodbye.

mod doctor;
mod job;
mod login;
mod transfer;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use portway_interpreter::{Arrival, ControlConnection, End};
use portway_ops::Shown;
use portway_proto::{Action, Code, Reply};

use crate::ServerConfig;
use crate::storage::User;
use crate::turns::Turns;

/// The state that belongs to one control connection.
pub(crate) struct Session {
    shared: Arc<ServerConfig>,
    turns: Arc<Turns>,
    client: ControlConnection,
    user: Option<Box<User>>,
    /// For SITE DOCTOR; boxed once there is something.
    seen: Option<Box<doctor::Seen>>,
}

impl portway_interpreter::Session for Session {
    fn client(&mut self) -> &mut ControlConnection {
        &mut self.client
    }

    async fn greet(&mut self) -> Result<(), End> {
        if self.client.implicit_tls {
            self.start_tls().await?;
        }
        self.client.say(Code::READY, "portway FTP server ready.");
        Ok(())
    }

    async fn line(&mut self, line: &[u8]) -> Result<(), End> {
        let action = self.client.dialogue.line(line);
        self.act(action).await
    }

    async fn wait(&mut self) -> Result<(), End> {
        self.client.wait(std::future::pending::<Infallible>()).await.map(drop)
    }

    async fn close(&mut self, end: End) {
        let user = self.user.as_ref().map(|user| Shown::from(user.principal.name.as_str()));
        self.client.close(user, end).await;
    }
}

impl Session {
    /// A session on a fresh connection; `None` if that has died in the queue, and nobody is there to serve.
    pub(crate) fn open(shared: Arc<ServerConfig>, turns: Arc<Turns>, arrival: Arrival) -> Option<Self> {
        let client = ControlConnection::open(arrival)?;
        Some(Self { shared, turns, client, user: None, seen: None })
    }

    /// Does what the dialogue decided.
    async fn act(&mut self, action: Action<'_>) -> Result<(), End> {
        if let Some(action) = self.client.perform(action).await? {
            let reply = match action {
                Action::StartTls(reply) => return self.auth(&reply).await,
                Action::Verify { user, secret } => return self.log_in(&user, secret).await,
                Action::Transfer(transfer) => return self.transfer(&transfer).await,
                action => self.reply_to(action).await?,
            };
            self.client.answer(&reply);
        }
        if self.client.dialogue.user().is_none() {
            self.forget_user();
        }
        Ok(())
    }

    /// Does what takes no data connection and changes neither TLS nor login.
    async fn reply_to(&mut self, action: Action<'_>) -> Result<Reply, End> {
        let client = &mut self.client;
        Ok(match action {
            Action::Perform(command) => match &mut self.user {
                Some(user) => client.control.attend(user.perform(command, &client.dialogue)).await?,
                None => not_logged_in(),
            },
            Action::RenameFrom(path) => match &self.user {
                Some(user) => match user.can_rename(path) {
                    Ok(()) => client.dialogue.rename_from(path),
                    Err(reply) => reply,
                },
                None => not_logged_in(),
            },
            Action::Rename { from, to } => match &self.user {
                Some(user) => user.rename(&from, to),
                None => not_logged_in(),
            },
            Action::Idle(seconds) => self.site_idle(seconds),
            Action::Doctor => {
                let (who, announced) = ((client.peer, client.local), client.pending.announced_by_client());
                let named = self.user.as_ref().is_some_and(|user| !user.principal.anonymous);
                let told = doctor::tell(&mut self.seen, who, client.dialogue.protection(), announced, named);
                client.control.attend(told).await?
            }
            Action::Status => client.dialogue.status(&[format!("Idle timeout {} s", client.idle.as_secs())]),
            Action::Reinitialize(reply) => reply,
            _ => Reply::new(Code::NOT_IMPLEMENTED, "This command is not served."),
        })
    }

    async fn auth(&mut self, reply: &Reply) -> Result<(), End> {
        self.client.promise_tls(reply).await?;
        self.forget_user();
        self.start_tls().await?;
        self.client.dialogue.tls_started();
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let tls = self.client.parts.tls.as_ref().map(portway_net::ServerTls::control);
        self.client.start_tls(tls).await
    }

    /// REIN, USER and AUTH after a login: all that was the user's goes.
    fn forget_user(&mut self) {
        if self.user.take().is_some() {
            self.client.belongs_to(None);
            self.client.may_log_in_again();
        }
    }

    fn site_idle(&mut self, seconds: Option<u64>) -> Reply {
        let idle = &mut self.client.idle;
        let most = self.client.parts.timeouts.idle.max(Duration::from_secs(7200));
        match seconds {
            None => Reply::new(Code::OK, format_args!("Idle timeout is {} s.", idle.as_secs())),
            Some(seconds) if (30..=most.as_secs()).contains(&seconds) => {
                *idle = Duration::from_secs(seconds);
                Reply::new(Code::OK, format_args!("Idle timeout is {seconds} s now."))
            }
            Some(_) => Reply::new(
                Code::BAD_PARAMETER,
                format_args!("SITE IDLE: from 30 to {} seconds.", most.as_secs()),
            ),
        }
    }
}

fn not_logged_in() -> Reply {
    Reply::new(Code::NOT_LOGGED_IN, "Please log in with USER and PASS.")
}
