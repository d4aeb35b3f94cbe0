//! The line that grows while many files come.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use portway_data::Progress;

/// A line at the bottom of a terminal; it goes away when [`Self::end`] is called.
pub(super) struct Total {
    pub(super) bar: ProgressBar,
    counts: Arc<Counts>,
}

/// What is done, and what is on its way.
#[derive(Default)]
struct Counts {
    files: AtomicU64,
    octets: AtomicU64,
    /// Large files; they leave by themselves when nobody moves them any more.
    running: Mutex<Vec<Weak<Progress>>>,
}

impl Total {
    pub(super) fn begin() -> Self {
        let counts = Arc::<Counts>::default();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {total}") {
            let (shown, began) = (Arc::clone(&counts), Instant::now());
            bar.set_style(style.with_key("total", move |_: &ProgressState, out: &mut dyn Write| {
                // What does not fit into a line of text is not drawn.
                let _ = out.write_str(&shown.text(began.elapsed()));
            }));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, counts }
    }

    pub(super) fn counted(&self, octets: u64) {
        self.counts.files.fetch_add(1, Ordering::Relaxed);
        self.counts.octets.fetch_add(octets, Ordering::Relaxed);
    }

    pub(super) fn begins(&self, progress: &Arc<Progress>) {
        if let Ok(mut running) = self.counts.running.lock() {
            running.retain(|progress| progress.strong_count() > 0);
            running.push(Arc::downgrade(progress));
        }
    }

    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }
}

impl Counts {
    fn text(&self, elapsed: Duration) -> String {
        let running: Vec<u64> = self.running.lock().map_or(Vec::new(), |running| {
            running.iter().filter_map(Weak::upgrade).map(|progress| progress.octets()).collect()
        });
        let octets =
            running.iter().fold(self.octets.load(Ordering::Relaxed), |sum, n| sum.saturating_add(*n));
        let rate = octets as f64 / elapsed.as_secs_f64().max(0.001);
        let mut text = match self.files.load(Ordering::Relaxed) {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        };
        if !running.is_empty() {
            text.push_str(&format!(" and {} on the way", running.len()));
        }
        text.push_str(&format!(", {}, {}/s", HumanBytes(octets), HumanBytes(rate as u64)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_counts_what_is_done_and_what_is_on_its_way() {
        let total = Total { bar: ProgressBar::hidden(), counts: Arc::default() };
        let text = || total.counts.text(Duration::from_secs(2));
        total.counted(1024);
        assert_eq!(text(), "1 file, 1.00 KiB, 512 B/s");
        let (one, other) = (Arc::new(Progress::new()), Arc::new(Progress::new()));
        total.begins(&one);
        total.begins(&other);
        one.add(1024);
        assert_eq!(text(), "1 file and 2 on the way, 2.00 KiB, 1.00 KiB/s");
        drop(one);
        total.counted(2048);
        other.add(1024);
        assert_eq!(text(), "2 files and 1 on the way, 4.00 KiB, 2.00 KiB/s");
    }
}
