//! Threads that hosts have started.
//!
//! No fault reaches a thread, and what it does and when is not the run's. So it is to be noticed, and by whom it was
//! started. On Linux a thread inherits the timer slack of the one that starts it, whatever name it is given and whoever
//! starts it on the host's behalf; the slack of the run's thread is set to a mark of its own, some microseconds beside
//! the usual, while the process of each host runs. Elsewhere no thread is noticed, but those of `spawn_blocking`.

use std::cell::{Cell, OnceCell, RefCell};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sim::shared::Shared;

/// What the threads of `spawn_blocking` are called: those are counted elsewhere.
pub(super) const BLOCKING: &str = "spawn_blocking";

const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_micros(500);

/// A timer slack in nanoseconds, by which threads are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// One that no other host has, in whichever run of this program.
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        const USUAL: u64 = 50_000;
        const MARKS: u64 = 40_000;
        Self(USUAL + 1 + NEXT.fetch_add(1, Ordering::Relaxed) % MARKS)
    }
}

thread_local! {
    /// The mark of the process whose turn it is, until code of it runs: mostly none does.
    static EXPECTED: Cell<Option<Mark>> = const { Cell::new(None) };
}

/// Should code run now, it is that of the process of this mark.
pub(super) fn expect(mark: Mark) {
    EXPECTED.set(Some(mark));
}

/// Code of the process runs.
#[inline]
pub(super) fn runs() {
    if let Some(mark) = EXPECTED.take() {
        Shared::in_thread().into_iter().for_each(|shared| shared.threads.set(mark));
    }
}

/// Marks the threads that are started from this one, until it is dropped.
pub(crate) struct Threads {
    /// The run's thread, and its slack before; found out when it is first needed.
    own: OnceCell<Option<(String, String)>>,
    slack: RefCell<Option<File>>,
    set: Cell<Option<Mark>>,
}

impl Threads {
    pub(crate) fn new() -> Self {
        Self { own: OnceCell::new(), slack: RefCell::default(), set: Cell::new(None) }
    }

    fn own(&self) -> Option<&(String, String)> {
        self.own.get_or_init(own).as_ref()
    }

    /// Threads that are started from now on have this mark.
    pub(crate) fn set(&self, mark: Mark) {
        if self.set.replace(Some(mark)) != Some(mark) {
            self.write(&mark.0.to_string());
        }
    }

    fn write(&self, slack: &str) {
        let Some((thread, _)) = self.own() else { return };
        let mut file = self.slack.borrow_mut();
        if file.is_none() {
            *file = OpenOptions::new().write(true).open(format!("/proc/{thread}/timerslack_ns")).ok();
        }
        // Where it cannot be written, no thread is noticed.
        file.iter_mut().for_each(|file| _ = file.write_all(slack.as_bytes()));
    }

    /// The names of the threads that have this mark.
    pub(crate) fn of(&self, mark: Mark) -> Vec<String> {
        let Some((own, _)) = self.own() else { return Vec::new() };
        let unnamed = fs::read_to_string(format!("/proc/self/task/{own}/comm")).unwrap_or_default();
        let mut names = self.called(mark);
        // A thread names itself when it begins; until then it is called as who started it.
        for _ in 0..LOOKS {
            if !names.iter().any(|name| name == unnamed.trim()) {
                break;
            }
            #[allow(clippy::disallowed_methods, reason = "the run is over with what is found here")]
            std::thread::sleep(BETWEEN_LOOKS);
            names = self.called(mark);
        }
        names
    }

    fn called(&self, mark: Mark) -> Vec<String> {
        let Some((own, _)) = self.own() else { return Vec::new() };
        let Ok(threads) = fs::read_dir("/proc/self/task") else { return Vec::new() };
        let mut names = Vec::new();
        for thread in threads.flatten() {
            let thread = thread.file_name().to_string_lossy().into_owned();
            let is_marked = || {
                let slack = fs::read_to_string(format!("/proc/{thread}/timerslack_ns")).unwrap_or_default();
                slack.trim().parse() == Ok(mark.0)
            };
            if thread != *own && is_marked() {
                let name = fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default();
                names.extend(Some(name.trim().to_owned()).filter(|name| name != BLOCKING));
            }
        }
        names.sort();
        names
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if self.set.get().is_some()
            && let Some((_, before)) = self.own()
        {
            self.write(before);
        }
    }
}

/// This thread as Linux calls it, and its timer slack.
fn own() -> Option<(String, String)> {
    let link = fs::read_link("/proc/thread-self").ok()?;
    let thread = link.file_name()?.to_str()?.to_owned();
    let before = fs::read_to_string(format!("/proc/{thread}/timerslack_ns")).ok()?;
    Some((thread, before.trim().to_owned()))
}

/// Threads in words: none, if there is none.
pub(crate) fn named(threads: &[String]) -> Option<String> {
    match threads {
        [] => None,
        [name] => Some(format!("a thread (`{name}`)")),
        [first, ..] => Some(format!("{} threads (`{first}` …)", threads.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a thread is what is looked for")]
    fn a_thread_is_known_by_who_started_it() {
        let threads = Threads::new();
        if threads.own().is_none() {
            eprintln!("skipped: this system does not tell timer slacks");
            return;
        }
        let (mine, other) = (Mark::fresh(), Mark::fresh());
        let (end, ended) = std::sync::mpsc::channel::<()>();
        threads.set(mine);
        let (begun, begins) = std::sync::mpsc::channel();
        let worker = std::thread::Builder::new().name("of-its-own".to_owned()).spawn(move || {
            begun.send(()).unwrap();
            ended.recv().unwrap_err();
        });
        begins.recv().unwrap();
        threads.set(other);
        assert_eq!(threads.of(mine), ["of-its-own"]);
        assert!(threads.of(other).is_empty(), "the run's own thread is none of its");
        drop(end);
        worker.unwrap().join().unwrap();
        assert!(threads.of(mine).is_empty());
        let before = threads.own().cloned();
        drop(threads);
        assert_eq!(own(), before, "the slack is what it was");
    }
}
