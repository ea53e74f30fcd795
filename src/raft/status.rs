//! A node's state over HTTP: `GET /status` for programs, `GET /metrics` for Prometheus.
//!
//! All of it comes out of the node's events; the node does not know that anybody asks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::metrics::{LogNow, Metrics};
use super::server::Event;
use super::{LogIndex, NodeId, Role, Status, Term};
use crate::net::Net;
use crate::pages::{self, Pages, exposition};

/// The last second of the year 9999, after which RFC 3339 has no times.
const RFC_3339_MAX: Duration = Duration::from_secs(253_402_300_799);

/// What is said to who asks for something else.
const THERE: &str = "there is /status and there is /metrics\n";

/// Tells the time since 1970 began, UTC. Hosts have no wall clock: who shows times brings one.
pub type WallClock = fn() -> Duration;

/// A time since 1970 as RFC 3339 writes it, to the millisecond and in UTC.
pub fn rfc3339(since_1970: Duration) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970.min(RFC_3339_MAX)).to_string()
}

/// What a node's events tell of it, up to now. Clones are the same board.
#[derive(Clone, Debug)]
pub struct Board {
    clock: WallClock,
    shown: Rc<RefCell<Shown>>,
}

#[derive(Debug, Default)]
struct Shown {
    /// The node, and since when it has its role by the wall clock; `None` until it has read its disk.
    now: Option<(Status, Duration)>,
    metrics: Metrics,
}

/// The answer to `/status`.
#[derive(Serialize)]
struct Report {
    id: u64,
    role: &'static str,
    term: Term,
    leader: Option<u64>,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogReport>,
}

/// What it says of the log, where one is replicated.
#[derive(Serialize)]
struct LogReport {
    last: LogIndex,
    durable: LogIndex,
    commit: LogIndex,
    applied: LogIndex,
    /// Of a leader, by peer.
    peers: BTreeMap<u64, PeerReport>,
}

#[derive(Serialize)]
struct PeerReport {
    #[serde(rename = "match")]
    matched: LogIndex,
    /// How many entries it is behind.
    lag: LogIndex,
}

impl Board {
    /// An empty one.
    pub fn new(clock: WallClock) -> Self {
        Self { clock, shown: Rc::default() }
    }

    /// Takes an event in.
    pub fn take(&self, event: &Event) {
        let mut shown = self.shown.borrow_mut();
        shown.metrics.count(event);
        if let Event::Stepped { status, now, .. } = event {
            let since = match &shown.now {
                // The wall clock may be set: a time that was told stays what it is.
                Some((was, since)) if (was.role, was.since) == (status.role, status.since) => *since,
                _ => (self.clock)().saturating_sub(now.saturating_sub(status.since)),
            };
            shown.now = Some((*status, since));
        }
    }

    /// The role and the term that the node has, once it has any.
    pub fn role(&self) -> Option<(Role, Term)> {
        self.shown.borrow().now.as_ref().map(|(status, _)| (status.role, status.term))
    }

    fn pages(&self) -> Pages {
        let board = self.clone();
        Rc::new(move |path| board.page(path))
    }

    fn page(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        let shown = self.shown.borrow();
        let body: fn(&Shown, &Status, Duration) -> (&'static str, String) = match path {
            "/status" => |shown, status, since| (pages::JSON, report(status, since, shown.metrics.log())),
            "/metrics" => |shown, status, _| (exposition::CONTENT_TYPE, shown.metrics.text(status)),
            _ => return None,
        };
        let Some((status, since)) = &shown.now else {
            let starting = "the node is starting: try again\n";
            return Some(pages::page(StatusCode::SERVICE_UNAVAILABLE, pages::TEXT, starting));
        };
        let (content_type, body) = body(&shown, status, *since);
        Some(pages::page(StatusCode::OK, content_type, body))
    }
}

fn report(status: &Status, since: Duration, log: Option<&LogNow>) -> String {
    let last = status.log.last_index;
    let peer = |(id, matched): (&NodeId, &LogIndex)| {
        (id.0, PeerReport { matched: *matched, lag: last.saturating_sub(*matched) })
    };
    let log = log.map(|log| LogReport {
        last,
        durable: status.durable,
        commit: status.commit,
        applied: log.applied,
        peers: log.matched.iter().map(peer).collect(),
    });
    let (id, leader) = (status.id.0, status.leader.map(|leader| leader.0));
    let report = Report { id, role: status.role.name(), term: status.term, leader, since: rfc3339(since), log };
    serde_json::to_string(&report).expect("numbers and texts have a JSON form") + "\n"
}

/// Answers those who ask at `listener`, until the future is dropped.
pub async fn serve<N: Net>(listener: N::Listener, board: Board) {
    pages::serve::<N>(listener, board.pages(), THERE).await;
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use hyper::header::{ALLOW, CONTENT_TYPE};

    use super::super::LogPosition;
    use super::*;

    fn noon() -> Duration {
        Duration::from_hours(12)
    }

    fn stepped(role: Role, since_secs: u64, now_secs: u64) -> Event {
        let status = Status {
            id: NodeId(2),
            role,
            term: 4,
            voted_for: None,
            leader: (role == Role::Leader).then_some(NodeId(2)),
            since: Duration::from_secs(since_secs),
            timer_at: None,
            log: LogPosition::default(),
            commit: 0,
            durable: 0,
        };
        {
            let now = Duration::from_secs(now_secs);
            Event::Stepped { status, now, done: now, deadline: None }
        }
    }

    fn told(board: &Board) -> String {
        let shown = board.shown.borrow();
        let (status, since) = shown.now.as_ref().expect("it has stepped");
        report(status, *since, shown.metrics.log())
    }

    #[test]
    fn a_status_has_its_keys_and_the_time_of_the_role() {
        let board = Board::new(noon);
        board.take(&stepped(Role::Follower, 0, 60));
        let expected = r#"{"id":2,"role":"follower","term":4,"leader":null,"since":"1970-01-01T11:59:00.000Z"}"#;
        assert_eq!(told(&board).trim_end(), expected);
        board.take(&stepped(Role::Follower, 0, 90));
        assert_eq!(told(&board).trim_end(), expected, "since is when it was first seen");
        board.take(&stepped(Role::Leader, 89, 90));
        let expected = r#"{"id":2,"role":"leader","term":4,"leader":2,"since":"1970-01-01T11:59:59.000Z"}"#;
        assert_eq!(told(&board).trim_end(), expected);
    }

    #[test]
    fn a_log_that_is_replicated_is_told_of() {
        use crate::raft::Event as Core;
        let board = Board::new(noon);
        board.take(&Event::LoadedLog { log: Rc::default(), torn: None });
        board.take(&Event::Core(Core::Progressed { peer: NodeId(3), match_index: 5, next_index: 8 }));
        board.take(&Event::Applied { index: 6, term: 4, digest: 0 });
        let Event::Stepped { status, now, done, deadline } = stepped(Role::Leader, 0, 60) else { unreachable!() };
        let log = LogPosition { last_index: 7, last_term: 4 };
        board.take(&Event::Stepped { status: Status { log, commit: 6, durable: 7, ..status }, now, done, deadline });
        let told = told(&board);
        let expected = r#""log":{"last":7,"durable":7,"commit":6,"applied":6,"peers":{"3":{"match":5,"lag":2}}}"#;
        assert!(told.contains(expected), "{told}");
        let metrics = board.page("/metrics").expect("it is there");
        assert_eq!(metrics.status(), StatusCode::OK);
    }

    #[test]
    fn each_request_has_its_answer() {
        let board = Board::new(noon);
        let answer = |method: &Method, path: &str| pages::answer(&board.pages(), THERE, method, path);
        let code = |method: &Method, path: &str| answer(method, path).status().as_u16();
        assert_eq!(code(&Method::GET, "/status"), 503, "the node has not begun");
        board.take(&stepped(Role::Follower, 0, 0));
        for path in ["/status", "/metrics"] {
            assert_eq!([&Method::GET, &Method::HEAD, &Method::POST].map(|method| code(method, path)), [200, 200, 405]);
        }
        assert_eq!(answer(&Method::DELETE, "/status").headers()[ALLOW], "GET, HEAD");
        assert_eq!([code(&Method::GET, "/"), code(&Method::POST, "/status/")], [404, 404]);
        assert_eq!(answer(&Method::GET, "/metrics").headers()[CONTENT_TYPE], exposition::CONTENT_TYPE);
    }

    #[test]
    fn times_beyond_the_calendar_do_not_panic() {
        assert_eq!(rfc3339(Duration::from_millis(1_700_000_000_005)), "2023-11-14T22:13:20.005Z");
        assert_eq!(rfc3339(Duration::MAX), "9999-12-31T23:59:59.000Z");
    }
}
