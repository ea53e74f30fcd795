//! Transfer of leadership (dissertation §3.10).

use super::*;

fn hand_over(cluster: &mut Cluster, from: u64, to: u64) {
    cluster.step(from, Input::TransferLeadership { to: n(to) });
}

#[test]
fn the_lead_goes_to_the_successor_and_back() {
    for sticky in [true, false] {
        let mut cluster = Cluster::with(3, |config| config.leader_stickiness = sticky);
        cluster.elect(1);
        hand_over(&mut cluster, 1, 3);
        cluster.deliver();
        assert_eq!((cluster.leaders(), cluster.terms()), (vec![3], vec![2, 2, 2]), "sticky: {sticky}");
        hand_over(&mut cluster, 3, 1);
        cluster.deliver();
        assert_eq!((cluster.leaders(), cluster.terms()), (vec![1], vec![3, 3, 3]));
    }
}

#[test]
fn the_request_says_that_it_is_a_transfer_and_so_do_its_repetitions() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.tell(1, 3, timeout_now(1));
    assert!(matches!(&cluster.take(3, 2)[..], [Message::RequestVote(ask)] if ask.transfer && ask.term == 2));
    cluster.wait(ms(50));
    cluster.step(3, Input::Tick);
    assert!(matches!(&cluster.take(3, 2)[..], [Message::RequestVote(ask)] if ask.transfer && ask.term == 2));
}

#[test]
fn a_successor_whose_log_lags_is_told_only_when_it_has_caught_up() {
    let mut cluster = Cluster::new(3);
    (1..=2).for_each(|id| cluster.give_log(id, 1, 4));
    cluster.elect(1);
    hand_over(&mut cluster, 1, 3);
    cluster.drive(ms(120));
    assert_eq!(cluster.leaders(), [1]);
    cluster.give_log(3, 1, 4);
    cluster.drive(ms(100));
    assert_eq!(cluster.leaders(), [3]);
}

#[test]
fn a_transfer_to_one_that_lags_or_is_dead_ends_after_an_election_timeout() {
    for dead in [true, false] {
        let mut cluster = Cluster::new(3);
        (1..=2).for_each(|id| cluster.give_log(id, 1, 4));
        cluster.elect(1);
        if dead {
            cluster.kill(3);
        }
        hand_over(&mut cluster, 1, 3);
        cluster.drive(ms(299));
        assert!(!cluster.saw(1, |event| matches!(event, Event::TransferAborted { .. })));
        cluster.drive(ms(2));
        assert!(cluster.saw(1, |event| *event == Event::TransferAborted { to: n(3) }));
        assert_eq!((cluster.leaders(), cluster.term(1)), (vec![1], 1), "the leader goes on");
        hand_over(&mut cluster, 1, 2);
        cluster.deliver();
        assert_eq!(cluster.leaders(), [2], "and may hand over to another");
    }
}

#[test]
fn only_a_leader_hands_over_and_only_to_a_peer() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for (at, to, why) in
        [(2, 3, TransferRefusal::NotLeader), (1, 1, TransferRefusal::NotAPeer), (1, 9, TransferRefusal::NotAPeer)]
    {
        hand_over(&mut cluster, at, to);
        assert!(cluster.saw(at, |event| *event == Event::TransferRefused { to: n(to), why }));
    }
    cluster.deliver();
    assert_eq!((cluster.leaders(), cluster.term(1)), (vec![1], 1));
}

#[test]
fn a_second_successor_takes_the_place_of_the_first_and_the_same_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    hand_over(&mut cluster, 1, 2);
    hand_over(&mut cluster, 1, 2);
    assert_eq!(cluster.take(1, 2), [timeout_now(1)], "told once");
    hand_over(&mut cluster, 1, 3);
    assert!(cluster.saw(1, |event| *event == Event::TransferAborted { to: n(2) }));
    cluster.deliver();
    assert_eq!(cluster.leaders(), [3]);
}

#[test]
fn a_lost_timeout_now_is_sent_again_with_the_next_heartbeat() {
    for (resend, leader) in [(true, 2), (false, 1)] {
        let mut cluster = Cluster::with(3, |config| config.resend = resend);
        cluster.elect(1);
        hand_over(&mut cluster, 1, 2);
        cluster.lose();
        cluster.drive(ms(200));
        assert_eq!(cluster.leaders(), [leader], "resend: {resend}");
    }
}

#[test]
fn a_timeout_now_of_an_old_term_or_that_comes_twice_does_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    hand_over(&mut cluster, 1, 2);
    let timeout = cluster.take(1, 2).remove(0);
    cluster.tell(1, 2, timeout.clone());
    cluster.deliver();
    assert_eq!((cluster.leaders(), cluster.term(2)), (vec![2], 2));
    cluster.tell(1, 2, timeout);
    cluster.tell(3, 2, timeout_now(2));
    cluster.deliver();
    assert_eq!((cluster.leaders(), cluster.term(2)), (vec![2], 2), "a leader has nobody to succeed");
}

#[test]
fn a_transfer_dies_with_the_lead() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.kill(3);
    hand_over(&mut cluster, 1, 3);
    cluster.tell(2, 1, heartbeat(5));
    assert_eq!(cluster.role(1), Role::Follower);
    cluster.restart(3);
    cluster.drive(ms(1000));
    assert!(!cluster.saw(1, |event| matches!(event, Event::TransferAborted { .. })));
}

#[test]
fn a_follower_of_an_older_term_that_is_told_to_campaign_does_so_in_a_new_one() {
    let mut cluster = Cluster::new(3);
    cluster.tell(2, 1, timeout_now(6));
    assert_eq!((cluster.role(1), cluster.term(1)), (Role::Candidate, 7));
}
