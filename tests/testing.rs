//! Sims in one's own tests: `stormglass::testing`, under the runner that comes with Rust and under nextest.

use std::fs;
use std::process::{Command, Stdio};

use stormglass::systems::balancer::Balancer;
use stormglass::systems::echo::Echo;
use stormglass::systems::raft::Raft;
use stormglass::testing::check;

/// What a user writes first: all that has to be said, and nothing else.
#[test]
fn the_shortest_script_of_each_system_passes() {
    let script = |system: &str| {
        let path = format!("{}/testing-shortest-{system}.toml", env!("CARGO_TARGET_TMPDIR"));
        fs::write(&path, format!("about = 'm'\nsystem = '{system}'\nduration = '20s'\n")).expect("a script");
        path
    };
    check(&Balancer, &script("balancer"), 0..3);
    check(&Echo, &script("echo"), 0..3);
    check(&Raft, &script("raft"), 0..3);
}

/// What the tests below have called: with some seeds it fails.
#[test]
#[ignore = "it fails, so that others can see how"]
fn now_and_then_a_sim_fails() {
    let script = concat!(env!("CARGO_TARGET_TMPDIR"), "/testing-lossy.toml");
    let text = "about = 'x'\nsystem = 'echo'\nduration = '60s'\n[echo]\ntransport = 'udp'\nclients = 3\nrequests = 30\n\
                timeout = '200ms'\n[network]\nloss = 0.02\n[expect]\ncounters = { retries = '<= 5' }\n";
    fs::write(script, text).expect("a script");
    check(&Echo, script, 0..15);
}

/// Variables of the environment.
type Variables = &'static [(&'static str, &'static str)];

/// The variables that say which seeds are run, and whether that goes well and what is said.
const CALLS: [(Variables, bool, &str); 4] = [
    (&[], true, ""),
    (&[("STORMGLASS_SEEDS", "0..20")], false, "seed=16 at 1.727s: expectation: retries is 9, expected <= 5\n"),
    (&[("STORMGLASS_SEEDS", "0..20"), ("STORMGLASS_SEED", "3")], true, ""),
    (&[("STORMGLASS_SEEDS", "20")], false, "STORMGLASS_SEEDS is `20`: a range of seeds is written `A..B`"),
];

fn called(mut command: Command, variables: &[(&str, &str)]) -> (bool, String) {
    for name in ["STORMGLASS_SEED", "STORMGLASS_SEEDS", "NEXTEST", "NEXTEST_PROFILE", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).stdin(Stdio::null()).output().expect("it starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn the_environment_says_which_seeds_a_test_runs() {
    for (variables, is_well, says) in CALLS {
        let mut test = Command::new(std::env::current_exe().expect("a test knows its own file"));
        test.args(["--exact", "testing::now_and_then_a_sim_fails", "--ignored"]);
        let (went_well, told) = called(test, variables);
        assert_eq!(went_well, is_well, "{variables:?}: {told}");
        assert!(told.contains("1 passed") == is_well && told.contains(says), "{variables:?}: {told}");
        if says.contains("seed=16") {
            assert!(
                told.contains("reproduce: STORMGLASS_SEED=16 cargo test testing::now_and_then_a_sim_fails\n"),
                "{told}"
            );
        }
    }
}

#[test]
fn it_works_under_nextest() {
    let nextest = || {
        let mut cargo = Command::new(std::env::var("CARGO").unwrap_or("cargo".to_owned()));
        cargo.arg("nextest").current_dir(env!("CARGO_MANIFEST_DIR"));
        cargo
    };
    let mut version = nextest();
    if !called(
        {
            version.arg("--version");
            version
        },
        &[],
    )
    .0
    {
        println!("skipped: there is no cargo nextest");
        return;
    }
    for (variables, is_well, says) in CALLS {
        let mut run = nextest();
        run.args([
            "run",
            "--offline",
            "--locked",
            "--test",
            "suite",
            "--run-ignored",
            "only",
            "testing::now_and_then_a_sim_fails",
        ]);
        if cfg!(feature = "planted-bugs") {
            run.args(["--features", "planted-bugs"]);
        }
        let (went_well, told) = called(run, variables);
        assert_eq!(went_well, is_well, "{variables:?}: {told}");
        assert!(told.contains("1 passed") == is_well && told.contains(says), "{variables:?}: {told}");
        if says.contains("seed=16") {
            let line =
                "reproduce: STORMGLASS_SEED=16 cargo nextest run -E 'test(=testing::now_and_then_a_sim_fails)'\n";
            assert!(told.contains(line), "{told}");
        }
    }
}
