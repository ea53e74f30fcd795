//! Workers that stay for many short rounds of runs: in each, the first run that is wanted is looked for.
//!
//! Runs of a round are made beside each other and judged in their order, so that what is found does not depend on how
//! many are made at once.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::job::Job;
use super::wall::{self, Stopwatch};
use super::watcher::{JobError, Launch, Ran, Watcher};

/// A set of workers, and when they are to stop.
pub struct Crew {
    watchers: Mutex<Vec<Watcher>>,
    lanes: NonZero<usize>,
    interrupted: Arc<AtomicBool>,
    clock: Stopwatch,
    patience: Option<Duration>,
}

impl Crew {
    /// So many workers, which start when they are needed. From now on SIGINT and SIGTERM end a round early, and no other
    /// begins; so does the end of `patience`, from now on.
    pub fn new(launch: &Launch, lanes: NonZero<usize>, patience: Option<Duration>) -> Result<Self, JobError> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = interrupted.clone();
        wall::on_interrupt(move || flag.store(true, Ordering::Relaxed))?;
        let watchers = Mutex::new((0..lanes.get()).map(|_| Watcher::new(launch.clone())).collect());
        Ok(Self { watchers, lanes, interrupted, clock: Stopwatch::start(), patience })
    }

    /// Whether a signal came.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Whether there is no more time.
    pub fn is_over(&self) -> bool {
        self.is_interrupted() || self.patience.is_some_and(|patience| self.clock.elapsed() >= patience)
    }

    /// The wall time since it was made.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Makes these runs and has them judged in order, until one is broken off at.
    pub fn round(&self, jobs: &[Job], judge: &mut dyn FnMut(usize, Result<Ran, JobError>) -> ControlFlow<()>) {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (sender, results) = channel();
        wall::scope(|scope| {
            for _ in 0..self.lanes.get().min(jobs.len()) {
                let sender = sender.clone();
                let (next, stop) = (&next, &stop);
                scope.spawn(move || {
                    let Some(mut watcher) = self.watchers().pop() else { return };
                    while !stop.load(Ordering::Relaxed) && !self.is_over() {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = jobs.get(index) else { break };
                        let _ = sender.send((index, watcher.run(job, &mut |_| {})));
                    }
                    self.watchers().push(watcher);
                });
            }
            drop(sender);
            let mut waiting = std::collections::BTreeMap::new();
            let mut due = 0;
            for (index, result) in results {
                waiting.insert(index, result);
                while let Some(result) = waiting.remove(&due) {
                    if !stop.load(Ordering::Relaxed) && judge(due, result).is_break() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    due += 1;
                }
            }
        });
    }

    fn watchers(&self) -> std::sync::MutexGuard<'_, Vec<Watcher>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
