//! A cluster of three that elects a leader by what its script says, and by no algorithm.

use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use super::*;
use crate::consensus::{Part, Says};
use crate::rng::Seed;
use crate::script::{Script, ScriptError};
use crate::sim::{HostResult, Outcome, RunOptions, System, Verdict, run};

struct Played;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Who leads when, for how long and in which term.
    leads: Vec<(u64, u64, Term)>,
    #[serde(default)]
    lacks_votes: bool,
}

impl System for Played {
    fn name(&self) -> &'static str {
        "played"
    }

    fn about(&self) -> &'static str {
        "a cluster whose script says who leads"
    }

    fn draws_from_tokio(&self) -> bool {
        false
    }

    fn states(&self) -> &'static [&'static str] {
        STATES
    }

    fn roles(&self) -> &'static [&'static str] {
        ROLES
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let options: Options = setup.section()?;
        let members = || (1..=3).map(NodeId);
        let mut settings = Settings::new(members()).lacks(Part::Durable, "it has no disk");
        if options.lacks_votes {
            settings = settings.lacks(Part::Votes, "it counts hands");
        }
        let watch = Watch::new(setup, &settings);
        let (leads, asks) = (Rc::new(options.leads), !options.lacks_votes);
        for id in members() {
            let (watch, leads) = (watch.clone(), leads.clone());
            setup.host(id.to_string(), move |host| play(watch.node(id, &host), id, asks, leads.clone()));
        }
        Ok(())
    }
}

/// A node's life; `asks`: whoever is to lead asks for votes first.
async fn play(teller: Teller, id: NodeId, asks: bool, leads: Rc<Vec<(u64, u64, Term)>>) -> HostResult {
    for (round, (leader, millis, term)) in leads.iter().copied().enumerate() {
        let leader = NodeId(leader);
        if !asks && round > 0 && id != leader {
            // It has not noticed.
            continue;
        }
        let is = |role, leader| teller.tell(Fact::Is { role, term, leader });
        if id == leader && asks {
            is(Role::Candidate, None);
            teller.tell(Fact::Sending { to: NodeId(2), term, says: Says::Candidacy });
        } else if asks {
            is(Role::Follower, None);
            teller.tell(Fact::Sending { to: leader, term, says: Says::Vote });
        }
        sleep(Duration::from_millis(5)).await;
        is(if id == leader { Role::Leader } else { Role::Follower }, (id == leader).then_some(leader));
        sleep(Duration::from_millis(5)).await;
        is(if id == leader { Role::Leader } else { Role::Follower }, Some(leader));
        sleep(Duration::from_millis(millis)).await;
    }
    std::future::pending().await
}

fn played(rest: &str) -> Outcome {
    let text = format!("about = 'x'\nsystem = 'played'\nduration = '9s'\n{rest}");
    let script = Script::parse("x.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    run(&Played, &script, Seed(0), &RunOptions { keep_records: true, watch: None })
        .unwrap_or_else(|error| panic!("{error}"))
}

fn broken(outcome: &Outcome) -> (&str, &str) {
    let Verdict::Violation(finding) = &outcome.verdict else { panic!("{:?}", outcome.verdict) };
    (&finding.invariant, &finding.message)
}

#[test]
fn a_leader_that_stays_is_right_and_what_was_not_told_is_said() {
    let outcome =
        played("[played]\nleads = [[1, 1, 1]]\n[[step]]\nwhen = 'agreed'\npause = '@follower'\nfor = '100ms'\n");
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(["elections", "leaders", "terms"].map(|name| outcome.counters[name]), [1, 1, 1]);
    let notes = outcome.notes.join("\n");
    for said in [
        "E3 durable before sent is not checked: it is not told what is durable (it has no disk)",
        "S1 one content an index is not checked: in this run it was never told what is applied",
        "L6 few messages is not checked: in this run it was never told of every message",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    assert!(!notes.contains("E6") && !notes.contains("L1") && !notes.contains("L3"), "{notes}");
}

#[test]
fn two_leaders_of_a_term_seconds_apart_are_found() {
    let outcome = played("[played]\nlacks_votes = true\nleads = [[1, 2000, 1], [2, 1000, 1]]\n");
    let (invariant, message) = broken(&outcome);
    assert_eq!((invariant, message), ("E1 election safety", "term 1 has two leaders, n1 and n2"));
}

#[test]
fn an_election_that_nothing_calls_for_is_found() {
    let outcome = played("[played]\nleads = [[3, 2000, 1], [1, 1000, 2]]\n");
    let (invariant, message) = broken(&outcome);
    assert_eq!(invariant, "L2 no needless election");
    assert!(message.contains("nothing disturbs the nodes, and n1 enters term 2"), "{message}");
}

#[test]
fn who_tells_nothing_is_not_taken_for_right() {
    let outcome = played("[played]\nleads = []\n");
    assert_eq!(outcome.verdict, Verdict::Inconclusive { reason: Verdict::NO_WORK.to_owned() });
}

#[test]
fn whoever_dies_begins_anew() {
    let outcome = played(
        "[played]\nleads = [[1, 1, 4]]\n[[step]]\nat = '1s'\nkill = '@leader'\n[[step]]\nat = '2s'\nrestart = 'n1'\n",
    );
    assert_eq!(outcome.verdict, Verdict::Pass, "it leads its term again");
    assert_eq!((outcome.counters["leaders"], outcome.counters["terms"]), (2, 4));
    let dead =
        "[played]\nleads = [[1, 1, 4]]\n[[step]]\nat = '1s'\nkill = 'n1'\n[[step]]\nat = '2s'\nkill = '@leader'\n";
    assert!(matches!(played(dead).verdict, Verdict::Inconclusive { .. }), "nobody leads any more");
}

#[test]
#[should_panic(expected = "n4 is no member: n1 n2 n3 are")]
fn a_stranger_has_no_teller() {
    let script = "about = 'x'\nsystem = 'played'\nduration = '9s'\n[played]\nleads = [[4, 1, 1]]\n";
    let script = Script::parse("x.toml", script).unwrap();
    let mut setup = Setup::built(&Played, &script, Seed(0)).unwrap();
    let watch = Watch::new(&mut setup, &Settings::new((1..=3).map(NodeId)));
    watch.is_member(NodeId(4));
}
