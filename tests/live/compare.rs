//! `live --compare`: simulated and live in one table.

use serde_json::Value;

use super::Stage;

/// Leadership flaps in both worlds, some four times a second.
const SIM: &str = "raft/cloudflare-2020@no-pre-vote";

/// Called in a checkout, where its sims are: the exit code, and what was printed.
fn call(stage: &Stage, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = stage.command(&[&["live", SIM, "--compare"], arguments].concat());
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("it can be called");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), said.concat())
}

fn compared(stage: &Stage, arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, said) = call(stage, &[&["--json"], arguments].concat());
    (code, serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}")))
}

fn measure<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["measures"].as_array().expect("there are measures");
    all.iter().find(|measure| measure["name"] == name).unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

#[test]
fn both_worlds_stand_side_by_side_over_several_seeds() {
    let Some(stage) = Stage::new("") else { return };
    let (code, report) = compared(&stage, &["--seeds", "0..2", "--set", "duration=3s"]);
    assert_eq!((code, &report["agreement"]), (Some(0), &Value::from("agree")), "{report:#}");
    assert_eq!(report["pooled"], serde_json::json!([0, 1]));
    let runs = report["runs"].as_array().expect("runs");
    for run in runs {
        // The simulated half is the run that `run` makes, and the live one has no hash.
        assert!(run["simulated"]["hash"].is_string() && run["simulated"].get("live").is_none(), "{run:#}");
        assert!(run["live"]["hash"].is_null() && run["live"]["live"] == true, "{run:#}");
    }
    let leaders = measure(&report, "leaders");
    let mean = |side: &str| {
        let of = |run: &Value| run[side]["counters"]["leaders"].as_f64().expect("a count");
        runs.iter().map(of).sum::<f64>() / 2.0
    };
    for side in ["simulated", "live"] {
        assert!((leaders[side].as_f64().expect("a mean") - mean(side)).abs() < 1e-9, "{leaders:#}");
    }
    assert!(measure(&report, "sent")["ratio"].as_f64() > Some(0.5), "{report:#}");
    assert!(report["relay_late"]["count"].as_u64() > Some(50), "{report:#}");
}

#[test]
fn verdicts_that_differ_are_said_and_are_a_failure() {
    let Some(stage) = Stage::new("") else { return };
    let seed = &["--seed", "1", "--set", "duration=2s"];
    let (_, report) = compared(&stage, seed);
    // No two runs of real processes send and lose the same number of packets, but for a chance in thousands.
    let counts = |name: &str| report["runs"][0]["simulated"]["packets"][name].to_string();
    let sets = ["sent", "lost", "delivered"].map(|name| format!("expect.counters.\"packets.{name}\"={}", counts(name)));
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let (code, said) = call(&stage, &[seed.as_slice(), &sets].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\nDIFFER ") && said.contains("the verdicts of 0 of 1 seed agree"), "{said}");
    assert!(said.contains("\n  simulated PASS ") && said.contains("\n  live      FAIL "), "{said}");
    assert!(said.contains("not deterministic: that half is another each time"), "{said}");
    assert!(said.contains(&format!("live {SIM} --set ")) && said.contains("--compare --seed 1\n"), "{said}");
}

#[test]
fn what_says_nothing_agrees_with_nothing() {
    let Some(stage) = Stage::new("") else { return };
    // Where there is no pre-vote, its messages are not there to be dropped.
    let inert = "step=[{ at = \"100ms\", drop = { message = \"PreVote\" } }]";
    let (code, said) = call(&stage, &["--seed", "1", "--set", "duration=500ms", "--set", inert, "--set", "expect={}"]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("\nINCONCLUSIVE ") && said.contains("was inert"), "{said}");
}

#[test]
fn there_is_nothing_to_compare_where_there_is_no_simulated_run() {
    let script = "about = 'x'\nsystem = 'live'\nduration = '1s'\n[live.hosts]\na = { run = 'true', workload = true }\n";
    let stage = Stage::without_a_look(script);
    let output = stage.call(&["live", "it.toml", "--seed", "1", "--compare"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("has nothing to be compared with"), "{said}");
}
