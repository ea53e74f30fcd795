//! Heartbeats, and what a follower and a leader make of them.

use super::*;
use crate::raft::message::{AppendEntries, AppendEntriesResponse};

#[test]
fn a_leader_makes_itself_known_at_once_and_at_every_interval() {
    let mut cluster = Cluster::new(3);
    cluster.fire(1);
    cluster.deliver_where(|envelope| envelope.message.name() != "AppendEntries");
    assert_eq!(cluster.take(1, 2), [heartbeat(1)]);
    assert_eq!(cluster.take(1, 3), [heartbeat(1)]);
    for _ in 0..3 {
        assert_eq!(cluster.core(1).deadline(), Some(cluster.now + ms(50)));
        cluster.wait(ms(50));
        cluster.step(1, Input::Tick);
        assert_eq!(cluster.take(1, 2), [heartbeat(1)]);
        cluster.tell(2, 1, heard(1));
    }
}

#[test]
fn heartbeats_keep_followers_from_campaigning() {
    let mut cluster = Cluster::plain(3);
    cluster.elect(2);
    cluster.drive(ms(30_000));
    assert_eq!((cluster.leaders(), cluster.terms()), (vec![2], vec![1, 1, 1]));
}

#[test]
fn a_new_leader_comes_when_the_old_one_is_dead() {
    for mut cluster in [Cluster::new(3), Cluster::plain(3)] {
        cluster.elect(1);
        cluster.kill(1);
        cluster.drive(ms(1000));
        let leader = cluster.leaders();
        assert_eq!(leader.len(), 1);
        cluster.restart(1);
        cluster.drive(ms(1000));
        assert_eq!(cluster.leaders(), leader, "the old one follows");
        assert_eq!(cluster.core(1).leader().map(|id| id.0), leader.first().copied());
    }
}

#[test]
fn an_old_leader_that_wakes_up_is_told_the_new_term() {
    let mut cluster = Cluster::plain(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.fire(2);
    cluster.deliver();
    assert_eq!(cluster.leaders(), [1, 2], "each in its own term");
    cluster.heal();
    cluster.step(1, Input::Tick);
    cluster.deliver();
    assert_eq!((cluster.leaders(), cluster.term(1)), (vec![2], 2));
}

#[test]
fn nothing_that_a_stale_leader_sends_is_accepted() {
    let mut cluster = Cluster::plain(3);
    cluster.give_disk(2, 3, None);
    let refused = Message::AppendEntriesResponse(AppendEntriesResponse {
        term: 3,
        success: false,
        match_index: 0,
        round: 0,
        conflict: None,
    });
    assert_eq!(cluster.tell(1, 2, heartbeat(2)), Some(refused));
    assert_eq!(cluster.core(2).leader(), None);
}

#[test]
fn a_follower_says_up_to_where_its_log_is_the_leaders() {
    let mut cluster = Cluster::plain(3);
    cluster.give_log(2, 1, 4);
    let mut ask = |prev_log_index, prev_log_term| {
        let (entries, leader_commit) = (vec![], 0);
        let append = AppendEntries { term: 2, prev_log_index, prev_log_term, entries, leader_commit, round: 0 };
        let Some(Message::AppendEntriesResponse(answer)) = cluster.tell(1, 2, Message::AppendEntries(append)) else {
            panic!("a follower answers");
        };
        (answer.success, answer.match_index)
    };
    assert_eq!(ask(4, 1), (true, 4));
    assert_eq!(ask(4, 2), (false, 0));
    assert_eq!(ask(5, 1), (false, 0));
    assert_eq!(ask(0, 0), (true, 0));
}

#[test]
fn a_follower_tells_when_it_finds_its_leader() {
    let mut cluster = Cluster::plain(3);
    cluster.elect(1);
    assert!(cluster.saw(2, |event| *event == Event::LeaderFound { term: 1, leader: n(1) }));
    assert!((1..=3).all(|id| cluster.core(id).leader() == Some(n(1))));
    let found = cluster.events.len();
    cluster.tell(1, 2, heartbeat(1));
    assert!(cluster.events[found..].iter().all(|(_, event)| matches!(event, Event::TimerArmed { .. })));
}

#[test]
fn a_rival_in_its_own_term_is_ignored_by_a_leader() {
    let mut cluster = Cluster::plain(3);
    cluster.elect(1);
    assert_eq!(cluster.tell(2, 1, heartbeat(1)), None);
    assert_eq!(cluster.leaders(), [1]);
    assert!(cluster.saw(1, |event| matches!(event, Event::Ignored { why: Ignored::Rival, .. })));
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut cluster = Cluster::plain(3);
    for message in [vote(0, true), heard(0)] {
        let before = cluster.core(1).status();
        assert_eq!(cluster.tell(2, 1, message), None);
        assert_eq!(cluster.core(1).status(), before);
    }
}

#[test]
fn the_status_tells_since_when() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let elected_at = cluster.now;
    cluster.drive(ms(400));
    let status = cluster.core(1).status();
    assert_eq!((status.role, status.since, status.leader), (Role::Leader, elected_at, Some(n(1))));
}
