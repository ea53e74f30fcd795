//! What a system says of itself, what it lacks, and what is not checked for that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::history::{E1, E2, E6, E10};
use super::liveness::{L1, L2, L3, L6};
use super::{E8, S1, election};
use crate::consensus::{Fact, NodeId, Part, Says};

/// What the check is told of a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All members.
    pub members: Vec<NodeId>,
    /// The least and the largest election timeout.
    pub election_timeout: (Duration, Duration),
    /// The time between a leader's heartbeats, and between the repeated requests of a candidate.
    pub heartbeat: Duration,
    /// Members ask whether an election could be won before they raise the term for it.
    pub pre_vote: bool,
    /// A leader that no majority answers steps down.
    pub check_quorum: bool,
    /// A candidate asks silent members again, at each heartbeat interval.
    pub resend: bool,
    /// What the system does not tell, and why.
    pub lacks: BTreeMap<Part, String>,
    /// Checks of what the system does not promise, as `E1`, and why.
    pub exempt: BTreeMap<String, String>,
}

/// The checks, and what each goes by: one of each line.
pub(super) const NEEDS: &[(&str, &[&[Part]])] = &[
    (E1, &[&[Part::Roles, Part::Leads]]),
    (E2, &[&[Part::Durable, Part::Votes]]),
    (election::E3, &[&[Part::Durable], &[Part::Votes, Part::Leads, Part::Messages]]),
    (election::E4, &[&[Part::Durable, Part::Roles]]),
    (election::E5, &[&[Part::Roles], &[Part::Votes, Part::Leads, Part::Messages]]),
    (E6, &[&[Part::Roles], &[Part::Durable, Part::Votes]]),
    (election::E7, &[&[Part::Roles]]),
    (E8, &[&[Part::Roles], &[Part::Durable, Part::Votes]]),
    (E10, &[&[Part::Leader]]),
    (S1, &[&[Part::Applied]]),
    (L1, &[&[Part::Roles]]),
    (L2, &[&[Part::Roles]]),
    (L3, &[&[Part::Roles], &[Part::Answers]]),
    (L6, &[&[Part::Roles], &[Part::Messages]]),
];

impl Settings {
    /// The paper's timing (timeouts of 150 to 300 ms) and a heartbeat of 50 ms, without pre-vote, check-quorum and
    /// repeated requests. All facts are told, and all is promised.
    pub fn new(members: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            members: members.into_iter().collect(),
            election_timeout: (Duration::from_millis(150), Duration::from_millis(300)),
            heartbeat: Duration::from_millis(50),
            pre_vote: false,
            check_quorum: false,
            resend: false,
            lacks: BTreeMap::new(),
            exempt: BTreeMap::new(),
        }
    }

    /// The system does not tell this, for this reason: what goes by it is not checked, and every run says so.
    #[must_use]
    pub fn lacks(mut self, part: Part, why: &str) -> Self {
        self.lacks.insert(part, why.to_owned());
        self
    }

    /// The system does not promise what a check, by its id as `E1`, holds others to, for this reason; every run says so.
    ///
    /// # Panics
    /// If there is no such check.
    #[must_use]
    pub fn exempt(mut self, check: &str, why: &str) -> Self {
        let ids: Vec<&str> = NEEDS.iter().map(|(name, _)| id(name)).collect();
        assert!(ids.contains(&check), "no check is called {check}: there are {}", ids.join(" "));
        self.exempt.insert(check.to_owned(), why.to_owned());
        self
    }

    /// Whether the system tells this.
    pub fn tells(&self, part: Part) -> bool {
        !self.lacks.contains_key(&part)
    }

    /// Whether a check may be made that needs all of these, or why not.
    pub(super) fn allows(&self, check: &str, parts: &[Part]) -> Result<(), String> {
        if let Some(why) = self.exempt.get(id(check)) {
            return Err(why.clone());
        }
        let missing = parts.iter().find_map(|part| Some((part, self.lacks.get(part)?)));
        missing.map_or(Ok(()), |(part, why)| Err(format!("it is not told {} ({why})", part.name())))
    }
}

/// What has been told, of what was to be.
#[derive(Clone)]
pub(super) struct Given {
    lacks: Arc<BTreeMap<Part, String>>,
    exempt: Arc<BTreeMap<String, String>>,
    /// A leader that has no majority is to step down.
    check_quorum: bool,
    /// A bit for each part.
    told: u8,
}

impl Given {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings { lacks, exempt, check_quorum, .. } = settings.clone();
        Self { lacks: Arc::new(lacks), exempt: Arc::new(exempt), check_quorum, told: 0 }
    }

    #[inline]
    pub(super) fn saw(&mut self, fact: &Fact) {
        self.told |= match fact {
            Fact::Loaded(_) | Fact::Persisted(_) => bit(Part::Durable),
            Fact::Entered { .. } | Fact::Became { .. } | Fact::Is { leader: None, .. } => bit(Part::Roles),
            Fact::Is { leader: Some(_), .. } => bit(Part::Roles) | bit(Part::Leader),
            Fact::Sending { says: Says::Vote | Says::Candidacy, .. } => bit(Part::Votes),
            Fact::Sending { says: Says::Lead, .. } => bit(Part::Leads),
            Fact::Sending { says: Says::Other, .. } => bit(Part::Messages),
            Fact::Answered { .. } => bit(Part::Answers),
            Fact::Applied { .. } => bit(Part::Applied),
        };
    }

    /// Which checks are not made, and why. Those that go with bounds say so themselves if it is known beforehand.
    pub(super) fn unchecked(&self) -> Vec<String> {
        let made = NEEDS.iter().filter(|(check, _)| self.check_quorum || *check != L3);
        let unchecked = made.filter_map(|(check, needs)| {
            let has_bound = check.starts_with('L');
            let why = match self.exempt.get(id(check)) {
                Some(_) if has_bound => return None,
                Some(why) => why.clone(),
                None => needs.iter().find_map(|any| self.missing(any, has_bound))?,
            };
            Some(format!("{check} is not checked: {why}"))
        });
        unchecked.collect()
    }

    /// Why nothing is known of any of these parts, if that is so.
    fn missing(&self, any: &[Part], is_bound: bool) -> Option<String> {
        let has = |part: &Part| self.told & bit(*part) != 0;
        if any.iter().any(has) || (is_bound && any.iter().all(|part| self.lacks.contains_key(part))) {
            return None;
        }
        let names = |parts: &[&Part]| parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", nor ");
        let (lacking, silent): (Vec<&Part>, Vec<&Part>) = any.iter().partition(|part| self.lacks.contains_key(part));
        let whys: Vec<String> = lacking.iter().map(|part| format!("{} ({})", part.name(), self.lacks[*part])).collect();
        Some(match (whys.is_empty(), silent.is_empty()) {
            (_, true) => format!("it is not told {}", whys.join(", nor ")),
            (true, false) => format!("in this run it was never told {}", names(&silent)),
            (false, false) => format!("in this run it was never told {}, nor {}", names(&silent), whys.join(", nor ")),
        })
    }
}

fn bit(part: Part) -> u8 {
    1 << part as u8
}

/// A check's id: the first word of its name.
fn id(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}
