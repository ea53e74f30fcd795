//! What a panic said, for the verdict.
//!
//! tokio passes on only that a task panicked, or nothing at all. The message is taken where it is made, by the panic hook,
//! and only while a run is under way in the panicking thread; every other panic goes to the hook that was there before.

use std::cell::{Cell, RefCell};
use std::panic::{PanicHookInfo, resume_unwind, set_hook, take_hook};
use std::sync::Once;

use super::process::runtime;

thread_local! {
    /// Whether a run is under way, and what its first panic said.
    static CAPTURED: RefCell<(bool, Option<String>)> = const { RefCell::new((false, None)) };
    static STOPPED: Cell<bool> = const { Cell::new(false) };
    /// What tasks of a process with a runtime of its own said when they panicked, and whether somebody waited for each.
    static IN_TASKS: RefCell<Vec<(String, bool)>> = const { RefCell::new(Vec::new()) };
    static ANY_IN_TASKS: Cell<bool> = const { Cell::new(false) };
    /// Whether the last of them is of the task that was polled last.
    static IS_LAST: Cell<bool> = const { Cell::new(false) };
}

/// Takes down panics of this thread until it is dropped.
pub(crate) struct Capture;

impl Capture {
    pub(crate) fn begin() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let previous = take_hook();
            set_hook(Box::new(move |info| {
                if !capture(info) {
                    previous(info);
                }
            }));
        });
        CAPTURED.set((true, None));
        Self
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        CAPTURED.set((false, None));
        STOPPED.set(false);
        take_of_tasks();
    }
}

fn capture(info: &PanicHookInfo<'_>) -> bool {
    CAPTURED.with_borrow_mut(|(under_way, first)| {
        if *under_way && (first.is_none() || runtime::is_running()) {
            let place = info.location().map(|at| format!(" ({}:{})", short(at.file()), at.line())).unwrap_or_default();
            let said = info.payload_as_str().unwrap_or("a panic without a message");
            let message = format!("{said}{place}");
            if runtime::is_running() {
                ANY_IN_TASKS.set(true);
                IS_LAST.set(true);
                IN_TASKS.with_borrow_mut(|panics| panics.push((message.clone(), false)));
            }
            first.get_or_insert(message);
        }
        *under_way
    })
}

fn take_of_tasks() -> Vec<(String, bool)> {
    if ANY_IN_TASKS.take() { IN_TASKS.take() } else { Vec::new() }
}

/// The next task of a process is polled. Only tokio's unstable hooks tell.
#[cfg(tokio_unstable)]
#[inline]
pub(crate) fn next_task() {
    IS_LAST.set(false);
}

/// A traced task of a process is woken. If that is by the end of one that has just panicked, somebody waits for that and is
/// given the panic as an error (`JoinError`).
#[inline]
pub(crate) fn somebody_waits() {
    // While it unwinds, what it drops wakes others. Behind that it is its end that wakes, and no task runs.
    if ANY_IN_TASKS.get() && IS_LAST.get() && !std::thread::panicking() && tokio::task::try_id().is_none() {
        IN_TASKS.with_borrow_mut(|panics| panics.last_mut().into_iter().for_each(|(_, awaited)| *awaited = true));
    }
}

/// Judges the panics of a process's tasks in a run of its runtime: one that nobody waits for is a panic of the process, unless
/// it `outlives` those and is `told` of them.
pub(crate) fn settle(outlives: bool, mut told: impl FnMut(&str)) {
    if has_stopped() {
        take_of_tasks();
        return;
    }
    let panics = take_of_tasks();
    if panics.is_empty() {
        return;
    }
    CAPTURED.with_borrow_mut(|(_, first)| *first = None);
    for (message, awaited) in panics {
        if awaited {
            continue;
        }
        if outlives {
            told(&message);
            continue;
        }
        CAPTURED
            .with_borrow_mut(|(_, first)| _ = first.get_or_insert(format!("{message}, in a task that nobody awaits")));
        STOPPED.set(true);
    }
}

/// A source file from its crate's folder on: where the crate lies differs between machines, and the message is hashed.
fn short(file: &str) -> &str {
    let Some(end) = file.rfind("/src/") else { return file };
    let start = file[..end].rfind('/').map_or(0, |slash| slash + 1);
    &file[start..]
}

/// Runs the code of a task, which tokio catches when it panics: once it has, the process [has stopped](has_stopped). In a
/// process with a runtime of its own that is so of its root.
#[inline]
pub(crate) fn guarded<T>(is_root: bool, code: impl FnOnce() -> T) -> T {
    struct Unwinding {
        is_root: bool,
    }
    impl Drop for Unwinding {
        fn drop(&mut self) {
            if self.is_root || !runtime::is_running() {
                STOPPED.set(true);
                runtime::stop();
            }
        }
    }
    let unwinding = Unwinding { is_root };
    let result = code();
    std::mem::forget(unwinding);
    result
}

/// Whether a task was unwound since the last message was taken. Then no other of its process is to go on.
#[inline]
pub(crate) fn has_stopped() -> bool {
    STOPPED.get()
}

/// Goes on with the panic of a task that tokio has swallowed, if there was one.
pub(crate) fn go_on() {
    if has_stopped() {
        resume_unwind(Box::new("a task was unwound"));
    }
}

/// What the first panic since the last call said.
pub(crate) fn take_message() -> String {
    STOPPED.set(false);
    CAPTURED.with_borrow_mut(|(_, first)| first.take()).unwrap_or_default()
}
