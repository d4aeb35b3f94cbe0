//! How a transfer ended: what the client is told, and what the log.

use std::net::SocketAddr;

use portway_data::Progress;
use portway_interpreter::{TransferRecord, capitalized};
use portway_ops::{Direction, Relayed, Shown, TransferResult};
use portway_proto::{Code, RawReply, Reply};

use super::Session;
use super::carry::{BothFacts, Broken};

/// What is known before the transfer runs, for its log lines.
pub(super) struct Record {
    /// The client's leg.
    pub(super) client: TransferRecord,
    pub(super) server_mode: &'static str,
    pub(super) server: SocketAddr,
}

impl Session {
    /// What the client is told, by what both legs have to say.
    pub(super) async fn verdict(
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

    pub(super) fn log_relayed(&self, record: &Record, facts: &BothFacts, progress: &Progress, code: u16) {
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

    pub(super) fn log_transfer(
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
