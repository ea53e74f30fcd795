//! L1 to L6: what must come about once nothing is in the way, and what the nodes agree on meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::conditions::{Bounds, Conditions};
use super::{Seen, Settings, State};
use crate::consensus::by_node::ByNode;
use crate::consensus::{Fact, NodeId, Part, Role, Term};
use crate::sim::Breach;

/// What two leaders of one term at the same moment break.
pub const LEADERS_OF_ONE_MOMENT: &str = "leaders of one moment";

pub(super) const L1: &str = "L1 a leader after healing";
pub(super) const L2: &str = "L2 no needless election";
pub(super) const L3: &str = "L3 no lead without a majority";
const L5: &str = "L5 a stable leader";
pub(super) const L6: &str = "L6 few messages";

/// How many times as long an election may take with a bare majority alive.
const BARE: u32 = 3;

/// A leader and its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The leader.
    pub leader: NodeId,
    /// The term it leads.
    pub term: Term,
}

/// What the nodes agree on.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    /// The leader that a majority of all members follows, itself included, and since when.
    pub of_majority: Option<(Lead, Seen)>,
    /// The leader that all who are alive follow, a majority at least, and since when.
    pub of_all: Option<(Lead, Seen)>,
    /// The first leader that a majority followed.
    pub first: Option<(Lead, Seen)>,
    /// The leaders that a majority followed, one after the other, counted.
    pub leads: u64,
    /// The lead that the last majority had, whether or not it still has.
    last: Option<Lead>,
}

/// What is expected from a moment on.
#[derive(Clone, Copy, Debug)]
struct Calm {
    at: Duration,
    /// Messages that were sent before.
    sent: u64,
    /// When a majority had a leader, the first time since.
    led: Option<Duration>,
    /// The lead that nothing threatens.
    settled: Option<Settled>,
    /// The lead that a node has just put an end to, by entering this term.
    ended: Option<(NodeId, Term, Settled)>,
}

/// A majority has a leader and nobody is in a higher term: whoever does not follow yet will, at the next heartbeat.
#[derive(Clone, Copy, Debug)]
struct Settled {
    /// Since when.
    at: Duration,
    lead: Lead,
    /// How many messages had been sent.
    sent: u64,
}

/// A node's time as a leader, which it may not know to be over.
#[derive(Clone)]
struct Tenure {
    term: Term,
    since: Seen,
    /// When each peer last answered it in this term.
    answers: ByNode<Seen>,
    /// A time by which a majority had answered, not always the latest.
    contact_known: Duration,
}

#[derive(Clone)]
pub(in crate::check) struct Liveness {
    members: usize,
    quorum: usize,
    bounds: Arc<Bounds>,
    /// Whether nodes tell whom they follow; otherwise followers of a term follow its leader.
    tells_leader: bool,
    alive: ByNode<State>,
    /// Since when each is what it is.
    since: ByNode<Seen>,
    tenures: ByNode<Tenure>,
    agreement: Agreement,
    /// How often it was found out anew.
    agreed: u64,
    calm: Option<Calm>,
    stable_from: Option<Duration>,
    /// The lead that must not change.
    stable: Option<(Lead, Seen)>,
    sent: u64,
    /// Messages that were sent while the nodes had nothing to do but to keep their lead.
    idle_sent: u64,
}

impl Liveness {
    pub(super) fn new(settings: &Settings, conditions: &Conditions) -> Self {
        Self {
            members: settings.members.len(),
            quorum: settings.members.len() / 2 + 1,
            bounds: Arc::new(Bounds::new(settings, conditions)),
            tells_leader: settings.tells(Part::Leader),
            alive: ByNode::default(),
            since: ByNode::default(),
            tenures: ByNode::default(),
            agreement: Agreement::default(),
            agreed: 0,
            calm: None,
            stable_from: None,
            stable: None,
            sent: 0,
            idle_sent: 0,
        }
    }

    pub(super) fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    pub(super) fn agreed(&self) -> u64 {
        self.agreed
    }

    pub(super) fn state(&self, id: NodeId) -> Option<State> {
        self.alive.get(id).copied()
    }

    pub(super) fn down(&mut self, id: NodeId, seen: Seen) {
        self.alive.remove(id);
        self.tenures.remove(id);
        self.agree(seen);
    }

    pub(super) fn calm(&mut self, at: Duration) {
        let led = self.agreement.of_majority.map(|_| at);
        let settled = self.agreement.of_majority.filter(|(lead, _)| self.nobody_is_ahead(*lead));
        let settled = settled.map(|(lead, _)| Settled { at, lead, sent: self.sent });
        self.calm = Some(Calm { at, sent: self.sent, led, settled, ended: None });
    }

    /// What is not checked under the conditions of the run, and why.
    pub(super) fn unchecked(&self) -> Vec<String> {
        let Bounds { election, quiet, alone, to_elect, .. } = &*self.bounds;
        let alone = alone.as_ref().and_then(|alone| alone.as_ref().err());
        let all =
            [(L1, election.as_ref().err()), (L2, quiet.as_ref().err()), (L3, alone), (L6, to_elect.as_ref().err())];
        let unchecked = all.into_iter().filter_map(|(invariant, why)| Some((invariant, why?)));
        unchecked.map(|(invariant, why)| format!("{invariant} is not checked: {why}")).collect()
    }

    /// How long after the run has come to be calm there is to be a leader; `None`: nobody can tell.
    pub(super) fn election_time(&self) -> Option<Duration> {
        let usual = *self.bounds.election.as_ref().ok()?;
        Some(if self.alive.len() > self.quorum || self.members < 3 { usual } else { usual * BARE })
    }

    pub(super) fn stable_from(&mut self, at: Duration) {
        self.stable_from = Some(at);
    }

    /// Takes in a fact that is not of what a node is at rest.
    #[inline]
    pub(super) fn tell(&mut self, id: NodeId, seen: Seen, fact: &Fact) -> Option<Box<Breach>> {
        match *fact {
            Fact::Sending { .. } => self.sending(seen.0),
            Fact::Answered { by, term } => self.answered(id, by, term, seen),
            Fact::Entered { term } => self.ended(id, term),
            Fact::Became { role, term, asked } => return self.becomes(id, seen, role, term, asked).map(Box::new),
            Fact::Loaded(_) | Fact::Persisted(_) | Fact::Is { .. } | Fact::Applied { .. } => {}
        }
        None
    }

    /// A node takes on a role. A leader that gives its lead up in its own term does so because no majority answers it.
    pub(super) fn becomes(&mut self, id: NodeId, seen: Seen, role: Role, term: Term, asked: bool) -> Option<Breach> {
        match role {
            Role::Candidate if !asked => self.no_needless_election(id, term, seen),
            Role::Candidate => None,
            Role::Follower | Role::PreCandidate => self.no_needless_end(id, term, seen),
            Role::Leader => {
                let answers = ByNode::default();
                self.tenures.insert(id, Tenure { term, since: seen, answers, contact_known: seen.0 });
                None
            }
        }
    }

    /// A message leaves.
    fn sending(&mut self, at: Duration) {
        self.sent += 1;
        self.idle_sent += u64::from(self.idle_since().is_some_and(|since| at >= since));
    }

    /// A leader's heartbeat was answered.
    fn answered(&mut self, id: NodeId, from: NodeId, term: Term, seen: Seen) {
        if let Some(tenure) = self.tenures.get_mut(id).filter(|tenure| tenure.term == term) {
            tenure.answers.insert(from, seen);
        }
    }

    /// Takes in what a node is now, at rest.
    #[inline]
    pub(in crate::check) fn rests(&mut self, id: NodeId, seen: Seen, state: State) -> Option<Box<Breach>> {
        let as_before = !self.is_now(id, seen, state);
        if as_before
            && state.role == Role::Leader
            && let Some(breach) = self.no_lead_without_majority(id, state.term, seen)
        {
            return Some(Box::new(breach));
        }
        // What is left to come about in most runs has, most of the time.
        let awaited = self.calm.as_ref().is_some_and(|calm| calm.led.is_none() || self.bounds.to_elect.is_ok());
        if !awaited && self.stable_from.is_none() {
            return None;
        }
        let breach = self.leader_in_time(seen.0).or_else(|| self.few_to_elect());
        breach.or_else(|| self.stays_stable(seen)).map(Box::new)
    }

    /// Takes in what a node is now. Says whether anything about it has changed.
    #[inline]
    pub(in crate::check) fn is_now(&mut self, id: NodeId, seen: Seen, state: State) -> bool {
        let before = self.alive.insert(id, state);
        let changed = before != Some(state);
        if changed {
            self.since.insert(id, seen);
            self.agree(seen);
        }
        changed
    }

    /// Two nodes that lead the same term at this moment.
    pub(in crate::check) fn rivals(&self, (at, record): Seen) -> Option<Breach> {
        let mut leads = BTreeMap::new();
        for (id, state) in self.alive.iter().filter(|(_, state)| state.role == Role::Leader) {
            if let Some(first) = leads.insert(state.term, id) {
                let text = format!("term {} has two leaders, {first} and {id}", state.term);
                return Some(Breach::new(LEADERS_OF_ONE_MOMENT, text).fact(at, record, "both lead".to_owned()));
            }
        }
        None
    }

    /// Finds out anew what the nodes agree on.
    fn agree(&mut self, seen: Seen) {
        self.agreed += 1;
        let tells_leader = self.tells_leader;
        let followers = |lead: Lead| {
            let follows = |(id, state): &(NodeId, &State)| {
                let is_led = if tells_leader {
                    state.leader == Some(lead.leader)
                } else {
                    *id == lead.leader || state.role == Role::Follower
                };
                state.term == lead.term && is_led
            };
            self.alive.iter().filter(follows).count()
        };
        let leaders = self.alive.iter().filter(|(_, state)| state.role == Role::Leader);
        let of_majority = leaders
            .map(|(leader, state)| Lead { leader, term: state.term })
            .find(|lead| followers(*lead) >= self.quorum);
        let of_all = of_majority.filter(|lead| followers(*lead) == self.alive.len());
        let Agreement { of_majority: majority, of_all: all, .. } = &mut self.agreement;
        renew(majority, of_majority, seen);
        renew(all, of_all, seen);
        if let Some(lead) = of_majority.filter(|lead| self.agreement.last != Some(*lead)) {
            self.agreement.last = Some(lead);
            self.agreement.leads += 1;
            self.agreement.first.get_or_insert((lead, seen));
        }
        let settled = of_majority.filter(|lead| self.nobody_is_ahead(*lead));
        if let Some(calm) = &mut self.calm {
            if of_majority.is_some() {
                calm.led.get_or_insert(seen.0);
            }
            if let Some(lead) = settled {
                calm.settled.get_or_insert(Settled { at: seen.0, lead, sent: self.sent });
            }
        }
    }

    /// Whether all members are alive and none has a higher term than the lead.
    fn nobody_is_ahead(&self, lead: Lead) -> bool {
        self.alive.len() == self.members && self.alive.values().all(|state| state.term <= lead.term)
    }

    #[inline]
    fn leader_in_time(&self, at: Duration) -> Option<Breach> {
        let calm = self.calm.as_ref().filter(|calm| calm.led.is_none() && self.alive.len() >= self.quorum)?;
        let allowed = self.election_time()?;
        (at > calm.at + allowed).then(|| {
            let text = format!(
                "nothing has disturbed the nodes since {:?}, and {allowed:?} later no leader has a majority",
                calm.at
            );
            self.with_states(Breach::new(L1, text))
        })
    }

    /// A node enters a term: whatever lead there was comes to its end.
    fn ended(&mut self, id: NodeId, term: Term) {
        if let Some(calm) = &mut self.calm {
            calm.ended = calm.settled.take().map(|settled| (id, term, settled));
            self.idle_sent = 0;
        }
    }

    /// An election begins because a timer ran out, which none does while its node hears a leader. What was under way when
    /// calm set in, and when the leader came, is given its time: timers that had run meanwhile, and what was in the air. A
    /// term that is learned from a message has its cause where that term began.
    fn no_needless_election(&mut self, id: NodeId, term: Term, (at, record): Seen) -> Option<Breach> {
        let quiet = *self.bounds.quiet.as_ref().ok()?;
        let (by, in_term, settled) = self.calm.as_mut()?.ended.take()?;
        if (by, in_term) != (id, term) || at < settled.at + quiet {
            return None;
        }
        let text = format!("nothing disturbs the nodes, and {id} enters term {term}");
        Some(self.needless(&settled, &text).fact(at, record, format!("{id} entered term {term}")))
    }

    /// A leader steps down because no majority answers it.
    fn no_needless_end(&mut self, id: NodeId, term: Term, (at, record): Seen) -> Option<Breach> {
        let calm = self.calm.as_mut()?;
        let settled = calm.settled.filter(|settled| settled.lead == Lead { leader: id, term })?;
        (calm.settled, self.idle_sent) = (None, 0);
        let quiet = *self.bounds.quiet.as_ref().ok()?;
        (at >= settled.at + quiet).then(|| {
            let text = "nothing disturbs the nodes, and it steps down since no majority answers";
            self.needless(&settled, text).fact(at, record, format!("{id} stepped down"))
        })
    }

    fn needless(&self, settled: &Settled, text: &str) -> Breach {
        let Settled { at, lead, .. } = settled;
        let breach = Breach::new(L2, format!("{} has led in term {} since {at:?}, {text}", lead.leader, lead.term));
        match self.agreement.of_majority {
            Some((Lead { leader, term }, (at, record))) => {
                breach.fact(at, record, format!("a majority followed {leader} in term {term}"))
            }
            None => breach,
        }
    }

    /// A leader that has just been polled and has had no majority for too long should have noticed.
    #[inline]
    fn no_lead_without_majority(&mut self, id: NodeId, term: Term, (at, record): Seen) -> Option<Breach> {
        let Some(Ok(allowed)) = &self.bounds.alone else { return None };
        let allowed = *allowed;
        let tenure = self.tenures.get_mut(id)?;
        // Answers only come later: mostly there is no need to look at all of them.
        if at <= tenure.contact_known + allowed {
            return None;
        }
        let mut answers: Vec<Seen> = tenure.answers.values().copied().collect();
        answers.sort_unstable();
        // The leader itself is one of the majority.
        let others = self.quorum.checked_sub(1).filter(|others| *others > 0)?;
        let (contact, contact_record) = answers.len().checked_sub(others).map_or(tenure.since, |index| answers[index]);
        tenure.contact_known = contact;
        (at > contact + allowed).then(|| {
            let text = format!("{id} leads term {term}, and no majority has answered it since {contact:?}");
            let breach = Breach::new(L3, text);
            let breach = breach.fact(contact, contact_record, format!("a majority had answered {id}"));
            breach.fact(at, record, format!("{id} still leads"))
        })
    }

    #[inline]
    fn few_to_elect(&self) -> Option<Breach> {
        let a_term = *self.bounds.to_elect.as_ref().ok()?;
        let calm = self.calm.as_ref().filter(|calm| calm.at.is_zero())?;
        let Settled { lead, sent, .. } = calm.settled?;
        let sent = sent - calm.sent;
        let allowed = a_term * lead.term.max(1);
        (sent > allowed).then(|| {
            let text = format!(
                "it took {sent} messages to elect {} in term {}, and {allowed} are allowed",
                lead.leader, lead.term
            );
            self.with_states(Breach::new(L6, text))
        })
    }

    /// Since when the nodes have nothing to do but to keep their lead: who stood still has much to answer at first.
    fn idle_since(&self) -> Option<Duration> {
        Some(self.calm.as_ref()?.settled?.at + *self.bounds.quiet.as_ref().ok()?)
    }

    fn few_when_idle(&self, at: Duration) -> Option<Breach> {
        let since = self.idle_since().filter(|since| at > *since)?;
        let sent = self.idle_sent;
        let (each, more) = *self.bounds.heartbeats.as_ref().ok()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "heartbeats, counted")]
        let allowed = 2 * (self.members as u64 - 1) * libm::ceil((at - since).as_secs_f64() * each + more) as u64;
        (sent > allowed).then(|| {
            let text =
                format!("{sent} messages were sent since {since:?} among nodes that agree, and {allowed} are allowed");
            self.with_states(Breach::new(L6, text))
        })
    }

    #[inline]
    fn stays_stable(&mut self, seen: Seen) -> Option<Breach> {
        let from = self.stable_from.filter(|from| seen.0 >= *from)?;
        let lead = self.agreement.of_majority.map(|(lead, _)| lead);
        match (self.stable, lead) {
            (None, Some(lead)) => {
                self.stable = Some((lead, seen));
                None
            }
            (Some((stable, _)), Some(lead)) if stable == lead => None,
            (before, _) => {
                let text = match before {
                    Some((Lead { leader, term }, _)) => {
                        format!("the majority does not follow {leader} in term {term} any more")
                    }
                    None => format!("no leader has a majority at {from:?}"),
                };
                let breach = Breach::new(L5, text);
                let breach = match before {
                    Some((Lead { leader, term }, (at, record))) => {
                        breach.fact(at, record, format!("a majority followed {leader} in term {term}"))
                    }
                    None => breach,
                };
                Some(self.with_states(breach))
            }
        }
    }

    pub(super) fn at_end(&self, at: Duration) -> Option<Breach> {
        self.leader_in_time(at).or_else(|| self.few_when_idle(at)).or_else(|| {
            let from = self.stable_from.filter(|from| at >= *from && self.stable.is_none())?;
            let text = format!("no leader has had a majority since {from:?}");
            Some(self.with_states(Breach::new(L5, text)))
        })
    }

    /// A breach with what each node is, and since when, for the reader to see who is in the way.
    fn with_states(&self, breach: Breach) -> Breach {
        self.alive.iter().fold(breach, |breach, (id, state)| {
            let State { role, term, leader } = state;
            let follows = leader.map_or("nobody".to_owned(), |leader| leader.to_string());
            let (at, record) = self.since.get(id).copied().unwrap_or_default();
            breach.fact(at, record, format!("{id} is a {role} of term {term} and follows {follows}"))
        })
    }
}

/// Keeps since when something is so.
fn renew(known: &mut Option<(Lead, Seen)>, found: Option<Lead>, seen: Seen) {
    if known.map(|(lead, _)| lead) != found {
        *known = found.map(|lead| (lead, seen));
    }
}
