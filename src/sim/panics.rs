//! What a panic said, for the verdict.
//!
//! tokio passes on only that a task panicked, or nothing at all. The message is taken where it is made, by the panic hook,
//! and only while a run is under way in the panicking thread; every other panic goes to the hook that was there before.

use std::cell::{Cell, RefCell};
use std::panic::{PanicHookInfo, resume_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a run is under way, and what its first panic said.
    static CAPTURED: RefCell<(bool, Option<String>)> = const { RefCell::new((false, None)) };
    static STOPPED: Cell<bool> = const { Cell::new(false) };
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
    }
}

fn capture(info: &PanicHookInfo<'_>) -> bool {
    CAPTURED.with_borrow_mut(|(under_way, first)| {
        if *under_way && first.is_none() {
            let place = info.location().map(|at| format!(" ({}:{})", short(at.file()), at.line())).unwrap_or_default();
            let said = info.payload_as_str().unwrap_or("a panic without a message");
            *first = Some(format!("{said}{place}"));
        }
        *under_way
    })
}

/// A source file from its crate's folder on: where the crate lies differs between machines, and the message is hashed.
fn short(file: &str) -> &str {
    let Some(end) = file.rfind("/src/") else { return file };
    let start = file[..end].rfind('/').map_or(0, |slash| slash + 1);
    &file[start..]
}

/// Runs the code of a task, which tokio catches when it panics: once it has, the process [has stopped](has_stopped).
#[inline]
pub(crate) fn guarded<T>(code: impl FnOnce() -> T) -> T {
    struct Unwinding;
    impl Drop for Unwinding {
        fn drop(&mut self) {
            STOPPED.set(true);
        }
    }
    let unwinding = Unwinding;
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
