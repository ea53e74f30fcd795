//! What a script names must exist, and what it says must be read.

use stormglass::rng::Seed;
use stormglass::script::Script;
use stormglass::sim::{RunOptions, run};

use super::Bench;

fn refusal(rest: &str) -> String {
    let text = format!("about = 'a test'\nsystem = 'bench'\nduration = '1s'\n{rest}");
    let script = Script::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let build = |setup: &mut stormglass::sim::Setup<'_>| {
        setup.host("n1", |_| std::future::pending());
        setup.host("n2", |_| std::future::pending());
        setup.state("ready", || true);
    };
    let system: &'static Bench<_> = Box::leak(Box::new(Bench(build)));
    match run(system, &script, Seed(1), &RunOptions::default()) {
        Ok(outcome) => panic!("it ran: {outcome:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn unknown_hosts_and_states_are_named_with_their_line() {
    let cases = [
        ("[[step]]\nat = '1ms'\nkill = 'n3'", "test.toml:4", "no host of this run is called `n3`: they are n1, n2"),
        ("[[step]]\nat = '1ms'\npartition = [['n1'], ['m*']]", "test.toml:4", "called `m*`"),
        ("[[link]]\nfrom = 'n1'\nto = 'x'\nloss = 0.1", "test.toml:4", "called `x`"),
        ("waiting = ['n9']", "test.toml:", "called `n9`"),
        ("[chaos]\nuntil = '500ms'\nhosts = ['server']", "test.toml:4", "called `server`"),
        ("[[step]]\nwhen = 'redy'\nkill = 'n1'", "test.toml:4", "did you mean `ready`?"),
        ("[[step]]\nat = '1ms'\nhold = { from = 'n1', to = 'nn' }", "test.toml:4", "called `nn`"),
    ];
    for (rest, place, what) in cases {
        let error = refusal(rest);
        assert!(error.starts_with(place), "{rest}: {error}");
        assert!(error.contains(what), "{rest}: {error}");
    }
}

#[test]
fn a_table_that_nobody_reads_is_refused() {
    assert!(refusal("[bench]\nsped = 3").contains("`sped`"));
    assert!(refusal("[expect]\nleader = 'unchanged'").contains("`leader`"));
}
