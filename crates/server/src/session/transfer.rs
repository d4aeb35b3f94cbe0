//! A transfer, and what the client says meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use portway_data::{Facts, Failure, Progress};
use portway_interpreter::{End, Kept, Pending, TransferRecord, patience};
use portway_ops::{SessionState, Shown, TransferResult};
use portway_proto::{Channel, Code, Mode, Reply, Transfer};
use tokio::time::Instant;

use super::job::{self, Broken, Done, Prepared};
use super::{Session, doctor};

/// How the wait for a transfer ended.
enum Ended {
    Done(Done),
    /// ABOR.
    Aborted,
    /// The control connection is gone.
    Lost(End),
}

impl Session {
    pub(super) async fn transfer(&mut self, transfer: &Transfer<'_>) -> Result<(), End> {
        let began = Instant::now();
        let pending = std::mem::replace(&mut self.client.pending, Pending::Nothing);
        let Some(user) = self.user.clone() else { return Ok(()) };
        let preparing = job::prepare(&user, transfer, self.client.dialogue.facts());
        let prepared = match self.client.control.attend(preparing).await? {
            Ok(prepared) => prepared,
            Err(reply) => return self.refused(transfer, pending, &reply).await,
        };
        let announcing =
            if transfer.channel == Channel::Kept { Code::TRANSFER_STARTING } else { Code::OPENING_DATA };
        let Prepared { job, announce, path, stored_as } = prepared;
        let record = TransferRecord::new(transfer, &pending, path.as_bytes(), began);
        self.client.control.queue(&Reply::octets(announcing, &announce));
        self.client.entry.set_state(SessionState::Transferring);
        let live = self.client.entry.transfer(record.info());
        let progress = Arc::new(Progress::default());
        let options = job::options(transfer, self.client.parts.timeouts.data);
        let deadline = Instant::now() + self.client.parts.timeouts.data;
        let ended = {
            let moving = progress.clone();
            let work = async move { job::run(pending, job, options, deadline, &moving).await };
            self.beside(work, &progress).await
        };
        let ended = match ended {
            Ended::Done(done) => {
                let patience = match transfer.mode {
                    Mode::Stream if done.facts.as_ref().is_some_and(|(_, tls)| !tls) => {
                        patience(began.elapsed())
                    }
                    _ => Duration::ZERO,
                };
                self.complete(done, &progress, patience).await
            }
            cut_off => cut_off,
        };
        live.add(progress.octets());
        drop(live);
        self.client.entry.set_state(SessionState::Idle);
        match ended {
            Ended::Done(done) => {
                self.conclude(done, &record, &progress, (transfer.kind.name(), stored_as.as_deref()));
                Ok(())
            }
            Ended::Aborted => {
                self.log(&record, &progress, None, (TransferResult::Aborted, 426, Some("abor")));
                self.client.confirm_abort();
                Ok(())
            }
            Ended::Lost(end) => {
                self.log(&record, &progress, None, (TransferResult::Aborted, 426, Some("control_lost")));
                Err(end)
            }
        }
    }

    /// The transfer does not begin. Of a refused upload the octets may be under way: they must not become the next file's.
    async fn refused(&mut self, transfer: &Transfer<'_>, pending: Pending, reply: &Reply) -> Result<(), End> {
        self.client.control.queue(reply);
        if transfer.mode == Mode::Block && !transfer.kind.is_upload() {
            self.client.pending = pending;
            self.client.dialogue.channel_unused(transfer.channel);
            return Ok(());
        }
        // The reply first: a client that sees its data connection end before it takes that for all there is to know.
        self.client.flush().await?;
        pending.dismiss().await;
        Ok(())
    }

    /// Says and logs how it ended.
    fn conclude(
        &mut self,
        mut done: Done,
        record: &TransferRecord,
        progress: &Progress,
        (name, stored_as): (&[u8], Option<&[u8]>),
    ) {
        let kept = done.kept.take().filter(|_| done.result.is_ok());
        // RFC 959 §5.4: 226 when the data connection closes, 250 when it stays.
        let complete = if kept.is_some() { Code::FILE_ACTION_OK } else { Code::TRANSFER_COMPLETE };
        if let Some(conn) = kept {
            let (verb, announced) = (record.mode, record.announced);
            self.client.pending = Pending::Kept(Box::new(Kept { conn, verb, announced }));
            self.client.dialogue.channel_unused(Channel::Kept);
        }
        let reply = match (&done.result, stored_as) {
            (Ok(()), Some(unique)) => Reply::octets(complete, &[b"Stored as ", unique, b"."].concat()),
            (Ok(()), None) => Reply::new(complete, "Transfer complete."),
            (Err(broken), _) => broken.reply(name),
        };
        self.log_failed_channel(record, &done);
        let cause = done.result.as_ref().err().map(Broken::cause);
        let result = if cause.is_none() { TransferResult::Complete } else { TransferResult::Failed };
        self.log(record, progress, done.facts.as_ref(), (result, reply.code().number(), cause));
        self.client.control.queue(&reply);
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
        if self.client.control.take_abort() {
            return Ended::Aborted;
        }
        let mut news = Ok(true);
        loop {
            match self.client.heard(&news, progress) {
                Ok(true) => return Ended::Aborted,
                Ok(false) => {}
                Err(end) => return Ended::Lost(end),
            }
            let silent = self.client.control.is_silent();
            tokio::select! {
                biased;
                done = &mut work => return Ended::Done(done),
                // A client that does not read its replies holds up its replies, not its transfer.
                exchanged = self.client.control.exchange(), if !silent => news = exchanged,
            }
        }
    }

    /// Gives an upload its name, unless the client has gone. Without TLS the end of a program that was killed
    /// looks like the end of its file; only that the control connection ended, too, tells them apart, and that may
    /// come to be known a moment later.
    async fn complete(&mut self, mut done: Done, progress: &Progress, patience: Duration) -> Ended {
        let Some(arrived) = done.arrived.take() else { return Ended::Done(done) };
        let news = self.client.control.read_to_end(patience).await;
        match self.client.heard(&news, progress) {
            Ok(true) => return Ended::Aborted,
            Ok(false) => {}
            Err(end) => return Ended::Lost(end),
        }
        done.result = arrived.commit().map(drop).map_err(Broken::Storage);
        Ended::Done(done)
    }

    fn log_failed_channel(&mut self, record: &TransferRecord, done: &Done) {
        let Err(Broken::Data(failure)) = &done.result else { return };
        if matches!(failure, Failure::Local(_) | Failure::Shrunk { .. }) {
            return;
        }
        doctor::failed(&mut self.seen, record.mode, record.announced, failure);
        self.client.log_no_channel(record.mode, record.announced, failure.cause(), failure);
    }

    fn log(
        &self,
        record: &TransferRecord,
        progress: &Progress,
        facts: Option<&(Facts, bool)>,
        outcome: (TransferResult, u16, Option<&'static str>),
    ) {
        let Some(user) = &self.user else { return };
        let user = (Shown::from(user.principal.name.as_str()), user.principal.anonymous);
        self.client.log_transfer(record, user, facts, progress, outcome);
    }
}
