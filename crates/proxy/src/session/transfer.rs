//! A transfer through both legs, and what the client says meanwhile.

use std::pin::pin;
use std::time::Duration;

use portway_data::Progress;
use portway_interpreter::{End, Pending, TransferRecord, patience};
use portway_net::ControlChannel;
use portway_ops::SessionState;
use portway_proto::client::{Answer, CommandId, Event};
use portway_proto::{Action, Code, Command, RawReply, Transfer};
use tokio::time::Instant;

use super::Session;
use super::carry::{Broken, Carried, Carry, Start, Way};
use super::command::not_connected;
use super::content::{Aside, Looked};
use super::verdict::Record;
use crate::upstream::{Lost, Opened};

/// How long the server may take to explain a data connection that broke.
pub(super) const EXPLAIN: Duration = Duration::from_secs(5);

/// How long it may take to confirm a transfer after the last octet: it may have to write them all out.
pub(super) const CONFIRM: Duration = Duration::from_secs(120);

/// How long the beginning of a download is kept back for its end, if the client's data connection stands: a small file
/// then costs its client one wake-up and one segment of the control connection.
const TOGETHER: Duration = Duration::from_millis(2);

/// What becomes known while a transfer runs.
pub(super) struct Course {
    way: Way,
    id: CommandId,
    began: Instant,
    /// An upload that has to pass first.
    pub(super) aside: Option<Aside>,
    pub(super) begun: bool,
    /// Until when the reply that says so waits for the final one.
    held: Option<Instant>,
    /// The server's final reply.
    pub(super) last: Option<RawReply>,
    pub(super) carried: Option<Carried>,
    /// When the wait for what is missing ends.
    until: Instant,
}

/// How the wait for a transfer ended.
pub(super) enum Ended {
    Done,
    /// ABOR.
    Aborted,
    /// The server is gone.
    ServerLost(Lost),
}

impl Session {
    /// RETR, STOR, LIST and their like.
    pub(super) async fn begin_transfer(&mut self, line: &[u8], command: Command<'_>) -> Result<(), End> {
        if self.upstream.is_some()
            && let Err(refused) = self.filter.judge(&command)
        {
            self.client.control.queue(&refused);
            return Ok(());
        }
        match self.client.dialogue.line(line) {
            Action::Transfer(transfer) => self.transfer(&transfer, command).await,
            action => self.act(action).await,
        }
    }

    async fn transfer(&mut self, transfer: &Transfer<'_>, command: Command<'_>) -> Result<(), End> {
        let began = Instant::now();
        let pending = std::mem::replace(&mut self.client.pending, Pending::Nothing);
        if !self.locate(transfer).await? {
            return Ok(());
        }
        let looked = match self.look_into(transfer).await? {
            Ok(looked) => looked,
            Err(reply) => {
                self.client.control.queue(&reply);
                return self.let_go(pending).await;
            }
        };
        let offset = if looked.is_some() { 0 } else { transfer.restart };
        let Some(opened) = self.open_server_side(offset).await? else { return self.let_go(pending).await };
        let Some(server) = &mut self.upstream else {
            self.client.control.queue(&not_connected());
            return self.let_go(pending).await;
        };
        let (inspection, leave_out, mut aside) = match looked {
            Some(Looked { inspection, leave_out, aside }) => (Some(inspection), leave_out, aside),
            None => (None, 0, None),
        };
        let command = aside.as_ref().map_or(command, Aside::stor);
        let record = Record {
            client: TransferRecord::new(transfer, &pending, transfer.kind.name(), began),
            server_mode: opened.way.name(),
            server: server.leg.peer(),
        };
        let id = match server.leg.send(&command).await {
            Ok(Ok(id)) => id,
            Ok(Err(refused)) => {
                self.pass_reply(&refused);
                return self.let_go(pending).await;
            }
            Err(lost) => return self.server_lost(&lost),
        };
        if let (Some(aside), Some(inspect)) = (&mut aside, &self.config.inspect) {
            aside.is_sent(inspect, server);
        }
        let (patience, reply) = (self.client.parts.timeouts.data, self.config.leg.timeouts.reply);
        let carry = Carry {
            way: if transfer.kind.is_upload() { Way::Up } else { Way::Down },
            client: pending,
            server: opened.channel,
            server_tls: server.leg.data_tls(),
            server_ip: server.leg.peer().ip(),
            patience,
            limit_rate: [self.account.rate, server.allowance.rate].into_iter().flatten().min(),
            inspection,
            leave_out,
        };
        self.client.entry.set_state(SessionState::Transferring);
        let live = self.client.entry.transfer(record.client.info());
        let (start, progress) = (Start::default(), Progress::default());
        let until = Instant::now() + reply;
        let mut course = Course {
            way: carry.way,
            id,
            began: Instant::now(),
            aside,
            begun: false,
            held: None,
            last: None,
            carried: None,
            until,
        };
        let ended = {
            let mut data = pin!(carry.run(&start, &progress));
            let ended = self.beside(data.as_mut(), &start, &mut course, &progress).await;
            if matches!(ended, Ok(Ended::Done)) && course.is_refused() {
                drop(live);
                self.client.entry.set_state(SessionState::Idle);
                self.conclude(ended, course, &record, &progress).await?;
                // The data connection ends behind the reply, see [`Self::let_go`].
                return self.client.flush().await;
            }
            ended
        };
        let ended = match ended {
            Ok(Ended::Done) => self.complete(&mut course, &progress).await,
            other => other,
        };
        live.add(progress.octets());
        drop(live);
        self.client.entry.set_state(SessionState::Idle);
        self.conclude(ended, course, &record, &progress).await
    }

    /// Ends what a client has opened for a transfer that is refused. The reply first: one that sees its data connection
    /// end before it takes that for all there is to know.
    async fn let_go(&mut self, pending: Pending) -> Result<(), End> {
        self.client.flush().await?;
        pending.dismiss().await;
        Ok(())
    }

    /// Asks for the server's data channel while the client, which has its answer, opens its own.
    pub(super) async fn open_server_side_ahead(&mut self) -> Result<(), End> {
        if matches!(self.client.pending, Pending::Nothing) {
            return Ok(());
        }
        self.client.flush().await?;
        let Some(server) = &mut self.upstream else { return Ok(()) };
        match self.client.control.attend(server.leg.open_data_ahead()).await? {
            Ok(()) => Ok(()),
            Err(lost) => self.server_lost(&lost),
        }
    }

    /// The server's data channel, and REST again if the client sent one: commands about the channel came in
    /// between, and RFC 959 §4.1.3 has the transfer follow at once. `None` if the client has been told why not.
    async fn open_server_side(&mut self, offset: u64) -> Result<Option<Opened>, End> {
        let Some(server) = &mut self.upstream else {
            self.client.control.queue(&not_connected());
            return Ok(None);
        };
        let opened = match self.client.control.attend(server.leg.open_data()).await? {
            Ok(Ok(opened)) => opened,
            Ok(Err(tried)) => {
                let why = format!("no data connection with the server ({tried})");
                self.client.log_no_channel("server", None, "server_side", &why);
                self.tell_origin(&why);
                self.client.say(Code::CANT_OPEN_DATA, format_args!("There is {why}."));
                return Ok(None);
            }
            Err(lost) => {
                self.server_lost(&lost)?;
                return Ok(None);
            }
        };
        if self.client.control.take_abort() {
            self.client.confirm_abort();
            return Ok(None);
        }
        // Also 0, where the server may still have the offset of a transfer that never was.
        if self.upstream.as_ref().is_some_and(|server| server.leg.needs_rest(offset)) {
            let Some(reply) = self.ask(&Command::Rest(offset)).await? else { return Ok(None) };
            if reply.code >= 400 && offset > 0 {
                self.pass_reply(&reply);
                return Ok(None);
            }
        }
        Ok(Some(opened))
    }

    /// Runs the data beside both control channels.
    async fn beside(
        &mut self,
        mut data: std::pin::Pin<&mut impl Future<Output = Carried>>,
        start: &Start,
        course: &mut Course,
        progress: &Progress,
    ) -> Result<Ended, End> {
        let mut news = Ok(true);
        loop {
            if self.client.heard(&news, progress)? {
                return Ok(Ended::Aborted);
            }
            let Some(server) = &mut self.upstream else { return Ok(Ended::Done) };
            if course.is_decided() {
                return Ok(Ended::Done);
            }
            let (moving, silent) = (course.carried.is_none(), self.client.control.is_silent());
            // While octets move, the pump watches over the time.
            let failing = course.last.as_ref().is_some_and(|reply| reply.code >= 400);
            let timed = course.held.is_some() || !(moving && course.begun && !failing);
            let until = course.held.unwrap_or(course.until);
            let far = Instant::now() + Duration::from_secs(24 * 3600);
            tokio::select! {
                biased;
                event = server.leg.event(far), if course.last.is_none() => match event {
                    Err(lost) => return Ok(Ended::ServerLost(lost)),
                    Ok(Some(Event::Unsolicited(reply))) if reply.code == 421 => {
                        return Ok(Ended::ServerLost(Lost::Closed(Some(reply))));
                    }
                    Ok(Some(Event::Answer(answer))) => {
                        if !answer.fits {
                            return Ok(Ended::ServerLost(Lost::OutOfStep(answer.reply)));
                        }
                        self.answered(answer, start, course);
                    }
                    Ok(_) => {}
                },
                carried = &mut data, if moving => {
                    let failed = carried.result.is_err();
                    course.until = Instant::now() + if failed { EXPLAIN } else { CONFIRM };
                    course.carried = Some(carried);
                    if !failed && course.way == Way::Up {
                        // The server waits for the end mark, which is not ours to give yet.
                        return Ok(Ended::Done);
                    }
                },
                exchanged = exchange(&mut self.client.control, course.held.is_some()), if !silent => {
                    if !matches!(exchanged, Ok(true)) {
                        course.held = None;
                    }
                    news = exchanged;
                },
                () = tokio::time::sleep_until(until), if timed => {
                    if course.held.take().is_none() {
                        return Ok(Ended::Done);
                    }
                },
            }
        }
    }

    /// A reply of the server's to the transfer command.
    fn answered(&mut self, answer: Answer, start: &Start, course: &mut Course) {
        if answer.id != course.id {
            return;
        }
        let reply = match &course.aside {
            Some(aside) => aside.named(answer.reply),
            None => answer.reply,
        };
        if !answer.last {
            if !std::mem::replace(&mut course.begun, true) {
                self.pass_reply(&reply);
                start.begin();
                if course.way == Way::Down && start.client_is_here() {
                    course.held = Some(Instant::now() + TOGETHER);
                }
            }
            return;
        }
        if reply.code < 300 && !course.begun {
            // Some servers say nothing but 226 when they have little to send.
            course.begun = true;
            self.client.say(Code::OPENING_DATA, "Here it comes.");
            start.begin();
        }
        // What was sent may still be on its way through us.
        course.until = Instant::now() + if reply.code >= 400 { EXPLAIN } else { CONFIRM };
        course.last = Some(reply);
    }

    /// The octets have arrived. An upload is ended only if the client is still there: without TLS the end of a
    /// program that was killed looks like the end of its file. Then the server's word is awaited.
    async fn complete(&mut self, course: &mut Course, progress: &Progress) -> Result<Ended, End> {
        let Some(carried) = &mut course.carried else { return Ok(Ended::Done) };
        if course.way == Way::Up
            && carried.result.is_ok()
            && let Some(sink) = carried.sink.take()
        {
            let taken = match &carried.facts.client {
                Some((_, false)) => course.began.elapsed(),
                _ => Duration::ZERO,
            };
            let news = self.client.control.read_to_end(patience(taken)).await;
            match self.client.heard(&news, progress) {
                Ok(false) => {}
                Ok(true) => {
                    drop(sink);
                    return Ok(Ended::Aborted);
                }
                Err(end) => {
                    drop(sink);
                    return Err(end);
                }
            }
            if let (Err(failure), Some(carried)) = (sink.finish().await, &mut course.carried) {
                carried.result = Err(Broken::server(&failure));
            }
            course.until = Instant::now() + CONFIRM;
        }
        if course.last.is_some() {
            return Ok(Ended::Done);
        }
        let idle = Start::default();
        let mut never = pin!(std::future::pending::<Carried>());
        self.beside(never.as_mut(), &idle, course, progress).await
    }
}

/// Reads what the client says; replies leave first unless they are kept back.
async fn exchange(control: &mut ControlChannel, held: bool) -> std::io::Result<bool> {
    if held { control.read().await } else { control.exchange().await }
}

impl Course {
    /// Whether nothing more needs to be known.
    fn is_decided(&self) -> bool {
        match (&self.carried, &self.last) {
            (Some(_), Some(_)) => true,
            _ => self.is_refused(),
        }
    }

    /// Whether the server has refused it before it began: no octet will come.
    fn is_refused(&self) -> bool {
        self.carried.is_none() && !self.begun && self.last.as_ref().is_some_and(|reply| reply.code >= 400)
    }
}
