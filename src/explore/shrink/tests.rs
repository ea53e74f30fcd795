//! Shrinking against a failure that is known: what is needed stays, all else goes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::script::{Script, ScriptError};
use crate::sim::{Finding, Setup};
use crate::sim::{Size, System};

/// Hosts n1, n2 and so on, which do nothing.
struct Idle;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    nodes: u64,
    colour: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 3, colour: "blue".to_owned() }
    }
}

impl System for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn about(&self) -> &'static str {
        "hosts that do nothing"
    }

    fn sizes(&self, setup: &Setup<'_>) -> Result<Vec<Size>, ScriptError> {
        Ok(vec![Size { key: "nodes", value: setup.section::<Options>()?.nodes, least: 1 }])
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        for number in 1..=setup.section::<Options>()?.nodes {
            setup.host(format!("n{number}"), |_| async { Ok(()) });
        }
        Ok(())
    }
}

/// Judges scripts by what they say, not by what they do.
struct Judge<F> {
    fails: F,
    tried: u64,
    tries_max: u64,
    texts: BTreeSet<String>,
}

impl<F: Fn(&Script) -> bool> Trials for Judge<F> {
    fn first(&mut self, scripts: &[String]) -> Result<Option<(usize, Finding)>, JobError> {
        for (place, text) in scripts.iter().enumerate() {
            assert!(self.texts.insert(text.clone()), "tried before:\n{text}");
            self.tried += 1;
            let Ok(script) = Script::parse("x.toml", text) else { continue };
            let mut setup = Setup::new(&Idle, &script, crate::rng::Seed(7));
            Idle.build(&mut setup).unwrap();
            if setup.validate(&Idle).is_ok() && (self.fails)(&script) {
                let at = Duration::from_millis(1234).min(script.duration);
                let (invariant, message) = ("it".to_owned(), String::new());
                return Ok(Some((place, Finding { invariant, at, record: 0, message, facts: Vec::new() })));
            }
        }
        Ok(None)
    }

    fn is_over(&self) -> bool {
        self.tried >= self.tries_max
    }
}

fn plan(steps: &str) -> Plan {
    let text = format!(
        "about = 'x'\nsystem = 'idle'\nduration = '9s'\ntick = '1ms'\n[idle]\nnodes = 7\ncolour = 'red'\n\
         [network]\nlatency = '1ms..9ms'\nloss = 0.1\ntcp = {{ tries = 3 }}\n{steps}"
    );
    let script = Script::parse("x.toml", &text).unwrap();
    Plan::new(&script, script.steps.clone())
}

fn many_steps() -> String {
    let mut text = String::new();
    for number in 1..20 {
        let (host, other) = (number % 7 + 1, (number + 3) % 7 + 1);
        let at = number * 53;
        let _ = write!(text, "[[step]]\nat = '{at}ms'\npartition = [['n{host}'], ['n{other}']]\nfor = '777ms'\n");
        let _ = write!(text, "[[packet]]\nfrom = 'n{host}'\nto = 'n{other}'\nnth = {number}\nlatency = '1234ms'\n");
    }
    text + "[[step]]\nat = '1187ms'\nkill = ['n2', 'n3']\nfor = '777ms'\n"
}

fn shrunk(fails: impl Fn(&Script) -> bool, tries_max: u64) -> (Shrunk, u64) {
    let mut judge = Judge { fails, tried: 0, tries_max, texts: BTreeSet::new() };
    let ground = Ground { system: &Idle, seed: 7 };
    let shrunk = shrink(&[plan(&many_steps())], ground, &mut judge, &mut |_| {}).unwrap().unwrap();
    (shrunk, judge.tried)
}

fn kills_n2(script: &Script) -> bool {
    script.steps.iter().any(|step| step.to_string().contains("kill n2"))
}

#[test]
fn what_is_needed_stays_and_all_else_goes() {
    let (least, _) = shrunk(|_| true, u64::MAX);
    assert_eq!(least.plan.text(), "about    = \"x\"\nsystem   = \"idle\"\nduration = \"1.3s\"\n\n[idle]\nnodes = 1\n");
    assert!(least.is_minimal);
    let needed = |script: &Script| kills_n2(script) && script.packets.iter().any(|packet| packet.nth == 17);
    let (least, tried) = shrunk(needed, u64::MAX);
    let expected = "about    = \"x\"\nsystem   = \"idle\"\nduration = \"1.3s\"\n\n[idle]\nnodes = 7\n\n\
                    [[step]]\nat   = \"1s\"\nkill = \"n2\"\n\n\
                    [[packet]]\nfrom    = \"n4\"\nto      = \"n7\"\nnth     = 17\nlatency = \"1s\"\n";
    assert_eq!(least.plan.text(), expected);
    assert!(tried < 300, "{tried} tries");
    assert_eq!(least.from.faults(), 39);
}

#[test]
fn a_host_that_goes_takes_with_it_what_was_said_of_it() {
    let (least, _) = shrunk(|script| kills_n2(script) && !script.packets.is_empty(), u64::MAX);
    assert!(least.plan.text().contains("nodes = 6"), "{}", least.plan.text());
    assert_eq!(least.plan.faults(), 2);
}

#[test]
fn when_tries_run_out_the_best_so_far_is_what_there_is() {
    let mut last = usize::MAX;
    for tries in [1, 2, 5, 10, 20, 500] {
        let (least, tried) =
            shrunk(|script| kills_n2(script) && script.packets.iter().any(|packet| packet.nth == 17), tries);
        let script = Script::parse("x.toml", &least.plan.text()).unwrap();
        assert!(kills_n2(&script));
        assert!(least.plan.faults() <= last, "{tries} tries");
        last = least.plan.faults();
        assert_eq!(least.is_minimal, tries == 500, "{tried} tries");
    }
}

#[test]
fn what_does_not_fail_again_is_not_shrunk() {
    let mut judge = Judge { fails: |_: &Script| false, tried: 0, tries_max: 9, texts: BTreeSet::new() };
    let ground = Ground { system: &Idle, seed: 7 };
    assert!(shrink(&[plan("")], ground, &mut judge, &mut |_| {}).unwrap().is_none());
}
