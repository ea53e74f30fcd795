//! The wall clock, threads and waiting: a live run happens in real time.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "processes run in real time; no simulated run sees any of it"
)]

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Real time since it was made. Copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    #[inline]
    pub(super) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// A thread with a name.
pub(super) fn thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(body)
}

pub(super) fn sleep(time: Duration) {
    std::thread::sleep(time);
}
