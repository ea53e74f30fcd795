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
        ("[[step]]\nat = '1ms'\nkill = 'n3'", "test.toml:", "no host of this run is called `n3`: they are n1, n2"),
        ("[[step]]\nat = '1ms'\npartition = [['n1'], ['m*']]", "test.toml:", "called `m*`"),
        ("[[link]]\nfrom = 'n1'\nto = 'x'\nloss = 0.1", "test.toml:", "called `x`"),
        ("waiting = ['n9']", "test.toml:", "called `n9`"),
        ("[chaos]\nuntil = '500ms'\nhosts = ['server']", "test.toml:", "called `server`"),
        ("[[step]]\nwhen = 'redy'\nkill = 'n1'", "test.toml:", "did you mean `ready`?"),
        ("[[step]]\nat = '1ms'\nhold = { from = 'n1', to = 'nn' }", "test.toml:", "called `nn`"),
    ];
    for (rest, place, what) in cases {
        let error = refusal(rest);
        assert!(error.starts_with(place), "{rest}: {error}");
        assert!(error.contains(what), "{rest}: {error}");
    }
}

#[test]
fn what_is_unknown_is_underlined_where_it_stands() {
    for (rest, underlined) in [
        ("[[step]]\nat = '1ms'\npartition = [['n1'], ['n2', 'm*']]", "'m*'"),
        ("[[step]]\nwhen = 'redy'\nkill = 'n1'", "'redy'"),
        ("[[step]]\nat = '1ms'\nhold = { from = 'n1', to = 'nn' }", "'nn'"),
        ("waiting = ['n1', 'n9']", "'n9'"),
        ("[[step]]\nat = '1ms'\nkill = '@leader'", "'@leader'"),
        ("[chaos]\nuntil = '500ms'\nhosts = '@leader'", "'@leader'"),
        ("[expect]\ncounters = { 'packets.snet' = 1 }", "'packets.snet'"),
        ("[sometimes.it]\n'faults.kil' = '> 0'", "'faults.kil'"),
    ] {
        let error = refusal(rest);
        let lines: Vec<&str> = error.lines().collect();
        let place = lines.iter().position(|line| line.contains('^')).unwrap_or_else(|| panic!("{error}"));
        let (text, marks) = (lines[place - 1], lines[place]);
        let from = marks.find('^').expect("it is there");
        assert_eq!(&text[from..=marks.rfind('^').expect("it is there")], underlined, "{error}");
    }
}

#[test]
fn a_table_that_nobody_reads_is_refused() {
    assert!(refusal("[bench]\nsped = 3").contains("`sped`"));
    assert!(refusal("[expect]\nleader = 'unchanged'").contains("`leader`"));
}
