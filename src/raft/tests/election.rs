//! From a timeout to a leader.

use super::*;

#[test]
fn a_single_node_elects_itself_at_its_first_timeout() {
    for mut cluster in [Cluster::new(1), Cluster::plain(1)] {
        cluster.fire(1);
        assert_eq!(cluster.leaders(), [1]);
        assert_eq!((cluster.term(1), cluster.disk(1).voted_for), (1, Some(n(1))));
        cluster.drive(ms(5000));
        assert_eq!((cluster.leaders(), cluster.term(1)), (vec![1], 1), "it keeps its own majority");
    }
}

#[test]
fn three_nodes_elect_exactly_one_and_keep_it() {
    for mut cluster in [Cluster::new(3), Cluster::plain(3)] {
        cluster.drive(ms(301));
        let leaders = cluster.leaders();
        assert_eq!(leaders.len(), 1);
        cluster.drive(ms(10_000));
        assert_eq!((cluster.leaders(), cluster.terms()), (leaders, vec![1, 1, 1]));
    }
}

#[test]
fn a_candidate_wins_with_whichever_majority_answers() {
    for size in [3, 4, 5, 7] {
        for dead in 0..size {
            let mut cluster = Cluster::plain(size);
            (0..dead).for_each(|i| cluster.kill(size - i));
            cluster.fire(1);
            cluster.deliver();
            let wins = size - dead > size / 2;
            assert_eq!(cluster.role(1), if wins { Role::Leader } else { Role::Candidate }, "{dead} dead of {size}");
        }
    }
}

#[test]
fn a_candidate_whose_log_is_behind_the_majoritys_is_not_elected() {
    for mut cluster in [Cluster::new(5), Cluster::plain(5)] {
        (2..=4).for_each(|id| cluster.give_log(id, 1, 4));
        cluster.fire(1);
        cluster.deliver();
        assert_eq!(cluster.leaders(), Vec::<u64>::new());
        cluster.fire(2);
        cluster.deliver();
        assert_eq!(cluster.leaders(), [2]);
    }
}

#[test]
fn votes_that_split_elect_nobody_and_the_next_timeout_resolves_it() {
    let mut cluster = Cluster::plain(4);
    cluster.fire(1);
    cluster.fire(2);
    let on = |from: u64, to: u64| move |e: &crate::raft::testing::Envelope| (e.from, e.to) == (n(from), n(to));
    cluster.deliver_where(on(1, 3));
    cluster.deliver_where(on(2, 4));
    cluster.deliver();
    assert_eq!(cluster.leaders(), Vec::<u64>::new(), "two votes each, of four");
    assert_eq!((cluster.term(1), cluster.term(2)), (1, 1));

    cluster.drive(ms(301));
    assert_eq!(cluster.leaders().len(), 1);
    assert!(cluster.terms().iter().all(|term| *term > 1));
}

#[test]
fn dueling_candidates_end_with_one_leader_and_never_two_in_a_term() {
    let mut cluster = Cluster::plain(3);
    cluster.cut(1, 3);
    cluster.fire(1);
    cluster.fire(3);
    cluster.deliver();
    assert_eq!((cluster.role(1), cluster.role(3)), (Role::Leader, Role::Candidate), "n2 voted for n1 only");
    cluster.heal();
    cluster.fire(3);
    cluster.deliver();
    assert_eq!(cluster.leaders(), [3], "its term is newer, and its log is as good");
    assert_eq!(cluster.terms(), [2, 2, 2]);
    assert_eq!(cluster.core(1).leader(), Some(n(3)));
}

#[test]
fn a_candidate_concedes_to_the_leader_of_its_term_and_of_a_later_one() {
    for term in [1, 2] {
        let mut cluster = Cluster::plain(3);
        cluster.fire(1);
        assert_eq!((cluster.role(1), cluster.term(1)), (Role::Candidate, 1));
        let answer = cluster.tell(2, 1, heartbeat(term));
        assert_eq!(answer, Some(heard(term)));
        assert_eq!((cluster.role(1), cluster.term(1)), (Role::Follower, term));
        assert_eq!(cluster.core(1).leader(), Some(n(2)));
    }
}

#[test]
fn a_candidate_that_conceded_keeps_the_vote_it_gave_itself() {
    let mut cluster = Cluster::plain(3);
    cluster.fire(1);
    cluster.tell(2, 1, heartbeat(1));
    assert_eq!(cluster.tell(3, 1, request_vote(1)), Some(vote(1, false)));
    assert_eq!(cluster.disk(1).voted_for, Some(n(1)));
}

#[test]
fn a_higher_term_makes_a_follower_of_everyone() {
    let messages = [request_vote(9), heartbeat(9), vote(9, false), heard(9)];
    for message in messages {
        for role in [Role::Follower, Role::Candidate, Role::Leader] {
            let mut cluster = Cluster::plain(3);
            if role != Role::Follower {
                cluster.fire(1);
            }
            if role == Role::Leader {
                cluster.deliver();
            }
            assert_eq!(cluster.role(1), role);
            cluster.tell(2, 1, message.clone());
            assert_eq!((cluster.role(1), cluster.term(1), cluster.disk(1).term), (Role::Follower, 9, 9), "{message}");
            assert!(cluster.core(1).deadline().is_some(), "its election timer runs");
            assert_eq!(
                cluster.saw(1, |e| *e == Event::SteppedDown { term: 1, why: StepDown::HigherTerm }),
                role == Role::Leader
            );
        }
    }
}

#[test]
fn grants_that_do_not_belong_to_the_candidacy_are_not_counted() {
    let mut cluster = Cluster::plain(5);
    cluster.fire(1);
    cluster.lose();
    cluster.fire(1);
    assert_eq!(cluster.term(1), 2);
    for voter in [2, 3, 4, 5] {
        cluster.tell(voter, 1, vote(1, true));
    }
    assert_eq!(cluster.role(1), Role::Candidate, "they voted in term 1");
    let stale = Event::Ignored { from: n(2), message: "RequestVoteResponse", term: 1, why: Ignored::Stale };
    assert!(cluster.saw(1, |event| *event == stale));
    cluster.tell(2, 1, vote(2, true));
    assert_eq!(cluster.role(1), Role::Candidate);
    cluster.tell(3, 1, vote(2, true));
    assert_eq!(cluster.role(1), Role::Leader);
}

#[test]
fn a_vote_that_comes_twice_is_one_vote() {
    let mut cluster = Cluster::plain(5);
    cluster.fire(1);
    (0..5).for_each(|_| drop(cluster.tell(2, 1, vote(1, true))));
    assert_eq!(cluster.role(1), Role::Candidate);
}

#[test]
fn strangers_have_no_vote_and_no_say() {
    let mut cluster = Cluster::plain(3);
    cluster.fire(1);
    for message in [vote(1, true), heartbeat(1), request_vote(7), vote(7, false)] {
        assert_eq!(cluster.tell(9, 1, message.clone()), None);
        assert_eq!(cluster.tell(1, 1, message), None, "nor has its own echo");
        assert_eq!((cluster.role(1), cluster.term(1)), (Role::Candidate, 1));
    }
}

#[test]
fn a_term_beyond_all_counting_is_ignored() {
    let mut cluster = Cluster::plain(3);
    assert_eq!(cluster.tell(2, 1, request_vote(u64::MAX)), None);
    assert_eq!(cluster.term(1), 0);
    let high = |event: &Event| matches!(event, Event::Ignored { why: Ignored::TermTooHigh, .. });
    assert!(cluster.saw(1, high));
}

#[test]
fn requests_that_were_lost_are_sent_again_to_the_silent_only() {
    let mut cluster = Cluster::plain(5);
    cluster.fire(1);
    cluster.lose();
    cluster.tell(2, 1, vote(1, true));
    cluster.tell(3, 1, vote(1, false));
    cluster.wait(ms(50));
    cluster.step(1, Input::Tick);
    let asked: Vec<_> = cluster.flying.iter().map(|envelope| envelope.to).collect();
    assert_eq!(asked, [n(4), n(5)]);
    assert_eq!(cluster.term(1), 1, "it is the same candidacy");
}

#[test]
fn without_resend_a_lost_request_is_lost() {
    let mut cluster = Cluster::with(3, |config| config.resend = false);
    cluster.fire(1);
    cluster.lose();
    assert_eq!(cluster.core(1).deadline(), cluster.core(1).status().timer_at);
    cluster.wait(ms(60));
    cluster.step(1, Input::Tick);
    assert_eq!(cluster.flying, []);
}

#[test]
fn a_candidate_that_hears_nothing_tries_again_in_the_next_term() {
    let mut cluster = Cluster::plain(3);
    for term in 1..=4 {
        cluster.fire(1);
        cluster.lose();
        assert_eq!((cluster.role(1), cluster.term(1)), (Role::Candidate, term));
    }
}

#[test]
fn leadership_goes_round_in_terms_that_grow_by_one() {
    let mut cluster = Cluster::plain(3);
    for (term, id) in [1, 2, 3, 1, 2].into_iter().enumerate() {
        cluster.fire(id);
        cluster.deliver();
        assert_eq!(cluster.leaders(), [id]);
        assert_eq!(cluster.terms(), [term as u64 + 1; 3]);
    }
}

#[test]
fn electing_among_three_takes_few_messages() {
    let mut cluster = Cluster::new(3);
    cluster.fire(1);
    let mut messages = 0;
    while let Some(envelope) = cluster.flying.first().cloned() {
        cluster.flying.remove(0);
        cluster.step(envelope.to.0, Input::Message { from: envelope.from, message: envelope.message });
        messages += 1;
    }
    assert_eq!(cluster.leaders(), [1]);
    assert_eq!(messages, 12, "pre-votes, votes and heartbeats, each with an answer, between two pairs");
}
