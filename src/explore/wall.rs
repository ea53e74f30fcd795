//! The wall clock, threads and signals: what the watching side of the command needs, and no run may have.
//!
//! **Invariant:** nothing here is reachable from a host or from the testbed.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the watcher measures wall time and waits for child processes; no run sees any of it"
)]

use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use crate::held::outside;

/// Measures wall time from its making.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Self {
        Self(outside(Instant::now))
    }

    /// The wall time since it began.
    pub fn elapsed(self) -> Duration {
        outside(|| self.0.elapsed())
    }
}

/// Waits until so much wall time is over since a stopwatch began.
pub(crate) fn wait_since(began: Stopwatch, time: Duration) {
    std::thread::sleep(time.saturating_sub(began.elapsed()));
}

/// Waits until the next whole second of the wall clock has begun.
pub(crate) fn wait_for_a_second() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_secs(1) - Duration::from_nanos(now.subsec_nanos().into());
    std::thread::sleep(left + Duration::from_millis(2));
}

/// The threads of this process: their numbers and names, where the system tells them: on Linux.
pub(crate) fn threads() -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir("/proc/self/task") else { return BTreeMap::new() };
    let named = |entry: std::fs::DirEntry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        Some((entry.file_name().to_string_lossy().into_owned(), name.trim().to_owned()))
    };
    entries.filter_map(Result::ok).filter_map(named).collect()
}

/// The processors that this process may use.
pub fn cores() -> NonZero<usize> {
    std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// A thread with a name.
pub(crate) fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(body)
}

/// Threads that end before this returns.
pub(crate) fn scope<'env, T>(body: impl for<'scope> FnOnce(&'scope std::thread::Scope<'scope, 'env>) -> T) -> T {
    std::thread::scope(body)
}

/// The next message; an error after `patience` of wall time without one.
pub(crate) fn wait<T>(receiver: &Receiver<T>, patience: Duration) -> Result<T, RecvTimeoutError> {
    receiver.recv_timeout(patience)
}

/// From now on SIGINT and SIGTERM do not end the process but call `first`; the second one ends it at once.
///
/// The handlers are in place when this returns.
pub(crate) fn on_interrupt(first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let mut next = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
    };
    thread("signals", move || {
        next();
        first();
        next();
        std::process::exit(130);
    })?;
    Ok(())
}
