//! How far a sweep is: a bar on a terminal, a line now and then where nobody watches one.

use std::io::Write as _;
use std::time::Duration;

use indicatif::ProgressBar;

use super::out;
use crate::explore::wall::Stopwatch;
use crate::report::style::{count, seconds};

/// The wall time between two lines.
const LINES: Duration = Duration::from_secs(10);

/// How many steps a bar has.
const STEPS: u64 = 1000;

/// How far a sweep is.
pub(super) struct Progress {
    bar: ProgressBar,
    is_plain: bool,
    clock: Stopwatch,
    told: Duration,
    runs: Option<u64>,
    time: Option<Duration>,
    done: u64,
    failed: u64,
}

impl Progress {
    /// Of so many runs, or for so long, or neither is known.
    pub(super) fn new(runs: Option<u64>, time: Option<Duration>, is_silent: bool) -> Self {
        let knows_end = runs.is_some() || time.is_some();
        let template = if knows_end { "  {bar:30} {msg}" } else { "  {spinner} {msg}" };
        let bar = if is_silent { ProgressBar::hidden() } else { out::bar(STEPS, template) };
        let is_plain = bar.is_hidden() && !is_silent;
        Self { bar, is_plain, clock: Stopwatch::start(), told: Duration::ZERO, runs, time, done: 0, failed: 0 }
    }

    /// Another run is over.
    pub(super) fn done(&mut self) {
        self.done += 1;
        let took = self.clock.elapsed();
        if !self.bar.is_hidden() {
            let share = self.share(took);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the steps")]
            self.bar.set_position((share * STEPS as f64) as u64);
            self.bar.set_message(self.text(took));
        } else if self.is_plain && took >= self.told + LINES {
            self.told = took;
            let _ = writeln!(anstream::stderr(), "  {}", self.text(took));
        }
    }

    /// So many runs have failed.
    pub(super) fn failed(&mut self, failed: u64) {
        self.failed = failed;
    }

    /// Prints something while the bar is out of the way.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The part of all that is done: of the runs or of the time, whichever ends first.
    fn share(&self, took: Duration) -> f64 {
        let of_runs = self.runs.map(|runs| self.done as f64 / runs.max(1) as f64);
        let of_time = self.time.map(|time| took.as_secs_f64() / time.as_secs_f64().max(1e-9));
        of_runs.unwrap_or(0.0).max(of_time.unwrap_or(0.0)).min(1.0)
    }

    /// `1,203 of 5,000 runs, 120.3 a second, 2 failed, 31 s left`.
    fn text(&self, took: Duration) -> String {
        let of = self.runs.map_or(String::new(), |runs| format!(" of {}", count(runs)));
        let rate = self.done as f64 / took.as_secs_f64().max(1e-9);
        let failed = if self.failed == 0 { String::new() } else { format!(", {} failed", count(self.failed)) };
        let share = self.share(took);
        let left = took.as_secs_f64() * (1.0 - share) / share;
        let left = match left {
            left if !left.is_finite() => String::new(),
            left => format!(", {} left", rounded(Duration::from_secs_f64(left.min(1e9)))),
        };
        format!("{}{of} runs, {rate:.1} a second{failed}{left}", count(self.done))
    }
}

/// A duration as one says it: `0.42 s`, `31 s`, `5 min`, `3 h`.
pub(super) fn rounded(duration: Duration) -> String {
    match duration.as_secs() {
        0..=1 => seconds(duration),
        seconds @ 2..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_what_is_left_by_what_ends_first() {
        let mut progress = Progress::new(Some(5000), None, true);
        (progress.done, progress.failed) = (1250, 2);
        let text = progress.text(Duration::from_secs(10));
        assert_eq!(text, "1,250 of 5,000 runs, 125.0 a second, 2 failed, 30 s left");
        progress.time = Some(Duration::from_secs(20));
        assert_eq!(progress.text(Duration::from_secs(10)), "1,250 of 5,000 runs, 125.0 a second, 2 failed, 10 s left");
        (progress.runs, progress.failed) = (None, 0);
        assert_eq!(progress.text(Duration::from_secs(10)), "1,250 runs, 125.0 a second, 10 s left");
        progress.time = None;
        assert_eq!(progress.text(Duration::from_secs(10)), "1,250 runs, 125.0 a second");
        assert_eq!([1, 100, 500, 10_000].map(|s| rounded(Duration::from_secs(s))), ["1.00 s", "100 s", "8 min", "2 h"]);
    }
}
