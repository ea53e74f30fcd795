//! The election timer: when it is armed, and for how long.

use super::*;
use crate::raft::Config;
use crate::rng::Seed;

fn due(cluster: &Cluster, id: u64) -> std::time::Duration {
    cluster.core(id).status().timer_at.expect("armed")
}

#[test]
fn timeouts_lie_in_the_range_and_differ_from_arming_to_arming() {
    let mut cluster = Cluster::plain(3);
    let mut timeouts = Vec::new();
    for _ in 0..2000 {
        cluster.tell(2, 1, heartbeat(0));
        timeouts.push(due(&cluster, 1) - cluster.now);
    }
    assert!(timeouts.iter().all(|timeout| (ms(150)..=ms(300)).contains(timeout)));
    for tenth in 0..10 {
        let from = ms(150 + 15 * tenth);
        let count = timeouts.iter().filter(|timeout| (from..from + ms(15)).contains(timeout)).count();
        assert!((130..270).contains(&count), "{count} of 2000 from {from:?}");
    }
    let mut distinct = timeouts.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 1900, "drawn in microseconds");
}

#[test]
fn timeouts_come_in_steps_of_the_resolution_and_reach_both_ends() {
    let mut cluster = Cluster::with(3, |config| {
        config.timeout_resolution = ms(1);
        config.election_timeout_max = ms(152);
    });
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        cluster.tell(2, 1, heartbeat(0));
        seen.insert(due(&cluster, 1) - cluster.now);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [ms(150), ms(151), ms(152)]);
}

#[test]
fn members_and_boots_draw_differently_and_the_same_seed_the_same() {
    let boot = |id, label: &str| {
        let config = Config::new([n(1), n(2)]);
        let core = Core::new(n(id), config, HardState::default(), LogPosition::default(), Seed(1).stream(label), ms(0));
        core.expect("valid").deadline()
    };
    assert_eq!(boot(1, "a"), boot(1, "a"));
    assert_ne!(boot(1, "a"), boot(1, "b"));
}

#[test]
fn a_heartbeat_and_a_granted_vote_start_the_timer_afresh() {
    for message in [heartbeat(1), request_vote(1)] {
        let mut cluster = Cluster::plain(3);
        cluster.wait(ms(140));
        cluster.tell(2, 1, message);
        assert!(due(&cluster, 1) >= ms(290));
    }
}

#[test]
fn refused_votes_pre_votes_and_stale_leaders_do_not() {
    let mut cluster = Cluster::new(3);
    cluster.give_disk(1, 5, None);
    cluster.give_log(1, 5, 5);
    let before = due(&cluster, 1);
    cluster.wait(ms(100));
    for message in [request_vote(4), request_vote(5), request_vote(6), pre_vote(9), heartbeat(2), vote(3, true)] {
        cluster.tell(2, 1, message.clone());
        assert_eq!(due(&cluster, 1), before, "{message}");
    }
    assert_eq!(cluster.term(1), 6);
}

#[test]
fn a_leader_has_no_election_timer_and_a_deposed_one_has() {
    let mut cluster = Cluster::plain(3);
    cluster.elect(1);
    assert_eq!(cluster.core(1).status().timer_at, None);
    cluster.tell(2, 1, heard(4));
    assert!((cluster.now + ms(150)..=cluster.now + ms(300)).contains(&due(&cluster, 1)));
}

#[test]
fn a_pinned_timeout_holds_until_it_has_run_out_once() {
    let mut cluster = Cluster::plain(3);
    cluster.core_mut(1).pin_next_timeout(ms(777));
    assert_eq!(due(&cluster, 1), ms(777), "the timer that runs is pinned too");
    cluster.wait(ms(100));
    cluster.tell(2, 1, heartbeat(1));
    assert_eq!(due(&cluster, 1), ms(877), "and stays so when it is armed again");
    cluster.fire(1);
    assert_eq!(cluster.role(1), Role::Candidate);
    assert!(due(&cluster, 1) <= cluster.now + ms(300), "the next one is drawn");
}

#[test]
fn a_tick_before_the_deadline_does_nothing() {
    let mut cluster = Cluster::new(3);
    assert_eq!(cluster.step(1, Input::Tick), []);
    cluster.wait(ms(149));
    assert_eq!(cluster.step(1, Input::Tick), []);
    cluster.elect(1);
    assert_eq!(cluster.step(1, Input::Tick), []);
}

#[test]
#[should_panic(expected = "time went back")]
fn time_does_not_go_back() {
    let mut cluster = Cluster::new(3);
    cluster.wait(ms(10));
    cluster.step(1, Input::Tick);
    cluster.core_mut(1).step(ms(9), Input::Tick);
}

#[test]
fn a_timer_that_a_step_arms_runs_from_the_end_of_its_write() {
    let mut cluster = Cluster::plain(3);
    cluster.wait(ms(100));
    cluster.tell(2, 1, request_vote(1));
    let timeout = due(&cluster, 1) - cluster.now;
    cluster.written(1, ms(600));
    assert_eq!(due(&cluster, 1), cluster.now + timeout, "nobody was heard meanwhile");
    let before = due(&cluster, 1);
    cluster.tell(3, 1, request_vote(1));
    cluster.written(1, ms(50));
    assert_eq!(due(&cluster, 1), before, "a refusal starts no timer, however long it takes");
}

#[test]
fn a_candidate_asks_again_a_heartbeat_after_its_request_left() {
    let mut cluster = Cluster::with(3, |config| config.pre_vote = false);
    cluster.fire(1);
    let asked = cluster.now;
    cluster.written(1, ms(600));
    assert_eq!(cluster.core(1).deadline(), Some(asked + ms(650)));
}
