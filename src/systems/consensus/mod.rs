//! How anyone's Raft is watched in a run: its hosts tell [`Fact`]s, and [`check::consensus`](crate::check::consensus) hears
//! them.
//!
//! ```no_run
//! use std::time::Duration;
//! use stormglass::check::consensus::Settings;
//! use stormglass::consensus::{Fact, NodeId, Part, Role};
//! use stormglass::script::ScriptError;
//! use stormglass::sim::{Host, HostResult, Setup};
//! use stormglass::systems::consensus::{Teller, Watch};
//!
//! async fn node(host: Host, teller: Teller) -> HostResult {
//!     // After each step of the Raft that runs here, what it is now:
//!     teller.tell(Fact::Is { role: Role::Leader, term: 1, leader: Some(NodeId(1)) });
//!     Ok(())
//! }
//!
//! fn build(setup: &mut Setup<'_>) -> Result<(), ScriptError> {
//!     let members = (1..=3).map(NodeId);
//!     let settings = Settings {
//!         election_timeout: (Duration::from_millis(150), Duration::from_millis(300)),
//!         ..Settings::new(members.clone()).lacks(Part::Durable, "it keeps its term and vote in memory")
//!     };
//!     let watch = Watch::new(setup, &settings);
//!     for id in members {
//!         let watch = watch.clone();
//!         setup.host(id.to_string(), move |host| {
//!             let teller = watch.node(id, &host);
//!             node(host, teller)
//!         });
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A [`System`](crate::sim::System) that is watched so has the states [`STATES`], the roles [`ROLES`] and the counters
//! [`COUNTERS`], and shows what its hosts are by [`meaning`].

pub mod conditions;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::check::consensus::{Check, Conditions, Lead, Settings, State};
use crate::consensus::{Fact, NodeId, Role, Term};
use crate::events::Value;
use crate::sim::meaning::Meaning;
use crate::sim::trace::{HostId, What};
use crate::sim::{Calm, Events, Host, Setup};

/// The states that a step's `when` may name.
pub const STATES: &[&str] = &["leader", "agreed", "leaderless"];

/// The roles that a step's hosts may name. A pre-candidate is a candidate.
pub const ROLES: &[&str] = &["leader", "follower", "candidate"];

/// What is counted: nodes that became candidates and leaders, and the highest term.
pub const COUNTERS: &[&str] = &["elections", "leaders", "terms"];

/// Watches the nodes of one run. Clones watch the same.
#[derive(Clone)]
pub struct Watch(Rc<Watched>);

struct Watched {
    check: RefCell<Check>,
    members: Vec<NodeId>,
    /// Those that have started, with their hosts' names.
    hosts: RefCell<BTreeMap<HostId, (NodeId, String)>>,
    /// What each told of itself last.
    told: RefCell<BTreeMap<NodeId, State>>,
    term_max: Cell<Term>,
    /// Up to where what they agree on was told, and what it was then.
    agreed: Cell<(u64, Option<Lead>)>,
}

/// Through which one node tells of itself. Clones are the same teller.
#[derive(Clone)]
pub struct Teller {
    watched: Rc<Watched>,
    id: NodeId,
    events: Events,
}

impl Watch {
    /// Watches a cluster under the conditions that the script's links and disks make: those of the worst link, for
    /// datagrams.
    pub fn new(setup: &mut Setup<'_>, settings: &Settings) -> Self {
        let conditions = conditions::of(setup.script(), 0.0, true);
        Self::under(setup, settings, &conditions)
    }

    /// Watches a cluster under conditions that are known better: where messages go over TCP, which neither loses nor
    /// doubles them and may be much later.
    pub fn under(setup: &mut Setup<'_>, settings: &Settings, conditions: &Conditions) -> Self {
        let watched = Rc::new(Watched {
            check: RefCell::new(Check::new(settings, conditions)),
            members: settings.members.clone(),
            hosts: RefCell::default(),
            told: RefCell::default(),
            term_max: Cell::default(),
            agreed: Cell::default(),
        });
        let watching = watched.clone();
        setup.watch_the_unusual(move |record| {
            let ended = matches!(
                record.what,
                What::Killed | What::PowerLost | What::Finished | What::Failed { .. } | What::Panicked { .. }
            );
            if let Some(host) = record.host.filter(|_| ended) {
                watching.down(host, (record.at, record.number));
            }
            None
        });
        let calmed = watched.clone();
        setup.calm(Calm::Healed, move |at| calmed.check.borrow_mut().calm(at));
        let (led, agreed, leaderless) = (watched.clone(), watched.clone(), watched.clone());
        setup.state("leader", move || led.check.borrow().agreement().of_majority.is_some());
        setup.state("agreed", move || agreed.check.borrow().agreement().of_all.is_some());
        setup.state("leaderless", move || leaderless.check.borrow().agreement().of_majority.is_none());
        for role in ROLES {
            let watched = watched.clone();
            setup.role(role, move || watched.who_is(role));
        }
        let judged = watched.clone();
        setup.at_end(move |report| {
            let check = judged.check.borrow();
            match check.at_end(report.simulated()) {
                Some(breach) => report.breach(breach),
                None => check.unchecked().into_iter().for_each(|note| report.note(note)),
            }
        });
        Self(watched)
    }

    /// Through which a node tells of itself, to be asked for at each start of its host.
    ///
    /// # Panics
    /// If it is no member.
    pub fn node(&self, id: NodeId, host: &Host) -> Teller {
        self.is_member(id);
        if let Some(place) = host.events.host {
            self.0.hosts.borrow_mut().insert(place, (id, host.name.clone()));
        }
        Teller { watched: self.0.clone(), id, events: host.events.clone() }
    }

    fn is_member(&self, id: NodeId) {
        let members = || self.0.members.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ");
        assert!(self.0.members.contains(&id), "{id} is no member: {} are", members());
    }

    /// The leader that a majority follows just now.
    pub fn lead(&self) -> Option<Lead> {
        self.0.check.borrow().agreement().of_majority.map(|(lead, _)| lead)
    }

    /// A node, as it last told of itself, if it is alive.
    pub fn state(&self, id: NodeId) -> Option<State> {
        self.0.check.borrow().state(id)
    }

    /// From this time on the lead must not change (L5).
    pub fn stable_from(&self, at: Duration) {
        self.0.check.borrow_mut().stable_from(at);
    }
}

impl Watched {
    fn down(&self, host: HostId, seen: (Duration, u64)) {
        let Some(id) = self.hosts.borrow().get(&host).map(|(id, _)| *id) else { return };
        self.check.borrow_mut().down(id, seen);
        self.told.borrow_mut().remove(&id);
    }

    /// The hosts in a role, as far as they live. Of several leaders, that of the newest term: the others do not know yet
    /// that they are none.
    fn who_is(&self, role: &str) -> Vec<String> {
        let check = self.check.borrow();
        let hosts = self.hosts.borrow();
        let state = |id| check.state(id).filter(|state| role_name(state.role) == role);
        let mut those: Vec<_> = hosts.values().filter_map(|(id, name)| Some((state(*id)?.term, name))).collect();
        if role == role_name(Role::Leader) {
            let newest = those.iter().map(|(term, _)| *term).max();
            those.retain(|(term, _)| Some(*term) == newest);
        }
        those.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// Whether a node is another now than it last told, and whether it has another role or term.
    fn changes(&self, id: NodeId, state: State) -> (bool, bool) {
        let before = self.told.borrow_mut().insert(id, state);
        let part = |state: State| (state.role, state.term);
        (before != Some(state), before.map(part) != Some(part(state)))
    }
}

impl Teller {
    /// Tells a fact: into the trace and the counters, and to the check. What it breaks ends the run.
    pub fn tell(&self, fact: Fact) {
        let written = self.write(&fact);
        let Self { watched, id, events } = self;
        let seen = (events.now(), written.unwrap_or_else(|| events.next_record()));
        let breach = watched.check.borrow_mut().tell(*id, seen, &fact);
        if let Some(breach) = breach {
            events.breach(*breach);
        }
        if matches!(fact, Fact::Is { .. }) {
            self.tell_lead();
        }
    }

    /// A packet's own record tells of a message, and what is as it was needs no record.
    fn write(&self, fact: &Fact) -> Option<u64> {
        let event = || self.events.event(fact.name(), fact.fields());
        match *fact {
            Fact::Loaded(_) | Fact::Persisted(_) | Fact::Applied { .. } => Some(event()),
            Fact::Entered { .. } | Fact::Sending { .. } | Fact::Answered { .. } => None,
            Fact::Became { role, term, .. } => {
                self.watched.changes(self.id, State { role, term, leader: None });
                let written = event();
                self.takes_on(role, term, written);
                Some(written)
            }
            Fact::Is { role, term, leader } => {
                let (is_other, is_new) = self.watched.changes(self.id, State { role, term, leader });
                if is_new {
                    let written = event();
                    self.takes_on(role, term, written);
                    return Some(written);
                }
                let follows = || self.events.event("follows", fact.fields());
                (is_other && role != Role::Leader).then(follows)
            }
        }
    }

    /// What the node does next comes of its new role.
    fn takes_on(&self, role: Role, term: Term, written: u64) {
        let events = &self.events;
        events.continue_with(written.into());
        let before = self.watched.term_max.get();
        self.watched.term_max.set(before.max(term));
        events.count("terms", term.saturating_sub(before));
        match role {
            Role::Candidate => events.count("elections", 1),
            Role::Leader => {
                events.count("leaders", 1);
                events.work(1);
            }
            Role::Follower | Role::PreCandidate => {}
        }
    }

    /// Writes into the trace that a majority has another leader now.
    fn tell_lead(&self) {
        let (agreed, lead) = {
            let check = self.watched.check.borrow();
            (check.agreed(), check.agreement().of_majority.map(|(lead, _)| lead))
        };
        let (told, before) = self.watched.agreed.replace((agreed, lead));
        if let Some(Lead { leader, term }) = lead.filter(|_| told != agreed && lead != before) {
            let fields = vec![("leader", leader.to_string().into()), ("term", term.into())];
            self.events.event("majority-follows", fields);
        }
    }
}

/// What an event of a node says of its host.
pub fn meaning(event: &str, fields: &IndexMap<String, Value>) -> Option<Meaning> {
    let state = if event == "loaded" { "follower" } else { event.strip_prefix("became-")? };
    let term = fields.get("term")?;
    Some(Meaning::State { of: None, state: state.to_owned(), detail: format!("term {term}") })
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::PreCandidate | Role::Candidate => "candidate",
    }
}
