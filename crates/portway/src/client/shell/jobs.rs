//! What runs in the background, each over a session of its own.

use std::sync::Arc;

use portway_data::Progress;
use tokio::task::JoinHandle;

use super::super::tell::Teller;
use super::Trouble;

/// Numbered jobs.
#[derive(Default)]
pub(super) struct Jobs {
    last: u32,
    running: Vec<Job>,
}

struct Job {
    number: u32,
    what: String,
    progress: Arc<Progress>,
    work: JoinHandle<Result<String, Trouble>>,
}

impl Jobs {
    /// Starts one.
    pub(super) fn start(
        &mut self,
        teller: &Teller,
        what: String,
        progress: Arc<Progress>,
        work: impl Future<Output = Result<String, Trouble>> + Send + 'static,
    ) {
        self.last += 1;
        teller.line(format_args!("[{}] {what}", self.last));
        self.running.push(Job { number: self.last, what, progress, work: tokio::spawn(work) });
    }

    /// One line for each that runs.
    pub(super) fn list(&self) -> Vec<String> {
        let line =
            |job: &Job| format!("[{}] {}: {} octets so far", job.number, job.what, job.progress.octets());
        self.running.iter().map(line).collect()
    }

    /// Tells of those that have ended since.
    pub(super) async fn tell_finished(&mut self, teller: &Teller) {
        while let Some(at) = self.running.iter().position(|job| job.work.is_finished()) {
            tell(self.running.remove(at), teller).await;
        }
    }

    /// Waits for one, or for all; false if there is none of that number.
    pub(super) async fn wait(&mut self, number: Option<u32>, teller: &Teller) -> bool {
        let Some(number) = number else {
            while let Some(job) = self.running.first_mut() {
                // The handle may be asked again by the one who tells.
                while !job.work.is_finished() {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                tell(self.running.remove(0), teller).await;
            }
            return true;
        };
        let Some(job) = self.running.iter().find(|job| job.number == number) else { return false };
        while !job.work.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        if let Some(at) = self.running.iter().position(|job| job.number == number) {
            tell(self.running.remove(at), teller).await;
        }
        true
    }

    /// Ends one, or all; false if there is none of that number.
    pub(super) fn kill(&mut self, number: Option<u32>, teller: &Teller) -> bool {
        let before = self.running.len();
        self.running.retain(|job| {
            let meant = number.is_none_or(|number| number == job.number);
            if meant {
                job.work.abort();
                teller.line(format_args!("[{}] ended: {}", job.number, job.what));
            }
            !meant
        });
        number.is_none() || self.running.len() < before
    }

    /// At the end of the shell: waits for all, unless Ctrl-C says otherwise.
    pub(super) async fn finish(&mut self, teller: &Teller) {
        if self.running.is_empty() {
            return;
        }
        teller.line("waiting for what runs in the background; Ctrl-C ends it");
        tokio::select! {
            _ = self.wait(None, teller) => {}
            _ = tokio::signal::ctrl_c() => {
                self.kill(None, teller);
                super::super::underway::interrupted();
            }
        }
    }
}

async fn tell(job: Job, teller: &Teller) {
    let (number, what) = (job.number, job.what);
    match job.work.await {
        Ok(Ok(done)) => teller.line(format_args!("[{number}] done: {what}  ({done})")),
        Ok(Err(Trouble::Client(error))) => teller.failed(format!("[{number}] {what}").as_bytes(), &error),
        Ok(Err(Trouble::Words(words))) => teller.failed_here(&format!("[{number}] {what}: {words}")),
        Err(error) => teller.failed_here(&format!("[{number}] {what}: {error}")),
    }
}
