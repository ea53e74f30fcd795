//! What the command says of a run, of a script and of itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

fn call(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    let output = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn written(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("it.toml"), script).expect("it can be written");
    folder
}

fn json(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let (got, out, err) = call(folder, arguments);
    assert_eq!(got, code, "{out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

const INERT: &str = "about = 'Hosts that never talk are parted.'\nsystem = 'echo'\nduration = '20s'\n[echo]\ntransport = 'udp'\n\
                     clients = 2\nrequests = 20\n[[step]]\nat = '100ms'\npartition = [['c1'], ['c2']]\n";

#[test]
fn an_inert_step_is_named_in_text_json_and_junit() {
    let here = written(INERT);
    let (code, out, _) = call(here.path(), &["run", "it.toml", "--seed", "1"]);
    assert_eq!(code, 4, "{out}");
    let named = "step 1 (at 100ms: partition [c1] | [c2])";
    assert!(out.contains(&format!("inert     partition 1 of 1\n            {named} did nothing\n")), "{out}");
    assert!(out.contains(&format!("INCONCLUSIVE it.toml seed=1: {named} was inert: it touched no packet")), "{out}");
    let report = json(here.path(), &["run", "it.toml", "--seed", "1", "--json"], 4);
    assert_eq!(report["inert"]["partition"], 1);
    assert_eq!((&report["inert_steps"][0]["step"], &report["inert_steps"][0]["line"]), (&1.into(), &8.into()));
    let (code, ..) = call(here.path(), &["sweep", "it.toml", "--seeds", "0..2", "--keep-going", "--junit", "it.xml"]);
    assert_eq!(code, 4);
    let junit = fs::read_to_string(here.path().join("it.xml")).expect("it was written");
    assert!(junit.contains("was inert: it touched no packet, no connection and no process"), "{junit}");
    fs::write(here.path().join("it.toml"), format!("{INERT}may_be_inert = true\n")).expect("it can be written");
    let (code, out, _) = call(here.path(), &["run", "it.toml", "--seed", "1"]);
    assert!(code == 0 && out.contains("did nothing, as it may\n"), "{out}");
}

#[test]
fn a_family_that_is_inert_in_a_whole_sweep_is_named() {
    let chaos = "about = 'x'\nsystem = 'echo'\nduration = '20s'\n[echo]\ntransport = 'udp'\nclients = 2\nrequests = 20\n\
                 [chaos]\nfamilies = ['disk']\nuntil = '5s'\n[sometimes]\n'a retry is answered' = { answers = '> 0' }\n\
                 'an answer comes twice' = { answers = '> 0' }\n";
    let here = written(chaos);
    let (code, out, _) = call(here.path(), &["sweep", "it.toml", "--seeds", "0..4", "--keep-going"]);
    assert_eq!(code, 4, "{out}");
    assert!(
        out.contains("never: fault disk (") && out.contains(" began, and all were inert: nothing was synced meanwhile"),
        "{out}"
    );
    let sweep = json(here.path(), &["sweep", "it.toml", "--seeds", "0..4", "--keep-going", "--json", "-"], 4);
    assert_eq!(sweep["sims"][0]["faults"]["disk"], sweep["sims"][0]["inert"]["disk"]);
}

#[test]
fn what_was_drawn_and_the_lane_are_said() {
    let script = "about = 'x'\nsystem = 'raft'\nduration = '5s'\n[raft]\nnodes = [3, 5]\npre_vote = 'drawn'\n\
                  [[step]]\nwhen = 'leader'\nkill = '@leader'\nfor = '1s'\n[chaos]\nfamilies = ['loss']\nuntil = '2s'\n";
    let here = written(script);
    let (code, out, _) = call(here.path(), &["run", "it.toml", "--seed", "1"]);
    assert!(code == 0 && out.contains("drawn     raft.nodes = ") && out.contains(", of \"drawn\"\n"), "{out}");
    assert!(out.contains("chaos loss ") && out.contains(" steps, core lane)"), "{out}");
    let core = json(here.path(), &["run", "it.toml", "--seed", "1", "--json"], 0);
    let turmoil = json(here.path(), &["run", "it.toml", "--seed", "1", "--json", "--lane", "turmoil"], 0);
    assert_eq!((&core["lane"], &turmoil["lane"]), (&"core".into(), &"turmoil".into()));
    assert_eq!(core["hash"], turmoil["hash"], "nothing changes but the time");
    let drawn: Vec<&str> =
        core["drawn"].as_array().unwrap().iter().map(|drawn| drawn["what"].as_str().unwrap()).collect();
    assert_eq!(drawn, ["raft.nodes", "raft.pre_vote", "chaos"]);
    let (_, shown, _) = call(here.path(), &["show", "it.toml", "--seed", "1", "--only", "faults"]);
    assert!(shown.contains("drawn: raft.pre_vote = ") && shown.contains(" (@leader = n"), "{shown}");
    let (code, ..) = call(here.path(), &["report", "it.toml", "--seed", "1", "-o", "it.html"]);
    let page = fs::read_to_string(here.path().join("it.html")).expect("it was written");
    assert!(code == 0 && page.contains("raft.pre_vote = "), "the page says it too");
}

#[test]
fn the_busiest_backend_is_found_and_named() {
    let script =
        "about = 'x'\nsystem = 'balancer'\nduration = '5s'\n[[step]]\nat = '1s'\nkill = '@busiest'\nfor = '1s'\n";
    let here = written(script);
    let (code, shown, err) = call(here.path(), &["show", "it.toml", "--seed", "1", "--only", "faults"]);
    assert!(code == 0 && shown.contains(" (@busiest = b"), "{shown}{err}");
}

/// Whoever writes the shortest script chooses a duration; and a workload that is told to do more than there is time for
/// has not failed.
#[test]
fn a_run_may_be_short() {
    for (system, more) in [("balancer", ""), ("echo", ""), ("echo", "[echo]\ntransport = 'udp'\n"), ("raft", "")] {
        for duration in ["1s", "2s", "5s"] {
            let here = written(&format!("about = 'x'\nsystem = '{system}'\nduration = '{duration}'\n{more}"));
            let (code, out, err) = call(here.path(), &["run", "it.toml", "--seed", "1"]);
            assert_eq!(code, 0, "{system}, {duration}: {out}{err}");
        }
    }
    let far = written("about = 'x'\nsystem = 'echo'\nduration = '10s'\n[network]\nlatency = '200ms'\n");
    let (code, out, err) = call(far.path(), &["run", "it.toml", "--seed", "1"]);
    assert_eq!(code, 0, "the default number of requests knows how long each takes: {out}{err}");
    for much in ["system = 'echo'\n[echo]\nrequests = 5000", "system = 'balancer'\n[balancer]\nload_for = '1m'"] {
        let here = written(&format!("about = 'x'\nduration = '2s'\n{much}\n"));
        let (code, out, err) = call(here.path(), &["run", "it.toml", "--seed", "1"]);
        assert!(
            code == 4 && out.contains("c2 were still at work: it takes more than a `duration` of 2s")
                || out.contains("c3 were still at work: it takes more than a `duration` of 2s"),
            "{out}{err}"
        );
    }
}

/// Nobody expects a dead server to answer.
#[test]
fn a_server_that_stays_dead_is_no_failure_of_who_asks_it() {
    let here = written("about = 'x'\nsystem = 'echo'\nduration = '10s'\n[[step]]\nat = '1s'\nkill = 'server'\n");
    let (code, out, err) = call(here.path(), &["run", "it.toml", "--seed", "1"]);
    assert!(code == 4 && out.contains("were still at work"), "{out}{err}");
    let (code, out, err) = call(here.path(), &["run", "it.toml", "--seed", "1", "--set", "echo.retries=2"]);
    assert!(code == 0 && out.contains("that every client is served is not checked"), "{out}{err}");
}

#[test]
fn a_run_that_takes_minutes_says_so_and_names_the_other_lane() {
    let script = |lane: &str| {
        format!(
            "about = 'x'\nsystem = 'raft'\nduration = '10h'\nlane = '{lane}'\n[raft]\nnodes = 9\nuntil_led = true\n"
        )
    };
    let note = "9 hosts, tick by tick, take about 9 min or more; `--lane core` makes the same run";
    for (lane, is_slow) in [("turmoil", true), ("core", false)] {
        let here = written(&script(lane));
        let (code, out, err) = call(here.path(), &["run", "it.toml", "--seed", "1"]);
        assert!(code == 0 && out.contains(note) == is_slow, "{out}{err}");
    }
}

/// Only a wrong Raft has no leader where one is expected without a word of it.
#[cfg(feature = "planted-bugs")]
#[test]
fn a_default_expectation_says_that_it_is_one() {
    let here = written(
        "about = 'x'\nsystem = 'raft'\nduration = '12s'\nwaiting = ['n3']\n[raft]\nnodes = 3\npre_vote = false\n\
         election_timeout = '150ms..300ms'\ntimeout_resolution = '50ms'\nbug = 'timeout-drawn-once'\n\
         check = 'one-leader-per-term'\n[network]\nlatency = '1ms'\n",
    );
    let (code, out, _) = call(here.path(), &["run", "it.toml", "--seed", "0"]);
    assert!(code == 1 && out.contains("is expected unless the script says another `leader`"), "{out}");
}

#[test]
fn a_shrunk_script_names_whom_a_role_hit() {
    let script = "about = 'x'\nsystem = 'raft'\nduration = '5s'\n[raft]\nnodes = 3\n[[step]]\nwhen = 'leader'\n\
                  kill = '@leader'\n[[step]]\nafter = '100ms'\npartition = [['n1'], ['n2']]\nmay_be_inert = true\n\
                  [expect]\ncounters = { leaders = '< 2' }\n";
    let here = written(script);
    let (code, out, err) = call(here.path(), &["shrink", "it.toml", "--seed", "3", "-o", "small.toml"]);
    assert_eq!(code, 0, "{out}{err}");
    let small = fs::read_to_string(here.path().join("small.toml")).expect("it was written");
    assert!(small.contains("kill = \"n") && !small.contains('@') && !small.contains("partition"), "{small}");
}

#[test]
fn what_no_run_has_is_an_error_with_what_there_is() {
    let here = written("about = 'x'\nsystem = 'raft'\nduration = '5s'\n[expect]\ncounters = { 'step-down' = 0 }\n");
    let (code, _, err) = call(here.path(), &["run", "it.toml"]);
    assert!(code == 2 && err.contains("`step-down`") && err.contains("did you mean `step-downs`?"), "{err}");
    let here = written(
        "about = 'x'\nsystem = 'raft'\nduration = '5s'\n[[step]]\nat = '1s'\ndrop = { message = 'AppendEntry' }\n",
    );
    let (code, _, err) = call(here.path(), &["run", "it.toml"]);
    assert!(code == 2 && err.contains("is called `AppendEntry`: they are PreVote, "), "{err}");
    assert!(err.contains("did you mean `AppendEntries`?"), "{err}");
}

#[test]
fn without_a_word_of_it_no_leader_is_expected_where_none_can_be() {
    let here = written("about = 'x'\nsystem = 'raft'\nduration = '5s'\n[[step]]\nat = '0s'\nkill = ['n1', 'n2']\n");
    let (code, out, _) = call(here.path(), &["run", "it.toml", "--seed", "1"]);
    assert!(code == 0 && out.contains("PASS it.toml seed=1"), "{out}");
}

#[test]
fn a_line_that_is_too_long_is_refused_by_right() {
    let here = written(
        "about = 'x'\nsystem = 'echo'\nduration = '30s'\n[echo]\ntransport = 'tcp'\nclients = 1\nrequests = 1\nretries = 0\n\
         size = '512KiB'\nmax_line = '64KiB'\n[network]\nlatency = '5ms'\n",
    );
    let (code, out, _) = call(here.path(), &["run", "it.toml", "--seed", "1"]);
    assert!(code == 0 && out.contains("refusals 1"), "{out}");
}

#[test]
fn list_takes_words_and_makes_json() {
    let here = tempfile::tempdir().expect("a folder");
    let (code, out, _) = call(here.path(), &["list", "split-vote"]);
    assert!(code == 0 && out.contains("raft/split-vote") && !out.contains("echo/"), "{out}");
    let listed = json(here.path(), &["list", "split-vote", "--json"], 0);
    let first = &listed[0];
    assert_eq!((&first["sim"], &first["system"]), (&"raft/split-vote".into(), &"raft".into()));
    assert!(first["about"].is_string() && first["variants"].is_array());
    let (code, _, err) = call(here.path(), &["list", "nosuchthing"]);
    assert!(code == 2 && err.contains("no sim has `nosuchthing` in its name or its sentence"), "{err}");
}

#[test]
fn help_parts_common_options_and_shows_no_marks() {
    let here = tempfile::tempdir().expect("a folder");
    for of in ["run", "sweep", "shrink", "certify", "keep", "replay", "show", "report", "figure", "bugs"] {
        let (code, help, _) = call(here.path(), &[of, "--help"]);
        assert!(code == 0 && help.contains("How runs are made:"), "{of}: {help}");
        assert!(!help.contains("<http") && !help.contains("`JUnit`"), "{of}: {help}");
    }
}

#[test]
fn a_call_that_makes_no_sense_says_what_would() {
    let here = tempfile::tempdir().expect("a folder");
    for (call_of, says) in [
        (&["show", "raft/split-vote", "--around", "abc"][..], "a record is named by its number"),
        (&["sweep", "raft/split-vote", "--for", "3"], "`3` has no unit"),
        (&["replay", "nosuchcase"], "no case `nosuchcase` here: there is no folder `seeds`"),
    ] {
        let (code, _, err) = call(here.path(), call_of);
        assert!(code == 2 && err.contains(says), "{call_of:?}: {err}");
    }
}

#[test]
fn keep_makes_the_folder_of_the_cases() {
    let here = tempfile::tempdir().expect("a folder");
    let (code, out, err) = call(here.path(), &["keep", "raft/split-vote", "--seed", "7", "--why", "Calm."]);
    assert!(code == 0 && here.path().join("seeds/raft-split-vote-7.toml").exists(), "{out}{err}");
    let (code, out, err) = call(here.path(), &["replay"]);
    assert!(code == 0, "{out}{err}");
}

#[test]
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "how long a person waits is what is asked")]
fn a_refusal_is_said_at_once() {
    let began = std::time::Instant::now();
    let free = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let send = |program: &str, to: &str| {
        let output =
            Command::new(program).args(["send", "--to", to, "hello"]).stdin(Stdio::null()).output().expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = send(env!("CARGO_BIN_EXE_udp-echo"), &free.to_string());
    assert!(code == Some(1) && told.contains("refuses datagrams: is a server listening there?"), "{told}");
    assert!(began.elapsed() < std::time::Duration::from_millis(900), "{:?}", began.elapsed());
    let (code, told) = send(env!("CARGO_BIN_EXE_tcp-echo"), "nosuchhost.invalid:80");
    assert!(
        code == Some(1) && told.contains("cannot connect to nosuchhost.invalid:80: no host of that name"),
        "{told}"
    );
    for program in [env!("CARGO_BIN_EXE_udp-echo"), env!("CARGO_BIN_EXE_tcp-echo")] {
        let (code, told) = send(program, "nowhere");
        assert!(code == Some(2) && told.contains("write it as host:port"), "{told}");
    }
}
