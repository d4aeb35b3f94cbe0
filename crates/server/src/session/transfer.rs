//! A transfer, and what the client says meanwhile.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use portway_data::{Failure, Progress, Proven};
use portway_net::Received;
use portway_ops::{
    DataFailed, Direction, SessionState, Shown, Transfer as Logged, TransferInfo, TransferResult,
};
use portway_proto::{
    Action, Channel, Code, Command, During, Mode, Reply, Representation, Transfer, TransferKind,
};
use portway_vfs::VPath;
use tokio::time::Instant;

use super::channel::Kept;
use super::job::{self, Broken, Done, Prepared};
use super::{End, Pending, Session, attended, doctor};
use crate::storage::User;

/// How the wait for a transfer ended.
enum Ended {
    Done(Done),
    /// ABOR.
    Aborted,
    /// The control connection is gone.
    Lost(End),
}

/// What is known before the transfer runs, for its log line.
struct Record {
    verb: &'static str,
    mode: &'static str,
    path: Shown,
    direction: Direction,
    began: Instant,
    announced: Option<std::net::SocketAddr>,
}

impl Session {
    pub(super) async fn transfer(&mut self, transfer: &Transfer<'_>) -> Result<(), End> {
        let began = Instant::now();
        let pending = std::mem::replace(&mut self.pending, Pending::Nothing);
        let Some(user) = self.user.clone() else { return Ok(()) };
        let preparing = job::prepare(&user, transfer, self.dialogue.facts());
        let prepared = match attended(&mut self.control, preparing).await? {
            Ok(prepared) => prepared,
            Err(reply) => {
                // Of a refused upload the octets may be under way: they must not become the next file's.
                if transfer.mode == Mode::Block && !transfer.kind.is_upload() {
                    self.pending = pending;
                    self.dialogue.channel_unused(transfer.channel);
                }
                self.control.queue(&reply);
                return Ok(());
            }
        };
        let announcing =
            if transfer.channel == Channel::Kept { Code::TRANSFER_STARTING } else { Code::OPENING_DATA };
        let direction = prepared.direction();
        let Prepared { job, announce, path, stored_as } = prepared;
        let record = Record {
            verb: transfer.kind.verb().name(),
            mode: pending.verb(),
            path: Shown::from(path.as_bytes()),
            direction,
            began,
            announced: pending.announced(),
        };
        self.control.queue(&Reply::octets(announcing, &announce));
        self.entry.set_state(SessionState::Transferring);
        let info = TransferInfo { verb: record.verb, path: record.path.clone(), direction };
        let live = self.entry.transfer(info);
        let progress = Arc::new(Progress::default());
        let options = job::options(transfer, self.shared.timeouts.data);
        let deadline = Instant::now() + self.shared.timeouts.data;
        let ended = {
            let moving = progress.clone();
            let work = async move { job::run(pending, job, options, deadline, &moving).await };
            self.beside(work, &progress).await
        };
        let ended = match ended {
            Ended::Done(done) => self.complete(done, &user, &path, &progress).await,
            cut_off => cut_off,
        };
        live.add(progress.octets());
        drop(live);
        self.entry.set_state(SessionState::Idle);
        let name = name_of(&transfer.kind);
        match ended {
            Ended::Done(mut done) => {
                let kept = done.kept.take().filter(|_| done.result.is_ok());
                // RFC 959 §5.4: 226 when the data connection closes, 250 when it stays.
                let complete = if kept.is_some() { Code::FILE_ACTION_OK } else { Code::TRANSFER_COMPLETE };
                if let Some(conn) = kept {
                    let (verb, announced) = (record.mode, record.announced);
                    self.pending = Pending::Kept(Box::new(Kept { conn, verb, announced }));
                    self.dialogue.channel_unused(Channel::Kept);
                }
                let reply = match &done.result {
                    Ok(()) => match &stored_as {
                        Some(unique) => {
                            Reply::octets(complete, &[b"Stored as ", unique.as_slice(), b"."].concat())
                        }
                        None => Reply::new(complete, "Transfer complete."),
                    },
                    Err(broken) => broken.reply(name),
                };
                self.log_failed_channel(&record, &done);
                let cause = done.result.as_ref().err().map(Broken::cause);
                let result = if cause.is_none() { TransferResult::Complete } else { TransferResult::Failed };
                self.log(&record, transfer, &progress, done.facts, (result, reply.code().number(), cause));
                self.control.queue(&reply);
                Ok(())
            }
            Ended::Aborted => {
                self.log(&record, transfer, &progress, None, (TransferResult::Aborted, 426, Some("abor")));
                // RFC 959 §4.1.3: 426 for the transfer, then 226 for the ABOR.
                self.control.queue(&Reply::new(Code::TRANSFER_ABORTED, "Transfer aborted."));
                self.control.queue(&Reply::new(Code::TRANSFER_COMPLETE, "ABOR done."));
                Ok(())
            }
            Ended::Lost(end) => {
                self.log(
                    &record,
                    transfer,
                    &progress,
                    None,
                    (TransferResult::Aborted, 426, Some("control_lost")),
                );
                Err(end)
            }
        }
    }

    /// Runs the transfer beside the control channel. The 150 leaves when the transfer has to wait for
    /// something; one that is over at once shares its segment with the 226.
    async fn beside(&mut self, work: impl Future<Output = Done>, progress: &Progress) -> Ended {
        let mut work = pin!(work);
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(work.as_mut().poll(cx))).await;
        if let std::task::Poll::Ready(done) = first {
            return Ended::Done(done);
        }
        // What came in one segment with the command is here already, or even waited with it for a longer one.
        if self.control.take_abort() {
            return Ended::Aborted;
        }
        let mut news = Ok(true);
        loop {
            match self.heard(&news, progress) {
                Ok(true) => return Ended::Aborted,
                Ok(false) => {}
                Err(end) => return Ended::Lost(end),
            }
            let silent = self.control.is_silent();
            tokio::select! {
                biased;
                done = &mut work => return Ended::Done(done),
                // A client that does not read its replies holds up its replies, not its transfer.
                exchanged = self.control.exchange(), if !silent => news = exchanged,
            }
        }
    }

    /// Gives an upload its name, unless the client has gone. Without TLS the end of a program that was killed
    /// looks like the end of its file; only that the control connection ended, too, tells them apart.
    async fn complete(&mut self, mut done: Done, user: &User, path: &VPath, progress: &Progress) -> Ended {
        let Some(arrived) = done.arrived.take() else { return Ended::Done(done) };
        let news = self.control.read_to_end().await;
        match self.heard(&news, progress) {
            Ok(true) => return Ended::Aborted,
            Ok(false) => {}
            Err(end) => return Ended::Lost(end),
        }
        done.result = arrived.commit(user, path);
        Ended::Done(done)
    }

    /// Sorts what came while a transfer runs; true is ABOR.
    fn heard(&mut self, news: &io::Result<bool>, progress: &Progress) -> Result<bool, End> {
        while !self.control.must_flush() {
            let Some(received) = self.control.take_new_line() else { break };
            let Received::Line(line) = &received else {
                self.control.put_back(received);
                continue;
            };
            let during = Command::parse(line).map_or(During::Later, |command| command.during_transfer());
            match during {
                During::Abort => return Ok(true),
                During::Now if !self.control.has_waiting() => {
                    let reply = match self.dialogue.line(line) {
                        Action::Reply(reply) => reply,
                        Action::Status => self
                            .dialogue
                            .status(&[format!("{} octets have been transferred", progress.octets())]),
                        _ => Reply::new(Code::NOT_IMPLEMENTED, "Not while a transfer runs."),
                    };
                    self.control.queue(&reply);
                }
                _ => self.control.put_back(received),
            }
        }
        match news {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(End::RESET),
            // A client that said QUIT and closed its side still gets its file (RFC 959 §4.1.1).
            news if self.control.is_abandoned() => {
                Err(if news.is_err() { End::RESET } else { End::PEER_CLOSED })
            }
            _ => Ok(false),
        }
    }

    fn log_failed_channel(&mut self, record: &Record, done: &Done) {
        let Err(Broken::Data(failure)) = &done.result else { return };
        if matches!(failure, Failure::Local(_) | Failure::Shrunk { .. }) {
            return;
        }
        doctor::failed(&mut self.seen, record.mode, record.announced, failure);
        self.shared.log.record(DataFailed {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            mode: record.mode,
            announced: record.announced,
            cause: failure.cause(),
            detail: Shown::from(failure.to_string()),
        });
    }

    fn log(
        &self,
        record: &Record,
        transfer: &Transfer<'_>,
        progress: &Progress,
        facts: Option<(portway_data::Facts, bool)>,
        (result, code, cause): (TransferResult, u16, Option<&'static str>),
    ) {
        let Some(user) = &self.user else { return };
        let tls = facts.as_ref().is_some_and(|(_, tls)| *tls);
        self.shared.log.record(Logged {
            session: self.entry.id(),
            peer: self.peer.ip().to_canonical(),
            user: Shown::from(user.principal.name.as_str()),
            anonymous: user.principal.anonymous,
            verb: record.verb,
            path: record.path.clone(),
            direction: record.direction,
            bytes: progress.octets(),
            seconds: record.began.elapsed().into(),
            mode: record.mode,
            port: record.announced.map_or(0, |addr| addr.port()),
            tls,
            resumed: facts
                .filter(|_| tls)
                .map(|(facts, _)| matches!(facts.proven, Proven::Resumed | Proven::Sibling)),
            ascii: transfer.representation == Representation::Ascii,
            compressed: transfer.mode == portway_proto::Mode::Deflate,
            restart_offset: transfer.restart,
            result,
            code,
            cause,
        });
    }
}

/// The name as the client gave it, for replies.
fn name_of<'a>(kind: &TransferKind<'a>) -> &'a [u8] {
    match *kind {
        TransferKind::Retr(name) | TransferKind::Stor(name) | TransferKind::Appe(name) => name,
        TransferKind::Stou(name) | TransferKind::Mlsd(name) => name.unwrap_or_default(),
        TransferKind::List(arg) | TransferKind::Nlst(arg) => arg.path.unwrap_or_default(),
    }
}
