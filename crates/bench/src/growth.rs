//! How portway's cost grows: with sessions, entries of a folder, the size of a file, transfers side by side.
//!
//! Each cost is taken at points a factor apart. Between two of them the cost grows by some power of what it is measured
//! over: 0 is no growth, 1 is linear. Where a cost is too small to be told from noise, no power is named.

mod measure;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::machine;
use crate::report::Verdict;

/// How far it goes.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    sessions: &'static [usize],
    private: &'static [usize],
    entries: &'static [usize],
    files: &'static [u64],
    /// Transfers side by side, and octets of all of them together.
    parallel: (&'static [usize], u64),
    /// No point is begun later.
    limit: Duration,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        sessions: &[1, 10, 100, 1000, 5000, 15_000],
        private: &[1, 10, 100, 1000, 5000, 15_000],
        entries: &[1, 10, 100, 1000, 10_000, 100_000, 1_000_000],
        files: &[0, 1 << 10, 1 << 20, 64 << 20, 1 << 30, 8 << 30],
        parallel: (&[1, 10, 50, 100, 200, 500], 4 << 30),
        limit: Duration::from_secs(330),
    };
    pub(crate) const QUICK: Self = Self {
        sessions: &[1, 10, 100, 1000, 3000],
        private: &[1, 10, 100, 500],
        entries: &[1, 10, 100, 1000, 10_000, 100_000],
        files: &[0, 1 << 10, 1 << 20, 64 << 20, 1 << 30],
        parallel: (&[1, 10, 100, 200], 1 << 30),
        limit: Duration::from_secs(50),
    };
}

/// Steeper than this is worse than linear: figures of one machine scatter by a tenth and more.
const STEEP: f64 = 1.25;

/// One cost at several points.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Curve {
    /// What is measured.
    pub(crate) what: String,
    /// What it grows with.
    pub(crate) over: String,
    pub(crate) unit: String,
    /// Below it a figure is noise.
    pub(crate) noise: f64,
    pub(crate) points: Vec<(f64, f64)>,
}

/// All curves of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Growth {
    pub(crate) about: Vec<String>,
    pub(crate) curves: Vec<Curve>,
}

/// Measures everything until the time is up.
///
/// # Errors
/// When the server fails.
pub(crate) fn run(sizes: Sizes) -> Result<Growth> {
    crate::more_descriptors()?;
    let until = Instant::now() + sizes.limit;
    let mut growth = Growth { about: vec![machine::describe()], curves: Vec::new() };
    measure::entries(sizes, until, &mut growth)?;
    measure::files(sizes, until, &mut growth)?;
    measure::parallel(sizes, until, &mut growth)?;
    measure::sessions(sizes, until, &mut growth)?;
    growth.about.push(format!("portway alone, each figure once; load {} at the end", machine::load()));
    Ok(growth)
}

impl Growth {
    fn add(&mut self, (what, over, unit, noise): (&str, &str, &str, f64), x: f64, y: f64) {
        match self.curves.iter_mut().find(|curve| curve.what == what) {
            Some(curve) => curve.points.push((x, y)),
            None => self.curves.push(Curve {
                what: what.to_owned(),
                over: over.to_owned(),
                unit: unit.to_owned(),
                noise,
                points: vec![(x, y)],
            }),
        }
    }

    /// Whether each cost is at most linear.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        let judged = self.curves.iter().filter_map(|curve| Some((curve, curve.power()?)));
        let verdict = |(curve, power): (&Curve, f64)| Verdict {
            row: format!("growth: {}", curve.what),
            budget: "at most linear".to_owned(),
            reached: format!("power {power:.2}"),
            kept: power <= STEEP,
        };
        judged.map(verdict).collect()
    }
}

impl Curve {
    /// The power by which it grows between two points, if both can be told from noise.
    fn between(&self, (x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> Option<f64> {
        (x0 > 0.0 && y0 >= self.noise && y1 >= self.noise).then(|| (y1 / y0).ln() / (x1 / x0).ln())
    }

    /// The power over all points that can be told from noise: least squares in the logarithms.
    fn power(&self) -> Option<f64> {
        let clear = self.points.iter().filter(|(x, y)| *x > 0.0 && *y >= self.noise);
        let logs: Vec<(f64, f64)> = clear.map(|(x, y)| (x.ln(), y.ln())).collect();
        if logs.len() < 3 {
            return None;
        }
        let count = logs.len() as f64;
        let (mx, my) =
            (logs.iter().map(|l| l.0).sum::<f64>() / count, logs.iter().map(|l| l.1).sum::<f64>() / count);
        let (above, below) = logs.iter().fold((0.0, 0.0), |(above, below), (x, y)| {
            (above + (x - mx) * (y - my), below + (x - mx) * (x - mx))
        });
        Some(above / below)
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.about {
            writeln!(f, "{line}")?;
        }
        for curve in &self.curves {
            writeln!(f, "\n{}, {}, over {}", curve.what, curve.unit, curve.over)?;
            let mut last = None;
            for &(x, y) in &curve.points {
                let power = last.and_then(|last| curve.between(last, (x, y)));
                let power = power.map_or(String::new(), |power| format!("  ^ {power:.2}"));
                writeln!(f, "  {x:>14.0}{y:>14.3}{power}")?;
                last = Some((x, y));
            }
            match curve.power() {
                Some(power) if power > STEEP => writeln!(f, "  WORSE THAN LINEAR: power {power:.2}")?,
                Some(power) => writeln!(f, "  power {power:.2}: not worse than linear")?,
                None => writeln!(f, "  too small to tell")?,
            }
        }
        writeln!(f)?;
        for verdict in self.verdicts() {
            writeln!(f, "{verdict}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(power: i32) -> Growth {
        let mut growth = Growth::default();
        for x in [1.0_f64, 10.0, 100.0, 1000.0] {
            growth.add(("cost", "things", "s", 0.5), x, 0.1 + x.powi(power));
        }
        growth
    }

    #[test]
    fn a_square_is_worse_than_linear_and_a_line_is_not() {
        for (power, kept) in [(0, true), (1, true), (2, false)] {
            let verdicts = grown(power).verdicts();
            assert_eq!(verdicts.len(), 1);
            assert_eq!(verdicts[0].kept, kept, "{}", grown(power));
        }
    }

    #[test]
    fn noise_grows_by_no_power() {
        let mut growth = Growth::default();
        for (x, y) in [(1.0, 0.001), (10.0, 0.4), (100.0, 0.45)] {
            growth.add(("cost", "things", "s", 0.5), x, y);
        }
        assert!(growth.verdicts().is_empty(), "{growth}");
    }
}
