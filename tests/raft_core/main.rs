//! The bare cores of a cluster under anything a network and a power plug can do: messages in any order, twice or never,
//! timers that run out at any time, power that goes between any two outputs. After every step of every case, the
//! invariants E1 to E14 of `check::raft` hold. Nothing here knows of time but as a number, and nothing of turmoil.

#[cfg(feature = "planted-bugs")]
mod planted;
mod world;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config as Settings, FileFailurePersistence, RngSeed, TestCaseError, TestRunner};
use stormglass::raft::LogPosition;

use world::{Action, Setup, World};

/// How many cases, by day and by night. Every planted bug that shows here does in the first 5,000.
const CASES: [u32; 2] = [5_000, 200_000];

fn log_position() -> impl Strategy<Value = LogPosition> {
    prop_oneof![
        4 => Just(LogPosition::default()),
        1 => (1_u64..3, 1_u64..4).prop_map(|(last_term, last_index)| LogPosition { last_index, last_term }),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let logs = prop::collection::vec(log_position(), 3..=5);
    (any::<u64>(), any::<[bool; 4]>(), logs).prop_map(|(seed, options, logs)| Setup { seed, options, logs })
}

/// Actions come cheap, as three bytes each: most of a case's time should be spent in the cores.
fn action() -> impl Strategy<Value = Action> {
    (0_u8..32, any::<u8>(), any::<u8>()).prop_map(|(kind, which, how)| match kind {
        0..14 => Action::Deliver { which },
        14..16 => Action::Double { which },
        16 => Action::Lose { which },
        17..20 => Action::DeliverAll,
        20..26 => Action::Wake { node: which },
        26 => Action::WakeBoth { first: which, second: how },
        27 => Action::Restart { node: which },
        28..30 => Action::DeliverThenPowerLoss { which, after_outputs: how },
        30 => Action::WakeThenPowerLoss { node: which, after_outputs: how },
        _ => Action::Transfer { from: which, to: how },
    })
}

fn case() -> impl Strategy<Value = (Setup, Vec<Action>)> {
    (setup(), prop::collection::vec(action(), 60..=160))
}

/// Every case is the same on every machine; a failure is kept as a seed.
fn settings(cases: u32) -> Settings {
    Settings {
        cases,
        rng_seed: RngSeed::Fixed(2014),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("seeds/proptest/raft-core.txt"))),
        ..Settings::default()
    }
}

fn runs(world: World, actions: &[Action]) -> Result<World, TestCaseError> {
    let mut world = world;
    for action in actions {
        world.act(action).map_err(TestCaseError::fail)?;
    }
    Ok(world)
}

#[test]
fn one_leader_per_term_and_all_else_that_must_hold() {
    let mut runner = TestRunner::new(settings(crate::by_day(CASES[0], CASES[1])));
    let outcome = runner.run(&case(), |(setup, actions)| runs(World::new(&setup), &actions).map(drop));
    if let Err(failure) = outcome {
        panic!("{failure}\n{runner}");
    }
}

#[test]
fn the_cases_are_worth_their_time() {
    let mut runner = TestRunner::new(Settings { failure_persistence: None, ..settings(500) });
    let (mut elections, mut terms, mut power_losses) = (0, 0, 0);
    for _ in 0..500 {
        let (setup, actions) = case().new_tree(&mut runner).expect("a case").current();
        let world = runs(World::new(&setup), &actions).expect("no violation");
        elections += world.leaders;
        terms += world.last_term;
        power_losses += world.power_losses;
    }
    assert!(elections > 700, "{elections} elections in 500 cases");
    assert!(terms > 1500, "{terms} terms in 500 cases");
    assert!(power_losses > 1500, "{power_losses} power losses in 500 cases");
}
