//! Log replication (§5.3), and what is committed (§5.4).

use super::*;

/// What a follower says to `AppendEntries` of the leader n1.
fn append(
    cluster: &mut Cluster,
    to: u64,
    term: Term,
    (prev_log_index, prev_log_term): (u64, Term),
    shown: &[&str],
    leader_commit: u64,
) -> AppendEntriesResponse {
    let append =
        AppendEntries { term, prev_log_index, prev_log_term, entries: entries(shown), leader_commit, round: 1 };
    cluster.flying.clear();
    cluster.step(to, Input::Message { from: n(1), message: Message::AppendEntries(append) });
    match &cluster.take(to, 1)[..] {
        [Message::AppendEntriesResponse(answer)] => answer.clone(),
        other => panic!("one answer, not {other:?}"),
    }
}

fn accepted(answer: &AppendEntriesResponse, match_index: u64) -> bool {
    answer.success && answer.match_index == match_index && answer.conflict.is_none()
}

fn conflict(answer: &AppendEntriesResponse) -> (u64, Term, u64) {
    let Conflict { rejected, term, first_index } = answer.conflict.expect("it is a refusal");
    (rejected, term, first_index)
}

#[test]
fn a_leader_begins_its_term_with_a_blank_entry() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    assert!((1..=3).all(|id| cluster.log(id) == ["1:"]));
    assert_eq!(cluster.core(1).commit_index(), 1);
}

#[test]
fn a_command_is_applied_by_the_leader_once_a_majority_has_it_and_by_the_others_when_they_hear_of_it() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    assert_eq!(cluster.applied(1), ["1:"]);
    cluster.deliver();
    assert_eq!(cluster.applied(1), ["1:", "1:a"]);
    cluster.drive(ms(50));
    assert!((1..=3).all(|id| cluster.applied(id) == ["1:", "1:a"]));
}

#[test]
fn a_server_alone_commits_when_its_own_disk_has_it() {
    let mut cluster = Cluster::replicating(1);
    cluster.elect(1);
    cluster.slow_disk(1);
    cluster.propose(1, "a");
    assert_eq!(cluster.applied(1), ["1:"]);
    cluster.sync(1);
    assert_eq!(cluster.applied(1), ["1:", "1:a"]);
}

#[test]
fn a_leader_sends_while_it_writes_and_counts_itself_only_when_it_has_written() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    cluster.slow_disk(1);
    cluster.cut(1, 3);
    let outputs = cluster.propose(1, "a");
    let place = |what: fn(&Output) -> bool| outputs.iter().position(what).expect("it does both");
    assert!(place(|output| matches!(output, Output::Send { .. })) < place(|o| matches!(o, Output::Write(_))));
    cluster.deliver();
    assert_eq!(cluster.applied(1), ["1:"], "one of three has it");
    cluster.sync(1);
    assert_eq!(cluster.applied(1), ["1:", "1:a"]);
    // Two others are a majority without it.
    cluster.heal();
    cluster.drive(ms(50));
    cluster.propose(1, "b");
    cluster.deliver();
    assert_eq!(cluster.applied(1), ["1:", "1:a", "1:b"]);
    assert_eq!(cluster.core(1).status().durable, 2);
}

#[test]
fn a_follower_acknowledges_what_is_durable_and_nothing_else() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    cluster.slow_disk(2);
    cluster.propose(1, "a");
    cluster.propose(1, "b");
    cluster.flying.retain(|envelope| envelope.to == n(2));
    cluster.deliver();
    assert_eq!(cluster.log(2), ["1:", "1:a", "1:b"]);
    assert!(cluster.take(2, 1).is_empty());
    // A heartbeat is answered at once, with what there is.
    cluster.wait(ms(50));
    cluster.step(1, Input::Tick);
    cluster.deliver_where(|envelope| envelope.to == n(2));
    let answers = cluster.take(2, 1);
    assert!(matches!(&answers[..], [Message::AppendEntriesResponse(answer)] if accepted(answer, 1)), "{answers:?}");
    cluster.sync(2);
    let answers = cluster.take(2, 1);
    assert!(matches!(&answers[..], [Message::AppendEntriesResponse(answer)] if accepted(answer, 3)), "{answers:?}");
}

#[test]
fn what_is_durable_for_a_leader_that_is_gone_is_not_acknowledged_to_the_next() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    cluster.slow_disk(2);
    cluster.propose(1, "a");
    cluster.deliver_where(|envelope| envelope.to == n(2));
    cluster.flying.clear();
    cluster.step(2, Input::Message { from: n(3), message: heartbeat(2) });
    assert_eq!(cluster.take(2, 3).len(), 1);
    cluster.sync(2);
    assert!(cluster.flying.is_empty(), "n3 has not said that entry 2 is its own");
}

#[test]
fn a_follower_says_where_the_logs_may_meet() {
    let mut cluster = Cluster::replicating(3);
    cluster.give_entries(2, 5, &["1:", "1:a", "4:", "4:b", "4:c"]);
    let answer = append(&mut cluster, 2, 6, (9, 6), &[], 0);
    assert_eq!(conflict(&answer), (9, 0, 6), "its log ends before");
    let answer = append(&mut cluster, 2, 6, (5, 5), &[], 0);
    assert_eq!(conflict(&answer), (5, 4, 3), "its entries of term 4 begin there");
    let answer = append(&mut cluster, 2, 6, (2, 1), &["6:"], 0);
    assert!(accepted(&answer, 3));
    assert_eq!(cluster.log(2), ["1:", "1:a", "6:"]);
}

#[test]
fn a_late_message_takes_nothing_away() {
    let mut cluster = Cluster::replicating(3);
    append(&mut cluster, 2, 1, (0, 0), &["1:", "1:a", "1:b"], 0);
    assert!(accepted(&append(&mut cluster, 2, 1, (0, 0), &["1:"], 0), 1), "it vouches for one entry");
    assert_eq!(cluster.log(2), ["1:", "1:a", "1:b"]);
    assert!(accepted(&append(&mut cluster, 2, 1, (1, 1), &["1:a", "1:b", "1:c"], 0), 4));
    assert_eq!(cluster.log(2), ["1:", "1:a", "1:b", "1:c"]);
}

#[test]
fn a_follower_commits_only_what_the_message_vouched_for() {
    let mut cluster = Cluster::replicating(3);
    cluster.give_entries(2, 1, &["1:", "1:a", "1:stale"]);
    append(&mut cluster, 2, 2, (1, 1), &[], 3);
    assert_eq!(cluster.applied(2), ["1:"], "the others may be another's");
    append(&mut cluster, 2, 2, (1, 1), &["1:a", "2:"], 3);
    assert_eq!(cluster.applied(2), ["1:", "1:a", "2:"]);
    append(&mut cluster, 2, 2, (1, 1), &["1:a"], 2);
    assert_eq!(cluster.core(2).commit_index(), 3, "and never takes it back");
}

#[test]
fn what_contradicts_a_committed_entry_is_not_taken_in() {
    let mut cluster = Cluster::replicating(3);
    append(&mut cluster, 2, 1, (0, 0), &["1:", "1:a"], 2);
    let entries = entries(&["2:"]);
    let append = AppendEntries { term: 2, prev_log_index: 1, prev_log_term: 1, entries, leader_commit: 0, round: 1 };
    assert_eq!(cluster.tell(1, 2, Message::AppendEntries(append)), None);
    assert_eq!(cluster.log(2), ["1:", "1:a"]);
    assert!(cluster.saw(2, |event| matches!(event, Event::Ignored { why: Ignored::Contradiction, .. })));
}

#[test]
fn a_truncation_that_is_not_durable_hides_no_acknowledgement() {
    let mut cluster = Cluster::replicating(3);
    cluster.give_entries(2, 1, &["1:", "1:a", "1:b"]);
    cluster.slow_disk(2);
    let entries = entries(&["2:"]);
    let append = AppendEntries { term: 2, prev_log_index: 1, prev_log_term: 1, entries, leader_commit: 0, round: 1 };
    assert_eq!(cluster.tell(1, 2, Message::AppendEntries(append)), None);
    assert_eq!(cluster.core(2).status().durable, 1);
    cluster.sync(2);
    assert!(matches!(&cluster.take(2, 1)[..], [Message::AppendEntriesResponse(answer)] if accepted(answer, 2)));
}

/// Figure 7 of the paper: whatever a follower missed, or has too much, a leader of term 8 makes its log its own.
#[test]
fn each_log_of_figure_7_is_caught_up() {
    const LEADER: [&str; 10] = ["1:", "1:", "1:", "4:", "4:", "5:", "5:", "6:", "6:", "6:"];
    let followers: [(&str, &[&str]); 6] = [
        ("a", &["1:", "1:", "1:", "4:", "4:", "5:", "5:", "6:", "6:"]),
        ("b", &["1:", "1:", "1:", "4:"]),
        ("c", &["1:", "1:", "1:", "4:", "4:", "5:", "5:", "6:", "6:", "6:", "6:"]),
        ("d", &["1:", "1:", "1:", "4:", "4:", "5:", "5:", "6:", "6:", "6:", "7:", "7:"]),
        ("e", &["1:", "1:", "1:", "4:", "4:", "4:", "4:"]),
        ("f", &["1:", "1:", "1:", "2:", "2:", "2:", "3:", "3:", "3:", "3:", "3:"]),
    ];
    for (name, shown) in followers {
        let mut cluster = Cluster::replicating(3);
        cluster.give_entries(1, 7, &LEADER);
        cluster.give_entries(2, 7, &LEADER);
        cluster.give_entries(3, 7, shown);
        cluster.cut(1, 3);
        cluster.elect(1);
        cluster.heal();
        cluster.drive(ms(200));
        let expected: Vec<&str> = LEADER.into_iter().chain(["8:"]).collect();
        assert_eq!(cluster.log(3), expected, "{name}");
        assert_eq!(cluster.applied(3), expected, "{name}");
        let refusals =
            cluster.events.iter().filter(|(id, event)| *id == n(3) && matches!(event, Event::Truncated { .. }));
        assert!(refusals.count() <= 1, "{name} is cut off once at most");
    }
}

/// Figure 8: an entry of an older term on a majority is not committed by that, for it can still be overwritten.
#[test]
fn an_older_entry_is_committed_by_one_of_the_leaders_own_term_only() {
    let mut cluster = Cluster::replicating(5);
    for id in 1..=2 {
        cluster.give_entries(id, 2, &["1:", "2:x"]);
    }
    for id in 3..=5 {
        cluster.give_entries(id, 2, &["1:"]);
    }
    // n1 leads term 4, and before its own entry reaches anybody, that of term 2 reaches a majority.
    cluster.give_entries(1, 3, &["1:", "2:x"]);
    cluster.elect_without_entries(1);
    assert_eq!(cluster.term(1), 4);
    cluster.flying.clear();
    let matched = |match_index| {
        let (term, success, round, conflict) = (4, true, 1, None);
        Message::AppendEntriesResponse(AppendEntriesResponse { term, success, match_index, round, conflict })
    };
    cluster.tell(2, 1, matched(2));
    cluster.tell(3, 1, matched(2));
    cluster.tell(4, 1, matched(2));
    assert_eq!(cluster.core(1).commit_index(), 0, "entry 2 is on four of five");
    cluster.tell(2, 1, matched(3));
    cluster.tell(3, 1, matched(3));
    assert_eq!(cluster.applied(1), ["1:", "2:x", "4:"]);
}

#[test]
fn who_does_not_lead_declines_and_says_who_does() {
    let mut cluster = Cluster::replicating(3);
    cluster.propose(1, "a");
    assert_eq!(cluster.declined(1), [Declined::NotLeader { leader: None }]);
    cluster.elect(2);
    cluster.propose(1, "a");
    assert_eq!(cluster.declined(1)[1..], [Declined::NotLeader { leader: Some(n(2)) }]);
    cluster.step(2, Input::TransferLeadership { to: n(3) });
    cluster.propose(2, "a");
    assert_eq!(cluster.declined(2), [Declined::HandingOver { to: n(3) }]);
    let mut electing = Cluster::new(1);
    electing.elect(1);
    electing.propose(1, "a");
    assert_eq!(electing.declined(1), [Declined::NoLog]);
}

#[test]
fn a_leader_that_commits_nothing_declines_after_a_while() {
    let mut cluster = Cluster::replicating_with(3, |replication| replication.uncommitted_max = 3);
    cluster.elect(1);
    cluster.isolate(1);
    for _ in 0..4 {
        cluster.propose(1, "a");
    }
    assert_eq!(cluster.declined(1), [Declined::Busy]);
    assert_eq!(cluster.log(1).len(), 4);
}

#[test]
fn a_restart_keeps_what_is_durable_and_nothing_else() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.deliver();
    cluster.slow_disk(1);
    cluster.propose(1, "b");
    cluster.lose();
    cluster.restart(1);
    assert_eq!(cluster.log(1), ["1:", "1:a"]);
    assert_eq!(cluster.core(1).status().durable, 2);
    assert!(cluster.applied(1).is_empty(), "it hears again what is committed");
    cluster.elect(2);
    cluster.sync(1);
    cluster.drive(ms(100));
    cluster.sync(1);
    cluster.drive(ms(100));
    assert_eq!(cluster.applied(1), cluster.applied(2));
}

#[test]
fn a_successor_is_told_only_once_its_log_is_durably_the_leaders() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    cluster.slow_disk(3);
    cluster.propose(1, "a");
    cluster.deliver();
    cluster.step(1, Input::TransferLeadership { to: n(3) });
    cluster.deliver();
    assert_eq!(cluster.leaders(), [1]);
    cluster.sync(3);
    cluster.deliver();
    assert_eq!((cluster.leaders(), cluster.term(3)), (vec![3], 2));
}

#[test]
fn a_leader_whose_disk_stands_still_yields_to_one_that_can_write() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    cluster.slow_disk(1);
    cluster.propose(1, "a");
    cluster.drive(ms(299));
    assert_eq!(cluster.leaders(), [1]);
    cluster.drive(ms(60));
    assert_eq!(cluster.term(2), 2);
    assert_eq!(cluster.leaders().len(), 1);
    assert_ne!(cluster.leaders(), [1]);
    assert!(cluster.saw(1, |event| matches!(event, Event::SteppedDown { why: StepDown::DiskStalled, .. })));
}

#[test]
fn a_leader_whose_disk_is_no_worse_than_anybodys_stays() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    (1..=3).for_each(|id| cluster.slow_disk(id));
    cluster.propose(1, "a");
    cluster.drive(ms(2000));
    assert_eq!((cluster.leaders(), cluster.term(1)), (vec![1], 1));
}
