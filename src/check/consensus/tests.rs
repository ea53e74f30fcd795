//! Each check on what breaks it, and on what looks like that and is right.

use std::time::Duration;

use super::*;
use crate::consensus::{HardState, LogIndex, Part, Says};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

/// A cluster of three, told of one millisecond after the other.
struct Cluster {
    check: Check,
    told: u64,
}

impl Cluster {
    fn new(settings: &Settings) -> Self {
        Self { check: Check::new(settings, &Conditions::default()), told: 0 }
    }

    /// What it finds, by its id.
    fn tell(&mut self, id: NodeId, fact: Fact) -> Option<String> {
        self.told += 1;
        let seen = (Duration::from_millis(self.told), self.told);
        let breach = self.check.tell(id, seen, &fact)?;
        assert!(!breach.facts.is_empty(), "{breach:?} is shown by nothing");
        Some(breach.invariant.split(' ').next().unwrap().to_owned())
    }

    /// Tells what is right.
    fn right(mut self, facts: &[(NodeId, Fact)]) -> Self {
        for (id, fact) in facts {
            let found = self.tell(*id, *fact);
            assert_eq!(found, None, "{id} {fact:?}");
        }
        self
    }

    /// Tells what is wrong, and what breaks of it.
    fn breaks(mut self, id: NodeId, fact: Fact) -> String {
        self.tell(id, fact).unwrap_or_else(|| panic!("nothing is found: {id} {fact:?}"))
    }
}

fn all() -> Settings {
    Settings::new([N1, N2, N3])
}

/// Of those who have no disk and tell of no votes.
fn bare() -> Settings {
    all().lacks(Part::Durable, "no disk").lacks(Part::Votes, "no votes")
}

fn is(role: Role, term: Term, leader: Option<NodeId>) -> Fact {
    Fact::Is { role, term, leader }
}

fn disk(term: Term, voted_for: Option<NodeId>) -> HardState {
    HardState { term, voted_for }
}

fn vote(to: NodeId, term: Term) -> Fact {
    Fact::Sending { to, term, says: Says::Vote }
}

fn says(says: Says, term: Term) -> Fact {
    Fact::Sending { to: N3, term, says }
}

/// n1 is elected in term 1 by itself and n2, by the book.
fn elected() -> [(NodeId, Fact); 9] {
    [
        (N1, Fact::Entered { term: 1 }),
        (N1, Fact::Persisted(disk(1, Some(N1)))),
        (N1, says(Says::Candidacy, 1)),
        (N1, is(Role::Candidate, 1, None)),
        (N2, Fact::Entered { term: 1 }),
        (N2, Fact::Persisted(disk(1, Some(N1)))),
        (N2, vote(N1, 1)),
        (N2, is(Role::Follower, 1, None)),
        (N1, is(Role::Leader, 1, Some(N1))),
    ]
}

#[test]
fn an_election_by_the_book_breaks_nothing() {
    let cluster = Cluster::new(&all()).right(&elected());
    let cluster = cluster.right(&[(N1, says(Says::Lead, 1)), (N2, is(Role::Follower, 1, Some(N1)))]);
    assert_eq!(cluster.check.agreement().of_majority.map(|(lead, _)| lead), Some(Lead { leader: N1, term: 1 }));
}

#[test]
fn a_term_has_one_leader_whoever_tells_of_it() {
    let two = |first, second| Cluster::new(&bare()).right(&[(N1, first)]).breaks(N2, second);
    let leads = is(Role::Leader, 1, None);
    assert_eq!(two(leads, leads), "E1");
    let rival = Cluster::new(&bare()).right(&[(N1, leads), (N2, is(Role::Follower, 1, None))]);
    assert_eq!(rival.breaks(N2, says(Says::Lead, 1)), "E1");
    Cluster::new(&bare()).right(&[(N1, leads), (N2, is(Role::Leader, 2, None)), (N1, is(Role::Follower, 2, Some(N2)))]);
}

#[test]
fn a_vote_never_changes_on_disk_or_on_its_way() {
    let voted = |fact| Cluster::new(&all()).right(&[(N2, Fact::Persisted(disk(1, Some(N1))))]).breaks(N2, fact);
    assert_eq!(voted(Fact::Persisted(disk(1, Some(N3)))), "E2");
    assert_eq!(voted(Fact::Loaded(disk(1, Some(N3)))), "E2");
    let no_disk = || Cluster::new(&all().lacks(Part::Durable, "no disk"));
    let mut crashed = no_disk().right(&[(N2, is(Role::Follower, 1, None)), (N2, vote(N1, 1))]);
    crashed.check.down(N2, (Duration::from_secs(1), 1));
    let crashed = crashed.right(&[(N2, is(Role::Follower, 1, None)), (N2, vote(N1, 1))]);
    assert_eq!(crashed.breaks(N2, vote(N3, 1)), "E2", "a crash is no reason to vote twice");
}

#[test]
fn what_leaves_is_durable() {
    let entered = || Cluster::new(&all()).right(&[(N2, Fact::Entered { term: 1 })]);
    assert_eq!(entered().breaks(N2, says(Says::Other, 1)), "E3");
    let written = || entered().right(&[(N2, Fact::Persisted(disk(1, None)))]);
    written().right(&[(N2, says(Says::Other, 1))]);
    assert_eq!(written().breaks(N2, vote(N1, 1)), "E3");
    assert_eq!(written().breaks(N2, says(Says::Candidacy, 1)), "E3");
    let newer = [(N2, Fact::Entered { term: 2 }), (N2, Fact::Persisted(disk(2, None)))];
    let voted = entered().right(&[(N2, Fact::Persisted(disk(1, Some(N1))))]).right(&newer);
    voted.right(&[(N2, vote(N1, 1))]);
    let replaced = [(N2, Fact::Persisted(disk(1, Some(N1)))), (N2, Fact::Persisted(disk(1, None)))];
    entered().right(&replaced).right(&[(N2, vote(N1, 1))]);
    let lost = entered().right(&replaced).right(&[(N2, Fact::Loaded(disk(1, None)))]);
    assert_eq!(lost.breaks(N2, vote(N1, 1)), "E3", "what is not there any more after a start is not durable");
    assert_eq!(written().right(&newer).breaks(N2, vote(N1, 1)), "E3", "late or not, it never was durable");
}

#[test]
fn terms_do_not_fall() {
    let cluster =
        || Cluster::new(&all()).right(&[(N1, Fact::Persisted(disk(3, None))), (N1, is(Role::Follower, 3, None))]);
    assert_eq!(cluster().breaks(N1, Fact::Persisted(disk(2, None))), "E4");
    assert_eq!(cluster().breaks(N1, Fact::Loaded(disk(2, None))), "E4");
    assert_eq!(cluster().breaks(N1, is(Role::Follower, 2, None)), "E4");
}

#[test]
fn who_keeps_nothing_may_begin_anew_after_a_crash_only() {
    let no_disk = || Cluster::new(&bare()).right(&[(N1, is(Role::Leader, 3, None))]);
    assert_eq!(no_disk().breaks(N1, is(Role::Follower, 1, None)), "E4");
    let mut crashed = no_disk();
    crashed.check.down(N1, (Duration::from_secs(1), 1));
    crashed.right(&[(N1, is(Role::Follower, 0, None)), (N1, is(Role::Candidate, 1, None))]);
}

#[test]
fn a_message_is_of_no_later_term_than_its_sender() {
    let cluster = Cluster::new(&bare()).right(&[(N1, is(Role::Follower, 2, None)), (N1, says(Says::Other, 1))]);
    assert_eq!(cluster.breaks(N1, says(Says::Other, 3)), "E5");
}

#[test]
fn a_leader_has_a_majority_and_its_own_vote() {
    let voted = |voters: &[(NodeId, NodeId)]| {
        let votes: Vec<_> = voters.iter().map(|(id, of)| (*id, Fact::Persisted(disk(1, Some(*of))))).collect();
        Cluster::new(&all()).right(&votes)
    };
    assert_eq!(voted(&[(N1, N1)]).breaks(N1, is(Role::Leader, 1, None)), "E6");
    assert_eq!(voted(&[(N1, N1), (N2, N3)]).breaks(N1, is(Role::Leader, 1, None)), "E6");
    assert_eq!(voted(&[(N2, N1), (N3, N1), (N1, N2)]).breaks(N1, is(Role::Leader, 1, None)), "E8");
    let mut none = Cluster::new(&all());
    let breach = none.check.tell(N1, (Duration::ZERO, 1), &is(Role::Leader, 1, None)).expect("nobody voted");
    assert!(
        breach.message.ends_with("a system that cannot tell of votes says that it lacks them"),
        "{}",
        breach.message
    );
}

#[test]
fn roles_change_as_they_may() {
    let told = |before, after| Cluster::new(&bare()).right(&[(N1, before)]).breaks(N1, after);
    let became = |role, term| Fact::became(role, term);
    assert_eq!(told(became(Role::Follower, 1), became(Role::Leader, 1)), "E7");
    assert_eq!(told(became(Role::Follower, 1), became(Role::Candidate, 3)), "E7", "each change is told");
    assert_eq!(told(became(Role::Candidate, 1), is(Role::Leader, 1, None)), "E7", "so is that of a leader");
    // What is only found at rest may have gone through more.
    assert_eq!(told(is(Role::Follower, 1, None), is(Role::Candidate, 1, None)), "E7");
    assert_eq!(told(is(Role::Follower, 1, None), is(Role::Leader, 1, None)), "E7");
    assert_eq!(told(is(Role::Leader, 1, None), is(Role::Candidate, 1, None)), "E7");
    let found = [is(Role::Candidate, 3, None), is(Role::Leader, 3, None), is(Role::PreCandidate, 3, None)];
    let found = found.into_iter().chain([is(Role::Leader, 5, None), is(Role::Follower, 5, None)]);
    Cluster::new(&bare()).right(&found.map(|fact| (N1, fact)).collect::<Vec<_>>());
}

#[test]
fn who_is_followed_leads() {
    let led = || Cluster::new(&bare()).right(&[(N1, is(Role::Leader, 1, None))]);
    led().right(&[(N2, is(Role::Follower, 1, Some(N1)))]);
    assert_eq!(led().breaks(N2, is(Role::Follower, 1, Some(N3))), "E10");
    assert_eq!(led().breaks(N2, is(Role::Follower, 2, Some(N1))), "E10", "nobody leads that term");
}

#[test]
fn an_index_has_one_content() {
    let applied = |index: LogIndex, term, hash| Fact::Applied { index, term, hash };
    let cluster =
        || Cluster::new(&bare()).right(&[(N1, applied(1, 1, 7)), (N1, applied(2, 1, 8)), (N2, applied(1, 1, 7))]);
    cluster().right(&[(N1, applied(1, 1, 7)), (N3, applied(3, 4, 9))]);
    assert_eq!(cluster().breaks(N2, applied(2, 1, 7)), "S1");
    assert_eq!(cluster().breaks(N2, applied(2, 2, 8)), "S1", "of another term");
    assert_eq!(cluster().breaks(N1, applied(1, 1, 8)), "S1", "by the same node");
    let exempt = Cluster::new(&bare().exempt("S1", "it compacts")).right(&[(N1, applied(1, 1, 7))]);
    exempt.right(&[(N2, applied(1, 1, 8))]);
}

#[test]
fn what_is_not_promised_is_not_held_against_it() {
    let leads = is(Role::Leader, 1, None);
    let exempt = Cluster::new(&bare().exempt("E1", "its leaders are of a term and a node"));
    let exempt = exempt.right(&[(N1, leads), (N2, leads), (N2, is(Role::Follower, 1, None))]);
    assert_eq!(exempt.breaks(N2, leads), "E7", "the rest still is");
}

#[test]
#[should_panic(expected = "no check is called E99: there are E1 E2 E3")]
fn an_exemption_is_of_a_check() {
    drop(all().exempt("E99", "there is none"));
}

#[test]
#[should_panic(expected = "a fact is told of n4, which is no member")]
fn a_stranger_is_not_watched() {
    Cluster::new(&all()).tell(NodeId(4), is(Role::Follower, 1, None));
}

#[test]
fn without_leaders_ids_followers_of_the_term_follow() {
    let settings = bare().lacks(Part::Leader, "it keeps that");
    let cluster = Cluster::new(&settings).right(&[(N1, is(Role::Leader, 1, None)), (N2, is(Role::Candidate, 1, None))]);
    assert_eq!(cluster.check.agreement().of_majority, None);
    let cluster = cluster.right(&[(N3, is(Role::Follower, 1, None))]);
    assert_eq!(cluster.check.agreement().of_majority.map(|(lead, _)| lead), Some(Lead { leader: N1, term: 1 }));
}

#[test]
fn a_lead_that_nothing_ends_ends_for_no_reason() {
    let settled = || {
        let mut cluster = Cluster::new(&bare().lacks(Part::Messages, "too many")).right(&[
            (N1, is(Role::Leader, 1, Some(N1))),
            (N2, is(Role::Follower, 1, Some(N1))),
            (N3, is(Role::Follower, 1, Some(N1))),
        ]);
        cluster.check.calm(Duration::from_millis(3));
        cluster.told = 5000;
        cluster
    };
    assert_eq!(settled().breaks(N2, is(Role::Candidate, 2, None)), "L2");
    assert_eq!(settled().breaks(N1, is(Role::Follower, 1, None)), "L2");
    let asked = Fact::Became { role: Role::Candidate, term: 2, asked: true };
    settled().right(&[(N2, Fact::Entered { term: 2 }), (N2, asked)]);
}

#[test]
fn what_is_not_checked_is_said_with_its_reason() {
    let mut cluster = Cluster::new(&bare().exempt("L2", "it hands its lead round"));
    let unchecked = cluster.check.unchecked().join("\n");
    for said in [
        "E1 election safety is not checked: in this run it was never told what role a node has, nor what leaders send",
        "E2 one vote a term is not checked: it is not told what is durable (no disk), nor which votes leave (no votes)",
        "E3 durable before sent is not checked: it is not told what is durable (no disk)",
        "L2 no needless election is not checked: it hands its lead round",
        "L1 a leader after healing is not checked: in this run it was never told what role a node has",
    ] {
        assert_eq!(unchecked.matches(said).count(), 1, "{said}: {unchecked}");
    }
    assert!(!unchecked.contains("L3"), "it does not promise that: {unchecked}");
    cluster.tell(N1, is(Role::Leader, 1, Some(N1)));
    let unchecked = cluster.check.unchecked();
    let ids: Vec<_> = unchecked.iter().filter_map(|note| note.split(' ').next()).collect();
    assert_eq!(ids, ["E2", "E3", "E5", "E6", "E8", "S1", "L6", "L2"]);
}
