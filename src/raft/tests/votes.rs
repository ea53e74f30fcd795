//! Who gets a vote.

use super::*;

#[test]
fn a_vote_is_refused_to_a_log_that_is_behind() {
    // The voter's log ends with index 3 of term 2.
    let table = [
        ((0, 0), false),
        ((1, 2), false),
        ((1, 3), false),
        ((1, 4), false),
        ((2, 2), false),
        ((2, 3), true),
        ((2, 4), true),
        ((3, 1), true),
    ];
    for ((log_term, log_index), granted) in table {
        let mut cluster = Cluster::plain(2);
        cluster.give_log(1, 2, 3);
        let answer = cluster.tell(2, 1, request_vote_with_log(3, log_term, log_index));
        assert_eq!(answer, Some(vote(3, granted)), "log ends with {log_index} of term {log_term}");
        assert_eq!(cluster.disk(1), HardState { term: 3, voted_for: granted.then_some(n(2)) });
        let why = Event::VoteRefused { to: n(2), term: 3, pre: false, why: Refusal::StaleLog };
        assert_eq!(cluster.saw(1, |event| *event == why), !granted);
    }
}

#[test]
fn a_stale_log_loses_its_candidate_the_vote_but_not_the_others() {
    let mut cluster = Cluster::plain(3);
    cluster.give_log(1, 1, 1);
    assert_eq!(cluster.tell(2, 1, request_vote(5)), Some(vote(5, false)));
    assert_eq!(cluster.tell(3, 1, request_vote_with_log(5, 1, 1)), Some(vote(5, true)));
}

#[test]
fn a_second_candidate_of_the_term_is_refused_and_the_first_is_granted_again() {
    let mut cluster = Cluster::plain(3);
    assert_eq!(cluster.tell(2, 1, request_vote(1)), Some(vote(1, true)));
    assert_eq!(cluster.tell(3, 1, request_vote(1)), Some(vote(1, false)));
    assert_eq!(cluster.tell(2, 1, request_vote(1)), Some(vote(1, true)));
    assert_eq!(cluster.tell(3, 1, request_vote(2)), Some(vote(2, true)), "a new term, a new vote");
}

#[test]
fn a_vote_is_refused_in_a_term_that_is_over() {
    let mut cluster = Cluster::plain(3);
    cluster.give_disk(1, 4, None);
    assert_eq!(cluster.tell(2, 1, request_vote(3)), Some(vote(4, false)), "and the candidate learns the term");
    assert_eq!(cluster.disk(1), HardState { term: 4, voted_for: None });
}

#[test]
fn every_role_votes_in_a_newer_term() {
    for role in [Role::Follower, Role::Candidate, Role::Leader] {
        let mut cluster = Cluster::plain(3);
        if role != Role::Follower {
            cluster.fire(1);
        }
        if role == Role::Leader {
            cluster.deliver();
        }
        assert_eq!(cluster.role(1), role);
        assert_eq!(cluster.tell(2, 1, request_vote(5)), Some(vote(5, true)), "a {role}");
        assert_eq!((cluster.role(1), cluster.term(1)), (Role::Follower, 5));
    }
}

#[test]
fn every_role_grants_a_pre_vote_and_stays_what_it_is() {
    for role in [Role::Follower, Role::PreCandidate, Role::Leader] {
        let mut cluster = Cluster::with(3, |config| config.leader_stickiness = false);
        if role != Role::Follower {
            cluster.fire(1);
        }
        if role == Role::Leader {
            cluster.deliver();
        }
        let before = (cluster.role(1), cluster.term(1), cluster.disk(1));
        let granted = PreVoteResponse { term: before.1, request_term: 4, vote_granted: true };
        assert_eq!(cluster.tell(2, 1, pre_vote(4)), Some(Message::PreVoteResponse(granted)), "a {role}");
        assert_eq!((cluster.role(1), cluster.term(1), cluster.disk(1)), before);
    }
}

#[test]
fn a_leader_and_a_candidate_have_voted_for_themselves() {
    for answered in [false, true] {
        let mut cluster = Cluster::plain(3);
        cluster.fire(1);
        if answered {
            cluster.deliver();
        }
        let refused = Message::RequestVoteResponse(RequestVoteResponse { term: 1, vote_granted: false });
        assert_eq!(cluster.tell(3, 1, request_vote(1)), Some(refused));
        assert_eq!(cluster.core(1).voted_for(), Some(n(1)));
    }
}

#[test]
fn a_leader_that_lost_its_majority_still_has_voted() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.wait(ms(300));
    cluster.step(1, Input::Tick);
    assert_eq!(cluster.role(1), Role::Follower);
    assert_eq!(cluster.tell(3, 1, request_vote(1)), Some(vote(1, false)));
}

#[test]
fn delayed_messages_of_old_terms_change_nothing() {
    let mut cluster = Cluster::plain(3);
    cluster.give_disk(1, 6, None);
    cluster.fire(1);
    cluster.deliver();
    assert_eq!((cluster.leaders(), cluster.term(1)), (vec![1], 7));
    for message in [request_vote(6), vote(6, true), heartbeat(6), heard(6), timeout_now(6), pre_vote(6)] {
        let before = cluster.core(1).status();
        cluster.tell(2, 1, message.clone());
        assert_eq!(cluster.core(1).status(), before, "{message}");
        let follower = cluster.core(2).status();
        cluster.tell(3, 2, message.clone());
        assert_eq!(cluster.core(2).status(), follower, "{message}");
    }
}

#[test]
fn who_is_behind_learns_the_term_from_every_answer() {
    for message in [request_vote(6), heartbeat(6), pre_vote(6)] {
        let mut cluster = Cluster::plain(3);
        cluster.give_disk(1, 8, None);
        let answer = cluster.tell(2, 1, message.clone()).expect("an answer");
        assert_eq!(answer.term(), 8, "to {message}");
    }
}
