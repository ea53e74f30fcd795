//! One sitting: a bug that a commit planted goes from a sweep to a script of a few lines, kept in `seeds/`, and to its commit,
//! with commands that were printed and nothing else.
//!
//! The repository is made here, and its program is this test under another name: what the service does, it reads from its
//! source as it was when it was built, so that a build takes no time.

#![allow(clippy::disallowed_methods, reason = "a test waits for a process")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use stormglass::net::{Net, Socket};
use stormglass::script::ScriptError;
use stormglass::sim::System;
use stormglass::sim::{Host, HostResult, Setup};
use tokio::time::timeout;

/// What the service asks before it counts an addition, and what a commit makes of it.
const RIGHT: &str = "last < number";
const WRONG: &str = "last != number";

const SIM: &str = "#:schema ../schema.json\nabout = \"Each addition counts once.\"\nsystem = \"counter\"\nduration = \"60s\"\n\
                   [counter]\nclients = 3\nadditions = 50\n[network]\nlatency = \"1ms..5ms\"\nloss = 0.05\nduplicate = 0.02\n\
                   reorder = { chance = 0.02, extra = \"20ms..100ms\" }\n";

fn main() -> ExitCode {
    let own = std::env::current_exe().expect("a program knows its own file");
    if own.file_name().is_some_and(|name| name == "counter") {
        return stormglass::cli::main(&[&Counter]);
    }
    let name =
        |profile| format!("a_planted_bug_is_found_made_small_kept_and_bisected_by_printed_commands_in_{profile}");
    let trial = |profile| Trial::test(name(profile), move || sitting(profile));
    let trials = vec![trial("debug"), trial("release")];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A counter over UDP; clients repeat each addition until it is answered.
struct Counter;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    clients: u64,
    additions: u64,
}

impl System for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn about(&self) -> &'static str {
        "a counter over UDP that counts each addition once"
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let Options { clients, additions } = setup.section()?;
        let source = std::env::current_exe().expect("a program knows its own file").with_extension("rs");
        let is_right = fs::read_to_string(source).expect("it was built from a source").contains(RIGHT);
        let total = Rc::new(Cell::new(0));
        let counted = total.clone();
        setup.host("server", move |host| serve(host, counted.clone(), is_right));
        for client in 1..=clients {
            setup.workload(format!("c{client}"), move |host| add(host, additions));
        }
        setup.at_end(move |report| {
            let (made, total) = (clients * additions, total.get());
            if total != made {
                report.violation("each addition counts once", format!("{total} were counted, {made} were made"));
            }
        });
        Ok(())
    }
}

async fn serve(host: Host, total: Rc<Cell<u64>>, is_right: bool) -> HostResult {
    let socket = host.net.bind("0.0.0.0:7000").await?;
    let mut last = BTreeMap::new();
    let mut buffer = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let Ok(number) = String::from_utf8_lossy(&buffer[..length]).parse::<u64>() else { continue };
        if last.get(&from).is_none_or(|last| if is_right { *last < number } else { *last != number }) {
            last.insert(from, number);
            total.set(total.get() + 1);
        }
        socket.send_to(number.to_string().as_bytes(), from).await?;
    }
}

async fn add(host: Host, additions: u64) -> HostResult {
    let socket = host.net.bind("0.0.0.0:0").await?;
    let server = host.net.resolve("server:7000").await?;
    let mut buffer = [0; 64];
    for number in 1..=additions {
        let wanted = number.to_string();
        loop {
            socket.send_to(wanted.as_bytes(), server).await?;
            let answer = timeout(Duration::from_millis(50), socket.recv_from(&mut buffer)).await;
            if matches!(answer, Ok(Ok((length, _))) if buffer[..length] == *wanted.as_bytes()) {
                break;
            }
        }
        host.events.work(1);
    }
    Ok(())
}

/// Runs a command as it was printed. `cargo` and `counter` are those of the repository.
fn paste(profile: &str, line: &str, repository: &Path, code: i32) -> Result<String, Failed> {
    let tools = repository.parent().ok_or("no folder")?.join("tools");
    let path = std::env::var("PATH")?;
    let path = format!("{}:{}:{path}", tools.display(), repository.join("target").join(profile).display());
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(repository).env("PATH", path).stdin(Stdio::null());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env_remove("STORMGLASS_SEED");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "x").env(format!("GIT_{who}_EMAIL"), "x@example.com");
    }
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(code) {
        return Err(format!("`{line}` ended with {}, not {code}:\n{told}", output.status).into());
    }
    println!("$ {line}\n{told}");
    Ok(told)
}

/// The command that stands behind a word at the margin.
fn printed(told: &str, word: &str) -> Result<String, Failed> {
    let line = told.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(':'));
    Ok(line.ok_or_else(|| format!("no `{word}:` in\n{told}"))?.trim().to_owned())
}

/// A repository with seven commits, of which the fifth plants the bug.
fn history(paste: &impl Fn(&str, &Path, i32) -> Result<String, Failed>, repository: &Path) -> Result<(), Failed> {
    let tools = repository.parent().ok_or("no folder")?.join("tools");
    fs::create_dir_all(&tools)?;
    fs::create_dir_all(repository.join("sims/counter"))?;
    fs::create_dir_all(repository.join("seeds"))?;
    let own = std::env::current_exe()?;
    // It builds the profile that it is told to, and leaves the other as it was.
    let build = format!(
        "#!/bin/sh\n[ \"$1\" = build ] || exit 1\ncase \" $* \" in *' --release '*) p=release;; *) p=debug;; esac\n\
         mkdir -p target/$p && cp counter.rs target/$p/ && cp -u '{}' target/$p/counter\n",
        own.display()
    );
    fs::write(tools.join("cargo"), build)?;
    paste(&format!("chmod +x {}/cargo && git init -q", tools.display()), repository, 0)?;
    fs::write(repository.join(".gitignore"), "target\n")?;
    fs::write(repository.join("seeds/.keep"), "")?;
    fs::write(repository.join("sims/counter/retries.toml"), SIM)?;
    for number in 1..=7 {
        let asks = if number < 5 { RIGHT } else { WRONG };
        fs::write(repository.join("counter.rs"), format!("// Edit {number}.\nif {asks} {{ count() }}\n"))?;
        let subject = if number == 5 { "counter: say what is meant" } else { "counter: reword" };
        paste(&format!("git add -A && git commit -q -m '{subject}'"), repository, 0)?;
    }
    Ok(())
}

fn sitting(profile: &'static str) -> Result<(), Failed> {
    if Command::new("git").arg("--version").output().is_err() {
        println!("skipped: there is no git");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let repository = folder.path().join("repository");
    fs::create_dir(&repository)?;
    let paste = |line: &str, repository: &Path, code| paste(profile, line, repository, code);
    history(&paste, &repository)?;
    paste(if profile == "release" { "cargo build --release" } else { "cargo build" }, &repository, 0)?;
    let found = paste("counter sweep counter/retries --seeds 0..200", &repository, 1)?;
    paste(&printed(&found, "reproduce")?, &repository, 1)?;
    let kept = printed(&found, "keep")?.replace('…', "Additions count twice.");
    paste(&kept, &repository, 0)?;
    let small = paste(&printed(&found, "shrink")?, &repository, 0)?;
    paste(&printed(&small, "reproduce")?, &repository, 1)?;
    paste(&printed(&small, "replay")?, &repository, 0)?;

    let script = printed(&small, "reproduce")?;
    let script = script.split_whitespace().find(|word| word.contains(".toml")).ok_or("no script")?;
    let script = fs::read_to_string(repository.join(script))?;
    let faults = script.lines().filter(|line| ["[[step]]", "[[packet]]"].contains(line)).count();
    if !(1..=6).contains(&faults) || script.lines().count() > 40 {
        return Err(format!("it is not small:\n{script}").into());
    }
    let bisect = printed(&small, "bisect")?.replace("GOOD", "HEAD~6");
    let bisected = paste(&bisect, &repository, 0)?;
    let is_found = bisected.contains("is the first bad commit") && bisected.contains("counter: say what is meant");
    if is_found { Ok(()) } else { Err(format!("another commit was found:\n{bisected}").into()) }
}
