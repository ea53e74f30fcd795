//! L4: how long it may take until all have what is committed.

use std::time::Duration;

use super::history::History;
use super::node::Node;
use super::{EntryId, L4};
use crate::check::consensus::Conditions;
use crate::raft::by_node::ByNode;
use crate::raft::config::Replication;
use crate::raft::{Config, LogIndex, NodeId};
use crate::sim::Breach;

/// Where more is lost, nobody can tell how long anything takes.
const LOSS_MAX: f64 = 0.3;

/// So many pieces of a log are under way in a round trip, at the least.
const PIECES: u32 = 4;

/// After so many heartbeats a message that goes in parts is sent again.
const RESENT_AFTER: u32 = 4;

/// What is needed to tell who stays behind.
#[derive(Clone)]
pub(super) struct CatchingUp {
    /// How long anything may take; or why nobody can tell.
    pace: Result<Pace, String>,
    /// When the highest committed index rose, and to what.
    risen: Vec<(Duration, LogIndex)>,
    /// What all entries that were committed up to each take.
    costs: Vec<Duration>,
    calm_since: Option<Duration>,
    /// What each node had of the committed entries then.
    had: ByNode<LogIndex>,
    /// When somebody was elected last.
    pub(super) led_since: Duration,
}

/// How long it takes to catch up.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Whatever there is: a heartbeat shows who is behind, and a round trip each where the logs part.
    begin: Duration,
    /// A piece of the log: as much as goes in one datagram.
    piece: Duration,
    /// An entry that goes in several.
    long: Duration,
    piece_bytes: usize,
}

impl CatchingUp {
    pub(super) fn new(config: &Config, conditions: &Conditions) -> Self {
        Self {
            pace: pace(config, conditions),
            risen: Vec::new(),
            costs: Vec::new(),
            calm_since: None,
            had: ByNode::default(),
            led_since: Duration::ZERO,
        }
    }

    /// The highest committed index rises.
    pub(super) fn rises(&mut self, at: Duration, history: &History) {
        let Ok(pace) = self.pace else { return };
        let to = history.committed_to();
        for (index, entry) in history.committed_after(self.costs.len() as u64) {
            let bytes = history.command(index, entry.id.term).map_or(0, bytes::Bytes::len);
            let before = self.costs.last().copied().unwrap_or_default();
            self.costs.push(before + pace.of(bytes));
        }
        self.risen.push((at, to));
    }

    /// From now on nothing disturbs the nodes, and all are alive that ever will be.
    pub(super) fn calm(&mut self, at: Duration, nodes: &ByNode<Node>, history: &History) {
        self.calm_since = Some(at);
        let committed: Vec<EntryId> = history.committed().map(|(_, entry)| entry.id).collect();
        let had = |node: &Node| {
            let mut place = committed.len().min(usize::try_from(node.file.last_index()).unwrap_or(usize::MAX));
            while place > 0 && node.file.get(place as u64) != Some(&committed[place - 1]) {
                place -= 1;
            }
            place as u64
        };
        self.had = nodes.iter().map(|(id, node)| (id, had(node))).collect();
    }

    fn cost(&self, through: LogIndex) -> Duration {
        let place = usize::try_from(through).unwrap_or(usize::MAX).checked_sub(1);
        place.and_then(|place| self.costs.get(place)).copied().unwrap_or_default()
    }

    /// Who is behind at the end of the run, and has been for too long.
    pub(super) fn late<'n>(&self, at: Duration, mut alive: impl Iterator<Item = (NodeId, &'n Node)>) -> Option<Breach> {
        let since = self.calm_since?.max(self.led_since);
        let pace = self.pace.as_ref().ok()?;
        alive.find_map(|(id, node)| self.lateness(at, since, pace, id, node))
    }

    fn lateness(&self, at: Duration, since: Duration, pace: &Pace, id: NodeId, node: &Node) -> Option<Breach> {
        let had = self.had.get(id).copied().unwrap_or(0);
        let mut due = self.risen.iter().filter(|(risen, index)| {
            let patience = pace.begin + self.cost(*index).saturating_sub(self.cost(had));
            *index > node.commit && (*risen).max(since) + patience <= at
        });
        let (risen, index) = due.next_back()?;
        let text = format!(
            "{id} has committed up to entry {}, and entry {index} has been committed for {:?}, with nothing in the way",
            node.commit,
            at - (*risen).max(since)
        );
        Some(Breach::new(L4, text))
    }

    /// Why it is not checked, if it is not.
    pub(super) fn unchecked(&self) -> Option<String> {
        let why = self.pace.as_ref().err()?;
        Some(format!("{L4} is not checked: {why}"))
    }
}

impl Pace {
    /// What an entry of so many bytes takes.
    fn of(&self, bytes: usize) -> Duration {
        if bytes > self.piece_bytes {
            let pieces = u32::try_from(bytes.div_ceil(self.piece_bytes)).unwrap_or(u32::MAX);
            return self.long + self.piece * pieces;
        }
        self.piece.mul_f64(bytes as f64 / self.piece_bytes as f64)
    }
}

fn pace(config: &Config, conditions: &Conditions) -> Result<Pace, String> {
    if conditions.loss > LOSS_MAX {
        return Err(format!("of a hundred messages more than {} are lost", LOSS_MAX * 100.0));
    }
    let piece_bytes = config.replication.as_ref().map_or(1, |Replication { batch_bytes, .. }| *batch_bytes).max(1);
    let beat = config.heartbeat.mul_f64(1.0 + conditions.drift);
    let round = (conditions.latency.1 + conditions.write + conditions.tick) * 2;
    if conditions.loss > 0.0 {
        let begin = (config.election_timeout_max + conditions.latency.1 + conditions.write) * 30;
        return Ok(Pace { begin, piece: round * 3 / PIECES, long: beat * RESENT_AFTER + round * 4, piece_bytes });
    }
    Ok(Pace { begin: beat * 8 + round * 60, piece: round / PIECES, long: round * 2, piece_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_entries_take_longer_and_where_packets_are_lost_more_so() {
        let config = Config { replication: Some(Replication::default()), ..Config::new((1..=3).map(NodeId)) };
        let ms = Duration::from_millis;
        let conditions = Conditions { latency: (ms(1), ms(4)), tick: ms(1), ..Conditions::default() };
        let usual = pace(&config, &conditions).expect("nothing is lost");
        assert_eq!((usual.of(640), usual.of(1_280)), (ms(10) / 8, ms(10) / 4));
        assert_eq!(usual.of(1_280_000), ms(20) + ms(10) * 250);
        let lossy = pace(&config, &Conditions { loss: 0.1, ..conditions }).expect("little is lost");
        assert!(lossy.of(1_280_000) > usual.of(1_280_000) * 3 && lossy.begin > usual.begin);
        assert!(pace(&config, &Conditions { loss: 0.4, ..conditions }).is_err());
    }
}
