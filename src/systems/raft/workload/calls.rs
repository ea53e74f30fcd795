//! What clients called, what came of it, and whether one store would have answered so.

use std::time::Duration;

use bytes::Bytes;

use crate::check::linear::{self, NotLinearizable, Trouble};
use crate::raft::client::Outcome;
use crate::raft::kv::{Answer, Operation};
use crate::raft::request::Consistency;
use crate::sim::Breach;

/// A call, as its client saw it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Which process of which client made it.
    pub(super) client: u64,
    pub(super) operation: Operation,
    pub(super) consistency: Consistency,
    /// When it began: the place among all beginnings and ends, the time and the record.
    pub(super) began: (u64, Duration, u64),
    /// When it ended, and how.
    pub(super) ended: Option<((u64, Duration, u64), Outcome)>,
}

/// What C1 comes to.
pub(in crate::systems::raft) enum Judged {
    Holds,
    Broken(Breach),
    /// The search was given up, and of what.
    Undecided(String),
}

/// What clients called, in the order in which they did.
#[derive(Default)]
pub(in crate::systems::raft) struct Calls {
    pub(super) all: Vec<Call>,
    moments: u64,
}

impl Calls {
    pub(super) fn moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    /// C1: whether what clients saw is what one store would have shown them.
    pub(in crate::systems::raft) fn judge(&self) -> Judged {
        // Reads that need not be fresh say nothing, and what was refused or never asked for took no effect.
        let counts = |call: &&Call| {
            call.consistency != Consistency::Stale && !matches!(call.ended, Some((_, Outcome::NotDone(_))))
        };
        let calls: Vec<&Call> = self.all.iter().filter(counts).collect();
        let seen = |call: &&Call| linear::Call {
            operation: call.operation.clone(),
            began: call.began.0,
            ended: match &call.ended {
                Some(((at, ..), Outcome::Answered { answer, .. })) => Some((*at, answer.clone())),
                _ => None,
            },
        };
        let history: Vec<linear::Call> = calls.iter().map(seen).collect();
        match linear::check(&history) {
            Ok(()) => Judged::Holds,
            Err(Trouble::Undecided { key }) => {
                let key = String::from_utf8_lossy(&key).into_owned();
                Judged::Undecided(format!("C1: an order of the calls at {key} was searched for too long"))
            }
            Err(Trouble::NotLinearizable(trouble)) => Judged::Broken(not_linearizable(&calls, &trouble)),
        }
    }
}

/// How much of the order that was found is told.
const PREFIX_SHOWN: usize = 8;

fn not_linearizable(calls: &[&Call], trouble: &NotLinearizable) -> Breach {
    let holds = |value: &Option<Bytes>| {
        value.as_ref().map_or("nothing".to_owned(), |value| format!("`{}`", value.escape_ascii()))
    };
    let key = String::from_utf8_lossy(&trouble.key).into_owned();
    let stuck = calls[trouble.stuck];
    let needed = trouble.needed.as_ref().map(|needed| format!(", and would have to hold {}", holds(needed)));
    let text = format!(
        "the calls at {key} have no order: after {} of them it holds {}{}, where {} has no place",
        trouble.prefix.len(),
        holds(&trouble.holds),
        needed.unwrap_or_default(),
        stuck.shown()
    );
    let from = trouble.prefix.len().saturating_sub(PREFIX_SHOWN);
    let shown: Vec<&Call> = trouble.prefix[from..].iter().chain([&trouble.stuck]).map(|place| calls[*place]).collect();
    let span = span(&shown);
    shown.into_iter().fold(Breach::new("C1 linearizable", text), |breach, call| {
        let (_, at, record) = call.ended.as_ref().map_or(call.began, |(ended, _)| *ended);
        breach.fact(at, record, format!("[{}] {}", call.bar(span), call.shown()))
    })
}

/// How wide the drawing of a history is, in characters.
const DRAWN: usize = 32;

/// From when to when calls are under way, as far as they ended.
fn span(calls: &[&Call]) -> (Duration, Duration) {
    let ends = calls.iter().map(|call| call.ended.as_ref().map_or(call.began.1, |((_, at, _), _)| *at));
    (calls.iter().map(|call| call.began.1).min().unwrap_or_default(), ends.max().unwrap_or_default())
}

impl Call {
    /// Where it lies in time among those that it is shown with; one that never ended goes on.
    fn bar(&self, (from, to): (Duration, Duration)) -> String {
        let place = |at: Duration| {
            let whole = to.saturating_sub(from).as_nanos().max(1);
            let at = at.saturating_sub(from).as_nanos() * (DRAWN as u128 - 1) / whole;
            usize::try_from(at).unwrap_or(DRAWN).min(DRAWN - 1)
        };
        let ended = self.ended.as_ref().map(|((_, at, _), _)| place(*at));
        let (first, last) = (place(self.began.1), ended.unwrap_or(DRAWN - 1));
        let cell = |at: usize| match at {
            _ if at < first || at > last => ' ',
            _ if first == last => '│',
            _ if at == first => '├',
            _ if at == last && ended.is_some() => '┤',
            _ => '─',
        };
        (0..DRAWN).map(cell).collect()
    }

    fn shown(&self) -> String {
        let client = ((self.client >> 16) & 0xffff) + 1;
        let text = |bytes: &Bytes| bytes.escape_ascii().to_string();
        let what = match &self.operation {
            Operation::Get { key } => format!("get {}", text(key)),
            Operation::Put { key, value } => format!("put {} {}", text(key), text(value)),
            Operation::Delete { key } => format!("delete {}", text(key)),
            Operation::Cas { key, expected, value } => {
                let expected = expected.as_ref().map_or("nothing".to_owned(), text);
                format!("cas {} {expected} {}", text(key), text(value))
            }
            Operation::Append { key, value } => format!("append {} {}", text(key), text(value)),
            Operation::Scan { prefix, .. } => format!("scan {}", text(prefix)),
        };
        let outcome = match &self.ended {
            Some((_, Outcome::Answered { answer, .. })) => match answer {
                Answer::Value(None) => "nothing".to_owned(),
                Answer::Value(Some(value)) => text(value),
                Answer::Done => "done".to_owned(),
                Answer::Swapped(swapped) => if *swapped { "swapped" } else { "not swapped" }.to_owned(),
                Answer::Pairs(pairs) => format!("{} pairs", pairs.len()),
                Answer::Failed(failure) => failure.name().to_owned(),
            },
            _ => "unknown".to_owned(),
        };
        format!("c{client}: {what} -> {outcome}")
    }
}
