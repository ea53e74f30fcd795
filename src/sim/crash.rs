//! Hosts that die right after a record, in the middle of a tick if need be.
//!
//! A process dies where its code stands. At a record that it made itself, the code behind that record must never run, so
//! it is unwound from there: [`Crashes::die_here`] throws, the supervisor catches, and the tasks are dropped as they
//! are in any kill. At a record that somebody else made, it is enough not to poll the process again.

use std::any::Any;
use std::cell::{Cell, RefCell};

use super::process::runtime;
use super::trace::HostId;

/// A step that fires after a record.
#[derive(Clone, Debug)]
pub(crate) struct CrashPoint {
    /// The record's number.
    pub(crate) record: u64,
    pub(crate) hosts: Vec<HostId>,
    /// Whether the machine loses power.
    pub(crate) power: bool,
}

/// What is thrown through the code of a process that dies.
struct Died;

/// All points of a run, and who is to be dead by now.
#[derive(Default)]
pub(crate) struct Crashes {
    /// Those to come, the next one last.
    points: RefCell<Vec<CrashPoint>>,
    doomed: RefCell<Vec<(HostId, bool)>>,
    /// Whether there are any: most runs have none.
    any: bool,
    /// Whether the code of a process runs just now.
    in_process: Cell<bool>,
}

impl Crashes {
    pub(crate) fn new(mut points: Vec<CrashPoint>) -> Self {
        points.sort_by_key(|point| std::cmp::Reverse(point.record));
        let any = !points.is_empty();
        Self { points: RefCell::new(points), any, ..Self::default() }
    }

    /// Whether anybody is ever to die after a record.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// Whether a host is to be dead once so many records were made, and whether by power.
    pub(crate) fn doom(&self, host: HostId, records: u64) -> Option<bool> {
        self.reach(records);
        self.doomed.borrow().iter().find(|(doomed, _)| *doomed == host).map(|(_, power)| *power)
    }

    fn reach(&self, records: u64) {
        let mut points = self.points.borrow_mut();
        while let Some(point) = points.pop_if(|point| point.record < records) {
            self.doomed.borrow_mut().extend(point.hosts.iter().map(|host| (*host, point.power)));
        }
    }

    /// The testbed has seen to it that the host is dead, after so many records.
    pub(crate) fn done(&self, host: HostId, records: u64) {
        self.reach(records);
        self.doomed.borrow_mut().retain(|(doomed, _)| *doomed != host);
    }

    /// Runs a process's code, of which nothing may be thrown any further.
    pub(crate) fn run<T>(&self, code: impl FnOnce() -> T) -> T {
        self.in_process.set(true);
        let result = code();
        self.in_process.set(false);
        result
    }

    /// Ends the code that runs just now, if it is that of a process. What is dropped on the way dies quietly.
    pub(crate) fn die_here(&self) {
        if self.in_process.get() && !std::thread::panicking() {
            runtime::stop();
            std::panic::resume_unwind(Box::new(Died) as Box<dyn Any + Send>);
        }
    }
}
