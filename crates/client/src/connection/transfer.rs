//! One transfer: both channels at once, until each has said its last.

use std::net::SocketAddr;
use std::time::Duration;

use portway_data::{Options, Progress};
use portway_proto::client::{self, Answer, DataEnd, Event, size_hint};
use portway_proto::{Command, Protection, RawReply, Representation};
use tokio::time::Instant;

use super::{Connection, Opened, Way};
use crate::error::shown;
use crate::verdict::{Attempt, Outcome};
use crate::{Cause, Error, Phase, Seen, Timeouts};

mod data;
mod job;

pub(crate) use data::data_open;
use data::{DataEnded, DataSide, Gate};
pub use job::{Body, Done, Job};

/// How long data that has begun may go on behind a refusal on the control channel.
const GRACE: Duration = Duration::from_secs(2);
/// Where no deadline is meant.
const FAR: Duration = Duration::from_secs(24 * 3600);

impl Connection {
    /// Does one transfer, over whatever way to data works.
    ///
    /// # Errors
    /// [`Error`] if nothing was transferred: no way to data, or the server refused. A transfer that began is
    /// [`Done`], whatever became of it; judge it by [`portway_proto::client::Evidence`].
    pub async fn transfer(
        &mut self,
        job: Job<'_>,
        mut body: Body<'_>,
        representation: Representation,
        progress: &Progress,
    ) -> Result<Done, Error> {
        self.next = Some(client::line(&job.command()));
        loop {
            if !self.is_usable() && !self.ways().is_empty() {
                self.reconnect().await?;
            }
            self.renew_tickets().await?;
            if self.session.needs_mode(portway_proto::Mode::Stream) {
                self.leave_blocks().await?;
            }
            if self.session.needs_type(representation) {
                self.demand(&Command::Type(representation)).await?;
            }
            if self.needs_protection() {
                self.demand(&Command::Prot(Protection::Private)).await?;
            }
            let opened = self.open_data().await?;
            let ended = self.run(opened, job, &mut body, representation, progress).await;
            self.unmap().await;
            match ended {
                Ok(done) if done.octets == 0 && self.wants_reuse(done.reply.as_ref()) => {}
                Ok(done) => return Ok(done),
                Err(NoRun::Error(Error { cause: Cause::Refused { reply, .. }, .. }))
                    if self.wants_reuse(Some(&reply)) => {}
                Err(NoRun::Error(error)) => return Err(error),
                Err(NoRun::Way { attempt, took, stuck }) => {
                    self.broken |= stuck;
                    self.way_failed(attempt, took);
                }
            }
        }
    }

    async fn run(
        &mut self,
        opened: Opened,
        job: Job<'_>,
        body: &mut Body<'_>,
        representation: Representation,
        progress: &Progress,
    ) -> Result<Done, NoRun> {
        let way = opened.way;
        self.restart(job.offset()).await?;
        let goal = opened.channel.addr();
        let id = self.queue(&job.command())?;
        self.flush(Phase::Command).await?;

        let gate = Gate::default();
        let mut options = Options { stall: self.settings.timeouts.stall, ..Options::default() };
        options.limit_rate = self.settings.limit_rate;
        if representation == Representation::Ascii {
            options.representation = portway_data::Representation::Ascii;
        }
        let side = DataSide {
            peer: self.peer.ip(),
            tls: self.data_tls(),
            timeouts: self.settings.timeouts,
            trace: self.trace.clone(),
        };
        let before = progress.octets();
        let data = side.drive(opened.channel, body, options, progress, &gate);
        tokio::pin!(data);

        let run = Run { job, way, goal, began: Instant::now() };
        let accept = self.data_budget(self.settings.timeouts.data_accept);
        let mut course = Course::from(run.began);
        let mut keep = self.keep_alive();
        while course.data.is_none() || course.listens() {
            let linked = gate.is_linked();
            let limit = course.limit(linked, accept, &self.settings.timeouts);
            let deadline = course.changed + limit.unwrap_or(FAR);
            let (moving, listening) = (course.data.is_none(), course.listens());
            tokio::select! {
                () = tokio::time::sleep_until(keep.due()), if keep.is_on() && course.begun && course.control.is_none() => {
                    course.control = self.nudge(&mut keep).await.err();
                }
                ended = &mut data, if moving => {
                    course.changed = Instant::now();
                    course.data = Some(ended);
                }
                event = self.event(deadline), if listening => match event {
                    Ok(Some(Event::Answer(answer))) if answer.id == id => {
                        self.answered(answer, job, &mut course, &gate);
                    }
                    // The reply to REST 0, or to NOOP.
                    Ok(Some(Event::Answer(answer))) => keep.answered(answer.id),
                    Ok(Some(Event::Unsolicited(reply))) if reply.code == 421 => {
                        course.control = Some(self.fail(Phase::FinalReply, Cause::Closed(Some(reply))));
                    }
                    Ok(Some(_)) => {}
                    Ok(None) if gate.is_linked() && !linked => course.changed = Instant::now(),
                    Ok(None) if !linked && moving => {
                        let detail = format!("no connection from the server within {:.1} s", accept.as_secs_f64());
                        return Err(run.lost(Outcome::Silent, detail));
                    }
                    Ok(None) => {
                        let waited = course.changed.elapsed();
                        course.control = Some(self.fail(Phase::FinalReply, Cause::Silence(waited)));
                        course.changed = Instant::now();
                    }
                    Err(cause) => {
                        course.control = Some(self.fail(Phase::FinalReply, cause));
                        course.changed = Instant::now();
                    }
                },
                () = tokio::time::sleep_until(deadline), if !listening => {
                    if gate.is_linked() && !linked {
                        course.changed = Instant::now();
                    } else {
                        course.data = Some(DataEnded::never(progress.octets().saturating_sub(before)));
                    }
                }
            }
        }
        self.hear_out(&mut keep).await;
        let linked = gate.is_linked();
        if linked {
            self.way_works(way);
        }
        let done = course.judge(&run, linked)?;
        let (octets, down) = (done.octets, !job.is_upload());
        let end = done.failure.as_ref().map_or("clean".to_owned(), ToString::to_string);
        self.trace.record(|| Seen::DataDone { octets, down, end });
        Ok(done)
    }

    /// A reply to the transfer command.
    fn answered(&mut self, answer: Answer, job: Job<'_>, course: &mut Course, gate: &Gate) {
        course.changed = Instant::now();
        if !answer.fits {
            let command = client::shown(&job.command());
            course.control = Some(self.out_of_step(Phase::FinalReply, command, answer.reply));
        } else if answer.last {
            course.last = Some(answer.reply);
        } else {
            course.begun = true;
            course.hint = course.hint.or_else(|| size_hint(&answer.reply));
            gate.go();
        }
    }

    /// REST, where an offset is wanted or an old one may stand.
    async fn restart(&mut self, offset: u64) -> Result<(), Error> {
        if !self.session.needs_rest(offset) {
            return Ok(());
        }
        let command = Command::Rest(offset);
        if offset == 0 {
            // Refused by some servers, which is as good.
            return self.queue(&command).map(drop);
        }
        let reply = self.call(&command).await?;
        if reply.code == 350 {
            return Ok(());
        }
        Err(Error::new(Phase::Command, Cause::Refused { command: format!("REST {offset}"), reply }))
    }
}

/// Why a run came to nothing.
enum NoRun {
    /// This way to data does not work; `stuck` is true if the server still waits for it.
    Way {
        attempt: Attempt,
        took: Duration,
        stuck: bool,
    },
    Error(Error),
}

impl From<Error> for NoRun {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What is tried, and by which way to data.
struct Run<'a> {
    job: Job<'a>,
    way: Way,
    goal: SocketAddr,
    began: Instant,
}

impl Run<'_> {
    /// This way does not work. A server that has been silent still waits for it.
    fn lost(&self, outcome: Outcome, detail: String) -> NoRun {
        let attempt = Attempt { by: self.way.name(), to: Some(self.goal), outcome, detail };
        NoRun::Way { attempt, took: self.began.elapsed(), stuck: outcome == Outcome::Silent }
    }
}

/// What both channels have said of a run so far.
struct Course {
    /// How the data connection ended.
    data: Option<DataEnded>,
    /// The server has said that it begins.
    begun: bool,
    /// The size that it named then.
    hint: Option<u64>,
    /// The final reply.
    last: Option<RawReply>,
    /// Why there will be none.
    control: Option<Error>,
    /// When something was heard of either channel.
    changed: Instant,
}

impl Course {
    fn from(began: Instant) -> Self {
        Self { data: None, begun: false, hint: None, last: None, control: None, changed: began }
    }

    /// Whether the final reply may still come.
    fn listens(&self) -> bool {
        self.last.is_none() && self.control.is_none()
    }

    /// How long nothing may be heard from now on; `None` while octets move, over which the pump watches.
    fn limit(&self, linked: bool, accept: Duration, timeouts: &Timeouts) -> Option<Duration> {
        let failed = self.last.as_ref().is_some_and(|reply| reply.code >= 400) || self.control.is_some();
        if self.data.is_some() {
            Some(timeouts.final_reply)
        } else if failed {
            Some(if self.begun && linked { GRACE } else { Duration::ZERO })
        } else if !linked {
            Some(accept)
        } else if !self.begun && self.last.is_none() {
            Some(timeouts.reply.max(timeouts.stall))
        } else {
            None
        }
    }

    /// What came of the run, once both channels have said their last.
    fn judge(self, run: &Run<'_>, linked: bool) -> Result<Done, NoRun> {
        let Self { data, begun, hint, last, control, .. } = self;
        let mut data = data.unwrap_or_else(|| DataEnded::never(0));
        if let Some(reply) = last.as_ref().filter(|reply| reply.code >= 400) {
            if !run.way.is_passive() && !linked && matches!(reply.code, 425 | 426) {
                return Err(run.lost(Outcome::ServerCouldNot, shown(reply)));
            }
            if !begun && data.octets == 0 {
                let (command, reply) = (client::shown(&run.job.command()), reply.clone());
                return Err(Error::new(Phase::Command, Cause::Refused { command, reply }).into());
            }
            if data.end == DataEnd::Never && data.octets > 0 {
                data.end = DataEnd::Broken;
            }
        }
        let nothing = !begun && data.octets == 0 && last.is_none() && data.end != DataEnd::Clean;
        match control {
            Some(error) if nothing => Err(error.into()),
            control => {
                let DataEnded { octets, end, failure } = data;
                Ok(Done { octets, end, failure, reply: last, hint, control })
            }
        }
    }
}
