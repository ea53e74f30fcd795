//! Many runs over several workers at once, their results in the order of the jobs.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use super::job::Job;
use super::wall;
use super::watcher::{JobError, Launch, Ran, Watcher};

/// How a set of runs ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// All were made.
    All,
    /// The receiver of the results had enough.
    Stopped,
    /// By Ctrl-C or SIGTERM.
    Interrupted,
}

/// Who is told of the runs.
pub trait Results {
    /// A run is over, in any order.
    fn progress(&mut self) {}

    /// The next result, in the order of the jobs. After an interruption some are left out.
    fn next(&mut self, index: u64, result: Result<Ran, JobError>) -> ControlFlow<()>;
}

/// The jobs that are left, each with its number.
type Queue = Arc<Mutex<dyn Iterator<Item = (u64, Job)> + Send>>;

enum Event {
    Done(u64, Result<Ran, JobError>),
    LaneEnded,
    Interrupted,
}

/// Makes all runs, `lanes` at a time. SIGINT and SIGTERM end it with what has been finished by then.
pub fn run_all(
    launch: &Launch,
    jobs: impl Iterator<Item = Job> + Send + 'static,
    lanes: NonZero<usize>,
    results: &mut dyn Results,
) -> Result<Finish, JobError> {
    let queue: Queue = Arc::new(Mutex::new((0..).zip(jobs)));
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, events) = channel();
    let interrupts = sender.clone();
    wall::on_interrupt(move || drop(interrupts.send(Event::Interrupted)))?;
    for _ in 0..lanes.get() {
        let (launch, queue, stop, sender) = (launch.clone(), Arc::clone(&queue), Arc::clone(&stop), sender.clone());
        wall::thread("lane", move || run_lane(launch, &queue, &stop, &sender))?;
    }
    let mut lanes_left = lanes.get();
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    let mut finish = Finish::All;
    while lanes_left > 0 {
        match events.recv() {
            Ok(Event::Done(index, result)) => {
                results.progress();
                waiting.insert(index, result);
            }
            Ok(Event::LaneEnded) => lanes_left -= 1,
            Ok(Event::Interrupted) | Err(_) => {
                finish = Finish::Interrupted;
                break;
            }
        }
        while let Some(result) = waiting.remove(&next) {
            if results.next(next, result).is_break() {
                stop.store(true, Ordering::Relaxed);
                return Ok(Finish::Stopped);
            }
            next += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (index, result) in waiting {
        if results.next(index, result).is_break() {
            break;
        }
    }
    Ok(finish)
}

/// Takes one job after another until there are none.
fn run_lane(launch: Launch, queue: &Queue, stop: &AtomicBool, sender: &Sender<Event>) {
    let mut watcher = Watcher::new(launch);
    while !stop.load(Ordering::Relaxed) {
        let job = queue.lock().ok().and_then(|mut jobs| jobs.next());
        let Some((index, job)) = job else { break };
        let result = watcher.run(&job, &mut |_| {});
        if sender.send(Event::Done(index, result)).is_err() {
            return;
        }
    }
    drop(watcher);
    let _ = sender.send(Event::LaneEnded);
}
