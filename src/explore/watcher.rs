//! The process that watches: it gives a job to a worker and notices when the worker stands still, dies, or takes too much
//! memory.
//!
//! A run that never yields cannot be ended from inside, one that overflows its stack takes its process along, and one that
//! eats memory the whole machine. All are results. The same job is then run once more, and the worker says before each poll of a host which one it is, so
//! that the verdict names the host and the simulated time.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::job::{Job, MARK, Message};
use super::wall::{self, Stopwatch};
use crate::report::records::{HostLine, RecordLine};
use crate::script::{ByteSize, show_duration};
use crate::sim::{Finding, Outcome, Verdict};

/// The wall time that a worker has to start.
const START: Duration = Duration::from_secs(10);

/// The wall time between two looks at how much memory a worker has: in so little, not much more can be taken.
const LOOK: Duration = Duration::from_millis(20);

/// How workers are started and watched.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program: one whose `main` is [`crate::cli::main`].
    pub program: PathBuf,
    /// Its arguments, which make it a worker.
    pub arguments: Vec<OsString>,
    /// The wall time without a sign of life after which a run is stuck.
    pub stall: Duration,
    /// The most memory that a worker may have resident, in bytes, where the system tells it: on Linux.
    pub memory_bytes_max: u64,
}

/// A run that was made.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// The wall time that it took.
    pub wall: Duration,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// By itself.
    Complete(Box<Outcome>),
    /// With its process: it stood still and was killed, or it died. It has no hash and no numbers.
    Cut(Verdict),
}

impl Ran {
    /// The verdict.
    pub fn verdict(&self) -> &Verdict {
        match &self.ended {
            Ended::Complete(outcome) => &outcome.verdict,
            Ended::Cut(verdict) => verdict,
        }
    }

    /// What the run came to, if it came to its end.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.ended {
            Ended::Complete(outcome) => Some(outcome),
            Ended::Cut(_) => None,
        }
    }
}

/// What is seen of a run while it is made.
#[derive(Debug)]
pub enum Seen {
    /// It has reached this simulated time.
    Time(Duration),
    /// It is over.
    Finished {
        /// What it came to.
        outcome: Box<Outcome>,
        /// The hosts, if records are kept.
        hosts: Vec<HostLine>,
    },
    /// Threads that it has started, by their names, if they were looked for.
    Threads(Vec<String>),
    /// One of its records.
    Record(Box<RecordLine>),
}

/// Why a run was not made.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The script is wrong, or the build is.
    #[error("{0}")]
    Refused(String),
    /// The worker could not be started or spoken to.
    #[error("cannot run a worker process: {0}")]
    Worker(#[from] io::Error),
}

/// Watches one worker at a time and starts a new one where one is needed.
#[derive(Debug)]
pub struct Watcher {
    launch: Launch,
    worker: Option<Worker>,
}

impl Watcher {
    /// Starts nothing yet.
    pub fn new(launch: Launch) -> Self {
        Self { launch, worker: None }
    }

    /// Makes one run.
    pub fn run(&mut self, job: &Job, see: &mut dyn FnMut(Seen)) -> Result<Ran, JobError> {
        let clock = Stopwatch::start();
        let cut = match self.attempt(job, see)? {
            Attempt::Done(ran) => return Ok(ran),
            Attempt::Cut(cut) => cut,
        };
        let careful = Job { careful_from: Some(cut.at), ..job.clone() };
        let cut = match cut.why {
            // Killed from outside, most likely for its memory: not a second time.
            Why::Died(status) if status.signal().is_some_and(|signal| signal == 9 || signal == 15) => cut,
            Why::Died(_) => match self.attempt(&careful, &mut |_| {})? {
                Attempt::Cut(again) => again,
                Attempt::Done(_) => cut,
            },
            Why::Stalled | Why::TookMemory => match self.attempt(&careful_enough(&cut.why, careful), see)? {
                Attempt::Cut(again) => again,
                // The machine stood still, not the run; or it was not this run that took the memory.
                Attempt::Done(ran) => return Ok(ran),
            },
        };
        Ok(Ran { ended: Ended::Cut(cut.verdict(&self.launch)), wall: clock.elapsed() })
    }

    /// Gives the job to the worker and listens until it is done, or the worker is.
    fn attempt(&mut self, job: &Job, see: &mut dyn FnMut(Seen)) -> Result<Attempt, JobError> {
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(&self.launch)?,
        };
        let mut cut = Cut { at: job.careful_from.unwrap_or_default(), host: None, why: Why::Stalled };
        let (mut ran, mut polled_last) = (None, None);
        // A worker that cannot be written to has died: the messages end, and its status says how.
        let _ = worker.give(job);
        loop {
            match worker.next(&self.launch) {
                Ok(Message::Heartbeat { at }) => {
                    (cut.at, cut.host) = (at, None);
                    see(Seen::Time(at));
                }
                Ok(Message::Polls { at, host }) => {
                    polled_last = Some(host.clone());
                    (cut.at, cut.host) = (at, Some(host));
                }
                Ok(Message::Finished { outcome, wall, hosts }) => {
                    ran = Some(Ran { ended: Ended::Complete(outcome.clone()), wall });
                    see(Seen::Finished { outcome, hosts });
                }
                Ok(Message::Threads { names }) => see(Seen::Threads(names)),
                Ok(Message::Record(record)) => see(Seen::Record(record)),
                Ok(Message::Ready) => {}
                Ok(Message::Done) => {
                    self.worker = Some(worker);
                    let nothing = || io::Error::other("it was done without a result");
                    return Ok(Attempt::Done(ran.ok_or_else(nothing)?));
                }
                Ok(Message::Refused { message }) => return Err(JobError::Refused(message)),
                Err(Silence::Stalled) => return Ok(Attempt::Cut(cut)),
                Err(Silence::TookMemory) => {
                    // What a host took is still there when it has been left.
                    cut.host = cut.host.or(polled_last);
                    cut.why = Why::TookMemory;
                    return Ok(Attempt::Cut(cut));
                }
                Err(Silence::Died) => {
                    cut.why = Why::Died(worker.child.wait()?);
                    return Ok(Attempt::Cut(cut));
                }
            }
        }
    }
}

/// How much memory there is is looked at now and again, so that another time it is too much earlier in the run.
fn careful_enough(why: &Why, careful: Job) -> Job {
    match why {
        Why::TookMemory => Job { careful_from: Some(Duration::ZERO), ..careful },
        Why::Stalled | Why::Died(_) => careful,
    }
}

/// How one attempt at a job went.
enum Attempt {
    Done(Ran),
    Cut(Cut),
}

/// Where a run was when it was cut off.
struct Cut {
    /// The last simulated time that is known.
    at: Duration,
    /// The host that was polled, if polls were announced.
    host: Option<String>,
    why: Why,
}

enum Why {
    Stalled,
    TookMemory,
    Died(ExitStatus),
}

/// Why no message comes.
enum Silence {
    Stalled,
    TookMemory,
    Died,
}

impl Cut {
    fn verdict(self, launch: &Launch) -> Verdict {
        let stall = launch.stall;
        let finding = |invariant: &str, message| Finding {
            invariant: invariant.to_owned(),
            at: self.at,
            record: 0,
            message,
            facts: Vec::new(),
        };
        match (self.why, &self.host) {
            (Why::Stalled, Some(host)) => {
                Verdict::Stuck(finding("stuck", format!("{host} did not yield for {} of wall time", spaced(stall))))
            }
            (Why::Stalled, None) => {
                let message = format!("the testbed took no step for {} of wall time", spaced(stall));
                Verdict::Stuck(finding("stuck", message))
            }
            (Why::TookMemory, host) => {
                let place = host.as_ref().map_or(String::new(), |host| format!(" while {host} ran"));
                let size = ByteSize(launch.memory_bytes_max);
                Verdict::Memory(finding("memory", format!("the process of the run took more than {size}{place}")))
            }
            (Why::Died(status), host) => {
                let memory = if status.signal() == Some(9) { "; out of memory?" } else { "" };
                let place = host.as_ref().map_or(String::new(), |host| format!(" while {host} ran"));
                Verdict::Panic(finding("panic", format!("the process of the run died{place} ({status}{memory})")))
            }
        }
    }
}

/// `10s` as `10 s`.
fn spaced(duration: Duration) -> String {
    let text = show_duration(duration);
    let unit = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    format!("{} {}", &text[..unit], &text[unit..])
}

/// A child process that makes runs.
#[derive(Debug)]
struct Worker {
    child: Child,
    jobs: ChildStdin,
    messages: Receiver<Message>,
    /// When its memory was looked at last.
    looked: Stopwatch,
}

impl Worker {
    fn start(launch: &Launch) -> io::Result<Self> {
        let mut child = Command::new(&launch.program)
            .args(&launch.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the watcher; the worker ends when its input does.
            .process_group(0)
            .spawn()?;
        let (Some(jobs), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("its input and output are not piped"));
        };
        let (sender, messages) = sync_channel(1024);
        wall::thread("messages", move || listen(output, &sender))?;
        let worker = Self { child, jobs, messages, looked: Stopwatch::start() };
        match wall::wait(&worker.messages, START.max(launch.stall)) {
            Ok(Message::Ready) => Ok(worker),
            _ => Err(io::Error::other(
                "this program, called as `worker`, did not become one: its `main` must call `stormglass::cli::main` \
                 before it does anything else",
            )),
        }
    }

    /// The next message.
    fn next(&mut self, launch: &Launch) -> Result<Message, Silence> {
        let mut left = launch.stall;
        loop {
            if self.looked.elapsed() >= LOOK {
                self.looked = Stopwatch::start();
                if self.resident_bytes().is_some_and(|bytes| bytes > launch.memory_bytes_max) {
                    return Err(Silence::TookMemory);
                }
            }
            let wait = left.min(LOOK);
            match wall::wait(&self.messages, wait) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Silence::Stalled),
                // Not the time that went by: all this may have been stopped together, and then nobody had to say a word.
                Err(RecvTimeoutError::Timeout) => left -= wait,
                Err(RecvTimeoutError::Disconnected) => return Err(Silence::Died),
            }
        }
    }

    /// The memory that it has resident, where the system tells it.
    fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    fn give(&mut self, job: &Job) -> io::Result<()> {
        let mut line = serde_json::to_vec(job)?;
        line.push(b'\n');
        self.jobs.write_all(&line)?;
        self.jobs.flush()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes messages apart from what hosts print, which goes to standard error.
fn listen(output: impl Read, sender: &SyncSender<Message>) {
    let mut output = BufReader::with_capacity(1 << 16, output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let mark = line.iter().position(|byte| *byte == MARK).unwrap_or(line.len());
        let (printed, message) = line.split_at(mark);
        if !printed.is_empty() {
            let _ = io::stderr().write_all(printed);
        }
        if let Some((_, message)) = message.split_first() {
            // A message that was cut off in its middle: the process died, which is noticed by itself.
            let Ok(message) = serde_json::from_slice(message) else { return };
            if sender.send(message).is_err() {
                return;
            }
        }
        line.clear();
    }
}
