//! The wall clock, threads and waiting: a live run happens in real time.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "processes run in real time; no simulated run sees any of it"
)]

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// Nanoseconds since 1970.
pub(super) fn since_1970_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
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
