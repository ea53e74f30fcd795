//! The pages of `report`, used in a real browser: a headless Chromium, driven by `check.mjs` over playwright-core. Where
//! one of them is missing the test is skipped and says so:
//!
//! ```sh
//! npm ci --prefix tests/page      # and a Chromium, as `chromium` in the path or in $CHROMIUM
//! ```

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RAFT: &str = "raft/cloudflare-2020@no-pre-vote";

fn stormglass(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_stormglass")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Saves a run, and makes its page from what was saved.
fn save(folder: &Path, sim: &str, name: &str) {
    let saved = folder.join(format!("{name}.jsonl"));
    fs::write(&saved, stormglass(&["show", sim, "--seed", "7", "--json"])).unwrap();
}

fn report(folder: &Path, arguments: &[&str], name: &str) {
    let page = folder.join(name);
    stormglass(&[&["report"], arguments, &["-o", page.to_str().unwrap()]].concat());
}

/// Writes a recording that no run made, and its page.
fn made_up(folder: &Path, name: &str, recording: &str) {
    let saved = folder.join(format!("{name}.jsonl"));
    fs::write(&saved, recording).unwrap();
    let page = folder.join(format!("{name}.html"));
    let arguments = ["report", saved.to_str().unwrap(), "-o", page.to_str().unwrap()];
    // Its exit code is that of the run.
    let output = Command::new(env!("CARGO_BIN_EXE_stormglass")).args(arguments).output().unwrap();
    assert!(page.exists(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn header(system: &str, hosts: u64) -> String {
    let hosts: Vec<_> =
        (1..=hosts).map(|n| serde_json::json!({ "name": format!("n{n}"), "addr": format!("192.168.0.{n}") })).collect();
    let header = serde_json::json!({
        "kind": "run", "schema": 1, "sim": "made/up", "system": system, "set": [], "seed": 7, "hosts": hosts, "hash": null,
    });
    format!("{header}\n")
}

fn sent(n: u64, t_ns: u64, hosts: u64) -> serde_json::Value {
    let (from, to) = (n / 2 % hosts + 1, (n / 2 + 1 + n / 14 % (hosts - 1)) % hosts + 1);
    serde_json::json!({
        "n": n, "t_ns": t_ns, "host": format!("n{from}"), "cause": null, "kind": "sent", "packet": n, "from": format!("n{from}"),
        "to": format!("n{to}"), "src": "192.168.0.1:7000", "dst": "192.168.0.2:7000", "transport": "udp", "segment": null,
        "len": 4, "payload_hex": "00ff3c2f", "label": "Ping", "detail": format!("{}", n / 2),
    })
}

/// A hundred thousand records among seven hosts: half of them packets, of which one in nine is lost.
fn large() -> String {
    const RECORDS: u64 = 100_000;
    let mut out = header("none", 7);
    for n in (0..RECORDS).step_by(2) {
        let packet = sent(n, n * 300_000, 7);
        let (t_ns, to) = (n * 300_000 + 250_000, packet["to"].clone());
        let fate = if n / 2 % 9 == 0 {
            serde_json::json!({ "n": n + 1, "t_ns": t_ns, "host": null, "cause": n, "kind": "lost", "packet": n, "attempt": 0, "reason": "loss" })
        } else {
            serde_json::json!({ "n": n + 1, "t_ns": t_ns, "host": to, "cause": n, "kind": "delivered", "packet": n, "attempt": 0 })
        };
        let _ = writeln!(out, "{packet}\n{fate}");
    }
    let end = serde_json::json!({
        "kind": "end", "verdict": "pass", "exit_code": 0, "records": RECORDS, "sim_ms": RECORDS as f64 * 0.3, "violation": null, "reason": null,
    });
    out + &end.to_string()
}

/// Fifty minutes in which three nodes are leader, candidate and follower in turn, ten times a second, and a partition comes
/// every two seconds.
fn long() -> String {
    const ROUNDS: u64 = 30_000;
    let mut out = header("raft", 3);
    let mut n = 0;
    let mut line = |t_ns: u64, host: Option<String>, what: serde_json::Value| {
        let mut record = serde_json::json!({ "n": n, "t_ns": t_ns, "host": host, "cause": null });
        record.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        let _ = writeln!(out, "{record}");
        n += 1;
    };
    for node in 1..=3 {
        line(0, Some(format!("n{node}")), serde_json::json!({ "kind": "started", "incarnation": 0 }));
    }
    let mut names = ["became-follower", "became-candidate", "became-leader"];
    for round in 0..ROUNDS {
        let at_ns = (round + 1) * 100_000_000;
        for (node, name) in (1..=3).zip(names) {
            let event = serde_json::json!({ "kind": "event", "name": name, "fields": { "term": round + 1 } });
            line(at_ns + node * (round * 7_919 % 25) * 1_000_000, Some(format!("n{node}")), event);
        }
        if round % 20 == 0 {
            let action = format!("partition [n{}] | [n{}]", round / 20 % 3 + 1, (round / 20 + 1) % 3 + 1);
            line(
                at_ns + 76_000_000,
                None,
                serde_json::json!({ "kind": "fault", "step": 1 + round / 20, "action": action }),
            );
        }
        if round % 20 == 9 {
            let action = "partition".to_owned();
            line(
                at_ns + 77_000_000,
                None,
                serde_json::json!({ "kind": "fault-ended", "step": 1 + round / 20, "action": action }),
            );
        }
        names.rotate_left(1);
    }
    let end = serde_json::json!({
        "kind": "end", "verdict": "pass", "exit_code": 0, "records": n, "sim_ms": 3_000_200.0, "violation": null, "reason": null,
    });
    out + &end.to_string()
}

/// A run that is found to be wrong, and whose every text tries to be a part of the page.
fn hostile() -> String {
    let attack = "</script><img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script><!--<script>";
    let mut packet = sent(0, 1_000, 2);
    packet["label"] = attack.into();
    let event = serde_json::json!({
        "n": 1, "t_ns": 2_000, "host": "n2", "cause": 0, "kind": "event", "name": attack, "fields": { attack: attack },
    });
    let message = format!("two leaders {attack}");
    let violated = serde_json::json!({
        "n": 2, "t_ns": 2_000, "host": "n2", "cause": 1, "kind": "violated", "invariant": "one leader a term</script>", "message": message,
    });
    let violation = serde_json::json!({
        "invariant": "one leader a term</script>", "at_ms": 0.002, "record": 2, "message": message,
        "facts": [{ "at_ms": 0.001, "record": 0, "text": attack }],
    });
    let end = serde_json::json!({
        "kind": "end", "verdict": "violation", "exit_code": 1, "records": 3, "sim_ms": 1.0, "violation": violation, "reason": null,
    });
    format!("{}{packet}\n{event}\n{violated}\n{end}", header("none", 2))
}

/// The texts in a PNG.
fn texts(png: &[u8]) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let mut rest = &png[8..];
    while rest.len() > 12 {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (kind, body) = (&rest[4..8], &rest[8..8 + length]);
        if let (b"tEXt", Some(end)) = (kind, body.iter().position(|byte| *byte == 0)) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            texts.insert(text(&body[..end]), text(&body[end + 1..]));
        }
        rest = &rest[12 + length..];
    }
    texts
}

#[test]
fn the_picture_in_the_readme_is_of_the_run_as_it_is_today() {
    let picture = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/report.png")).unwrap();
    let texts = texts(&picture);
    let run = texts.get("Run").expect("tests/page/picture.sh says in the picture which run it is of");
    let arguments: Vec<&str> = ["run"].into_iter().chain(run.split(' ')).chain(["--json"]).collect();
    let report: serde_json::Value = serde_json::from_slice(&stormglass(&arguments)).unwrap();
    assert_eq!(
        report["hash"].as_str(),
        texts.get("Hash").map(String::as_str),
        "{run} is another run than the one in .github/report.png: make the picture again with tests/page/picture.sh"
    );
}

fn found(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The browser, or why the test cannot be made.
fn browser() -> Result<PathBuf, String> {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/node_modules/playwright-core");
    if !found("node") {
        return Err("there is no `node`".to_owned());
    }
    if !driver.exists() {
        return Err("playwright-core is not installed: `npm ci --prefix tests/page`".to_owned());
    }
    if let Some(given) = env::var_os("CHROMIUM") {
        return Ok(PathBuf::from(given));
    }
    let paths = env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut places = env::split_paths(&paths).flat_map(|folder| names.map(|name| folder.join(name)));
    places.find(|place| place.exists()).ok_or_else(|| "there is no Chromium in the path, nor in $CHROMIUM".to_owned())
}

#[test]
fn the_pages_can_be_used_in_a_browser() {
    let browser = match browser() {
        Ok(browser) => browser,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save(folder, RAFT, "raft");
    save(folder, "raft/cloudflare-2020", "raft-pre-vote");
    save(folder, "echo/tcp-loss", "echo");
    report(folder, &[RAFT, "--seed", "7"], "raft.html");
    report(folder, &["echo/tcp-loss", "--seed", "7"], "echo.html");
    report(folder, &["raft/kv-leader-crash", "--seed", "7"], "kv.html");
    report(folder, &["--compare", RAFT, "raft/cloudflare-2020", "--seed", "7"], "compare.html");
    made_up(folder, "hostile", &hostile());
    made_up(folder, "large", &large());
    made_up(folder, "long", &long());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/check.mjs");
    let output = Command::new("node").arg(script).arg(folder).arg(browser).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}
