//! What is on disk before what is said, and what a restart keeps.

use super::*;

fn is_persist(output: &Output) -> bool {
    matches!(output, Output::Persist(_))
}

fn is_send(output: &Output) -> bool {
    matches!(output, Output::Send { .. })
}

#[test]
fn a_vote_is_on_disk_before_it_leaves() {
    let mut cluster = Cluster::plain(3);
    let outputs = cluster.step(1, Input::Message { from: n(2), message: request_vote(1) });
    let acts: Vec<_> = outputs.into_iter().filter(|output| !matches!(output, Output::Event(_))).collect();
    let state = HardState { term: 1, voted_for: Some(n(2)) };
    assert_eq!(acts, [Output::Persist(state), Output::Send { to: n(2), message: vote(1, true) }]);
}

#[test]
fn a_vote_is_told_of_only_when_it_is_on_disk() {
    let mut cluster = Cluster::plain(3);
    let outputs = cluster.step(1, Input::Message { from: n(2), message: request_vote(1) });
    let granted = |output: &Output| matches!(output, Output::Event(Event::VoteGranted { .. }));
    assert!(outputs.iter().position(is_persist) < outputs.iter().position(granted));
}

#[test]
fn a_candidates_own_vote_is_on_disk_before_it_asks_and_before_it_counts() {
    let mut cluster = Cluster::plain(3);
    cluster.wait(ms(300));
    let outputs = cluster.step(1, Input::Tick);
    let counted = |output: &Output| matches!(output, Output::Event(Event::VoteCounted { .. }));
    let persist = outputs.iter().position(is_persist).expect("it persists");
    assert_eq!(outputs[persist], Output::Persist(HardState { term: 1, voted_for: Some(n(1)) }));
    assert!(persist < outputs.iter().position(is_send).expect("it asks"));
    assert!(persist < outputs.iter().position(counted).expect("it counts"));
}

#[test]
fn a_single_node_leads_only_when_its_vote_is_on_disk() {
    let mut cluster = Cluster::new(1);
    cluster.wait(ms(300));
    let outputs = cluster.step(1, Input::Tick);
    let leads = |output: &Output| matches!(output, Output::Event(Event::BecameLeader { .. }));
    assert!(
        outputs.iter().position(is_persist).expect("it persists") < outputs.iter().position(leads).expect("it leads")
    );
}

#[test]
fn a_newer_term_is_on_disk_before_any_answer_that_shows_it() {
    for message in [request_vote(4), heartbeat(4)] {
        let mut cluster = Cluster::plain(3);
        cluster.give_log(1, 1, 1);
        let outputs = cluster.step(1, Input::Message { from: n(2), message });
        assert!(
            outputs.iter().position(is_persist).expect("it persists")
                < outputs.iter().position(is_send).expect("it answers")
        );
    }
}

#[test]
fn a_newer_term_is_written_even_when_there_is_nothing_to_say() {
    let mut cluster = Cluster::plain(3);
    cluster.step(1, Input::Message { from: n(2), message: heard(4) });
    assert_eq!(cluster.disk(1), HardState { term: 4, voted_for: None });
}

#[test]
fn what_does_not_change_is_not_written_again() {
    let mut cluster = Cluster::plain(3);
    cluster.tell(2, 1, request_vote(1));
    for message in [request_vote(1), heartbeat(1), heartbeat(1)] {
        let outputs = cluster.step(1, Input::Message { from: n(2), message });
        assert!(!outputs.iter().any(is_persist));
    }
}

#[test]
fn pre_votes_write_nothing() {
    let mut cluster = Cluster::new(3);
    let outputs = cluster.step(1, Input::Message { from: n(2), message: pre_vote(5) });
    assert!(!outputs.iter().any(is_persist));
    cluster.wait(ms(300));
    assert!(!cluster.step(1, Input::Tick).iter().any(is_persist));
}

#[test]
fn a_restart_keeps_term_and_vote_and_refuses_a_second_vote() {
    let mut cluster = Cluster::plain(3);
    cluster.tell(2, 1, request_vote(3));
    cluster.restart(1);
    assert_eq!(cluster.role(1), Role::Follower);
    assert_eq!((cluster.term(1), cluster.core(1).voted_for()), (3, Some(n(2))));
    assert_eq!(cluster.tell(3, 1, request_vote(3)), Some(vote(3, false)));
    assert_eq!(cluster.tell(2, 1, request_vote(3)), Some(vote(3, true)));
}

#[test]
fn a_request_that_was_held_over_a_restart_and_an_election_is_refused_with_the_newer_term() {
    let mut cluster = Cluster::plain(3);
    cluster.fire(2);
    let held = cluster.take(2, 1).remove(0);
    cluster.lose();
    cluster.restart(1);
    cluster.fire(3);
    cluster.lose();
    cluster.fire(3);
    cluster.deliver();
    assert_eq!((cluster.leaders(), cluster.term(1)), (vec![3], 2));
    assert_eq!(cluster.tell(2, 1, held), Some(vote(2, false)));
}

#[test]
fn a_restarted_leader_is_a_follower_of_its_own_term() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.restart(1);
    let status = cluster.core(1).status();
    assert_eq!((status.role, status.term, status.leader), (Role::Follower, 1, None));
    let booted = Event::Booted { term: 1, voted_for: Some(n(1)), timer_at: status.timer_at.expect("armed") };
    assert_eq!(cluster.core(1).booted(), booted);
    cluster.drive(ms(700));
    assert_eq!(cluster.leaders().len(), 1);
    assert!(cluster.term(1) > 1);
}
