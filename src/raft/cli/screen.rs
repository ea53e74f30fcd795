//! Where the changes of a whole cluster are shown: one line each, behind the time since the start.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lines::{Change, names};
use crate::raft::{NodeId, Term};
use crate::service::Stdout;

/// How long those who find the same leader are waited for, to share a line.
const GATHERING: Duration = Duration::from_millis(20);

/// Prints to stdout. Clones are the same screen.
#[derive(Clone)]
pub(super) struct Screen(Rc<State>);

struct State {
    start: Instant,
    /// The width of the nodes' column.
    width: usize,
    followers: RefCell<Option<Followers>>,
    stdout: Stdout,
}

/// Who found a leader, and is not shown yet.
struct Followers {
    ids: Vec<NodeId>,
    leader: NodeId,
    term: Term,
    at: Instant,
}

impl Screen {
    /// For these nodes.
    pub(super) fn new(ids: &[NodeId]) -> Self {
        Self(Rc::new(State {
            start: Instant::now(),
            width: names(ids).len(),
            followers: RefCell::new(None),
            stdout: Stdout::default(),
        }))
    }

    /// Resolves when nobody reads stdout any more.
    pub(super) async fn closed(&self) {
        self.0.stdout.closed().await;
    }

    /// Shows a node's change.
    pub(super) fn change(&self, id: NodeId, change: Change) {
        match change {
            Change::Follows { leader, term } => self.follows(id, leader, term),
            Change::Other(text) => self.line(&[id], text),
        }
    }

    /// Shows a line about some nodes.
    pub(super) fn line(&self, ids: &[NodeId], text: impl Display) {
        self.show_followers();
        self.print(Instant::now(), &names(ids), &text.to_string());
    }

    fn follows(&self, id: NodeId, leader: NodeId, term: Term) {
        let now = Instant::now();
        let mut followers = self.0.followers.borrow_mut();
        if let Some(gathered) = followers.as_mut().filter(|gathered| (gathered.leader, gathered.term) == (leader, term))
        {
            gathered.ids.push(id);
            gathered.at = now;
            return;
        }
        let before = followers.replace(Followers { ids: vec![id], leader, term, at: now });
        drop(followers);
        if let Some(before) = before {
            self.print_followers(before);
        }
        let screen = self.clone();
        tokio::task::spawn_local(async move {
            sleep(GATHERING).await;
            screen.show_followers();
        });
    }

    fn show_followers(&self) {
        let followers = self.0.followers.take();
        if let Some(followers) = followers {
            self.print_followers(followers);
        }
    }

    fn print_followers(&self, mut followers: Followers) {
        followers.ids.sort_unstable();
        let follow = if followers.ids.len() == 1 { "follows" } else { "follow" };
        let text = format!("{follow} {} (term {})", followers.leader, followers.term);
        self.print(followers.at, &names(&followers.ids), &text);
    }

    fn print(&self, at: Instant, who: &str, text: &str) {
        let seconds = at.duration_since(self.0.start).as_secs_f64();
        self.0.stdout.print_line(aligned(seconds, who, self.0.width, text));
    }
}

fn aligned(seconds: f64, who: &str, width: usize, text: &str) -> String {
    format!("{seconds:>8.3}s  {who:<width$}  {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_under_each_other() {
        assert_eq!(aligned(0.1534, "n3", 8, "leads"), "   0.153s  n3        leads");
        assert_eq!(aligned(1000.0, "n1 n2 n3", 8, "lead"), "1000.000s  n1 n2 n3  lead");
    }
}
