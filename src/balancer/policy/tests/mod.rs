//! The policy as its driver meets it: each test is a dialogue with backends that do as they are told.

mod health;
mod laws;
mod limits;
mod reload;
mod rotation;

use std::time::Duration;

use super::*;
use crate::rng::Seed;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn b(id: u32) -> BackendId {
    BackendId(id)
}

fn success() -> Outcome {
    Outcome::Success { latency: ms(5) }
}

/// Settings with neither slow start nor panic, which have tests of their own.
fn plain() -> Settings {
    Settings { slow_start: None, panic_percent: 0, ..Settings::default() }
}

/// Backends 1 to n, and the time.
struct Pool {
    backends: Backends,
    now: Duration,
}

impl Pool {
    fn new(settings: Settings, count: u32) -> Self {
        Self::weighted(settings, &vec![1; count as usize])
    }

    fn weighted(settings: Settings, weights: &[u32]) -> Self {
        let list: Vec<_> = (1..).map(b).zip(weights.iter().copied()).collect();
        let rng = Seed(11).stream("balancer/policy");
        Self { backends: Backends::new(settings, &list, ms(0), rng).expect("it makes sense"), now: ms(0) }
    }

    /// Lets time pass as a driver does: stopping at each deadline.
    fn pass(&mut self, time: u64) {
        let end = self.now + ms(time);
        while let Some(due) = self.backends.next_deadline().filter(|due| *due <= end) {
            assert!(due >= self.now, "a deadline is not in the past");
            self.now = due;
            self.backends.advance(due);
            assert!(self.backends.next_deadline().is_none_or(|next| next > due), "a deadline is met once");
        }
        self.now = end;
        self.backends.advance(end);
    }

    fn pick(&mut self) -> Pick {
        self.retry(&[])
    }

    fn retry(&mut self, tried: &[u32]) -> Pick {
        self.try_pick(tried).expect("there is a backend")
    }

    fn try_pick(&mut self, tried: &[u32]) -> Result<Pick, NoBackend> {
        let tried: Vec<_> = tried.iter().map(|id| b(*id)).collect();
        self.backends.pick(self.now, &tried)
    }

    fn finish(&mut self, pick: Pick, outcome: Outcome) {
        self.backends.finished(pick, self.now, outcome);
    }

    /// Requests one after the other, and who served them.
    fn serve(&mut self, count: usize) -> Vec<u32> {
        self.serve_with(count, |_| success())
    }

    fn serve_with(&mut self, count: usize, outcome: impl Fn(u32) -> Outcome) -> Vec<u32> {
        let mut serve = |_| {
            let pick = self.pick();
            let BackendId(id) = pick.id;
            self.finish(pick, outcome(id));
            id
        };
        (0..count).map(&mut serve).collect()
    }

    /// One backend fails requests in a row until it is ejected; the others serve theirs.
    fn fail_until_ejected(&mut self, id: u32, failure: Failure) {
        for _ in 0..100 {
            self.serve_with(1, |other| if other == id { Outcome::Failure(failure) } else { success() });
            if let State::Ejected { .. } = self.state(id) {
                return;
            }
        }
        panic!("b{id} is not ejected");
    }

    fn check(&mut self, id: u32, result: Result<(), Failure>) {
        self.backends.checked(b(id), self.now, result);
    }

    fn status(&self, id: u32) -> BackendStatus {
        let snapshot = self.backends.snapshot(self.now);
        snapshot.backends.into_iter().find(|status| status.id == b(id)).expect("it is known")
    }

    fn state(&self, id: u32) -> State {
        self.status(id).state
    }

    fn events(&mut self) -> Vec<Event> {
        self.backends.take_events()
    }
}

/// How often each of 1 to 3 served.
fn counts(served: &[u32]) -> [usize; 3] {
    [1, 2, 3].map(|id| served.iter().filter(|other| **other == id).count())
}
