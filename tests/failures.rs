//! From a failure to a small script, a case, and the commit that broke it: `shrink`, `keep`, `replay --bisect`, `certify`.

#![allow(clippy::disallowed_methods, reason = "a test waits for a process")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const STORMGLASS: &str = env!("CARGO_BIN_EXE_stormglass");

/// It says that nothing is ever tried again, and a packet in five is lost.
const LOSSY: &str = "about = 'x'\nsystem = 'echo'\nduration = '60s'\n[echo]\ntransport = 'udp'\nclients = 3\nrequests = 30\n\
                     timeout = '200ms'\n[network]\nlatency = '1ms..5ms'\nloss = 0.2\nduplicate = 0.1\n\
                     [expect]\ncounters = { retries = 0, answers = 90 }\n";

struct Called {
    code: Option<i32>,
    out: String,
    err: String,
}

fn call(folder: &Path, arguments: &str) -> Called {
    let mut command = Command::new(STORMGLASS);
    command.args(arguments.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    for name in ["STORMGLASS_SEED", "STORMGLASS_STALL", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Called { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Called {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- out\n{}--- err\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text) || self.err.contains(text), "`{text}` is not in\n{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn json(&self, schema: &str) -> Value {
        let value: Value = serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out));
        let folder = tempfile::tempdir().expect("a folder");
        let schema =
            serde_json::from_str(&call(folder.path(), &format!("schema {schema}")).expect(0).out).expect("JSON");
        assert!(jsonschema::is_valid(&schema, &value), "{value:#}");
        value
    }
}

/// A folder with `seeds/` and the lossy script.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("seeds")).expect("a folder");
    fs::write(folder.path().join("lossy.toml"), LOSSY).expect("a script");
    folder
}

#[test]
fn a_failure_shrinks_to_the_one_packet_that_it_takes() {
    let folder = folder();
    let here = folder.path();
    let told = call(here, "run lossy.toml --seed 3").expect(1).says("expectation: retries is");
    told.says("shrink:    stormglass shrink lossy.toml --seed 3");
    let one = call(here, "shrink lossy.toml --seed 3 --jobs 1 --json -o one.toml").expect(0).json("shrink");
    let two = call(here, "shrink lossy.toml --seed 3 --jobs 2 --json -o two.toml").expect(0).json("shrink");
    for same in ["text", "hash", "runs", "minimal"] {
        assert_eq!(one[same], two[same], "{same} depends on how many runs are made at once");
    }
    assert_eq!((&one["to"]["steps"], &one["to"]["packets"]), (&0.into(), &1.into()), "{one:#}");
    assert!(one["from"]["packets"].as_u64() > Some(30), "{one:#}");
    let text = fs::read_to_string(here.join("one.toml")).expect("the script was saved");
    assert_eq!(Some(text.as_str()), one["text"].as_str());
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(["clients = 1 ", "requests = 1 ", "lose = true"].iter().all(|part| words.contains(part)), "{text}");
    // That fewer are answered where fewer ask is no failure of the same kind.
    assert!(words.ends_with("counters = { retries = 0 }"), "{text}");
    assert!(!words.contains(" loss ") && !text.contains("duplicate"), "{text}");
    let run = call(here, "run one.toml --seed 3 --json").expect(1).json("result");
    assert_eq!((&run["hash"], &run["violation"]["invariant"]), (&one["hash"], &"expectation".into()));
}

#[test]
fn a_shrunk_failure_is_a_case_that_replays() {
    let folder = folder();
    let here = folder.path();
    call(here, "keep lossy.toml --seed 3 --why It.loses --name lossy")
        .expect(0)
        .says("kept in seeds/lossy.toml")
        .says("replay --bisect ../seeds-kept/lossy.toml'");
    call(here, "shrink lossy")
        .expect(0)
        .says("case      seeds/shrunk-lossy.toml")
        .says("nothing more can be taken out");
    call(here, "replay").expect(0).says("2 cases: 2 as expected");
    call(here, "shrink lossy").expect(2).says("seeds/shrunk-lossy.toml is there already").says("--name shrunk-lossy-2");
    // What is shrunk already stays as it is.
    let again = call(here, "shrink shrunk-lossy -o again.toml --json").expect(0).json("shrink");
    let first = fs::read_to_string(here.join("seeds/shrunk/lossy.toml")).expect("it was saved");
    let rest = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(again["text"].as_str().expect("a text")), rest(&first));
    let few = call(here, "shrink lossy.toml --seed 3 --runs 4 -o few.toml").expect(0);
    few.says("the smallest so far");
}

#[test]
fn what_cannot_be_shrunk_says_why() {
    let folder = folder();
    let here = folder.path();
    call(here, "shrink echo/udp-quiet --seed 1").expect(4).says("nothing is broken in this run");
    call(here, "shrink echo/udp-quiet").expect(2).says("which seed? a failure has a seed, and `--seed N` says it");
    call(here, "shrink lossy.toml --seed 3 -o none/x.toml").expect(2).says("there is no folder none");
    call(here, "shrink lossy.toml --seed 3 -o x.txt").expect(2).says("the path of a script ends in `.toml`");
    call(here, "shrink nothing --seed 3").expect(2).says("no sim `nothing`");
    fs::remove_dir(here.join("seeds")).expect("it is empty");
    call(here, "shrink lossy.toml --seed 3").expect(0);
    assert!(here.join("seeds/shrunk").is_dir(), "it makes the folder of the cases");
}

#[test]
fn a_kept_case_is_never_overwritten() {
    let folder = folder();
    let here = folder.path();
    call(here, "keep echo/udp-quiet --seed 5 --why Calm.").expect(0).says("kept in seeds/echo-udp-quiet-5.toml");
    let text = fs::read_to_string(here.join("seeds/echo-udp-quiet-5.toml")).expect("it was kept");
    assert!(text.contains("verdict = \"pass\"") && text.contains("why     = \"Calm.\""), "{text}");
    call(here, "keep echo/udp-quiet --seed 5 --why Again.").expect(2).says("--name echo-udp-quiet-5-2");
    call(here, "keep echo/udp-quiet --seed 5 --why Again. --name a/b")
        .expect(2)
        .says("`a/b` is not the name of a case");
    call(here, "keep lossy.toml --seed 3 --set network.loss=0.3 --why Loss.").expect(0);
    let text = fs::read_to_string(here.join("seeds/lossy-3.toml")).expect("it was kept");
    assert!(text.contains("sim       = \"../lossy.toml\"\nset       = { \"network.loss\" = 0.3 }\n"), "{text}");
    call(here, "replay").expect(0).says("2 cases: 2 as expected");
    let idle = "about = 'x'\nsystem = 'echo'\nduration = '20s'\n\
                [[packet]]\nfrom = 'c1'\nto = 'server'\nnth = 9999\nlose = true\n";
    fs::write(here.join("idle.toml"), idle).expect("a script");
    call(here, "keep idle.toml --seed 5 --why Idle.").says("such a run cannot be kept").expect(4);
}

#[test]
fn a_case_is_judged_by_its_invariant_alone() {
    let folder = folder();
    let here = folder.path();
    call(here, "keep lossy.toml --seed 3 --why It.loses").expect(0);
    call(here, "replay --bisect lossy-3").expect(1).says("VIOLATED lossy-3 seed=3: expectation: retries is");
    // Another hash is no other verdict.
    fs::write(here.join("lossy.toml"), LOSSY.replace("0.2", "0.3")).expect("a script");
    call(here, "replay lossy-3").expect(1).says("hash changed");
    call(here, "replay --bisect lossy-3").expect(1);
    fs::write(here.join("lossy.toml"), LOSSY.replace("loss = 0.2", "loss = 0.0")).expect("a script");
    call(here, "replay --bisect seeds/lossy-3.toml").expect(0).says("HOLDS lossy-3 seed=3: expectation holds");
    fs::write(here.join("lossy.toml"), LOSSY.replace("loss = 0.2", "lost = 0.2")).expect("a script");
    call(here, "replay --bisect lossy-3").expect(125).says("NOT JUDGED lossy-3").says("did you mean `loss`?");
    fs::remove_file(here.join("lossy.toml")).expect("it is there");
    call(here, "replay --bisect lossy-3").expect(125).says("NOT JUDGED");
    call(here, "replay --bisect none").expect(125).says("NOT JUDGED");
}

/// The recipe of the guide. A commit's build is played by its script: the case names a sim by its name, which is another
/// one at each commit.
#[test]
fn git_bisect_finds_the_commit_that_broke_a_kept_case() {
    let outside = folder();
    let repository = outside.path().join("repository");
    fs::create_dir_all(repository.join("sims/echo")).expect("a folder");
    let git = |arguments: &str| {
        let mut command = Command::new("git");
        command.args(arguments.split_whitespace()).current_dir(&repository).env("GIT_CONFIG_GLOBAL", "/dev/null");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "x").env(format!("GIT_{who}_EMAIL"), "x@example.com");
        }
        let output = command.output().expect("git starts");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if Command::new("git").arg("--version").output().is_err() {
        println!("skipped: there is no git");
        return;
    }
    assert!(git("init -q").0);
    let good = LOSSY.replace("loss = 0.2", "loss = 0.0");
    // It breaks at number 5; number 4 does not build, and number 3 has no such sim.
    for number in 1..=7 {
        let sim = repository.join("sims/echo/kept.toml");
        fs::write(&sim, format!("# {number}\n{}", if number >= 5 { LOSSY } else { &good })).expect("a script");
        if number == 3 {
            fs::remove_file(&sim).expect("it is there");
        }
        let build = if number == 4 { "exit 1\n" } else { "exit 0\n" };
        fs::write(repository.join("build.sh"), format!("# {number}\n{build}")).expect("a file");
        assert!(git("add -A").0 && git(&format!("commit -q -m commit-{number}")).0);
    }
    let case = outside.path().join("case.toml");
    let kept = "sim = 'echo/kept'\nseed = 3\nverdict = 'violation'\nviolation = 'expectation'\n\
                hash = '0000000000000000'\nwhy = 'It is there to be found.'\n";
    fs::write(&case, kept).expect("a case");
    let script = outside.path().join("judge.sh");
    let recipe = format!("sh build.sh || exit 125\nexec {STORMGLASS} replay --bisect {}\n", case.display());
    fs::write(&script, recipe).expect("a file");
    assert!(git("bisect start HEAD HEAD~6").0);
    let (done, told) = git(&format!("bisect run sh {}", script.display()));
    let (_, subject) = git("log -1 --format=%s refs/bisect/bad");
    // Number 5 breaks it, and what is skipped before it cannot be told apart from it.
    assert!(done || told.contains("only 'skip'ped commits left"), "{told}");
    assert_eq!(subject.trim(), "commit-5", "{told}");
}

/// A client that tries again survives each single fault, and one that does not survives no loss.
#[test]
fn a_certificate_names_every_single_fault_that_is_not_survived() {
    let folder = folder();
    let here = folder.path();
    let quiet = "about = 'x'\nsystem = 'echo'\nduration = '9s'\n[echo]\ntransport = 'udp'\nclients = 1\nrequests = 2\n\
                 timeout = '100ms'\n[expect]\ncounters = { retries = 0 }\n";
    fs::write(here.join("quiet.toml"), quiet).expect("a script");
    let whole = call(here, "certify quiet.toml --seed 1 --json").expect(0).json("certify");
    for kind in ["losses", "duplicates", "delays"] {
        assert_eq!(
            (&whole["faults"][kind]["of"], &whole["faults"][kind]["survived"]),
            (&4.into(), &4.into()),
            "{whole:#}"
        );
    }
    let crashes = &whole["faults"]["crashes"];
    assert!(crashes["of"].as_u64() > Some(20) && crashes["survived"] == crashes["of"], "{whole:#}");
    call(here, "certify quiet.toml --seed 1")
        .expect(0)
        .says("CERTIFIED quiet.toml seed=1: all 4 losses, 4 duplicates, 4 delays, ");
    assert!(!here.join("certify-quiet-1").exists(), "nothing is left where all was survived");
    call(here, "certify quiet.toml --seed 1 --sample 5").expect(0).says("SAMPLED").says("survived, ").says(" % of ");
    call(here, "certify quiet.toml --seed 1 --death power --jobs 1").expect(0).says("without power for 500ms");

    let once =
        call(here, "certify quiet.toml --seed 1 --set echo.retries=0 --json -o broken").expect(1).json("certify");
    let broken = once["broken"].as_array().expect("a list");
    assert_eq!((&once["faults"]["losses"]["broke"], &once["faults"]["duplicates"]["broke"]), (&4.into(), &0.into()));
    for fault in [&broken[0], &broken[broken.len() - 1]] {
        let script = fault["script"].as_str().expect("a path");
        let run = call(here, &format!("run {script} --seed 1 --json")).expect(1).json("result");
        assert_eq!(run["violation"]["invariant"], fault["violation"], "{fault:#}");
    }
    call(here, "certify lossy.toml --seed 3 --expect").expect(1).says("only a run that passes can be certified");
    call(here, "certify quiet.toml --seed 1 --set expect.violation=x")
        .expect(2)
        .says("this sim expects a violation (x)");
}

#[test]
fn a_certificate_goes_on_where_it_was_interrupted() {
    let folder = folder();
    let here = folder.path();
    let interrupted = || {
        let child = Command::new(STORMGLASS)
            .args(["certify", "echo/udp-quiet", "--seed", "1", "-o", "half"])
            .current_dir(here)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let state = here.join("half/state.jsonl");
        let lines = || fs::read_to_string(&state).map_or(0, |text| text.lines().count());
        let before = lines();
        for _ in 0..1000 {
            if lines() > before.max(1) + 5 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill starts").success());
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), lines())
    };
    let (code, told, first) = interrupted();
    assert_eq!(code, Some(130), "{told}");
    assert!(told.contains("the same call goes on"), "{told}");
    let (code, told, second) = interrupted();
    assert_eq!(code, Some(130), "{told}");
    assert!(told.contains(&format!("goes on   {} were tried before", first - 1)), "{told}");
    assert!(second > first);
    let other = call(here, "certify echo/udp-quiet --seed 2 -o half").expect(2);
    other.says("is of another run (its seed is another one): remove it to begin anew");
}

/// What the ledger's column promises, of the scripts that are kept; that they still fail is for the cases to say.
#[test]
fn kept_failures_are_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/shrunk");
    let mut sizes: Vec<usize> = fs::read_dir(folder)
        .expect("there are shrunk failures")
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a script can be read"))
        .map(|text| text.lines().filter(|line| ["[[step]]", "[[packet]]"].contains(line)).count())
        .collect();
    sizes.sort_unstable();
    assert!(sizes.len() >= 15 && sizes[sizes.len() / 2] <= 6, "{sizes:?}");
}
