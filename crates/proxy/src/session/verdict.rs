//! How a transfer ended: what the client is told, and what the log.

use std::net::SocketAddr;

use portway_data::{Progress, Proven};
use portway_ops::{Direction, Relayed, Shown, Transfer as Logged, TransferResult};
use portway_proto::{Code, RawReply, Reply};
use tokio::time::Instant;

use super::Session;
use super::carry::{BothFacts, Broken};

/// What is known before the transfer runs, for its log lines.
pub(super) struct Record {
    pub(super) verb: &'static str,
    pub(super) path: Shown,
    pub(super) direction: Direction,
    pub(super) mode: &'static str,
    pub(super) announced: Option<SocketAddr>,
    pub(super) server_mode: &'static str,
    pub(super) server: SocketAddr,
    pub(super) began: Instant,
    pub(super) ascii: bool,
    pub(super) compressed: bool,
    pub(super) restart: u64,
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
                self.log_no_channel(record.mode, record.announced, failure.cause(), &failure);
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
                    if let (Some(sink), true) = (sink, record.direction != Direction::In) {
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
        self.shared.config.log.record(Relayed {
            session: self.entry.id(),
            server: record.server,
            verb: record.verb,
            path: record.path.clone(),
            bytes: progress.octets(),
            seconds: record.began.elapsed().into(),
            mode: record.server_mode,
            tls,
            resumed: facts.server.as_ref().filter(|_| tls).map(|(facts, _)| resumed(facts.proven)),
            code,
        });
    }

    pub(super) fn log_transfer(
        &self,
        record: &Record,
        facts: &BothFacts,
        progress: &Progress,
        (result, code, cause): (TransferResult, u16, Option<&'static str>),
    ) {
        let tls = facts.client.as_ref().is_some_and(|(_, tls)| *tls);
        let user = self.dialogue.user().unwrap_or_default();
        self.shared.config.log.record(Logged {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            user: Shown::from(user),
            anonymous: matches!(user, b"anonymous" | b"ftp"),
            verb: record.verb,
            path: record.path.clone(),
            direction: record.direction,
            bytes: progress.octets(),
            seconds: record.began.elapsed().into(),
            mode: record.mode,
            port: record.announced.map_or(0, |addr| addr.port()),
            tls,
            resumed: facts.client.as_ref().filter(|_| tls).map(|(facts, _)| resumed(facts.proven)),
            ascii: record.ascii,
            compressed: record.compressed,
            restart_offset: record.restart,
            result,
            code,
            cause,
        });
    }
}

fn resumed(proven: Proven) -> bool {
    matches!(proven, Proven::Resumed | Proven::Sibling)
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
