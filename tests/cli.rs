//! The command line as a person calls it: every call, and every input that is wrong.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A sim that is built in, and one of another kind.
const SIM: &str = "echo/tcp-loss";
const OTHER: &str = "echo/udp-quiet";

struct Called {
    code: i32,
    out: String,
    err: String,
}

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    command.args(args).current_dir(directory).stdin(Stdio::null());
    for name in ["STORMGLASS_SEED", "STORMGLASS_STALL", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

fn finish(command: &mut Command) -> Called {
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Called { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Calls the program outside the checkout, where only built-in sims are found.
fn call(args: &[&str]) -> Called {
    let directory = tempfile::tempdir().unwrap();
    call_in(directory.path(), args)
}

fn call_in(directory: &Path, args: &[&str]) -> Called {
    finish(&mut command(directory, args))
}

impl Called {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- out\n{}--- err\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "`{text}` is not in\n{}", self.out);
        self
    }

    #[track_caller]
    fn complains(self, text: &str) -> Self {
        assert!(self.err.contains(text), "`{text}` is not in\n{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }
}

/// The hash that `run` gives.
fn hash(sim: &str, seed: &str) -> String {
    call(&["run", sim, "--seed", seed, "--json"]).expect(0).json()["hash"].as_str().unwrap().to_owned()
}

#[test]
fn the_core_lane_makes_the_same_run_or_says_what_it_lacks() {
    call(&["verify", "raft/split-vote", "--seed", "7", "--lanes"])
        .expect(0)
        .says("same hash in both lanes: aff64e9f5935132f");
    let lacking = "the core lane has no TCP, nor tasks, which system `echo` needs";
    call(&["run", "echo/udp-quiet", "--lane", "core"]).expect(2).complains(lacking);
    call(&["verify", "echo/udp-quiet", "--lanes"]).expect(2).complains(lacking);
    // No duration is too long for its ticks to be counted: the run ends when a leader is there.
    for lane in ["turmoil", "core"] {
        call(&["run", "raft/availsim", "--seed", "1", "--set", "duration=2000h", "--lane", lane]).expect(0);
    }
}

#[test]
fn list_shows_every_sim_with_its_sentence() {
    let listed = call(&["list"]).expect(0).says("\n  echo/tcp-loss ").says("\n  echo/udp-quiet ");
    assert!(listed.out.starts_with("balancer  "), "{}", listed.out);
}

#[test]
fn list_points_at_a_script_with_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("sims/echo")).unwrap();
    fs::write(directory.path().join("sims/echo/broken.toml"), "about = 3\n").unwrap();
    let listed = call_in(directory.path(), &["list"]).expect(2).says("echo/broken").says("echo/tcp-loss");
    listed.complains("sims/echo/broken.toml:1");
}

#[test]
fn run_says_what_it_runs_and_what_came_of_it() {
    let ran = call(&["run", SIM, "--seed", "7"]).expect(0);
    assert!(ran.out.starts_with("echo/tcp-loss  seed 7\n"), "{}", ran.out);
    let ran = ["duration", "network", "work", "packets", "faults", "times real time", "hash"]
        .into_iter()
        .fold(ran, |ran, part| ran.says(part));
    assert!(ran.out.ends_with("PASS echo/tcp-loss seed=7\n"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "no colours in a pipe");
    assert_eq!(ran.err, "");
}

#[test]
fn run_prints_one_json_object_that_fits_its_schema() {
    let ran = call(&["run", SIM, "--seed", "7", "--json"]).expect(0);
    let result = ran.json();
    for key in ["sim", "seed", "verdict", "exit_code", "hash", "sim_ms", "wall_ms", "steps", "faults", "counters"] {
        assert!(!result[key].is_null(), "{key}");
    }
    for key in ["sent", "delivered", "lost", "retransmitted", "duplicated"] {
        assert!(result["packets"][key].is_u64(), "{key}");
    }
    assert_eq!((&result["seed"], &result["verdict"]), (&Value::from(7), &Value::from("pass")));
    assert!(result["violation"].is_null());
    assert!(jsonschema::is_valid(&schema("result"), &result));
}

fn schema(of: &str) -> Value {
    serde_json::from_str(&call(&["schema", of]).expect(0).out).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_output() {
    let ran = [0; 2].map(|_| {
        let mut result = call(&["run", SIM, "--seed", "3", "--json"]).expect(0).json();
        result["wall_ms"].take();
        result
    });
    assert_eq!(ran[0], ran[1]);
    assert_ne!(hash(SIM, "3"), hash(SIM, "4"));
}

#[test]
fn the_seed_comes_from_the_call_then_the_environment_then_fresh() {
    let directory = tempfile::tempdir().unwrap();
    let with = |value: &str, args: &[&str]| finish(command(directory.path(), args).env("STORMGLASS_SEED", value));
    with("5", &["run", OTHER]).expect(0).says("seed 5\n");
    with("5", &["run", OTHER, "--seed", "6"]).expect(0).says("seed 6\n");
    with("5", &["verify", OTHER]).expect(0).says("seed=5");
    with("5", &["show", OTHER]).expect(0).says("seed 5\n");
    with("", &["run", OTHER]).expect(0);
    with("five", &["run", OTHER]).expect(2).complains("STORMGLASS_SEED is `five`: a seed is a whole number from 0 to");
    let fresh = [0; 2].map(|_| call(&["run", OTHER, "--json"]).expect(0).json()["seed"].as_u64().unwrap());
    assert_ne!(fresh[0], fresh[1]);
}

#[test]
fn logs_change_nothing_but_standard_error() {
    let quiet = call(&["run", SIM, "--seed", "7", "--json"]).expect(0);
    assert_eq!(quiet.err, "");
    let loud = call(&["run", SIM, "--seed", "7", "--json", "--log", "trace"]).expect(0);
    assert_eq!(quiet.json()["hash"], loud.json()["hash"]);
    assert!(!loud.err.is_empty() && !loud.err.contains('\u{1b}'), "{}", loud.err);
}

#[test]
fn colours_are_for_terminals_or_for_who_asks() {
    call(&["run", OTHER, "--seed", "1", "--color", "always"]).expect(0).says("\u{1b}[");
    let plain = call(&["run", OTHER, "--seed", "1", "--color", "never"]).expect(0);
    assert!(!plain.out.contains('\u{1b}'));
}

#[test]
fn a_script_is_run_by_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("sims/echo/udp-quiet.toml")).unwrap();
    fs::write(directory.path().join("my own.toml"), &script).unwrap();
    let by_path = call_in(directory.path(), &["run", "my own.toml", "--seed", "2", "--json"]).expect(0).json();
    assert_eq!(by_path["hash"].as_str().unwrap(), hash(OTHER, "2"));
    assert_eq!(by_path["reproduce"], "stormglass run 'my own.toml' --seed 2");
    // A file in `sims/` wins over what is built in, from a folder below as well.
    fs::create_dir_all(directory.path().join("sims/echo/deeper")).unwrap();
    fs::write(directory.path().join("sims/echo/udp-quiet.toml"), format!("# Mine.\n{script}")).unwrap();
    let below = directory.path().join("sims/echo/deeper");
    call_in(&below, &["run", OTHER, "--seed", "2"]).expect(0).says("sims/echo/udp-quiet.toml");
    call(&["run", OTHER, "--seed", "2"]).expect(0).says("built in");
}

#[test]
fn verify_finds_two_equal_hashes() {
    let hash = hash(SIM, "7");
    let said = format!("OK echo/tcp-loss seed=7: same hash in two fresh processes: {hash}\n");
    assert_eq!(call(&["verify", SIM, "--seed", "7"]).expect(0).out, said);
}

#[test]
fn show_prints_every_record() {
    let ran = call(&["run", OTHER, "--seed", "7", "--json"]).expect(0).json();
    let shown =
        call(&["show", OTHER, "--seed", "7"]).expect(0).says("sent packet 0: UDP to ").says("got packet 0: UDP");
    let records = shown.out.lines().filter(|line| line.starts_with(' ') && line.contains("s ")).count() as u64;
    assert!(records >= ran["records"].as_u64().unwrap(), "{records}");
    assert_eq!(shown.out, call(&["show", OTHER, "--seed", "7"]).out);
}

#[test]
fn show_prints_json_lines_that_fit_their_schema() {
    let shown = call(&["show", SIM, "--seed", "7", "--json"]).expect(0);
    let lines: Vec<Value> = shown.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let schema = jsonschema::validator_for(&schema("records")).unwrap();
    for line in &lines {
        assert!(schema.is_valid(line), "{line}");
    }
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!((&first["kind"], first["hash"].as_str()), (&Value::from("run"), Some(hash(SIM, "7").as_str())));
    assert_eq!((&last["kind"], &last["verdict"]), (&Value::from("end"), &Value::from("pass")));
    let records = &lines[1..lines.len() - 1];
    assert_eq!(last["records"].as_u64(), Some(records.len() as u64));
    assert!(records.iter().zip(0..).all(|(record, n)| record["n"] == n));
    assert!(records.iter().any(|record| record["kind"] == "lost"), "packets are lost in this sim");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(directory.path(), &["show", SIM, "--seed", "7", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"kind\":\"run\""), "{line}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(complaint, "");
}

/// A folder with one case in `seeds/`.
fn corpus(hash: &str, verdict: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("seeds")).unwrap();
    let case = format!(
        "# A case.\nsim = \"{OTHER}\"\nseed = 7 # lucky\nverdict = {verdict}\nhash = \"{hash}\"\nwhy = \"To see.\"\n"
    );
    fs::write(directory.path().join("seeds/quiet.toml"), case).unwrap();
    directory
}

#[test]
fn replay_finds_each_case_as_it_was() {
    let hash = hash(OTHER, "7");
    let corpus = corpus(&hash, "\"pass\"");
    let said = format!("ok      quiet  echo/udp-quiet seed=7  pass, hash {hash}\n1 case: 1 as expected\n");
    assert_eq!(call_in(corpus.path(), &["replay"]).expect(0).out, said);
    assert_eq!(call_in(corpus.path(), &["replay", "quiet"]).expect(0).out, said);
    assert_eq!(call_in(corpus.path(), &["replay", "seeds/quiet.toml"]).expect(0).out, said);
    let below = corpus.path().join("seeds/below");
    fs::create_dir(&below).unwrap();
    assert_eq!(call_in(&below, &["replay"]).expect(0).out, said);
}

#[test]
fn replay_tells_a_changed_hash_and_blesses_it() {
    let corpus = corpus("0123456789abcdef", "\"pass\"");
    let case = corpus.path().join("seeds/quiet.toml");
    let before = fs::read_to_string(&case).unwrap();
    let hash = hash(OTHER, "7");
    let told = call_in(corpus.path(), &["replay"]).expect(1);
    told.says(&format!("hash changed from 0123456789abcdef to {hash}")).says("stormglass replay --bless quiet");
    assert_eq!(fs::read_to_string(&case).unwrap(), before);
    call_in(corpus.path(), &["replay", "--bless"]).expect(0).says(&format!("is now {hash}"));
    assert_eq!(fs::read_to_string(&case).unwrap(), before.replace("0123456789abcdef", &hash));
    call_in(corpus.path(), &["replay"]).expect(0);
}

#[test]
fn replay_tells_a_changed_verdict_and_does_not_bless_it() {
    let corpus = corpus("0123456789abcdef", "\"violation\"\nviolation = \"echo\"");
    let case = corpus.path().join("seeds/quiet.toml");
    let before = fs::read_to_string(&case).unwrap();
    let told = call_in(corpus.path(), &["replay", "--bless"]).expect(1);
    told.says("verdict changed: expected violation of echo, got:\n").says("it passed").says("--seed 7");
    assert_eq!(fs::read_to_string(&case).unwrap(), before);
}

#[test]
fn replay_refuses_a_case_that_is_wrong() {
    let wrong = corpus("xyz", "\"pass\"");
    call_in(wrong.path(), &["replay"]).expect(2).complains("seeds/quiet.toml:5:8: a trace hash has 16");
    let wrong = corpus("0123456789abcdef", "\"pass\"\ncolour = 3");
    call_in(wrong.path(), &["replay"]).expect(2).complains("unknown field `colour`");
    call_in(wrong.path(), &["replay", "loud"]).expect(2).complains("no case `loud` in seeds/; did you mean `quiet`?");
    call(&["replay"]).expect(2).complains("cannot read seeds/: no such folder here or above");
    fs::remove_file(wrong.path().join("seeds/quiet.toml")).unwrap();
    call_in(wrong.path(), &["replay"]).expect(4).says("there are no cases in seeds/");
    fs::write(wrong.path().join("seeds/bytes.toml"), b"\xff").unwrap();
    call_in(wrong.path(), &["replay"]).expect(2).complains("cannot read seeds/bytes.toml: it is not UTF-8 text");
}

/// A build without planted bugs says what it cannot do. With them, see `tests/planted.rs`.
#[cfg(not(feature = "planted-bugs"))]
#[test]
fn planted_bugs_need_a_build_with_them() {
    let reason = "this build has no planted bugs: build it with `--features planted-bugs`";
    call(&["bugs"]).expect(2).complains(reason);
    call(&["run", "raft/chaos", "--bug", "two-writes"]).expect(2).complains(reason);
    call(&["run", "raft/chaos", "--set", "raft.bug=two-writes"]).expect(2).complains(reason);
    let corpus = corpus("0123456789abcdef", "\"pass\"\nbug = \"two-writes\"");
    let told = call_in(corpus.path(), &["replay"]).expect(4);
    told.says("skipped 1 case: this build has no planted bugs").says("quiet").says("INCONCLUSIVE: no case is left");
}

#[test]
fn schemas_are_schemas() {
    for of in ["script", "case", "bugs", "result", "sweep", "records"] {
        jsonschema::meta::validate(&schema(of)).unwrap_or_else(|error| panic!("{of}: {error}"));
    }
    assert_eq!(call(&["schema"]).out, call(&["schema", "script"]).out);
    call(&["schema", "poem"]).expect(2).complains("invalid value 'poem'");
}

#[test]
fn a_setting_is_on_top_of_the_script_and_in_the_line_that_reproduces_it() {
    let set = ["--set", "network.loss=0.5", "--set", "expect.counters.retries=> 300", "--set", "echo.retries=200"];
    let heavy = call(&[&["run", "echo/udp-loss", "--seed", "7", "--json"][..], &set].concat()).expect(0).json();
    assert_eq!(
        heavy["set"],
        serde_json::json!(["network.loss=0.5", "expect.counters.retries=> 300", "echo.retries=200"])
    );
    assert_eq!(heavy["hash"].as_str().unwrap(), hash("echo/udp-loss@heavy", "7"));
    let line = heavy["reproduce"].as_str().unwrap();
    let expected = "stormglass run echo/udp-loss --set network.loss=0.5 --set 'expect.counters.retries=> 300' \
                    --set echo.retries=200 --seed 7";
    assert_eq!(line, expected);

    let wrong = ["--seed", "7", "--set", "expect.counters.answers=1"];
    let reproduce = "reproduce: stormglass run echo/udp-loss@heavy --set expect.counters.answers=1 --seed 7\n";
    let ran = call(&[&["run", "echo/udp-loss@heavy"][..], &wrong].concat()).expect(1).says(reproduce);
    ran.says("\n  set       expect.counters.answers=1\n").says("expectation: answers is 300, expected = 1");
    call(&[&["show", "echo/udp-loss@heavy"][..], &wrong].concat()).expect(1).says(reproduce);
    call(&[&["verify", "echo/udp-loss@heavy"][..], &wrong].concat()).expect(0).says("=1 seed=7: same hash in two");
    let swept = call(&["sweep", "echo/udp-loss@heavy", "--seeds", "7..8", "--set", "expect.counters.answers=1"]);
    swept.expect(1).says(reproduce);
}

#[test]
fn variants_are_listed_and_named_by_their_sim() {
    let listed = call(&["list"]).expect(0).says("\n    echo/udp-loss@heavy  ");
    let columns =
        |name: &str| listed.out.lines().find(|line| line.trim_start().starts_with(name)).unwrap().find("  One");
    assert_eq!(columns("echo/tcp-loss "), columns("echo/udp-loss "));
    call(&["run", "echo/udp-loss", "--seed", "1"]).expect(0).says("\n  variants  @heavy\n");
    let ran = call(&["run", "echo/udp-loss@heavy", "--seed", "1"]).expect(0).says("loss 50 %");
    assert!(ran.out.starts_with("echo/udp-loss@heavy  seed 1\n") && !ran.out.contains("variants"), "{}", ran.out);
    call(&["verify", "echo/udp-loss@heavy", "--seed", "7"]).expect(0).says("OK echo/udp-loss@heavy seed=7");
    let sims = Path::new(env!("CARGO_MANIFEST_DIR")).join("sims");
    let by_path = call_in(&sims, &["run", "echo/udp-loss.toml@heavy", "--seed", "7", "--json"]).expect(0).json();
    assert_eq!(by_path["hash"].as_str().unwrap(), hash("echo/udp-loss@heavy", "7"));
    assert_eq!(by_path["reproduce"], "stormglass run echo/udp-loss.toml@heavy --seed 7");
}

#[test]
fn a_case_may_be_of_a_variant_and_with_settings() {
    let corpus = corpus("0123456789abcdef", "\"pass\"\nset = { tick = \"2ms\" }");
    let case = corpus.path().join("seeds/quiet.toml");
    fs::write(&case, fs::read_to_string(&case).unwrap().replace(OTHER, "echo/udp-loss@heavy")).unwrap();
    let title = "quiet  echo/udp-loss@heavy --set 'tick=\"2ms\"' seed=7";
    call_in(corpus.path(), &["replay", "--bless"]).expect(0).says(title);
    call_in(corpus.path(), &["replay"]).expect(0).says(&format!("ok      {title}"));
}

#[test]
fn a_mistake_is_blamed_on_who_made_it() {
    for (set, complaint) in [
        ("network.loss=5", "error: in --set network.loss=5: echo/udp-quiet (built in):"),
        ("echo.clients=-1", "error: in --set echo.clients=-1: echo/udp-quiet (built in):8:"),
        ("echo.cliens=1", "did you mean `clients`?"),
        ("duration.x=1", "error: in --set duration.x=1: `duration` is a string"),
    ] {
        for call_of in ["run", "verify", "show"] {
            let called = call(&[call_of, OTHER, "--set", set]).expect(2).complains(complaint);
            assert_eq!(called.out, "");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    for (table, complaint) in [("[echo]\nclient = 3\n", "error: a.toml:5:1: "), ("speed = 3\n", "error: a.toml:4:1: ")]
    {
        let script = format!("about = \"x\"\nsystem = \"echo\"\nduration = \"1s\"\n{table}");
        fs::write(directory.path().join("a.toml"), script).unwrap();
        call_in(directory.path(), &["run", "a.toml", "--set", "tick=2ms"]).expect(2).complains(complaint);
    }
}

#[test]
fn bad_usage_is_told_and_is_2() {
    for (args, complaint) in [
        (&["run"][..], "<SIM>"),
        (&["dance"], "unrecognized subcommand 'dance'"),
        (&["run", "echo/tcp-los"], "no sim `echo/tcp-los`; did you mean `echo/tcp-loss`"),
        (&["run", "tcp-loss"], "did you mean `echo/tcp-loss`"),
        (&["run", "zebra"], "`stormglass list` shows all"),
        (&["run", "none.toml"], "cannot read none.toml"),
        (&["run", "echo"], "no sim `echo`; did you mean `echo/chaos` or"),
        (&["run", "echo/tcp-loss.toml"], "did you mean `echo/tcp-loss`"),
        (&["run", "."], "no sim `.`; the path of a script ends in `.toml`"),
        (&["run", SIM, "--seed", "-1"], "invalid value '-1' for '--seed <N>': a seed is a whole number from 0 to"),
        (&["run", SIM, "--seed", "x"], "invalid value 'x' for '--seed <N>': a seed is a whole number from 0 to"),
        (&["run", SIM, "--seed", "18446744073709551616"], "a seed is a whole number from 0 to 18446744073709551615"),
        (&["run", SIM, OTHER], "unexpected argument"),
        (&["run", SIM, "--log", "loud"], "`loud` is no level"),
        (&["run", SIM, "--stall", "0s"], "must be more than 0"),
        (&["run", SIM, "--stall", "soon"], "invalid value 'soon' for '--stall <TIME>'"),
        (&["run", SIM, "--set", "duration"], "'--set <KEY=VALUE>': a setting is written KEY=VALUE"),
        (&["run", SIM, "--set", "=1"], "the key is empty"),
        (&["run", "echo/udp-loss@hvy"], "`echo/udp-loss` has no variant `hvy`; there is `heavy`"),
        (&["sweep", SIM], "--seeds <A..B>"),
        (&["sweep", "--seeds", "0..5"], "<SIM>"),
        (&["sweep", SIM, "--seeds", "5"], "a range of seeds is written `A..B`"),
        (&["sweep", SIM, "--seeds", "5..5"], "the range is empty"),
        (&["sweep", SIM, "--seeds", "9..3"], "did you mean `3..9`"),
        (&["sweep", SIM, "--seeds", "9..=3"], "did you mean `3..=9`"),
        (&["sweep", SIM, "--seeds", "-1..3"], "`-1` is not a seed"),
        (&["sweep", SIM, SIM, "--seeds", "0..5"], "the sim `echo/tcp-loss` is given twice"),
        (&["sweep", SIM, "--seeds", "0..5", "--jobs", "0"], "'--jobs <N>'"),
        (&["verify"], "<SIM>"),
        (&["show"], "<RUN>"),
    ] {
        let called = call(args).expect(2).complains(complaint);
        assert_eq!(called.out, "", "{args:?}");
    }
}

#[test]
fn a_script_with_a_mistake_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let script = "about = \"x\"\nsystem = \"echo\"\nduration = \"1s\"\nspeed = 3\n";
    fs::write(directory.path().join("wrong.toml"), script).unwrap();
    for call in ["run", "verify", "show"] {
        call_in(directory.path(), &[call, "wrong.toml"]).expect(2).complains("wrong.toml:4:1").complains("speed");
    }
    call_in(directory.path(), &["sweep", "wrong.toml", "--seeds", "0..2"]).expect(2).complains("wrong.toml:4:1");
    fs::write(directory.path().join("other.toml"), script.replace("echo", "gopher").replace("speed = 3\n", ""))
        .unwrap();
    call_in(directory.path(), &["run", "other.toml"]).expect(2).complains("gopher");
}

#[test]
fn what_is_no_script_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("bytes.toml"), b"about = \"\xff\"").unwrap();
    fs::write(directory.path().join("empty.toml"), "").unwrap();
    fs::create_dir(directory.path().join("folder.toml")).unwrap();
    for (script, complaint) in [
        ("bytes.toml", "error: cannot read bytes.toml: it is not UTF-8 text\n"),
        ("empty.toml", "error: empty.toml: the script is empty"),
        ("folder.toml", "error: cannot read folder.toml: Is a directory"),
        ("none.toml", "error: cannot read none.toml: No such file"),
    ] {
        for call in ["run", "verify", "show"] {
            call_in(directory.path(), &[call, script]).expect(2).complains(complaint);
        }
    }
}

#[test]
fn help_and_version_are_no_errors() {
    call(&["--help"]).expect(0).says("sweep").says("Exit codes");
    call(&["run", "--help"]).expect(0).says("STORMGLASS_SEED");
    call(&["--version"]).expect(0).says("stormglass 0.1.0");
    let listed = call(&["--help"]);
    assert!(!listed.out.contains("worker"), "{}", listed.out);
}
