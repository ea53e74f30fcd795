//! Somebody who writes to a cluster all the time, and says how far it has come.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::screen::Screen;
use crate::net::real::RealNet;
use crate::raft::caller::{Caller, Servers};
use crate::raft::client::{Outcome, Patience};
use crate::raft::kv::{Answer, Operation};
use crate::raft::request::Consistency;
use crate::raft::{LogIndex, NodeId};
use crate::rng::fresh_seed;

/// How often is said how far the writes have come.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Up to which entry each node has applied.
pub(super) type Applied = Rc<RefCell<BTreeMap<NodeId, LogIndex>>>;

/// Adds numbers to one value, one after the other.
pub(super) struct Writer {
    servers: Servers,
    /// A key of its own: a directory that is kept has what others wrote.
    key: Bytes,
    every: Duration,
    patience: Patience,
    screen: Screen,
    applied: Applied,
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
    next: u64,
    /// How long the slowest took since it was last said how far they have come.
    slowest: Duration,
}

impl Writer {
    pub(super) fn new(servers: Servers, every: Duration, retry: Duration, screen: Screen, applied: Applied) -> Self {
        Self {
            servers,
            key: format!("writes-{:016x}", fresh_seed().stream("raft-writer").random::<u64>()).into(),
            every,
            patience: Patience { retry, deadline: PATIENCE },
            screen,
            applied,
            acknowledged: BTreeSet::new(),
            unknown: BTreeSet::new(),
            next: 1,
            slowest: Duration::ZERO,
        }
    }

    async fn caller(&self) -> io::Result<Caller<RealNet>> {
        Caller::new(&RealNet, &self.servers, self.patience.clone(), &mut fresh_seed().stream("raft-writer")).await
    }

    /// Writes until it is dropped.
    pub(super) async fn run(&mut self) -> io::Result<Infallible> {
        let mut caller = self.caller().await?;
        let mut times = interval(self.every);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = Instant::now();
        loop {
            times.tick().await;
            let number = self.next;
            self.next += 1;
            // Whoever drops this in the middle of the call does not know what came of it.
            self.unknown.insert(number);
            let began = Instant::now();
            let value = Bytes::from(format!("{number};"));
            let append = Operation::Append { key: self.key.clone(), value };
            match caller.call(append, Consistency::Log).await {
                Outcome::Answered { .. } => {
                    self.unknown.remove(&number);
                    self.acknowledged.insert(number);
                    self.slowest = self.slowest.max(began.elapsed());
                }
                Outcome::NotDone(_) => _ = self.unknown.remove(&number),
                Outcome::Unknown => {}
            }
            if said.elapsed() >= SAID_EVERY {
                said = Instant::now();
                self.say();
            }
        }
    }

    fn say(&mut self) {
        let applied = self.applied.borrow();
        let shown: Vec<String> = applied.iter().map(|(id, index)| format!("{id} {index}")).collect();
        let (count, slowest) = (self.acknowledged.len(), self.slowest.as_secs_f64() * 1e3);
        let text =
            format_args!("{count} writes acknowledged, the slowest in {slowest:.1} ms; applied: {}", shown.join(", "));
        self.screen.line(&[], text);
        drop(applied);
        self.slowest = Duration::ZERO;
    }

    /// Reads all back, and says whether all that was acknowledged is there.
    pub(super) async fn end(self) {
        let read = async {
            let mut caller = self.caller().await?;
            Ok::<_, io::Error>(caller.call(Operation::Get { key: self.key.clone() }, Consistency::Index).await)
        };
        let value = match read.await {
            Ok(Outcome::Answered { answer: Answer::Value(value), .. }) => value.unwrap_or_default(),
            Ok(_) => return self.screen.line(&[], "the writes cannot be read back: nobody answers"),
            Err(error) => return self.screen.line(&[], format_args!("the writes cannot be read back: {error}")),
        };
        let numbers = value.split(|byte| *byte == b';').filter(|number| !number.is_empty());
        let there: Vec<Option<u64>> = numbers.map(|number| std::str::from_utf8(number).ok()?.parse().ok()).collect();
        let once: BTreeSet<u64> = there.iter().flatten().copied().collect();
        let (lost, twice) = (self.acknowledged.difference(&once).count(), there.len() - once.len());
        let (all, unknown) = (self.acknowledged.len(), self.unknown.len());
        let found = match (lost, twice) {
            (0, 0) => format!("all {all} writes that were acknowledged are there, each once"),
            _ => format!("of {all} writes that were acknowledged {lost} are lost, and {twice} were done twice"),
        };
        self.screen.line(&[], format_args!("{found}; of {unknown} it is unknown"));
    }
}
