//! How a transfer ended: what the client is told, and what the log.

use std::net::SocketAddr;

use portway_data::Progress;
use portway_interpreter::{End, TransferRecord, capitalized};
use portway_ops::{Direction, Relayed, Shown, TransferResult};
use portway_proto::{Code, Command, RawReply, Reply};
use tokio::time::Instant;

use super::Session;
use super::carry::{BothFacts, Broken};
use super::transfer::{CONFIRM, Course, EXPLAIN, Ended};
use crate::Kind;
use crate::upstream::Lost;

/// What is known before the transfer runs, for its log lines.
pub(super) struct Record {
    /// The client's leg.
    pub(super) client: TransferRecord,
    pub(super) server_mode: &'static str,
    pub(super) server: SocketAddr,
}

impl Session {
    /// Ends the client's data connection, well or not, and says so.
    pub(super) async fn conclude(
        &mut self,
        ended: Result<Ended, End>,
        course: Course,
        record: &Record,
        progress: &Progress,
    ) -> Result<(), End> {
        let Course { last, carried, aside, begun, .. } = course;
        let (sink, facts, result) = match carried {
            Some(carried) => (carried.sink, carried.facts, Some(carried.result)),
            None => (None, BothFacts::default(), None),
        };
        let code = last.as_ref().map_or(0, |reply| reply.code);
        self.log_relayed(record, &facts, progress, code);
        let (reply, cause) = match ended {
            Err(end) => {
                drop(sink);
                self.log_transfer(
                    record,
                    &facts,
                    progress,
                    (TransferResult::Aborted, 426, Some("control_lost")),
                );
                if let Some(aside) = aside {
                    self.sweep(aside);
                }
                self.upstream = None;
                return Err(end);
            }
            Ok(Ended::Aborted) => {
                drop(sink);
                self.log_transfer(record, &facts, progress, (TransferResult::Aborted, 426, Some("abor")));
                let settled = self.abort_server().await;
                if let Some(aside) = aside {
                    match settled {
                        Ok(()) => self.discard(aside).await,
                        Err(_) => self.sweep(aside),
                    }
                }
                settled?;
                return self.or_lost();
            }
            Ok(Ended::ServerLost(lost)) => {
                drop(sink);
                self.log_transfer(
                    record,
                    &facts,
                    progress,
                    (TransferResult::Failed, 426, Some("server_lost")),
                );
                self.log_lost(&lost);
                self.leave_server();
                self.client.say(Code::TRANSFER_ABORTED, format_args!("{lost}; the transfer is cut short."));
                return self.or_lost();
            }
            Ok(Ended::Done) => self.verdict(sink, result, last.as_ref(), record, progress).await,
        };
        let (reply, cause) = match (aside, cause) {
            (Some(aside), None) => self.put_in_place(aside, reply).await,
            (Some(aside), cause) if begun && last.is_some() => {
                self.discard(aside).await;
                (reply, cause)
            }
            (Some(mut aside), cause) => {
                // Refused before it began: there is nothing to be deleted.
                if last.is_some() {
                    aside.settle();
                }
                (reply, cause)
            }
            (None, cause) => (reply, cause),
        };
        let result = if cause.is_none() { TransferResult::Complete } else { TransferResult::Failed };
        self.log_transfer(record, &facts, progress, (result, reply.code().number(), cause));
        self.client.control.queue(&reply);
        if last.is_none() {
            // Who does not answer now would answer later, to something else.
            let lost = Lost::Silent(CONFIRM);
            self.log_lost(&lost);
            self.upstream = None;
            return self.server_lost(&lost);
        }
        self.or_lost()
    }

    /// A session without its server goes on at a forward proxy only.
    fn or_lost(&self) -> Result<(), End> {
        match (&self.upstream, &self.config.kind) {
            (Some(_), _) | (None, Kind::Forward(_)) => Ok(()),
            (None, _) => Err(End::SERVER_LOST),
        }
    }

    /// Passes ABOR on: the data connections are gone already, and now the server's replies have to come in.
    async fn abort_server(&mut self) -> Result<(), End> {
        self.client.confirm_abort();
        self.client.flush().await?;
        let Some(server) = &mut self.upstream else { return Ok(()) };
        let settled = async {
            let abort = match server.leg.send(&Command::Abor).await? {
                Ok(abort) => abort,
                Err(_) => return Ok(()),
            };
            let deadline = Instant::now() + EXPLAIN;
            loop {
                let answer = server.leg.answer(deadline).await?;
                if answer.last && answer.id == abort {
                    return Ok::<(), Lost>(());
                }
            }
        };
        match self.client.control.attend(settled).await? {
            Ok(()) => Ok(()),
            Err(lost) => self.server_lost(&lost),
        }
    }

    /// What the client is told, by what both legs have to say.
    async fn verdict(
        &mut self,
        sink: Option<portway_data::DataConn>,
        result: Option<Result<(), Broken>>,
        last: Option<&RawReply>,
        record: &Record,
        progress: &Progress,
    ) -> (Reply, Option<&'static str>) {
        let good = last.is_some_and(|reply| reply.code < 300);
        let aborted = |text: String| Reply::new(Code::TRANSFER_ABORTED, text);
        match (result, last) {
            (Some(Err(Broken::Client(failure))), _) => {
                self.client.log_no_channel(
                    record.client.mode,
                    record.client.announced,
                    failure.cause(),
                    &failure,
                );
                (Reply::new(failure.code(), capitalized(&format!("{failure}."))), Some(failure.cause()))
            }
            (Some(Err(Broken::Content(reason))), _) => {
                let text = format!("The proxy's inspection of the content refused this file: {reason}.");
                (Reply::new(Code::FILE_UNAVAILABLE, text), Some("content"))
            }
            // Reset after the final reply with nothing sent: how some servers end an empty listing.
            (Some(Err(Broken::Server(why, cause))), Some(_)) if good && progress.octets() > 0 => {
                (aborted(capitalized(&format!("{why}."))), Some(cause))
            }
            (Some(Err(Broken::Server(why, cause))), None) => {
                (aborted(capitalized(&format!("{why}."))), Some(cause))
            }
            (Some(Ok(())), None) => {
                (aborted("The server did not confirm the transfer.".to_owned()), Some("not_confirmed"))
            }
            (None, None) => (aborted("The server did not answer.".to_owned()), Some("no_answer")),
            (None, Some(_)) if good => {
                (aborted("The data did not come to an end.".to_owned()), Some("stalled"))
            }
            (_, Some(reply)) => {
                let passed = Reply::passed_on(reply);
                let passed = passed.unwrap_or_else(|| aborted("The server's reply has no code.".to_owned()));
                if !good {
                    // Its data connection ended in order all the same, and so does ours.
                    if let (Some(sink), true) = (sink, record.client.direction != Direction::In) {
                        let _ = sink.finish().await;
                    }
                    return (passed, Some("refused_by_server"));
                }
                // A file from the server ends here only now that the server has called it whole.
                match sink {
                    Some(sink) => match sink.finish().await {
                        Ok(()) => (passed, None),
                        Err(failure) => (
                            Reply::new(failure.code(), capitalized(&format!("{failure}."))),
                            Some(failure.cause()),
                        ),
                    },
                    None => (passed, None),
                }
            }
        }
    }

    fn log_relayed(&self, record: &Record, facts: &BothFacts, progress: &Progress, code: u16) {
        let tls = facts.server.as_ref().is_some_and(|(_, tls)| *tls);
        self.client.record(Relayed {
            session: self.client.entry.id(),
            server: record.server,
            verb: record.client.verb,
            path: record.client.path.clone(),
            bytes: progress.octets(),
            seconds: record.client.began.elapsed().into(),
            mode: record.server_mode,
            tls,
            resumed: facts.server.as_ref().filter(|_| tls).map(|(facts, _)| facts.proven.by_resumption()),
            code,
        });
    }

    fn log_transfer(
        &self,
        record: &Record,
        facts: &BothFacts,
        progress: &Progress,
        outcome: (TransferResult, u16, Option<&'static str>),
    ) {
        let user = self.client.dialogue.user().unwrap_or_default();
        let who = (Shown::from(user), matches!(user, b"anonymous" | b"ftp"));
        self.client.log_transfer(&record.client, who, facts.client.as_ref(), progress, outcome);
    }
}
