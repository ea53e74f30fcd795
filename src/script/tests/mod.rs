//! Scripts in, types or errors out.

mod values;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::schema::{SystemSchema, script_schema};
use super::*;

const FULL: &str = include_str!("full.toml");

/// What every case of `mistakes.txt` begins with, unless it says that it stands alone.
const HEAD: &str = "about = \"Try.\"\nsystem = \"echo\"\nduration = \"20s\"\n";

fn mistake(text: &str) -> String {
    match Script::parse("x.toml", text) {
        Ok(_) => "no mistake".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct EchoTable {
    clients: u32,
    timeout: TimeSpan,
    #[serde(default)]
    nested: Option<EchoNested>,
}

#[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
struct EchoNested {
    patience: Option<TimeSpan>,
}

#[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct EchoStep {
    pin: String,
    timeout: Option<TimeSpan>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct EchoExpect {
    leader: Option<String>,
}

#[test]
fn every_mistake_has_its_error() {
    let mut wrong = String::new();
    for case in include_str!("mistakes.txt").trim_end().split("\n====\n") {
        let (script, expected) = case.split_once("\n----\n").unwrap();
        let actual = match script.strip_prefix("(alone)\n") {
            Some(alone) => mistake(alone),
            None => mistake(&format!("{HEAD}{script}")),
        };
        if actual != expected {
            wrong += &[script, "\n----\n", &actual, "\n====\n"].concat();
        }
    }
    assert!(wrong.is_empty(), "these errors differ:\n{wrong}");
}

#[test]
fn a_file_that_says_nothing_is_an_error() {
    let empty = "x.toml: the script is empty\n  = expected at least the keys `about`, `system` and `duration`";
    for text in ["", "\n\n", "# later\n", "\u{feff}"] {
        assert_eq!(mistake(text), empty, "{text:?}");
    }
}

#[test]
fn line_ends_and_byte_order_marks_do_not_shift_errors() {
    let expected = "x.toml:4:8: `tick`: `1` has no unit\n  |\n4 | tick = \"1\"\n  |        ^^^\n  \
                    = expected a duration such as \"150ms\": a number and one of ns, us, ms, s, m, h";
    let text = format!("{HEAD}tick = \"1\"\n");
    assert_eq!(mistake(&text), expected);
    assert_eq!(mistake(&text.replace('\n', "\r\n")), expected);
    assert_eq!(mistake(&format!("\u{feff}{text}")), expected);
    let on_the_first_line = mistake("\u{feff}a = \"1\"\rsystem = 3");
    assert!(on_the_first_line.starts_with("x.toml:1:9: this is not TOML"), "{on_the_first_line}");
}

#[test]
fn the_underline_stands_under_its_word() {
    let text = format!("{HEAD}[network]\n\tburst = {{ enter = 0.1, \"lëave\" = 0.1 }} # \u{1b}[31m");
    let expected = "x.toml:5:25: unknown key `lëave` in `burst` in [network]\n  |\n\
                    5 | \tburst = { enter = 0.1, \"lëave\" = 0.1 } # \u{fffd}[31m\n  | \t                       ^^^^^^^\n  \
                    = expected one of `enter`, `leave`, `loss`\n  = did you mean `leave`?";
    // An escape is not allowed in TOML, not even in a comment.
    assert!(mistake(&text).starts_with("x.toml:5:43: this is not TOML"), "{}", mistake(&text));
    assert_eq!(mistake(&text.replace('\u{1b}', "\u{fffd}")), expected);
}

#[test]
fn files_that_are_not_scripts_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    let error = Script::load(&missing).unwrap_err().to_string();
    assert!(error.contains("none.toml: the script cannot be read: No such file"), "{error}");
    let error = Script::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("the script cannot be read: "), "{error}");

    let bytes = folder.path().join("bytes.toml");
    std::fs::write(&bytes, b"\xef\xbb\xbfabout = \"x\"\nsystem = \"\xff\"\n").unwrap();
    let error = Script::load(&bytes).unwrap_err();
    assert_eq!((error.line, error.column), (2, 11));
    assert_eq!(error.message, "this is not UTF-8 text: byte 0xff");

    std::fs::write(&bytes, FULL).unwrap();
    assert_eq!(Script::load(&bytes).unwrap().system, "echo");
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn hosts(names: &[&str]) -> Vec<HostPattern> {
    names.iter().map(|name| HostPattern((*name).to_owned())).collect()
}

#[test]
fn the_full_script_reads_as_written() {
    let script = Script::parse("full.toml", FULL).unwrap();
    assert_eq!((script.system.as_str(), script.about.as_str()), ("echo", "Everything that a script can say."));
    assert_eq!((script.duration, script.tick), (ms(30_000), ms(5)));
    assert_eq!(script.waiting, hosts(&["c2"]));
    let network = LinkSettings {
        latency: Some(Latency::Uniform { min: ms(1), max: ms(5) }),
        loss: Some(0.01),
        burst: Some(Burst { enter: 0.02, leave: 0.25, loss: 1.0 }),
        duplicate: Some(0.03),
        corrupt: Some(0.04),
        reorder: Some(Reorder { chance: 0.1, extra: Latency::LogNormal { median: ms(5), sigma: 0.5 } }),
    };
    assert_eq!(script.network, network);
    assert_eq!(script.tcp, TcpSettings { window_bytes: Some(4096), tries: 3, ..TcpSettings::default() });
    assert_eq!(script.udp_buffer_bytes, 65_536);
    assert_eq!(script.disk, DiskSettings { sync: Latency::Uniform { min: ms(1), max: ms(5) } });
    let chaos = Chaos {
        families: vec![Family::Loss, Family::OneWay],
        hosts: hosts(&["server"]),
        every: Latency::Uniform { min: ms(200), max: ms(1000) },
        lasts: Latency::Uniform { min: ms(100), max: ms(2000) },
        until: ms(20_000),
        line: 119,
    };
    assert_eq!(script.chaos, Some(chaos));
    assert_eq!(script.expect.violation.as_deref(), Some("election safety"));
    let counters: Vec<_> = script.expect.counters.iter().map(|(name, bound)| (name.as_str(), *bound)).collect();
    let expected = [
        ("answers", (Comparison::AtLeast(100), 127)),
        ("dials", (Comparison::Equal(3), 127)),
        ("packets.lost", (Comparison::Above(0), 127)),
    ];
    assert_eq!(counters, expected);
}

#[test]
fn the_full_script_shows_in_short() {
    let script = Script::parse("full.toml", FULL).unwrap();
    let shown = |lines: &[String]| lines.join("\n");
    let links: Vec<String> = script.links.iter().map(|link| format!("{}: {link}", link.line)).collect();
    let expected = [
        "25: c1 <-> server: latency { min = \"1ms\", median = \"2ms\", p99 = \"20ms\" }",
        "29: c1 -> server c*: loss 20 %",
    ];
    assert_eq!(shown(&links), expected.join("\n"));
    let steps: Vec<String> = script.steps.iter().map(|step| format!("{}: {step}", step.line)).collect();
    let expected = [
        "34: at 1.2s: partition [n3] | [n1 n2] for 3s",
        "39: then: cut n1 -> n2 n3",
        "42: after 500ms..750ms: heal",
        "46: when leader: link c1 <-> server: latency 300ms",
        "50: then: disk n1: sync 20ms..80ms for 2s",
        "54: then: kill n1",
        "57: then: power n1 n2",
        "60: then: pause c* for 1s",
        "64: then: resume c1",
        "67: then: restart c2",
        "70: then: hold 1 RequestVote n1 -> n2",
        "73: then: drop * -> *",
        "76: then: release",
        "79: then: echo pin = \"n1\", timeout = \"155ms\"",
        "82: after record 157: power n2 for 1s",
    ];
    assert_eq!(shown(&steps), expected.join("\n"));
    let packets: Vec<String> = script.packets.iter().map(ToString::to_string).collect();
    let expected = [
        "RequestVote 3 n1 -> n2: lost",
        "packet 9 n1 -> n2, attempt 1: takes 300ms",
        "packet 9 n2 -> n1: twice",
        "packet 10 n2 -> n1: twice, its copy takes 5ms",
        "packet 10 n2 -> n1: bit 17 flipped",
    ];
    assert_eq!(shown(&packets), expected.join("\n"));
    assert_eq!(
        script.network.to_string(),
        "latency 1ms..5ms, loss 1 %, burst 100 % (enter 2 %, leave 25 %), duplicate 3 %, corrupt 4 %, \
         reorder 10 % by { median = \"5ms\", sigma = 0.5 }"
    );
    assert_eq!(script.tcp.to_string(), "cubic, window 4KiB, rto 200ms..2m, syn rto 1s, tries 3, syn tries 4 + 6");
    assert_eq!(script.disk.to_string(), "sync 1ms..5ms");
    assert_eq!(script.chaos.unwrap().to_string(), "loss, one-way on server every 200ms..1s for 100ms..2s until 20s");
    assert_eq!(LinkSettings::default().to_string(), "no settings");
}

#[test]
fn what_is_written_is_read_again() {
    let script = Script::parse("full.toml", FULL).unwrap();
    let read = |text: &str| Script::parse("x.toml", &format!("{HEAD}{text}")).unwrap_or_else(|error| panic!("{error}"));
    for step in &script.steps {
        let text = writer::step(step);
        let again = read(&text).steps.remove(0);
        assert_eq!(again.to_string(), step.to_string(), "{text}");
        let rest = |step: &Step| (step.trigger.clone(), step.spread, step.lasts);
        assert_eq!(rest(&again), rest(step), "{text}");
        assert_eq!(writer::step(&again), text);
    }
    for rule in &script.packets {
        assert_eq!(read(&writer::packet(rule)).packets, std::slice::from_ref(rule));
    }
    let network = writer::table("[network]", &writer::link_settings(&script.network));
    assert_eq!(read(&network).network, script.network, "{network}");
    let pinned = "[[step]]\necho = { pin = \"n1\", timeout = \"155ms\" }\n";
    assert_eq!(writer::step(&script.steps[13]), pinned);
    let partition = "[[step]]\nat        = \"1.2s\"\npartition = [[\"n3\"], [\"n1\", \"n2\"]]\nfor       = \"3s\"\n";
    assert_eq!(writer::step(&script.steps[0]), partition);
}

#[test]
fn the_least_script_gets_the_defaults() {
    let script = Script::parse("x.toml", HEAD).unwrap();
    assert_eq!(script.tick, ms(1));
    assert_eq!(script.network, LinkSettings { latency: Some(Latency::DEFAULT), ..LinkSettings::default() });
    assert_eq!(script.tcp, TcpSettings::default());
    assert_eq!(script.udp_buffer_bytes, 212_992);
    assert_eq!(script.disk.sync, Latency::Constant(Duration::ZERO));
    assert!(script.steps.is_empty() && script.links.is_empty() && script.waiting.is_empty());
    assert!(script.chaos.is_none() && script.expect.violation.is_none() && script.expect.counters.is_empty());
    let chaos = Script::parse("x.toml", &format!("{HEAD}[chaos]\nuntil = \"10s\"")).unwrap().chaos.unwrap();
    assert_eq!(chaos.to_string(), "all families on * every 200ms..1.5s for 100ms..2s until 10s");
}

#[test]
fn a_system_reads_its_own_tables() {
    let script = Script::parse("full.toml", FULL).unwrap();
    let table: EchoTable = script.section.read().unwrap();
    assert_eq!(table, EchoTable { clients: 3, timeout: TimeSpan(ms(1500)), nested: None });
    assert_eq!((script.section.line_of("timeout"), script.section.line_of("none")), (10, 8));
    let expect: EchoExpect = script.expect.section.read().unwrap();
    assert_eq!(expect.leader.as_deref(), Some("unchanged"));
    assert_eq!(script.expect.section.line_of("leader"), 128);
    let error = script.section.error("timeout", "it is too long").with_hint("be brief");
    let expected = "full.toml:10:11: `timeout` in [echo]: it is too long\n   |\n10 | timeout = \"1.5s\"\n   \
                    |           ^^^^^^\n   = be brief";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_mistake_in_a_systems_table_has_its_line() {
    let read = |text: &str| {
        let script = Script::parse("x.toml", &format!("{HEAD}{text}")).unwrap();
        let table = script.section.read::<EchoTable>().map(|_| ());
        table.and(script.expect.section.read::<EchoExpect>().map(|_| ())).unwrap_err().to_string()
    };
    let cases = [
        ("", "x.toml:1:1: missing key `clients` in [echo], a table that the script does not have"),
        ("[echo]\nclients = 3", "x.toml:4:1: missing key `timeout` in [echo]\n  |\n4 | [echo]\n  | ^^^^^^"),
        (
            "[echo]\nclient = 3",
            "x.toml:5:1: unknown key `client` in [echo]\n  |\n5 | client = 3\n  | ^^^^^^\n  \
             = expected one of `clients`, `timeout`, `nested`\n  = did you mean `clients`?",
        ),
        (
            "[echo]\nclients = \"3\"",
            "x.toml:5:11: `clients` in [echo] cannot be the string \"3\"\n  |\n5 | clients = \"3\"\n  |           ^^^\n  \
             = expected a whole number from 0 to 4294967295",
        ),
        (
            "[echo]\nclients = 3\ntimeout = \"1s\"\n[echo.nested]\npatience = 3",
            "x.toml:8:12: `patience` in [echo.nested] cannot be the integer `3`\n  |\n8 | patience = 3\n  |            ^\n  \
             = expected a duration such as \"150ms\": a number and one of ns, us, ms, s, m, h",
        ),
        (
            "[echo]\nclients = 3\ntimeout = \"1s\"\n[expect]\nviolaton = \"x\"",
            "x.toml:8:1: unknown key `violaton` in [expect]\n  |\n8 | violaton = \"x\"\n  | ^^^^^^^^\n  \
             = expected one of `leader`, `violation`, `counters`\n  = did you mean `violation`?",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), expected, "{text}");
    }
}

/// The own action of a script's only step, in this form.
fn own_action(step: &str) -> SystemAction {
    let script = Script::parse("x.toml", &format!("{HEAD}[[step]]\n{step}")).unwrap();
    match &script.steps[0].action {
        Action::System(action) => action.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_system_reads_its_own_steps() {
    let pinned = EchoStep { pin: "n1".to_owned(), timeout: Some(TimeSpan(ms(155))) };
    for form in [
        "echo = { pin = \"n1\", timeout = \"155ms\" }",
        "echo.pin = 'n1'\necho.timeout = \"155ms\"",
        "at = \"1s\"\n[step.echo]\npin = \"\"\"n1\"\"\"\ntimeout = '155ms' # a pin",
    ] {
        let action = own_action(form);
        assert_eq!(action.section.read::<EchoStep>().unwrap(), pinned, "{form}");
        assert_eq!(Action::System(action).to_string(), "echo pin = \"n1\", timeout = \"155ms\"");
    }
    let shown = |step| Action::System(own_action(step)).to_string();
    assert_eq!(shown("echo = {}"), "echo");
    let everything = "echo = { a = [1, 0x1F, -2.50, true], b = { c = \"\\n\\\"\", d = {} }, e = 1979-05-27 }";
    let expected = "echo a = [1, 0x1F, -2.50, true], b = { c = \"\\n\\\"\", d = {} }, e = 1979-05-27";
    assert_eq!(shown(everything), expected);
}

#[test]
fn a_mistake_in_a_systems_step_has_its_line() {
    let read = |step: &str| own_action(step).section.read::<EchoStep>().unwrap_err().to_string();
    let expected = "x.toml:5:10: unknown key `pun` in `echo` in [[step]] number 1\n  |\n5 | echo = { pun = \"n1\" }\n  \
                    |          ^^^\n  = expected `pin` or `timeout`\n  = did you mean `pin`?";
    assert_eq!(read("echo = { pun = \"n1\" }"), expected);
    let expected = "x.toml:5:8: missing key `pin` in `echo` in [[step]] number 1\n  |\n5 | echo = {}\n  |        ^^";
    assert_eq!(read("echo = {}"), expected);
    let expected = "x.toml:6:20: `echo.timeout` in [[step]] number 1 cannot be the integer `3`\n  |\n\
                    6 | echo = { timeout = 3 }\n";
    let error = read("at = \"1s\"\necho = { timeout = 3 }");
    assert!(error.starts_with(expected), "{error}");
    let section = own_action("at = \"1s\"\necho = { pin = \"n9\" }").section;
    assert_eq!((section.line_of("pin"), section.line_of("none")), (6, 6));
    let error = section.error("pin", "no such host").to_string();
    assert!(error.starts_with("x.toml:6:16: `echo.pin` in [[step]] number 1: no such host\n"), "{error}");
    let error = section.error_of_table("not now").to_string();
    assert!(error.starts_with("x.toml:6:8: `echo` in [[step]] number 1: not now\n"), "{error}");
}

#[test]
fn an_error_may_be_about_a_line() {
    let source = Arc::new(Source::new("x.toml", "a = 1\r\n  b = 2\n"));
    let error = ScriptError::at_line(&source, 2, "no").with_hint("stop");
    assert_eq!(error.to_string(), "x.toml:2:3: no\n  |\n2 |   b = 2\n  |   ^^^^^\n  = stop");
    assert_eq!(ScriptError::at_line(&source, 0, "no").to_string(), "x.toml: no");
    assert_eq!(ScriptError::at_line(&source, 9, "no").to_string(), "x.toml: no");
}

fn as_json(toml: &str) -> Value {
    toml::from_str(toml).unwrap()
}

#[test]
fn the_schema_agrees_with_the_parser() {
    let section = schemars::schema_for!(EchoTable);
    let schema = script_schema(&[SystemSchema { name: "echo", section, step: Some(schemars::schema_for!(EchoStep)) }]);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let full = as_json(FULL);
    let mistakes: Vec<String> = validator.iter_errors(&full).map(|error| error.to_string()).collect();
    assert_eq!(mistakes, [""; 0]);
    assert!(validator.is_valid(&as_json(HEAD)));
    let refused = [
        ("/lateny", json!(1)),
        ("/network/lateny", json!("5ms")),
        ("/network/loss", json!(1.5)),
        ("/network/tcp/tries", json!(-1)),
        ("/disk/sync", json!(5)),
        ("/disk/write", json!("5ms")),
        ("/network/latency", json!({ "mean": "5ms" })),
        ("/echo/client", json!(3)),
        ("/echo/timeout", json!("5")),
        ("/echo/nested", json!({ "patience": 3 })),
        ("/raft", json!({})),
        ("/step/0/kill", json!("n1")),
        ("/step/0/after", json!("1s")),
        ("/step/0/at", json!("1s..")),
        ("/step/2/for", json!("1s")),
        ("/step/2/heal", json!(null)),
        ("/step/2/echo", json!({ "pin": "n1" })),
        ("/step/4/disk/hosts", json!([])),
        ("/step/4/disk/sync", json!(5)),
        ("/step/4/disk", json!({ "hosts": "n1" })),
        ("/step/13/echo", json!("n1")),
        ("/step/14/at", json!("1s")),
        ("/step/14/record", json!(-1)),
        ("/step/0/record", json!(1)),
        ("/packet/0/nth", json!(0)),
        ("/packet/0/latency", json!("5ms")),
        ("/packet/1/latency", json!(5)),
        ("/packet/2/duplicate", json!(false)),
        ("/packet/3/duplicate", json!("5")),
        ("/packet/4/bit", json!(1)),
        ("/step/13/for", json!("1s")),
        ("/step/13/echo/timeout", json!("5")),
        ("/step/13/echo/tmeout", json!("5s")),
        ("/link/0/from", json!("n1")),
        ("/waiting", json!([])),
        ("/chaos/families", json!(["los"])),
        ("/expect/counters", json!({ "a": "~ 3" })),
    ];
    for (path, value) in refused {
        let mut script = full.clone();
        let (around, key) = path.rsplit_once('/').unwrap();
        script.pointer_mut(around).unwrap()[key] = value;
        assert!(!validator.is_valid(&script), "{path}");
        // The parser leaves the system's table to the system, and TOML cannot say null.
        if let Ok(text) = toml::to_string(&script)
            && !path.contains("/echo/")
        {
            assert_ne!(mistake(&text), "no mistake", "{path}");
        }
    }
}

#[test]
fn the_schema_lists_the_keys_that_no_system_may_take() {
    let schema = script_schema(&[]);
    let mut keys = raw::TOP_KEYS.to_vec();
    keys.sort_unstable();
    assert_eq!(schema["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    let steps = schema["definitions"]["Step"]["properties"].as_object().unwrap();
    assert!(raw::ACTIONS.iter().all(|action| steps.contains_key(*action)));
    assert!(raw::MODIFIERS.iter().all(|modifier| steps.contains_key(*modifier)));
    assert_eq!(steps.len(), raw::ACTIONS.len() + raw::MODIFIERS.len());
    assert!(!schema.to_string().contains("null"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}", lines in "([a-z\\[\\]\"=.{},0-9 \r\n\t#é\u{feff}-]|\\PC){0,200}") {
        mistake(&text);
        mistake(&lines);
        mistake(&format!("{HEAD}{lines}"));
    }

    #[test]
    fn no_damage_to_a_script_makes_the_parser_panic(at in 0..FULL.len(), length in 0..40_usize, put in "[\\PC\n]{0,4}") {
        let mut text = FULL.to_owned();
        text.replace_range(at..(at + length).min(FULL.len()), &put);
        if let Ok(script) = Script::parse("x.toml", &text) {
            let _ = script.section.read::<EchoTable>().map_err(|error| error.to_string());
            let _ = script.expect.section.read::<EchoExpect>().map_err(|error| error.to_string());
        }
        mistake(&text);
    }
}
