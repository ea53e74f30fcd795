//! Batches, the window, and what becomes of losses.

use super::*;

fn appends(messages: Vec<Message>) -> Vec<AppendEntries> {
    let append = |message| match message {
        Message::AppendEntries(append) => append,
        other => panic!("{other} is none"),
    };
    messages.into_iter().map(append).collect()
}

/// First and last index of what is sent.
fn spans(messages: Vec<Message>) -> Vec<(u64, u64)> {
    let span = |append: AppendEntries| (append.prev_log_index + 1, append.prev_log_index + append.entries.len() as u64);
    appends(messages).into_iter().map(span).collect()
}

/// A leader n1 with a fixed window, whose peers are known.
fn leading(window: u32, batch_entries: usize) -> Cluster {
    let mut cluster = Cluster::replicating_with(3, |replication| {
        (replication.window, replication.batch_entries) = (window..=window, batch_entries);
    });
    cluster.elect(1);
    cluster
}

#[test]
fn a_window_of_messages_is_under_way_and_the_rest_goes_in_batches() {
    let mut cluster = leading(2, 3);
    for command in ["a", "b", "c", "d", "e", "f"] {
        cluster.propose(1, command);
    }
    assert_eq!(spans(cluster.take(1, 3)), [(2, 2), (3, 3)]);
    cluster.deliver_where(|envelope| envelope.to == n(2));
    cluster.deliver_where(|envelope| envelope.from == n(2));
    let sent = spans(cluster.take(1, 2));
    assert_eq!(sent, [(4, 6), (7, 7)], "an acknowledgement makes room for a batch");
}

#[test]
fn a_batch_has_as_many_bytes_as_a_datagram_takes_and_at_least_one_entry() {
    let mut cluster = Cluster::replicating_with(3, |replication| {
        (replication.window, replication.batch_bytes) = (1..=1, 3 * (13 + 4));
    });
    cluster.elect(1);
    cluster.propose(1, "held");
    for command in ["four", "four", "four", "four", "and one that does not fit, whatever is done about it", "four"] {
        cluster.propose(1, command);
    }
    let mut sent = Vec::new();
    while let Some(append) = cluster.take(1, 2).pop() {
        cluster.tell(1, 2, append.clone());
        cluster.flying.retain(|envelope| envelope.to != n(3));
        cluster.deliver_where(|envelope| envelope.from == n(2));
        sent.push(append);
    }
    assert_eq!(spans(sent), [(2, 2), (3, 5), (6, 6), (7, 7), (8, 8)]);
}

#[test]
fn a_loss_is_noticed_by_what_comes_after_it_and_sent_again() {
    let mut cluster = leading(8, 1);
    for command in ["a", "b", "c", "d"] {
        cluster.propose(1, command);
    }
    let sent = cluster.take(1, 2);
    assert_eq!(spans(sent.clone()), [(2, 2), (3, 3), (4, 4), (5, 5)]);
    cluster.flying.clear();
    for (place, append) in sent.into_iter().enumerate() {
        if place != 1 {
            cluster.tell(1, 2, append);
        }
    }
    cluster.deliver_where(|envelope| envelope.from == n(2));
    let again = spans(cluster.take(1, 2));
    assert_eq!(again, [(3, 3), (4, 4), (5, 5)], "from the loss on, and once");
}

#[test]
fn the_last_message_before_a_silence_is_missed_at_the_next_heartbeat() {
    let mut cluster = leading(8, 1);
    cluster.propose(1, "a");
    cluster.lose();
    assert_eq!(cluster.log(2), ["1:"]);
    cluster.drive(ms(50));
    assert_eq!(cluster.log(2), ["1:", "1:a"]);
    assert_eq!(cluster.applied(1), ["1:", "1:a"]);
}

#[test]
fn a_lost_answer_is_made_up_for_by_the_answer_to_a_heartbeat() {
    let mut cluster = leading(8, 1);
    cluster.propose(1, "a");
    cluster.deliver_where(|envelope| envelope.from == n(1));
    cluster.lose();
    assert_eq!(cluster.applied(1), ["1:"]);
    cluster.drive(ms(50));
    assert_eq!(cluster.applied(1), ["1:", "1:a"]);
    let appended = cluster.events.iter().filter(|(id, event)| *id == n(2) && matches!(event, Event::Appended { .. }));
    assert_eq!(appended.count(), 2, "nothing is sent twice");
}

#[test]
fn a_peer_that_is_away_gets_heartbeats_and_no_entries() {
    let mut cluster = leading(4, 1);
    cluster.kill(3);
    for _ in 0..20 {
        cluster.propose(1, "a");
        cluster.deliver();
    }
    cluster.revive(3);
    cluster.wait(ms(50));
    cluster.step(1, Input::Tick);
    let beat = appends(cluster.take(1, 3));
    assert!(matches!(&beat[..], [beat] if beat.entries.is_empty()), "{beat:?}");
    cluster.wait(ms(50));
    cluster.step(1, Input::Tick);
    cluster.deliver();
    assert_eq!(cluster.log(3).len(), 21, "and then all that it missed");
}

#[test]
fn messages_in_any_order_and_any_number_make_the_same_log() {
    let mut cluster = leading(16, 1);
    for command in ["a", "b", "c", "d", "e"] {
        cluster.propose(1, command);
    }
    let mut sent = cluster.take(1, 2);
    sent.reverse();
    for append in sent.iter().chain(sent.iter().rev()).chain(&sent) {
        cluster.tell(1, 2, append.clone());
    }
    assert_eq!(cluster.log(2), cluster.log(1));
    cluster.deliver();
    cluster.drive(ms(100));
    assert_eq!(cluster.applied(3), cluster.applied(1));
}

#[test]
fn a_long_entry_under_way_is_no_loss() {
    let mut cluster = Cluster::replicating_with(3, |replication| replication.batch_bytes = 30);
    cluster.elect(1);
    cluster.propose(1, "a value that takes many datagrams, and more than a heartbeat interval");
    let long = cluster.take(1, 2);
    cluster.drive(ms(149));
    assert_eq!(cluster.log(2), ["1:"], "it is under way");
    assert!(cluster.take(1, 2).is_empty());
    cluster.deliver();
    cluster.drive(ms(60));
    assert_eq!(cluster.log(2).len(), 2, "it is sent again in the end");
    cluster.tell(1, 2, long[0].clone());
    assert_eq!(cluster.log(2).len(), 2);
}
