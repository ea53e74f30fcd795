//! The same seed gives the same run: in other processes, with other logs, beside other load, and in another
//! environment. And what would break that is banned where the compiler sees it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;

use serde_json::Value;

/// With chaos, so that all the testbed does is in it, over both transports.
const SIMS: [&str; 2] = ["echo/chaos", "echo/tcp-chaos"];
const SEED: &str = "11";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    command.args(args).current_dir(root()).stdin(Stdio::null());
    for name in ["STORMGLASS_SEED", "STORMGLASS_STALL"] {
        command.env_remove(name);
    }
    command
}

#[track_caller]
fn output(command: &mut Command) -> String {
    output_with(command, &[0])
}

#[track_caller]
fn output_with(command: &mut Command, codes: &[i32]) -> String {
    let output = command.output().expect("the program starts");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{command:?}\n{out}\n{err}");
    out
}

/// All that a run came to but the wall time that it took.
#[track_caller]
fn result(command: &mut Command) -> Value {
    steady(&output(command))
}

#[track_caller]
fn steady(text: &str) -> Value {
    let mut result: Value = serde_json::from_str(text).expect("one JSON object");
    assert!(result["wall_ms"].take().is_number());
    result
}

fn run(sim: &str) -> Command {
    command(&["run", sim, "--seed", SEED, "--json"])
}

/// One or two of each system, with all that the testbed does in them; `.ci/run` verifies every sim.
const FEW: [&str; 4] = ["balancer/upgrades", "echo/chaos", "echo/tcp-chaos", "raft/split-vote"];

#[test]
fn sims_are_verified() {
    for sim in FEW {
        let said = output(&mut command(&["verify", sim, "--seed", SEED]));
        assert!(said.starts_with(&format!("OK {sim} seed={SEED}: same hash in two fresh processes")), "{said}");
    }
}

#[test]
fn one_job_and_two_sweep_alike() {
    let swept = ["1", "2"].map(|jobs| {
        let args: Vec<_> = ["sweep", "--seeds", "0..2", "--json", "-", "--jobs", jobs].into_iter().chain(FEW).collect();
        // So few seeds do not reach all that they should, and say so.
        steady(&output_with(&mut command(&args), &[0, 4]))
    });
    assert_eq!(swept[0], swept[1]);
    let hashes: BTreeSet<_> = swept[0]["sims"].as_array().unwrap().iter().map(|sim| sim["hash"].as_str()).collect();
    assert_eq!(hashes.len(), FEW.len(), "each sim has a hash of its own");
}

#[test]
fn the_level_of_logging_changes_nothing() {
    for sim in SIMS {
        let quiet = result(&mut run(sim));
        assert_eq!(quiet, result(run(sim).args(["--log", "trace"])), "{sim}");
        assert_eq!(quiet, result(run(sim).args(["--log", "stormglass=debug"])), "{sim}");
    }
}

/// Processes that keep every processor busy, two for each; they end with this, or by themselves.
struct Load(Vec<Child>);

impl Load {
    fn begin() -> Self {
        let processors = available_parallelism().expect("their number is known").get();
        // Some twenty seconds of work, should nobody end it.
        let busy = "i=0; while [ $i -lt 20000000 ]; do i=$((i + 1)); done";
        let burn = || Command::new("sh").args(["-c", busy]).stdin(Stdio::null()).spawn().expect("a shell starts");
        Self((0..processors * 2).map(|_| burn()).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            _ = child.kill();
            _ = child.wait();
        }
    }
}

#[test]
fn other_load_on_the_machine_changes_nothing() {
    let alone = SIMS.map(|sim| result(&mut run(sim)));
    let mut load = Load::begin();
    let beside = SIMS.map(|sim| result(&mut run(sim)));
    assert!(load.0.iter_mut().all(|child| child.try_wait().unwrap().is_none()), "the load was there until the end");
    assert_eq!(alone, beside);
}

#[test]
fn the_environment_changes_nothing() {
    let elsewhere = tempfile::tempdir().unwrap();
    for sim in SIMS {
        let here = result(&mut run(sim));
        let mut there = run(sim);
        there.current_dir(elsewhere.path()).env("HOME", elsewhere.path()).env("TMPDIR", elsewhere.path());
        there.envs([("TZ", "Pacific/Chatham"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8"), ("USER", "nobody")]);
        let mut there = result(&mut there);
        assert_eq!((&here["script"], &there["script"]), (&format!("sims/{sim}.toml").into(), &"built in".into()));
        there["script"] = here["script"].clone();
        assert_eq!(here, there, "{sim}");
        let mut bare = run(sim);
        assert_eq!(here, result(bare.env_clear()), "{sim}");
    }
}

#[test]
fn what_breaks_determinism_is_banned() {
    let read = |file| -> toml::Table { toml::from_str(&fs::read_to_string(root().join(file)).unwrap()).unwrap() };
    let (banned, manifest) = (read(".clippy.toml"), read("Cargo.toml"));
    for (list, names) in [
        (
            "disallowed-types",
            &[
                "std::collections::HashMap",
                "std::collections::HashSet",
                "std::time::Instant",
                "std::time::SystemTime",
                "std::hash::RandomState",
            ][..],
        ),
        ("disallowed-methods", &["std::thread::spawn", "std::thread::sleep", "rand::rng", "tokio::spawn"]),
    ] {
        let entries = banned[list].as_array().unwrap();
        for name in names {
            let entry = entries.iter().find(|entry| entry["path"].as_str() == Some(name));
            let reason = entry.and_then(|entry| entry["reason"].as_str()).unwrap_or_default();
            assert!(!reason.is_empty(), "{name} is not banned with a reason by {list} in .clippy.toml");
        }
        let lint = list.replace('-', "_");
        assert_eq!(manifest["lints"]["clippy"][&lint].as_str(), Some("deny"), "{lint}");
    }
}
