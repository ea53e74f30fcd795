//! Reads by a round of heartbeats and by a lease (dissertation §6.4).

use super::*;

fn leased(drift: u32) -> Cluster {
    Cluster::replicating_with(3, |replication| replication.lease = Some(drift))
}

#[test]
fn a_read_is_served_once_a_majority_has_answered_what_was_sent_after_it() {
    let mut cluster = Cluster::replicating(5);
    cluster.elect(1);
    cluster.wait(ms(50));
    cluster.step(1, Input::Tick);
    let older = std::mem::take(&mut cluster.flying);
    cluster.read(1, 7, ReadBy::Index);
    let newer = std::mem::take(&mut cluster.flying);
    cluster.flying = older;
    cluster.deliver();
    assert!(cluster.reads(1).is_empty(), "those answers say nothing about now");
    cluster.flying = newer;
    cluster.deliver_where(|envelope| [n(1), n(2)].contains(&envelope.from) && [n(1), n(2)].contains(&envelope.to));
    assert!(cluster.reads(1).is_empty(), "two of five are no majority");
    cluster.deliver();
    assert_eq!(cluster.reads(1), [(7, Ok(1))]);
}

#[test]
fn a_new_leader_serves_no_read_before_it_has_committed_in_its_term() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    cluster.propose(1, "a");
    cluster.deliver();
    // n2 has what is committed, and does not know it.
    cluster.kill(1);
    cluster.wait(ms(300));
    cluster.elect_without_entries(2);
    assert_eq!(cluster.core(2).commit_index(), 1);
    cluster.flying.clear();
    cluster.read(2, 1, ReadBy::Index);
    cluster.deliver_where(|envelope| !envelope_has_entries(&envelope.message));
    assert!(cluster.reads(2).is_empty(), "a majority has answered, and it does not know what is committed");
    cluster.drive(ms(100));
    assert_eq!(cluster.reads(2), [(1, Ok(3))]);
}

fn envelope_has_entries(message: &Message) -> bool {
    matches!(message, Message::AppendEntries(append) if !append.entries.is_empty())
        || matches!(message, Message::AppendEntriesResponse(answer) if !answer.success)
}

#[test]
fn a_deposed_leader_declines_the_reads_that_wait() {
    let mut cluster = Cluster::replicating(3);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.read(1, 1, ReadBy::Index);
    cluster.drive(ms(2000));
    assert_eq!(cluster.reads(1), [(1, Err(Declined::NotLeader { leader: None }))]);
    cluster.read(1, 2, ReadBy::Index);
    assert!(matches!(cluster.reads(1)[1], (2, Err(Declined::NotLeader { .. }))));
}

#[test]
fn a_server_alone_serves_reads_at_once() {
    let mut cluster = Cluster::replicating(1);
    cluster.elect(1);
    cluster.read(1, 1, ReadBy::Index);
    assert_eq!(cluster.reads(1), [(1, Ok(1))]);
}

#[test]
fn a_lease_serves_reads_without_a_message_until_it_runs_out() {
    let mut cluster = leased(50_000);
    cluster.elect(1);
    cluster.drive(ms(60));
    assert!(cluster.flying.is_empty());
    cluster.read(1, 1, ReadBy::Lease);
    assert_eq!((cluster.reads(1), cluster.flying.len()), (&[(1, Ok(1))][..], 0));
    // The last round left at 50 ms after the election: 150 ms by clocks that are 5 % off are 135.7 ms.
    cluster.isolate(1);
    cluster.wait(ms(125));
    cluster.read(1, 2, ReadBy::Lease);
    assert_eq!(cluster.reads(1).len(), 2, "it has not run out");
    cluster.wait(ms(1));
    cluster.read(1, 3, ReadBy::Lease);
    assert_eq!(cluster.reads(1).len(), 2, "it has");
}

#[test]
fn a_lease_runs_from_when_the_round_was_sent() {
    let mut cluster = leased(0);
    cluster.elect(1);
    cluster.drive(ms(49));
    cluster.wait(ms(1));
    cluster.step(1, Input::Tick);
    cluster.wait(ms(100));
    cluster.deliver();
    cluster.wait(ms(49));
    cluster.read(1, 1, ReadBy::Lease);
    assert_eq!(cluster.reads(1).len(), 1, "149 ms after it was sent");
    cluster.wait(ms(1));
    cluster.isolate(1);
    cluster.read(1, 2, ReadBy::Lease);
    assert_eq!(cluster.reads(1).len(), 1, "150 ms after it was sent, and 50 ms after it was answered");
}

#[test]
fn a_leader_that_told_its_successor_has_no_lease_any_more() {
    let mut cluster = leased(0);
    cluster.elect(1);
    cluster.drive(ms(60));
    cluster.step(1, Input::TransferLeadership { to: n(2) });
    assert_eq!(cluster.take(1, 2).len(), 1);
    cluster.read(1, 1, ReadBy::Lease);
    assert!(cluster.reads(1).is_empty(), "n2 may lead already");
}

#[test]
fn where_leases_are_kept_a_server_that_has_just_started_votes_for_nobody() {
    for (lease, granted) in [(Some(0), false), (None, true)] {
        let mut cluster = Cluster::replicating_with(3, |replication| replication.lease = lease);
        let answer = cluster.tell(1, 2, request_vote(1));
        assert_eq!(answer == Some(vote(1, true)), granted, "{answer:?}");
        cluster.wait(ms(150));
        assert_eq!(cluster.tell(1, 2, request_vote(1)), Some(vote(1, true)));
    }
}
