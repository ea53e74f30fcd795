//! What leads to what within a host.
//!
//! A packet's records name the record of its sending. Within a host, what a task does comes of what it took in last (a
//! datagram, a segment, a connection), or of the task that woke it, or of a timer. All three are known where the task's
//! future is wrapped in [`Traced`]: its waker notes who called it, and outside of all tasks only a socket or a timer
//! does. A socket's news is then taken in at once; what did not take anything in was woken by a timer, and its cause is
//! what it went to sleep with. So a cause passes through channels, locks and libraries (hyper's connection tasks among
//! them) without their help.
//!
//! A host wraps what it spawns with [`crate::net::Net::task`]. A task that is not wrapped knows only what it took in
//! itself in the same step, and its first record after a sleep has no cause. Turmoil's own sockets wake a task as a timer
//! does: at a host that uses them, what would come of a timer has no cause instead.
//!
//! **Invariant:** who is woken when does not depend on any of this.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::time::Instant;

use super::panics;
use super::trace::Cause;

/// Whose code runs in this thread.
#[derive(Clone, Copy, Debug, Default)]
enum Running {
    /// Neither a wrapped task nor a step of the testbed.
    #[default]
    Nobody,
    /// Something that comes of this, as far as it is known.
    Led(Option<Cause>),
    /// A task has just ended, because of this: whoever awaits its result is woken now.
    Ended(Option<Cause>),
}

thread_local! {
    static RUNNING: Cell<Running> = const { Cell::new(Running::Nobody) };
}

/// What led to what runs just now. `None`: this is not traced; `Some(None)`: there is no cause.
#[inline]
#[allow(clippy::option_option, reason = "whether it is traced, and whether there is a cause: two questions")]
pub(crate) fn current() -> Option<Option<Cause>> {
    match RUNNING.get() {
        Running::Led(cause) => Some(cause),
        Running::Nobody | Running::Ended(_) => None,
    }
}

/// What runs just now goes on because of this. `false`: it is not traced.
#[inline]
pub(crate) fn continue_with(cause: Cause) -> bool {
    let traced = current().is_some();
    if traced {
        RUNNING.set(Running::Led(Some(cause)));
    }
    traced
}

/// Runs code that comes of this.
pub(crate) fn because<T>(cause: Option<Cause>, code: impl FnOnce() -> T) -> T {
    let before = RUNNING.replace(Running::Led(cause));
    let result = code();
    RUNNING.set(before);
    result
}

/// Waits for what is no timer of the host's own (a disk), and goes on because of what it waited with.
pub(crate) async fn carried<T>(waits: impl Future<Output = T>) -> T {
    let cause = current().flatten();
    let result = waits.await;
    cause.map(continue_with);
    result
}

/// The code of a host's tasks was left, one way or the other.
pub(crate) fn left_tasks() {
    RUNNING.set(Running::Nobody);
}

/// What leads to what in one task, from poll to poll. `T` is a time on the clock that the task is polled by.
pub(crate) struct Thread<T> {
    alarm: Option<(Arc<Alarm>, Waker)>,
    /// What it had come of when it was left, and when that was.
    last: Option<Cause>,
    left: T,
    is_new: bool,
}

impl<T: PartialOrd> Thread<T> {
    /// What it does first comes of this.
    pub(crate) fn new(cause: Option<Cause>, now: T) -> Self {
        Self { alarm: None, last: cause, left: now, is_new: true }
    }

    /// What it had come of when it was left.
    pub(crate) fn last(&self) -> Option<Cause> {
        self.last
    }

    /// What led to its being polled.
    #[inline]
    fn cause(&mut self, now: &T) -> Option<Cause> {
        let woken = self.alarm.as_ref().and_then(|(alarm, _)| alarm.take());
        if std::mem::take(&mut self.is_new) {
            return self.last;
        }
        // One that only let others go first (`yield_now`) is woken by the runtime, and no time has passed.
        let timer = |cause: Cause| Cause { timer: cause.timer || self.left < *now, ..cause };
        woken.unwrap_or_else(|| self.last.map(timer))
    }

    #[inline]
    fn waker(&mut self, task: &Waker) -> &Waker {
        self.alarm.take_if(|(alarm, _)| !alarm.task.will_wake(task));
        let (_, waker) = self.alarm.get_or_insert_with(|| {
            let alarm = Arc::new(Alarm { woken_by: AtomicU64::new(Alarm::NOBODY), task: task.clone() });
            let waker = Waker::from(alarm.clone());
            (alarm, waker)
        });
        waker
    }

    /// Polls the task's future at `now`, which is read again when it is left.
    pub(crate) fn poll<F: Future + ?Sized>(
        &mut self,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
        now: impl Fn() -> T,
    ) -> Poll<F::Output> {
        let cause = self.cause(&now());
        let waker = self.waker(cx.waker());
        let before = RUNNING.replace(Running::Led(cause));
        let poll = future.poll(&mut Context::from_waker(waker));
        (self.last, self.left) = (current().flatten(), now());
        RUNNING.set(match before {
            Running::Led(_) => before,
            Running::Nobody | Running::Ended(_) if poll.is_ready() => Running::Ended(self.last),
            Running::Nobody | Running::Ended(_) => Running::Nobody,
        });
        poll
    }
}

/// A task's future, traced.
pub(crate) struct Traced<F> {
    future: Pin<Box<F>>,
    thread: Thread<Instant>,
    is_root: bool,
}

impl<F: Future> Traced<F> {
    /// What it does first comes of this.
    pub(crate) fn new(future: F, cause: Option<Cause>) -> Self {
        Self { future: Box::pin(future), thread: Thread::new(cause, Instant::now()), is_root: false }
    }

    /// The same for the root of a process, which ends if this panics.
    pub(crate) fn root(future: F, cause: Option<Cause>) -> Self {
        Self { is_root: true, ..Self::new(future, cause) }
    }
}

impl<F: Future> Future for Traced<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if panics::has_stopped() {
            return Poll::Pending;
        }
        let Self { future, thread, is_root } = &mut *self;
        panics::guarded(*is_root, || thread.poll(future.as_mut(), cx, Instant::now))
    }
}

/// Wakes a task, and keeps who did.
struct Alarm {
    /// The cause in one word, or one of the two constants.
    woken_by: AtomicU64,
    task: Waker,
}

impl Alarm {
    const NOBODY: u64 = u64::MAX;
    const NO_CAUSE: u64 = u64::MAX - 1;

    fn ring(&self) {
        if let Running::Led(cause) | Running::Ended(cause) = RUNNING.get() {
            let word = cause.map_or(Self::NO_CAUSE, |cause| cause.record << 1 | u64::from(cause.timer));
            self.woken_by.store(word, Ordering::Relaxed);
        }
    }

    /// Who woke it, if traced code did since it was last asked.
    #[allow(clippy::option_option, reason = "whether somebody did, and whether that had a cause: two questions")]
    fn take(&self) -> Option<Option<Cause>> {
        // Mostly nobody did, and to look is cheaper than to swap.
        if self.woken_by.load(Ordering::Relaxed) == Self::NOBODY {
            return None;
        }
        match self.woken_by.swap(Self::NOBODY, Ordering::Relaxed) {
            Self::NOBODY => None,
            Self::NO_CAUSE => Some(None),
            word => Some(Some(Cause { record: word >> 1, timer: word & 1 == 1 })),
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        panics::somebody_waits();
        self.ring();
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use tokio::sync::{mpsc, oneshot};
    use tokio::task::{JoinSet, LocalSet, spawn_local};

    use super::*;

    type Seen = Rc<RefCell<Vec<(&'static str, Option<Cause>)>>>;

    fn note(seen: &Seen, what: &'static str) {
        seen.borrow_mut().push((what, current().flatten()));
    }

    #[allow(clippy::unnecessary_wraps, reason = "what it is compared with is an option")]
    fn by(record: u64) -> Option<Cause> {
        Some(Cause::from(record))
    }

    #[allow(clippy::unnecessary_wraps, reason = "what it is compared with is an option")]
    fn by_timer(record: u64) -> Option<Cause> {
        Some(Cause { record, timer: true })
    }

    /// Runs traced tasks on a clock that does not wait.
    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, test);
        left_tasks();
    }

    #[test]
    fn a_cause_passes_through_channels_and_joins_from_task_to_task() {
        let seen = Seen::default();
        run(async {
            let (ask, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
            let worker = seen.clone();
            spawn_local(Traced::new(
                async move {
                    while let Some(answer) = asked.recv().await {
                        note(&worker, "asked");
                        answer.send(()).unwrap();
                    }
                },
                by(1),
            ));
            let asker = seen.clone();
            let task = async move {
                for record in [7, 9] {
                    assert!(continue_with(Cause::from(record)));
                    let (answer, answered) = oneshot::channel();
                    ask.send(answer).unwrap();
                    answered.await.unwrap();
                    note(&asker, "answered");
                }
                continue_with(Cause::from(11));
            };
            let joiner = seen.clone();
            let joined = async move {
                let mut tasks = JoinSet::new();
                tasks.spawn_local(Traced::new(task, by(2)));
                tasks.join_next().await.unwrap().unwrap();
                note(&joiner, "joined");
            };
            spawn_local(Traced::new(joined, by(3))).await.unwrap();
        });
        let expected =
            [("asked", by(7)), ("answered", by(7)), ("asked", by(9)), ("answered", by(9)), ("joined", by(11))];
        assert_eq!(*seen.borrow(), expected);
    }

    #[test]
    fn what_a_timer_woke_comes_of_what_it_slept_on() {
        let seen = Seen::default();
        run(async {
            let sleeper = seen.clone();
            let sleeps = async move {
                note(&sleeper, "began");
                tokio::time::sleep(Duration::from_millis(5)).await;
                note(&sleeper, "slept");
                continue_with(Cause::from(8));
                note(&sleeper, "took in");
                tokio::task::yield_now().await;
                note(&sleeper, "yielded");
                tokio::time::sleep(Duration::from_millis(5)).await;
                note(&sleeper, "slept again");
            };
            spawn_local(Traced::new(sleeps, by(4))).await.unwrap();
        });
        let expected = [
            ("began", by(4)),
            ("slept", by_timer(4)),
            ("took in", by(8)),
            ("yielded", by(8)),
            ("slept again", by_timer(8)),
        ];
        assert_eq!(*seen.borrow(), expected);
    }

    #[test]
    fn what_is_not_traced_says_so() {
        assert_eq!(current(), None);
        assert!(!continue_with(Cause::from(1)));
        assert_eq!(because(by(5), current), Some(by(5)));
        assert_eq!(current(), None);
    }
}
