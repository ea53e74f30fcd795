//! `stormglass live`: real processes on this machine's kernel. Where it does not let us have namespaces and TUN devices,
//! these tests say so and are skipped; with `STORMGLASS_LIVE=required` in the environment, they fail.

mod compare;
mod faults;
mod network;
mod ours;
mod together;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

const STORMGLASS: &str = env!("CARGO_BIN_EXE_stormglass");
const TCP_ECHO: &str = env!("CARGO_BIN_EXE_tcp-echo");
const UDP_ECHO: &str = env!("CARGO_BIN_EXE_udp-echo");

/// A folder with a script, in which the command is called.
struct Stage {
    folder: TempDir,
}

impl Stage {
    /// `None`, with the reason printed, where no live run can be made.
    fn new(script: &str) -> Option<Self> {
        let stage = Self::without_a_look(script);
        let probe =
            "about = 'x'\nsystem = 'live'\nduration = '1s'\n[live.hosts]\na = { run = 'true', workload = true }\n";
        std::fs::write(stage.path("probe.toml"), probe).expect("a file can be written");
        let tried = stage.call(&["live", "probe.toml", "--seed", "1"]);
        if tried.status.success() {
            return Some(stage);
        }
        let why = String::from_utf8_lossy(&tried.stderr).into_owned();
        assert!(why.contains("no live run can be made here"), "{why}{}", String::from_utf8_lossy(&tried.stdout));
        assert!(std::env::var_os("STORMGLASS_LIVE").is_none_or(|how| how != "required"), "they are required: {why}");
        skip(&why);
        None
    }

    fn without_a_look(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = script.replace("tcp-echo", TCP_ECHO).replace("udp-echo", UDP_ECHO);
        std::fs::write(folder.path().join("it.toml"), script).expect("a file can be written");
        Self { folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(STORMGLASS);
        command.args(arguments).current_dir(self.folder.path()).env_remove("STORMGLASS_SEED");
        command.stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command can be called")
    }

    /// The script's run with seed 1 and these arguments: its result, and all that was printed.
    fn run(&self, arguments: &[&str]) -> Value {
        let output = self.call(&[&["live", "it.toml", "--seed", "1", "--json"], arguments].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr));
        })
    }

    /// The same, with its records.
    fn records(&self) -> (Value, Vec<Value>) {
        let result = self.run(&["-o", "it.jsonl"]);
        (result, lines(&self.path("it.jsonl")))
    }
}

/// Says why a test is skipped, once for all that are so for the same reason. The macros would say it to nobody: what a test
/// prints is shown where it fails.
fn skip(why: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(why.to_owned()) {
        let _ = writeln!(std::io::stderr(), "live tests are skipped: {}", why.trim());
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("it was written");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// How many records there are of each kind.
fn kinds(records: &[Value]) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for kind in records.iter().filter_map(|record| record["kind"].as_str()) {
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    kinds
}

/// Which of the packets from one host to another were lost, by their places.
fn lost(records: &[Value], from: &str, to: &str) -> Vec<bool> {
    let is_sent = |record: &&Value| record["kind"] == "sent" && record["from"] == from && record["to"] == to;
    let is_lost = |packet: &Value| records.iter().any(|record| record["kind"] == "lost" && record["packet"] == *packet);
    records.iter().filter(is_sent).map(|record| is_lost(&record["packet"])).collect()
}

#[track_caller]
fn passes(result: &Value) {
    assert_eq!(result["verdict"], "pass", "{result:#}");
    assert_eq!((&result["hash"], &result["live"]), (&Value::Null, &Value::Bool(true)), "{result:#}");
    let packets = |name: &str| result["packets"][name].as_u64().expect("a count");
    let there = packets("delivered") + packets("lost") + packets("in_flight");
    assert_eq!(packets("sent") + packets("retransmitted") + packets("duplicated"), there, "{result:#}");
}
