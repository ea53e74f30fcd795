//! Pre-vote (dissertation §9.6).

use super::*;

fn answer(term: u64, request_term: u64, vote_granted: bool) -> Message {
    Message::PreVoteResponse(PreVoteResponse { term, request_term, vote_granted })
}

#[test]
fn a_pre_candidate_campaigns_once_a_majority_would_vote_for_it() {
    let mut cluster = Cluster::new(5);
    cluster.fire(1);
    assert_eq!((cluster.role(1), cluster.term(1), cluster.disk(1)), (Role::PreCandidate, 0, HardState::default()));
    cluster.tell(2, 1, answer(0, 0, true));
    cluster.tell(2, 1, answer(0, 0, true));
    assert_eq!(cluster.role(1), Role::PreCandidate, "the same answer twice is one");
    cluster.tell(3, 1, answer(0, 0, true));
    assert_eq!((cluster.role(1), cluster.term(1)), (Role::Candidate, 1));
    cluster.tell(4, 1, answer(0, 0, true));
    assert_eq!(cluster.role(1), Role::Candidate, "a pre-vote is no vote");
}

#[test]
fn a_pre_candidate_that_is_alone_stays_in_its_term() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.drive(ms(3000));
    assert_eq!((cluster.role(3), cluster.term(3)), (Role::PreCandidate, 1));
}

#[test]
fn who_comes_back_does_not_disturb_a_healthy_leader() {
    for (pre_vote, leader_stays) in [(true, true), (false, false)] {
        let mut cluster = Cluster::with(3, |config| config.pre_vote = pre_vote);
        cluster.elect(1);
        cluster.isolate(3);
        cluster.drive(ms(3000));
        cluster.heal();
        cluster.drive(ms(3000));
        assert_eq!(cluster.terms() == [1, 1, 1], leader_stays, "{:?}", cluster.terms());
        assert_eq!(cluster.leaders().len(), 1);
    }
}

#[test]
fn a_pre_vote_is_refused_while_the_leader_is_heard() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    assert_eq!(cluster.tell(3, 2, pre_vote(1)), Some(answer(1, 1, false)));
    assert_eq!(cluster.tell(3, 1, pre_vote(1)), Some(answer(1, 1, false)), "by the leader too");
    let alive = Event::VoteRefused { to: n(3), term: 2, pre: true, why: Refusal::LeaderAlive };
    assert!(cluster.saw(2, |event| *event == alive));
    cluster.wait(ms(150));
    assert_eq!(cluster.tell(3, 2, pre_vote(1)), Some(answer(1, 1, true)), "it was silent for the least timeout");
}

#[test]
fn a_pre_vote_is_refused_to_a_log_that_is_behind() {
    let mut cluster = Cluster::new(3);
    cluster.give_log(2, 1, 1);
    assert_eq!(cluster.tell(3, 2, pre_vote(0)), Some(answer(0, 0, false)));
}

#[test]
fn a_pre_vote_binds_nobody() {
    let mut cluster = Cluster::new(3);
    assert_eq!(cluster.tell(2, 1, pre_vote(0)), Some(answer(0, 0, true)));
    assert_eq!(cluster.tell(3, 1, pre_vote(0)), Some(answer(0, 0, true)));
    assert_eq!(cluster.tell(3, 1, request_vote(1)), Some(vote(1, true)));
    assert_eq!(cluster.tell(2, 1, pre_vote(1)), Some(answer(1, 1, true)), "a voter too may wish for a next term");
}

#[test]
fn answers_to_an_older_pre_vote_are_not_counted() {
    let mut cluster = Cluster::new(3);
    cluster.give_disk(1, 5, None);
    cluster.fire(1);
    cluster.tell(2, 1, answer(4, 4, true));
    assert_eq!(cluster.role(1), Role::PreCandidate);
    cluster.tell(2, 1, answer(4, 5, true));
    assert_eq!((cluster.role(1), cluster.term(1)), (Role::Candidate, 6), "a voter may be in an older term");
}

#[test]
fn a_pre_candidate_follows_the_leader_it_hears() {
    let mut cluster = Cluster::new(3);
    cluster.fire(1);
    cluster.tell(2, 1, heartbeat(0));
    assert_eq!((cluster.role(1), cluster.core(1).leader()), (Role::Follower, Some(n(2))));
}

#[test]
fn dueling_pre_candidates_leave_the_terms_alone() {
    let mut cluster = Cluster::new(3);
    cluster.cut(1, 3);
    cluster.elect(1);
    cluster.fire(3);
    cluster.deliver();
    assert_eq!((cluster.role(3), cluster.term(3)), (Role::Follower, 1), "n2 stands by its leader, and says the term");
    cluster.drive(ms(2000));
    assert_eq!((cluster.leaders(), cluster.terms()), (vec![1], vec![1, 1, 1]));
    cluster.heal();
    cluster.drive(ms(1000));
    assert_eq!((cluster.leaders(), cluster.terms()), (vec![1], vec![1, 1, 1]));
}

#[test]
fn pre_votes_that_all_are_granted_can_still_split_the_votes() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.kill(1);
    cluster.wait(ms(300));
    cluster.fire(2);
    cluster.fire(3);
    cluster.deliver();
    assert_eq!((cluster.term(2), cluster.term(3)), (2, 2));
    assert_eq!((cluster.role(2), cluster.role(3)), (Role::Candidate, Role::Candidate));
    cluster.fire(2);
    cluster.deliver();
    assert_eq!((cluster.leaders(), cluster.term(3)), (vec![2], 3), "a round later one is first");
}

#[test]
fn a_node_that_fell_behind_takes_part_in_the_next_election() {
    // etcd #8243: the leader dies just as a node of an old term comes back.
    let mut cluster = Cluster::new(3);
    for (id, term) in [(1, 5), (2, 5), (3, 1)] {
        cluster.give_disk(id, term, None);
    }
    cluster.kill(2);
    cluster.fire(3);
    cluster.deliver();
    assert_eq!(cluster.term(3), 5, "refused, but it learned the term");
    cluster.drive(ms(700));
    assert_eq!(cluster.leaders().len(), 1);
}

#[test]
fn a_server_that_cannot_win_does_not_hold_up_those_who_can() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    (1..=2).for_each(|id| cluster.give_log(id, 1, 3));
    cluster.kill(1);
    cluster.restart(3);
    (0..5).for_each(|_| {
        cluster.fire(3);
        cluster.deliver_where(|envelope| envelope.from == n(3) || envelope.to == n(3));
    });
    let due = cluster.core(2).status().timer_at.expect("armed");
    assert!(due <= cluster.now, "requests that are refused do not put the timer off");
    cluster.drive(ms(301));
    assert_eq!(cluster.leaders(), [2]);
}

#[test]
fn who_hears_nothing_and_shouts_does_not_depose_the_leader() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    (1..=2).for_each(|id| cluster.cut_one_way(id, 3));
    cluster.drive(ms(5000));
    assert_eq!((cluster.leaders(), cluster.terms()), (vec![1], vec![1, 1, 1]));
}
