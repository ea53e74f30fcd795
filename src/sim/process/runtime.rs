//! The tokio runtime of one process: run at one moment, until all of its tasks wait.
//!
//! Its clock stands still by itself and is set by hand, so that a process that was not run for a while finds all its
//! deadlines past. That its tasks wait is known from tokio, which says so before it would put the thread to sleep. After
//! each poll of a task it looks whether to go on (`event_interval` of 1), so that nothing of a process runs behind the
//! point at which it dies.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::JoinHandle;

use super::threads::{self, BLOCKING};
#[cfg(tokio_unstable)]
use crate::sim::panics;

/// How often and how long, in real time, a process is waited for whose tasks all wait while a thread of its
/// `spawn_blocking` works: work that is done soon takes no simulated time. What takes longer goes on beside the run.
const LOOKS: u32 = 2_000;
const BETWEEN_LOOKS: Duration = Duration::from_micros(50);

thread_local! {
    /// That of the process that runs in this thread just now.
    static DRIVER: RefCell<Option<Arc<Driver>>> = const { RefCell::new(None) };
}

/// Ends the run of a runtime.
#[derive(Default)]
struct Driver {
    enough: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// Threads for `spawn_blocking`.
    threads: AtomicUsize,
}

impl Driver {
    fn end(&self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }
}

/// Whether a process runs in this thread just now that has a runtime of its own.
pub(crate) fn is_running() -> bool {
    DRIVER.with_borrow(Option::is_some)
}

/// The process that runs just now is dead: none of its tasks goes on.
pub(crate) fn stop() {
    DRIVER.with_borrow(|driver| driver.iter().for_each(|driver| driver.end()));
}

/// Makes a process the one that runs, until it is dropped.
struct Running;

impl Running {
    fn begin(driver: &Arc<Driver>) -> Self {
        DRIVER.set(Some(driver.clone()));
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        DRIVER.set(None);
    }
}

pub(super) struct Runtime {
    tokio: Option<LocalRuntime>,
    driver: Arc<Driver>,
    /// Where its clock stands.
    clock: Cell<Duration>,
    /// Threads of `spawn_blocking` that have worked too long to be waited for.
    left_behind: Cell<usize>,
}

impl Runtime {
    /// `drawn`: what tokio's own generator is seeded with.
    pub(super) fn new(drawn: u64, now: Duration) -> Self {
        let driver = Arc::new(Driver::default());
        let (idle, begins, ends) = (driver.clone(), driver.clone(), driver.clone());
        let mut builder = Builder::new_current_thread();
        builder.enable_time().start_paused(true).event_interval(1).thread_name(BLOCKING);
        builder.on_thread_park(move || idle.end());
        builder.on_thread_start(move || _ = begins.threads.fetch_add(1, Ordering::Relaxed));
        builder.on_thread_stop(move || _ = ends.threads.fetch_sub(1, Ordering::Relaxed));
        // A thread that has nothing to do any more is not to be taken for one that has.
        builder.thread_keep_alive(Duration::ZERO);
        #[cfg(tokio_unstable)]
        builder.on_before_task_poll(|_| {
            threads::runs();
            panics::next_task();
        });
        #[cfg(tokio_unstable)]
        builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&drawn.to_le_bytes()));
        #[cfg(not(tokio_unstable))]
        let _ = drawn;
        let tokio = builder.build_local(LocalOptions::default()).expect("a runtime without sockets needs nothing");
        Self { tokio: Some(tokio), driver, clock: Cell::new(now), left_behind: Cell::new(0) }
    }

    fn tokio(&self) -> &LocalRuntime {
        self.tokio.as_ref().expect("it is taken out when it is dropped")
    }

    /// Starts the process's root, which runs when it is run next.
    pub(super) fn start<F: Future + 'static>(&self, root: impl FnOnce() -> F) -> JoinHandle<F::Output>
    where
        F::Output: 'static,
    {
        let tokio = self.tokio();
        let _entered = tokio.enter();
        tokio.spawn_local(root())
    }

    /// Runs it at a moment, until nothing of it has anything to do.
    pub(super) fn run_at(&self, now: Duration) {
        // Where tokio does not say when it polls a task, one might be.
        #[cfg(not(tokio_unstable))]
        threads::runs();
        let _running = Running::begin(&self.driver);
        let mut missed = now.saturating_sub(self.clock.replace(now));
        for look in 0..=LOOKS {
            self.run_until_idle(std::mem::take(&mut missed));
            if self.blocking() <= self.left_behind.get() {
                return;
            }
            if look < LOOKS {
                #[allow(clippy::disallowed_methods, reason = "what is waited for is a thread of the host's")]
                std::thread::sleep(BETWEEN_LOOKS);
            }
        }
        self.left_behind.set(self.blocking());
    }

    fn run_until_idle(&self, missed: Duration) {
        let driver = &self.driver;
        self.tokio().block_on(async {
            if !missed.is_zero() {
                tokio::time::advance(missed).await;
            }
            driver.enough.store(false, Ordering::Relaxed);
            poll_fn(|cx| {
                if driver.enough.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                let mut waker = driver.waker.lock().unwrap_or_else(PoisonError::into_inner);
                if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    *waker = Some(cx.waker().clone());
                }
                Poll::Pending
            })
            .await;
        });
    }

    /// How many threads of `spawn_blocking` work.
    pub(super) fn blocking(&self) -> usize {
        #[cfg(tokio_unstable)]
        {
            // They are counted as soon as they are asked for.
            let metrics = self.tokio().handle().metrics();
            metrics.num_blocking_threads().saturating_sub(metrics.num_idle_blocking_threads())
        }
        #[cfg(not(tokio_unstable))]
        self.driver.threads.load(Ordering::Relaxed)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // All tasks are dropped; threads that still work are not waited for.
        self.tokio.take().into_iter().for_each(LocalRuntime::shutdown_background);
    }
}
