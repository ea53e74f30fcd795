//! What a run has shown, to tell whether another one shows anything new: pairs of a kind of record and the state of the
//! host that it is of.
//!
//! A host's state is what its system says that it is ([`Meaning::State`]), and before that whether it is up. That a
//! leader dies is something else than that a follower does; in which term, or which one, is not. Packets that are sent
//! and delivered are not counted, for they come in every state.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use indexmap::IndexMap;

use super::meaning::Meaning;
use super::recorder::Recorder;
use super::system::System;
use super::trace::{HostId, LossReason, Record, What, Why};

/// What a run has shown so far.
pub(crate) struct Coverage {
    system: &'static dyn System,
    hosts: Vec<String>,
    /// By host; that of the testbed itself stands last.
    state: Vec<u16>,
    /// Every state that there was.
    known: Vec<String>,
    pairs: BTreeSet<(&'static str, u16)>,
}

const NOBODY: u16 = 0;
const DOWN: u16 = 1;
const UP: u16 = 2;

impl Coverage {
    /// Watches a run from its beginning.
    pub(crate) fn watch(system: &'static dyn System, hosts: &[String], recorder: &mut Recorder) -> Rc<RefCell<Self>> {
        let mut state = vec![DOWN; hosts.len()];
        state.push(NOBODY);
        let known = ["-", "down", "up"].map(str::to_owned).to_vec();
        let coverage = Self { system, hosts: hosts.to_vec(), state, known, pairs: BTreeSet::new() };
        let coverage = Rc::new(RefCell::new(coverage));
        let watching = coverage.clone();
        recorder.watch_the_unusual(Box::new(move |record| {
            watching.borrow_mut().take(record);
            None
        }));
        coverage
    }

    /// The pairs, as `kind (state)`.
    pub(crate) fn pairs(&self) -> BTreeSet<String> {
        self.pairs.iter().map(|(kind, state)| format!("{kind} ({})", self.known[usize::from(*state)])).collect()
    }

    fn take(&mut self, record: &Record) {
        let Some(kind) = kind(&record.what) else { return };
        let place = record.host.map_or(self.hosts.len(), |HostId(host)| usize::from(host));
        self.pairs.insert((kind, self.state[place]));
        match &record.what {
            What::Started { .. } => self.state[place] = UP,
            What::Killed | What::PowerLost | What::Finished | What::Failed { .. } | What::Panicked { .. } => {
                self.state[place] = DOWN;
            }
            What::Event { name, fields } => {
                let fields: IndexMap<_, _> =
                    fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
                if let Some(Meaning::State { of, state, .. }) = self.system.meaning(name, &fields) {
                    let place = of.map_or(Some(place), |of| self.hosts.iter().position(|host| *host == of));
                    if let Some(place) = place {
                        self.state[place] = self.number(state);
                    }
                }
            }
            _ => {}
        }
    }

    fn number(&mut self, state: String) -> u16 {
        let place = self.known.iter().position(|known| *known == state).unwrap_or_else(|| {
            self.known.push(state);
            self.known.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }
}

/// The kind of a record, if it counts.
fn kind(what: &What) -> Option<&'static str> {
    Some(match what {
        What::Started { .. } => "started",
        What::Finished => "finished",
        What::Failed { .. } => "failed",
        What::Panicked { .. } => "panicked",
        What::Killed => "killed",
        What::PowerLost => "power lost",
        What::Paused => "paused",
        What::Resumed => "resumed",
        What::Lost { reason, .. } => match reason {
            LossReason::Loss => "lost: loss",
            LossReason::Burst => "lost: burst",
            LossReason::Partition => "lost: partition",
            LossReason::Dropped => "lost: dropped",
            LossReason::HostDown => "lost: host down",
            LossReason::NoSocket => "lost: no socket",
            LossReason::BufferFull => "lost: buffer full",
            LossReason::SenderDown => "lost: sender down",
            LossReason::ConnectionGone => "lost: connection gone",
            LossReason::Checksum => "lost: checksum",
        },
        What::Retransmitted { again, .. } => match again.why {
            Why::Fast => "retransmitted: fast",
            Why::Probe => "retransmitted: probe",
            Why::Timeout | Why::AfterTimeout | Why::Asked => "retransmitted",
        },
        What::GivenUp { .. } => "given up",
        What::Duplicated { .. } => "duplicated",
        What::Corrupted { .. } => "corrupted",
        What::Held { .. } => "held",
        What::Released { .. } => "released",
        What::Event { name, .. } => name,
        What::Sent(_)
        | What::Delivered { .. }
        | What::Fault { .. }
        | What::FaultEnded { .. }
        | What::Violated { .. }
        | What::Ended { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::events::Value;
    use crate::script::ScriptError;
    use crate::sim::Setup;

    /// A system whose hosts say themselves what they are.
    struct Says;

    impl System for Says {
        fn name(&self) -> &'static str {
            "says"
        }

        fn about(&self) -> &'static str {
            "says"
        }

        fn meaning(&self, event: &str, fields: &IndexMap<String, Value>) -> Option<Meaning> {
            let (of, detail) = (fields.get("of").map(ToString::to_string), String::new());
            (event != "tick").then(|| Meaning::State { of, state: event.to_owned(), detail })
        }

        fn build(&self, _: &mut Setup<'_>) -> Result<(), ScriptError> {
            Ok(())
        }
    }

    #[test]
    fn what_counts_is_what_happens_to_a_host_in_which_state() {
        let mut recorder = Recorder::new(false);
        let hosts = ["n1", "n2"].map(str::to_owned);
        let coverage = Coverage::watch(&Says, &hosts, &mut recorder);
        let mut happens = |host: Option<u16>, what| recorder.record(Duration::ZERO, host.map(HostId), None, what);
        let event = |name, fields: Vec<(&'static str, Value)>| What::Event { name, fields };
        for host in [0, 1] {
            happens(Some(host), What::Started { incarnation: 0 });
            happens(Some(host), event("tick", Vec::new()));
        }
        happens(Some(0), event("leader", vec![("of", "n2".to_owned().into())]));
        happens(Some(0), What::Killed);
        happens(Some(1), What::Killed);
        happens(Some(1), What::Started { incarnation: 1 });
        happens(None, What::Lost { packet: 0, attempt: 0, reason: LossReason::Loss });
        let pairs: Vec<String> = coverage.borrow().pairs().into_iter().collect();
        let expected =
            ["killed (leader)", "killed (up)", "leader (up)", "lost: loss (-)", "started (down)", "tick (up)"];
        assert_eq!(pairs, expected);
    }
}
