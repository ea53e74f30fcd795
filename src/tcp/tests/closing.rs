use super::*;
use crate::tcp::Failure;

/// RFC 9293, section 3.6: each direction ends by a FIN; who began waits for what may still come.
#[test]
fn each_direction_ends_by_a_fin() {
    let mut pair = open_pair(linux(), |_, _| false);
    pair.client_writes(b"all");
    pair.client.shutdown(pair.now);
    pair.exchange();
    pair.run(20 * MS);
    assert!(pair.server().is_read_closed());
    assert_eq!((pair.client.state(), pair.server().state()), (State::FinWait2, State::CloseWait));
    pair.server_writes(b"too");
    let now = pair.now;
    pair.server().shutdown(now);
    pair.exchange();
    pair.run(20 * MS);
    assert_eq!((pair.client.state(), pair.server().state()), (State::TimeWait, State::Closed));
    assert_eq!(pair.got, [b"too".to_vec(), b"all".to_vec()]);
    pair.run(61_000 * MS);
    assert_eq!(pair.client.state(), State::Closed);
}

#[test]
fn a_fin_that_was_lost_comes_again() {
    let mut pair = open_pair(linux(), |sent, _| matches!(sent.kind, Kind::Fin(_)) && sent.attempt == 0);
    pair.client.close(pair.now);
    pair.exchange();
    pair.run(1_000 * MS);
    assert!(pair.server().is_read_closed());
}

/// RFC 2525, section 2.17: who closes without having read what came says so by a reset.
#[test]
fn closing_with_unread_data_is_a_reset() {
    let mut pair = open_pair(linux(), |_, _| false);
    pair.reads = false;
    pair.client_writes(b"never read");
    pair.run(10 * MS);
    let now = pair.now;
    pair.server().close(now);
    pair.exchange();
    pair.run(10 * MS);
    assert_eq!((pair.client.failure(), pair.client.state()), (Some(Failure::Reset), State::Closed));
}

/// RFC 1122, section 4.2.2.13: what comes for one that has closed is answered by a reset.
#[test]
fn data_for_one_that_has_closed_is_a_reset() {
    let mut pair = open_pair(linux(), |_, _| false);
    pair.client.close(pair.now);
    pair.exchange();
    pair.run(LATENCY);
    pair.server_writes(b"an answer that comes too late");
    pair.run(20 * MS);
    assert_eq!(pair.server().failure(), Some(Failure::Reset));
    assert_eq!(pair.client.state(), State::Closed);
}

/// A FIN tells that data came before it; an acknowledgement, whose number is as far on, does not.
#[test]
fn a_fin_behind_what_was_lost_is_a_reset_for_one_that_has_closed() {
    let mut pair = open_pair(linux(), |sent, by_client| !by_client && matches!(sent.kind, Kind::Data(_)));
    pair.server_writes(b"lost");
    pair.client.close(pair.now);
    pair.exchange();
    pair.run(3 * LATENCY);
    assert_eq!((pair.client.state(), pair.server().failure()), (State::FinWait2, None));
    let now = pair.now;
    pair.server().close(now);
    pair.exchange();
    pair.run(3 * LATENCY);
    assert_eq!((pair.client.state(), pair.server().failure()), (State::Closed, Some(Failure::Reset)));
}

/// RFC 9293, section 3.10.7.4: a reset must fit; one that lies in the window is only asked about.
#[test]
fn a_reset_that_does_not_fit_is_asked_about() {
    let mut pair = open_pair(linux(), |_, _| false);
    let reset = Segment { rst: true, seq: 500, ..Segment::default() };
    pair.client.arrives(&reset, pair.now);
    assert_eq!((pair.client.failure(), pair.client.take_out().len()), (None, 1));
    pair.client.arrives(&Segment { seq: 1, ..reset }, pair.now);
    assert_eq!(pair.client.failure(), Some(Failure::Reset));
}
