//! Check-quorum (dissertation §6.2) and leader stickiness (§4.2.3).

use super::*;

#[test]
fn an_isolated_leader_steps_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.drive(ms(299));
    assert_eq!(cluster.role(1), Role::Leader);
    cluster.drive(ms(2));
    assert_ne!(cluster.role(1), Role::Leader);
    assert!(cluster.saw(1, |e| *e == Event::SteppedDown { term: 1, why: StepDown::QuorumLost }));
    assert_eq!((cluster.term(1), cluster.core(1).leader()), (1, None), "it stays in its term");
}

#[test]
fn without_check_quorum_an_isolated_leader_goes_on() {
    let mut cluster = Cluster::plain(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.wait(ms(9000));
    cluster.step(1, Input::Tick);
    assert_eq!(cluster.role(1), Role::Leader);
}

#[test]
fn a_leader_with_a_bare_majority_goes_on() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.kill(4);
    cluster.kill(5);
    cluster.drive(ms(5000));
    assert_eq!((cluster.leaders(), cluster.term(1)), (vec![1], 1));
    cluster.kill(3);
    cluster.drive(ms(301));
    assert_eq!(cluster.leaders(), Vec::<u64>::new());
}

#[test]
fn refusals_too_are_signs_of_life() {
    let mut cluster = Cluster::new(3);
    (1..=3).for_each(|id| cluster.give_log(id, 0, 0));
    cluster.elect(1);
    cluster.give_log(1, 1, 8);
    cluster.drive(ms(2000));
    assert_eq!(cluster.leaders(), [1], "the others lack its log, and answer");
}

#[test]
fn who_hears_its_leader_disregards_candidates_and_their_terms() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for voter in [1, 2] {
        assert_eq!(cluster.tell(3, voter, request_vote(9)), None, "n{voter}");
        assert_eq!((cluster.term(voter), cluster.disk(voter).term), (1, 1));
        let alive = Event::VoteRefused { to: n(3), term: 9, pre: false, why: Refusal::LeaderAlive };
        assert!(cluster.saw(voter, |event| *event == alive));
    }
    cluster.wait(ms(150));
    assert_eq!(cluster.tell(3, 2, request_vote(9)), Some(vote(9, true)), "its leader was silent for long enough");
}

#[test]
fn a_leader_that_no_majority_hears_stands_in_nobodys_way() {
    let mut cluster = Cluster::with(3, |config| config.check_quorum = false);
    cluster.elect(1);
    cluster.wait(ms(150));
    assert_eq!(cluster.tell(3, 1, request_vote(2)), Some(vote(2, true)));
}

#[test]
fn without_stickiness_a_newer_term_deposes_any_leader() {
    let mut cluster = Cluster::with(3, |config| config.leader_stickiness = false);
    cluster.elect(1);
    assert_eq!(cluster.tell(3, 1, request_vote(2)), Some(vote(2, true)));
    assert_eq!(cluster.leaders(), Vec::<u64>::new());
}

#[test]
fn a_vote_within_the_term_is_no_matter_of_stickiness() {
    let mut cluster = Cluster::new(5);
    cluster.isolate(5);
    cluster.elect(1);
    cluster.heal();
    cluster.tell(1, 5, heartbeat(1));
    assert_eq!(cluster.tell(4, 5, request_vote(1)), Some(vote(1, true)), "it has its vote yet, and it changes nothing");
    assert_eq!(cluster.core(5).leader(), Some(n(1)));
}

#[test]
fn a_leader_is_superseded_once_a_voter_misses_its_heartbeats() {
    let mut cluster = Cluster::with(3, |config| config.pre_vote = false);
    cluster.elect(1);
    cluster.fire(3);
    // n1 and n2 heard of each other at the election only, which is long ago by now.
    cluster.tell(1, 2, heartbeat(1));
    cluster.deliver_where(|envelope| envelope.to == n(2));
    assert_eq!((cluster.term(2), cluster.role(3)), (1, Role::Candidate), "n2 stands by its leader");
    cluster.wait(ms(150));
    cluster.step(3, Input::Tick);
    cluster.deliver();
    assert_eq!(cluster.leaders(), [3]);
}

#[test]
fn a_stuck_candidate_with_a_newer_term_is_freed() {
    // etcd #5468: followers that are sticky do not follow it, and its term forbids it to follow them.
    let mut cluster = Cluster::with(3, |config| config.pre_vote = false);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.drive(ms(2000));
    let stuck_term = cluster.term(3);
    assert!(stuck_term > 3 && cluster.term(1) == 1);
    cluster.heal();
    cluster.tell(3, 2, request_vote(stuck_term));
    assert_eq!(cluster.term(2), 1, "it is disregarded");
    let answer = cluster.tell(1, 3, heartbeat(1)).expect("an answer");
    assert_eq!(answer.term(), stuck_term);
    cluster.tell(3, 1, answer);
    assert_eq!((cluster.role(1), cluster.term(1)), (Role::Follower, stuck_term));
    cluster.drive(ms(1000));
    assert_eq!(cluster.leaders().len(), 1);
    assert!(cluster.terms().windows(2).all(|pair| pair[0] == pair[1]), "{:?}", cluster.terms());
}

#[test]
fn a_leader_that_only_its_follower_hears_makes_room() {
    // Howard & Abraham: n1, n2 and n3 are meshed, the leader n4 reaches n2 only, n5 is dead.
    for (check_quorum, works) in [(true, true), (false, false)] {
        let mut cluster = Cluster::with(5, |config| config.check_quorum = check_quorum);
        cluster.elect(4);
        cluster.kill(5);
        cluster.cut(4, 1);
        cluster.cut(4, 3);
        cluster.drive(ms(3000));
        let reachable: Vec<_> = cluster.leaders().into_iter().filter(|id| *id != 4).collect();
        assert_eq!(!reachable.is_empty(), works, "check-quorum {check_quorum}: {:?}", cluster.leaders());
    }
}
