//! What comes out beside the verdict: pages, captures, `JUnit`, sweeps, and failures made small.

use std::fs;

use serde_json::Value;

use super::{Stage, passes};

const ECHO: &str = "
about    = 'Datagrams, some of them twice, some with a flipped bit.'
system   = 'live'
duration = '10s'
[network]
latency = '20ms'
duplicate = 0.2
corrupt = 0.2
[live.hosts]
server = { run = 'exec udp-echo serve --listen 0.0.0.0:8081', ready = { line = '8081' } }
c1     = { run = 'udp-echo send --to server:8081 hello --count 30 --pipeline 30 --retries 0 --timeout 200ms; exit 0', workload = true }
[[live.message]]
name = 'Hello'
payload = 'hell'
";

#[test]
fn a_run_has_a_page_a_capture_records_and_junit() {
    let Some(stage) = Stage::new(ECHO) else { return };
    let result = stage.run(&[
        "-o",
        "it.html",
        "-o",
        "it.pcapng",
        "-o",
        "it.jsonl",
        "-o",
        "it.perfetto.json",
        "--junit",
        "it.xml",
    ]);
    passes(&result);
    let packets = |name: &str| result["packets"][name].as_u64().expect("a count");
    assert!(packets("duplicated") > 0 && packets("corrupted") > 0, "{result:#}");
    let read = |file: &str| fs::read(stage.path(file)).expect("it was written");
    let page = String::from_utf8(read("it.html")).expect("text");
    assert!(
        page.contains("\"live\":true")
            && page.contains("live: not deterministic")
            && page.contains("stormglass live it.toml --seed 1")
    );
    let capture = read("it.pcapng");
    let has = |bytes: &[u8]| capture.windows(bytes.len()).any(|window| window == bytes);
    // IPv4 over UDP as it was on the wire, and fates as comments.
    assert!(
        has(&[8, 0, 0x45])
            && has(b"hello\n")
            && has(b"Hello; arrived after 2")
            && has(b"the network made a copy of it")
            && has(b"pass; live: not deterministic; made again by `stormglass live")
    );
    let junit = String::from_utf8(read("it.xml")).expect("text");
    assert!(junit.contains("live: not deterministic") && junit.contains("seeds that pass"), "{junit}");
    let trace: Value = serde_json::from_slice(&read("it.perfetto.json")).expect("JSON");
    assert_eq!(trace["otherData"]["hash"], "live: not deterministic");
    let shown = stage.call(&["show", "it.jsonl", "--only", "packets", "--no-pager"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("Hello"), "{shown}");
}

#[test]
fn a_sweep_makes_a_run_with_each_seed() {
    let Some(stage) = Stage::new(&ECHO.replace("count 30", "count 3")) else { return };
    let output =
        stage.call(&["live", "it.toml", "--seeds", "3..7", "--jobs", "2", "--keep-going", "--junit", "it.xml"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("4 passed, 0 failed, 0 inconclusive"), "{said}");
    assert!(
        (3..7).all(|seed| said.contains(&format!("PASS it.toml seed={seed}\n")))
            && said.contains("live      not deterministic"),
        "{said}"
    );
    assert!(fs::read_to_string(stage.path("it.xml")).expect("it was written").contains("4 seeds"));
    let output = stage.call(&["live", "it.toml", "--seeds", "3..5", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let sim = &report["sims"][0];
    assert_eq!((&sim["hash"], &sim["live"], &sim["seeds"]), (&Value::Null, &Value::from(true), &Value::from(2)));
}

#[test]
fn a_failure_is_made_small_and_it_is_said_how_often_it_failed() {
    let script = "
about    = 'Of four steps, one matters.'
system   = 'live'
duration = '600ms'
[live.hosts]
a = 'exec sleep 60'
b = 'exec sleep 60'
[[step]]
at = '100ms'
pause = 'b'
for = '50ms'
[[step]]
at = '200ms'
restart = 'b'
[[step]]
at = '300ms'
kill = 'a'
[[step]]
at = '350ms'
restart = 'b'
[expect.counters]
'faults.kill' = 0
";
    let Some(stage) = Stage::new(script) else { return };
    let call = ["live", "it.toml", "--seed", "1", "--shrink", "--repeats", "1", "--runs", "14", "-o", "small.toml"];
    let output = stage.call(&call);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("the script that is left broke in 1 of 1"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let small: toml::Table =
        toml::from_str(&fs::read_to_string(stage.path("small.toml")).expect("it was written")).expect("TOML");
    let steps = small["step"].as_array().expect("steps");
    assert!(steps.len() == 1 && steps[0].get("kill").is_some(), "{small}");
}

#[test]
fn the_schema_knows_the_table() {
    let stage = Stage::without_a_look(ECHO);
    let output = stage.call(&["schema", "script"]);
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let as_json =
        |script: &str| serde_json::to_value(toml::from_str::<toml::Table>(script).expect("TOML")).expect("JSON");
    assert!(validator.is_valid(&as_json(ECHO)));
    assert!(!validator.is_valid(&as_json(&ECHO.replace("ready =", "redy ="))));
    for entry in fs::read_dir("examples/live").expect("there are examples") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("text");
        assert!(validator.is_valid(&as_json(&text)), "{text}");
        stormglass::script::Script::parse("example", &text).expect("a script");
    }
}
