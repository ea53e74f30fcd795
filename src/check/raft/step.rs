//! E9 to E14: each step of each node against what is [due](super::rules) of it.

use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use super::rules::{Due, Input, Known, Rules, Timer};
use crate::check::consensus::{Checked, E2, E8, E10, Seen};
use crate::raft::by_node::ByNode;
use crate::raft::event::StepDown;
use crate::raft::server::{Command, Event};
use crate::raft::{Config, Event as CoreEvent, Message, NodeId, Role, Status};
use crate::sim::Breach;

const E9: &str = "E9 what starts the timer";
const E11: &str = "E11 newer terms";
const E12: &str = "E12 roles have causes";
const E13: &str = "E13 right answers";
const E14: &str = "E14 all are spoken to";

/// The chance below which something is taken for impossible, as a power of ten.
const NEVER_LOG10: f64 = -18.0;

#[derive(Clone)]
pub(super) struct Steps {
    rules: Rules,
    /// How often the same timeout may be drawn in a row.
    same_draws_max: u32,
    nodes: ByNode<Node>,
}

#[derive(Clone, Default)]
struct Node {
    /// What it was after its last step; `None`: it has just started.
    before: Option<Status>,
    known: Known,
    /// The least and the longest timeout that it was ever told to have, where it was.
    told: Option<(Duration, Duration)>,
    /// The last timeout that it drew, and how often in a row.
    drawn: (Duration, u32),
    step: Step,
}

/// What has been seen of the step at hand.
#[derive(Clone, Default)]
struct Step {
    input: Taken,
    seen: Seen,
    answer: Option<(NodeId, Message)>,
    /// To whom the node spoke first.
    spoken_to: Vec<NodeId>,
    /// What it said to the first of them.
    said: Option<Message>,
    timeout_now: Option<NodeId>,
    /// What was said that nothing calls for.
    stray: Option<(NodeId, Message)>,
    /// To whom `AppendEntries` went, where a log is replicated.
    appended_to: Vec<NodeId>,
    /// A leader stepped down because its disk stands still.
    yielded: bool,
}

#[derive(Clone, Default)]
enum Taken {
    #[default]
    Tick,
    Message(NodeId, Rc<Message>),
    Command(Command),
    /// A client wants something.
    Request,
    /// What was written to the log is durable.
    Synced,
}

impl Steps {
    pub(super) fn new(config: &Config) -> Self {
        let range = config.election_timeout_max.saturating_sub(config.election_timeout_min);
        let draws = range.as_nanos() / config.timeout_resolution.as_nanos().max(1) + 1;
        let chance_log10 = -libm::log10(draws as f64);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above 1")]
        let same_draws_max = if draws > 1 { libm::ceil(1.0 + NEVER_LOG10 / chance_log10) as u32 } else { u32::MAX };
        Self {
            rules: Rules::new(config),
            same_draws_max,
            nodes: config.members.iter().map(|id| (*id, Node::default())).collect(),
        }
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(id).expect("only members are watched")
    }

    pub(super) fn allow_timeout(&mut self, id: NodeId, timeout: Duration) {
        let told = &mut self.node(id).told;
        let (least, longest) = told.unwrap_or((timeout, timeout));
        *told = Some((least.min(timeout), longest.max(timeout)));
    }

    /// Takes in what is not the end of a step.
    #[inline]
    pub(super) fn event(&mut self, id: NodeId, seen: Seen, event: &Event) {
        match event {
            Event::Loaded(_) => {
                let node = self.node(id);
                *node = Node { told: node.told, ..Node::default() };
            }
            Event::Received { from, message } => {
                let step = &mut self.node(id).step;
                (step.input, step.seen) = (Taken::Message(*from, message.clone()), seen);
            }
            Event::Commanded(command) => {
                let step = &mut self.node(id).step;
                (step.input, step.seen) = (Taken::Command(*command), seen);
            }
            Event::Requested { .. } | Event::Synced { .. } => {
                let is_request = matches!(event, Event::Requested { .. });
                let step = &mut self.node(id).step;
                (step.input, step.seen) = (if is_request { Taken::Request } else { Taken::Synced }, seen);
            }
            Event::Core(CoreEvent::SteppedDown { why: StepDown::DiskStalled, .. }) => {
                self.node(id).step.yielded = true;
            }
            Event::Sending { to, message } => self.sending(id, *to, message),
            _ => {}
        }
    }

    #[inline]
    pub(super) fn sending(&mut self, id: NodeId, to: NodeId, message: &Message) {
        let replicates = self.rules.config.replication.is_some();
        let step = &mut self.node(id).step;
        match message {
            Message::AppendEntries(_) if replicates => step.appended_to.push(to),
            Message::PreVote(_) | Message::RequestVote(_) | Message::AppendEntries(_) => {
                step.spoken_to.push(to);
                match &step.said {
                    None => step.said = Some(message.clone()),
                    Some(said) if said != message => step.stray = Some((to, message.clone())),
                    Some(_) => {}
                }
            }
            Message::TimeoutNow(_) if step.timeout_now.is_none() => step.timeout_now = Some(to),
            _ if step.answer.is_none() && !matches!(message, Message::TimeoutNow(_)) => {
                step.answer = Some((to, message.clone()));
            }
            _ => step.stray = Some((to, message.clone())),
        }
    }

    /// Takes in what a node is after a step that began when its own clock showed the first time, and was done at the second.
    #[inline]
    pub(super) fn stepped(
        &mut self,
        seen: Seen,
        status: &Status,
        (now, done): (Duration, Duration),
        deadline: Option<Duration>,
    ) -> Checked {
        let Self { rules, same_draws_max, nodes } = self;
        let node = nodes.get_mut(status.id).expect("only members are watched");
        let start = Status { role: Role::Follower, leader: None, ..*status };
        let before = node.before.replace(*status);
        let due = match (&before, &node.step.input) {
            (None, _) => Due { timer: Timer::Afresh, ..Due::nothing(&start) },
            (Some(before), Taken::Message(from, message)) => {
                rules.step(before, &mut node.known, &Input::Message(*from, message), now)
            }
            (Some(before), Taken::Command(Command::TransferLeadership { to })) => {
                rules.step(before, &mut node.known, &Input::Transfer(*to), now)
            }
            // The script has set the timer, or the clock, and nothing else may have come of it.
            (Some(_), Taken::Command(Command::PinNextTimeout(_) | Command::JumpClock(_))) => {
                node.step.clear();
                return Ok(());
            }
            (Some(before), Taken::Request | Taken::Command(Command::Propose(_))) => Due::nothing(before),
            (Some(before), Taken::Synced) => Due { answer_is_free: true, ..Due::nothing(before) },
            (Some(before), Taken::Tick) if node.step.yielded => Due {
                role: Role::Follower,
                leader: None,
                timer: Timer::Afresh,
                timeout_now: node.step.timeout_now,
                ..Due::nothing(before)
            },
            (Some(before), Taken::Tick) => rules.step(before, &mut node.known, &Input::Tick, now),
        };
        let has_told_all = status.role == Role::Leader
            && rules.config.replication.is_some()
            && rules.spoken_to(&due, &node.known, status.id).all(|peer| node.step.appended_to.contains(&peer));
        if due.speaks || has_told_all {
            node.known.spoke_at = done;
        }
        let before = before.unwrap_or(start);
        let mut judge = Judge { rules, node, before: &before, due: &due, after: status, seen, done };
        judge.all(*same_draws_max)?;
        judge.deadline(deadline)?;
        node.step.clear();
        Ok(())
    }
}

impl Step {
    fn clear(&mut self) {
        self.input = Taken::Tick;
        self.spoken_to.clear();
        self.appended_to.clear();
        self.yielded = false;
        (self.answer, self.said, self.timeout_now, self.stray) = (None, None, None, None);
    }
}

/// A step, and what is due.
struct Judge<'a> {
    rules: &'a Rules,
    node: &'a mut Node,
    before: &'a Status,
    due: &'a Due,
    after: &'a Status,
    seen: Seen,
    done: Duration,
}

impl Judge<'_> {
    fn all(&mut self, same_draws_max: u32) -> Checked {
        self.term()?;
        self.role()?;
        self.vote()?;
        self.leader()?;
        self.timer(same_draws_max)?;
        self.answer()?;
        self.speech()
    }

    /// Whoever has something to say by a time wants to be woken by then.
    fn deadline(&self, deadline: Option<Duration>) -> Checked {
        let Some(due) = self.rules.deadline(self.after, &self.node.known) else { return Ok(()) };
        if deadline.is_some_and(|at| at <= due) {
            return Ok(());
        }
        let Status { id, role, .. } = *self.after;
        let (due, is) = (self.shown(Some(due)), self.shown(deadline));
        self.broken(E14, format!("{id}, a {role}, has something to say that is {due}, and its deadline is {is}"))
    }

    fn term(&self) -> Checked {
        let (is, due, id) = (self.after.term, self.due.term, self.after.id);
        if is == due {
            return Ok(());
        }
        if is > due && self.after.role == Role::Candidate {
            return self.broken(E12, format!("{id} campaigns in term {is} and should not: it should be in term {due}"));
        }
        self.broken(E11, format!("{id} is in term {is} and should be in term {due}"))
    }

    fn role(&self) -> Checked {
        let (is, due, before) = (self.after.role, self.due.role, self.before.role);
        if is == due {
            return Ok(());
        }
        let Status { id, term, .. } = *self.after;
        let text =
            format!("{id}, a {before} of term {}, is a {is} of term {term} and should be a {due}", self.before.term);
        self.broken(if before == Role::Leader && self.due.term > self.before.term { E11 } else { E12 }, text)
    }

    fn vote(&self) -> Checked {
        let (is, due) = (self.after.voted_for, self.due.voted_for);
        if is == due {
            return Ok(());
        }
        let Status { id, term, .. } = *self.after;
        let text = format!("the vote of {id} in term {term} is {} and should be {}", whose(is), whose(due));
        let was_given = self.before.term == term && self.before.voted_for.is_some();
        self.broken(if was_given { E2 } else { E13 }, text)
    }

    fn leader(&self) -> Checked {
        let (is, due) = (self.after.leader, self.due.leader);
        if is == due {
            return Ok(());
        }
        let Status { id, term, .. } = *self.after;
        let name = |leader: Option<NodeId>| leader.map_or("nobody".to_owned(), |leader| leader.to_string());
        self.broken(E10, format!("{id} follows {} in term {term} and should follow {}", name(is), name(due)))
    }

    fn timer(&mut self, same_draws_max: u32) -> Checked {
        let (id, is, before) = (self.after.id, self.after.timer_at, self.before.timer_at);
        match (self.due.timer, is) {
            (Timer::Off, None) => Ok(()),
            (Timer::Off, Some(_)) => self.broken(E8, format!("{id} leads, and its election timer is not off")),
            (Timer::Kept, is) if is == before => Ok(()),
            (Timer::Kept, _) => {
                let text = format!("the election timer of {id} was {} and is {}", self.shown(before), self.shown(is));
                self.broken(E9, text)
            }
            (Timer::Afresh, None) => self.broken(E8, format!("the election timer of {id} should start, and is off")),
            (Timer::Afresh, Some(at)) => self.fresh(at.saturating_sub(self.done), same_draws_max),
        }
    }

    /// The timer starts afresh with this timeout.
    fn fresh(&mut self, timeout: Duration, same_draws_max: u32) -> Checked {
        let id = self.after.id;
        let config = &self.rules.config;
        let (mut least, mut longest) = (config.election_timeout_min, config.election_timeout_max);
        if let Some((told_least, told_longest)) = self.node.told {
            (least, longest) = (least.min(told_least), longest.max(told_longest));
        }
        if !(least..=longest).contains(&timeout) {
            let text = format!(
                "the election timer of {id} should start with {least:?} to {longest:?}, and has {timeout:?} to run"
            );
            return self.broken(E9, text);
        }
        let (last, times) = self.node.drawn;
        self.node.drawn = (timeout, if timeout == last { times + 1 } else { 1 });
        if self.node.drawn.1 > same_draws_max && self.node.told.is_none() {
            let text = format!("{id} drew the timeout {timeout:?} {} times in a row", self.node.drawn.1);
            return self.broken(E9, text);
        }
        Ok(())
    }

    fn answer(&self) -> Checked {
        let Step { input, answer, stray, .. } = &self.node.step;
        let due = match (input, &self.due.answer) {
            (Taken::Message(from, _), Some(answer)) => Some((*from, answer)),
            _ => None,
        };
        let is = answer.as_ref().map(|(to, message)| (*to, message));
        let is_of_log = |said: &(NodeId, &Message)| matches!(said.1, Message::AppendEntriesResponse(_));
        if is != due && !(self.due.answer_is_free && is.as_ref().is_none_or(is_of_log)) {
            let id = self.after.id;
            let told = |said: Option<(NodeId, &Message)>| match said {
                Some((to, message)) => format!("{message} to {to}"),
                None => "nothing".to_owned(),
            };
            return self.broken(E13, format!("{id} answers {} and should answer {}", told(is), told(due)));
        }
        match stray {
            Some((to, message)) => self.broken(E14, format!("{} says {message} to {to}, unasked", self.after.id)),
            None => Ok(()),
        }
    }

    /// Whoever leads and has to be heard sends something to all; what more it sends is the log's.
    fn appends(&self) -> Checked {
        let appended_to = &self.node.step.appended_to;
        let Status { id, role, .. } = *self.after;
        if role != Role::Leader && !appended_to.is_empty() {
            let to = listed(appended_to.iter());
            return self.broken(E14, format!("{id}, a {role}, sends AppendEntries to {to}"));
        }
        let missed = self.rules.spoken_to(self.due, &self.node.known, id).find(|peer| !appended_to.contains(peer));
        match missed.filter(|_| self.due.speaks && role == Role::Leader) {
            Some(missed) => self.broken(E14, format!("{id}, a {role}, is to be heard, and says nothing to {missed}")),
            None => Ok(()),
        }
    }

    fn speech(&mut self) -> Checked {
        if self.rules.config.replication.is_some() {
            self.appends()?;
            if self.after.role == Role::Leader && self.node.step.spoken_to.is_empty() {
                return self.successor();
            }
        }
        if !self.due.speaks && self.node.step.spoken_to.is_empty() && self.node.step.timeout_now.is_none() {
            return if self.due.timeout_now.is_none() { Ok(()) } else { self.successor() };
        }
        self.node.step.spoken_to.sort_unstable();
        let Step { spoken_to, said, .. } = &self.node.step;
        let silent = || self.rules.spoken_to(self.due, &self.node.known, self.after.id);
        let is_right = if self.due.speaks { silent().eq(spoken_to.iter().copied()) } else { spoken_to.is_empty() };
        if !is_right {
            let due = if self.due.speaks { listed(silent()) } else { "nobody".to_owned() };
            let said = said.as_ref().map_or("nothing".to_owned(), ToString::to_string);
            let Status { id, role, .. } = *self.after;
            let to = listed(spoken_to.iter().copied());
            return self.broken(E14, format!("{id}, a {role}, says {said} to {to}, and should speak to {due}"));
        }
        if let Some(said) = said.as_ref().filter(|said| !self.is_said_rightly(said)) {
            let Status { id, role, term, .. } = *self.after;
            return self.broken(E14, format!("{id}, a {role} of term {term}, says {said}"));
        }
        self.successor()
    }

    fn is_said_rightly(&self, said: &Message) -> bool {
        let Status { role, term, log, .. } = *self.after;
        let log = (log.last_index, log.last_term);
        match said {
            Message::PreVote(ask) => {
                role == Role::PreCandidate && ask.term == term && log == (ask.last_log_index, ask.last_log_term)
            }
            Message::RequestVote(ask) => {
                let is_whole = ask.term == term && ask.transfer == self.node.known.is_successor;
                role == Role::Candidate && is_whole && log == (ask.last_log_index, ask.last_log_term)
            }
            Message::AppendEntries(append) => role == Role::Leader && append.term == term,
            _ => false,
        }
    }

    fn successor(&self) -> Checked {
        let (is, due) = (self.node.step.timeout_now, self.due.timeout_now);
        if is == due {
            return Ok(());
        }
        let name = |to: Option<NodeId>| to.map_or("nobody".to_owned(), |to| to.to_string());
        let text = format!("{} tells {} to campaign, and should tell {}", self.after.id, name(is), name(due));
        self.broken(E14, text)
    }

    fn shown(&self, timer: Option<Duration>) -> String {
        match timer {
            Some(at) => format!("due in {:?}", at.saturating_sub(self.done)),
            None => "off".to_owned(),
        }
    }

    #[cold]
    fn broken(&self, invariant: &str, text: impl Display) -> Checked {
        let id = self.after.id;
        let took = match &self.node.step.input {
            Taken::Tick => "its deadline had come".to_owned(),
            Taken::Message(from, message) => format!("it took in {message} of {from}"),
            Taken::Command(_) => "it was to hand over the lead".to_owned(),
            Taken::Request => "a client asked something of it".to_owned(),
            Taken::Synced => "its log was written".to_owned(),
        };
        let (seen, text) = (self.seen, format!("{text}: {took}"));
        let Status { role, term, .. } = *self.before;
        let breach = Breach::new(invariant, text);
        let breach = match self.node.step.input {
            Taken::Tick => breach,
            _ => breach.fact(
                self.node.step.seen.0,
                self.node.step.seen.1,
                format!("{id}, a {role} of term {term}: {took}"),
            ),
        };
        let Status { role, term, .. } = *self.after;
        Err(Box::new(breach.fact(seen.0, seen.1, format!("{id} is a {role} of term {term}"))))
    }
}

fn whose(vote: Option<NodeId>) -> String {
    vote.map_or("nobody's".to_owned(), |id| format!("{id}'s"))
}

fn listed(ids: impl Iterator<Item = impl Display>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    if ids.is_empty() { "nobody".to_owned() } else { ids.join(" ") }
}
