//! Hosts that misbehave: each is a clear result of its own, never a hang, and never the end of a sweep.
//!
//! This test is a command line over a system of its own, as a user's binary is: called with `STORMGLASS_TEST_CLI` it is
//! one, and without it runs itself so.

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use serde_json::Value;
use stormglass::net::{Net as _, Socket as _};
use stormglass::script::ScriptError;
use stormglass::sim::System;
use stormglass::sim::{Host, Setup};
use tokio::time::sleep;

fn main() -> ExitCode {
    if std::env::var_os("STORMGLASS_TEST_CLI").is_some() {
        return stormglass::cli::main(&[&Bad]);
    }
    let trials = TESTS.iter().map(|(name, test)| Trial::test(*name, test)).collect();
    let mut arguments = Arguments::from_args();
    // They wait more than they compute.
    arguments.test_threads.get_or_insert(6);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A system with one host, which does what its script says.
struct Bad;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    host: String,
}

macro_rules! sim {
    ($name:literal) => {
        sim!($name, "")
    };
    ($name:literal, $more:literal) => {
        (
            $name,
            concat!("about = \"A host.\"\nsystem = \"bad\"\nduration = \"5s\"\n[bad]\nhost = \"", $name, "\"\n", $more),
        )
    };
}

impl System for Bad {
    fn name(&self) -> &'static str {
        "bad"
    }

    fn about(&self) -> &'static str {
        "Hosts that misbehave."
    }

    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[
            sim!("good"),
            sim!("panics"),
            sim!("loops"),
            sim!("idles"),
            sim!("guesses"),
            sim!("violates"),
            sim!("violates-now-and-then"),
            sim!("fails"),
            sim!("prints"),
            sim!("aborts"),
            sim!("exits"),
            sim!("recurses"),
            sim!("eats"),
            sim!("guesses-and-violates"),
            sim!("mails"),
            sim!("dates"),
            sim!("hashes"),
            sim!("threads"),
            sim!("state-panics", "[[step]]\nwhen = \"ready\"\npause = \"n1\"\nfor = \"1s\"\n"),
            sim!("role-panics", "[[step]]\nat = \"100ms\"\npause = \"@idle\"\nfor = \"1s\"\n"),
            sim!("check-panics"),
            sim!("hangs"),
            sim!("is-slow"),
            (
                "expected",
                "about = \"A host.\"\nsystem = \"bad\"\nduration = \"5s\"\n[bad]\nhost = \"violates\"\n[expect]\nviolation = \"order\"\n",
            ),
            (
                "missing",
                "about = \"A host.\"\nsystem = \"bad\"\nduration = \"5s\"\n[bad]\nhost = \"good\"\n[expect]\nviolation = \"order\"\n",
            ),
        ]
    }

    fn roles(&self) -> &'static [&'static str] {
        &["idle"]
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let options: Options = setup.section()?;
        let panics = |who: &'static str| {
            let it_does = options.host == format!("{who}-panics");
            move || assert!(!it_does, "the {who} has fallen")
        };
        let (state, role, check) = (panics("state"), panics("role"), panics("check"));
        setup.state("ready", move || {
            state();
            false
        });
        setup.role("idle", move || {
            role();
            Vec::new()
        });
        setup.at_end(move |_| check());
        if options.host == "mails" {
            setup.host("n2", |host| async move {
                let socket = host.net.bind("0.0.0.0:9").await?;
                loop {
                    socket.recv_from(&mut [0; 1024]).await?;
                }
            });
        }
        setup.workload("n1", move |host: Host| behave(host, options.host.clone()));
        Ok(())
    }
}

async fn behave(mut host: Host, how: String) -> Result<(), Box<dyn Error>> {
    use rand::RngCore as _;
    let lucky = host.rng.next_u64().is_multiple_of(2);
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    for n in 0..20_u64 {
        sleep(Duration::from_millis(50)).await;
        host.events.event("tick", vec![("n", n.into())]);
        if n < 10 {
            continue;
        }
        if n == 10 {
            leak(&host, &how).await?;
        }
        match how.as_str() {
            "panics" => panic!("the sky is falling"),
            "loops" => loop {
                std::hint::spin_loop();
            },
            "guesses" => {
                host.events.event("guess", vec![("n", u64::from(std::process::id()).into())]);
            }
            "guesses-and-violates" => {
                host.events.event("guess", vec![("n", u64::from(std::process::id()).into())]);
                host.events.violation("order", "2 came before 1");
            }
            "eats" => eaten.extend((0..64).map(|_| vec![1; 1 << 20])),
            "violates" => host.events.violation("order", "2 came before 1"),
            "violates-now-and-then" if lucky => host.events.violation("order", "2 came before 1"),
            "hangs" => std::future::pending().await,
            "is-slow" => {
                host.events.work(1);
                sleep(Duration::from_millis(900)).await;
            }
            "fails" => return Err("the disk is full".into()),
            "prints" => print!("half a line"),
            "aborts" => std::process::abort(),
            "exits" => std::process::exit(7),
            "recurses" => drop(black_box(recurse(n))),
            _ => {}
        }
    }
    if how != "idles" {
        host.events.work(1);
    }
    Ok(())
}

/// What a run is not to depend on.
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "that is what it is for")]
async fn leak(host: &Host, how: &str) -> Result<(), Box<dyn Error>> {
    use std::collections::HashSet;
    use std::time::SystemTime;
    match how {
        "mails" => {
            let socket = host.net.bind("0.0.0.0:0").await?;
            let mail = format!("{}{}", "x".repeat(400), std::process::id());
            socket.send_to(mail.as_bytes(), host.net.resolve("n2:9").await?).await?;
        }
        "dates" => {
            let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
            host.events.event("dated", vec![("date", date.into())]);
        }
        "hashes" => {
            let set: HashSet<u64> = (0..32).collect();
            host.events.event("listed", vec![("set", format!("{set:?}").into())]);
        }
        "threads" => {
            std::thread::Builder::new().name("late".to_owned()).spawn(std::thread::park)?;
            host.events.event("guess", vec![("n", u64::from(std::process::id()).into())]);
        }
        _ => {}
    }
    Ok(())
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn recurse(n: u64) -> Vec<u64> {
    let mut deeper = recurse(black_box(n + 1));
    deeper.push(n);
    deeper
}

type Tests = [(&'static str, fn() -> Result<(), Failed>)];

const TESTS: &Tests = &[
    ("a_good_host_passes", || {
        call(&["run", "bad/good", "--seed", "1"]).expect(0)?.says("PASS bad/good seed=1")?;
        call(&["verify", "bad/good", "--seed", "1"]).expect(0)?.says("same hash in two fresh processes")?;
        Ok(())
    }),
    ("the_command_goes_by_its_own_name", || {
        let name = std::env::current_exe()?.file_name().ok_or("no name")?.to_string_lossy().into_owned();
        call(&["run", "bad/violates", "--seed", "1"])
            .expect(1)?
            .says(&format!("reproduce: {name} run bad/violates --seed 1\n"))?;
        Ok(())
    }),
    ("a_panic_is_told_with_its_host_and_message", || {
        let ran = call(&["run", "bad/panics", "--seed", "1"]).expect(1)?;
        ran.says("FAIL bad/panics seed=1 at 0.55")?.says(": panic: ")?.says("n1")?.says("the sky is falling")?;
        Ok(())
    }),
    ("a_panic_of_what_the_testbed_calls_is_told_too", || {
        for who in ["state", "role", "check"] {
            let ran = call(&["run", &format!("bad/{who}-panics"), "--seed", "1"]).expect(1)?;
            ran.says("panic: in the testbed: ")?.says(&format!("the {who} has fallen"))?;
        }
        Ok(())
    }),
    ("a_host_that_does_not_yield_is_named", || {
        let ran = call(&["run", "bad/loops", "--seed", "1", "--stall", "1s"]).expect(1)?;
        ran.says("FAIL bad/loops seed=1 at 0.55")?.says("stuck: n1 did not yield for 1 s of wall time\n")?;
        let ran = call(&["run", "bad/loops", "--seed", "1", "--stall", "1s", "--json"]).expect(1)?.json()?;
        check(ran["verdict"] == "stuck" && ran["hash"].is_null(), &ran)?;
        call(&["verify", "bad/loops", "--stall", "1s"]).expect(1)?.says("stuck: n1 did not yield")?;
        call(&["show", "bad/loops", "--stall", "1s"]).expect(1)?.says("stuck: n1 did not yield")?;
        Ok(())
    }),
    ("a_run_without_work_says_nothing", || {
        call(&["run", "bad/idles", "--seed", "1"]).expect(4)?.says("INCONCLUSIVE bad/idles seed=1: ")?;
        let swept = call(&["sweep", "bad/idles", "--seeds", "0..3"]).expect(4)?;
        swept.says("INCONCLUSIVE bad/idles seeds 0..=2")?.says("0 passed, 0 failed, 3 inconclusive")?;
        Ok(())
    }),
    ("a_host_with_entropy_is_caught_with_the_record", || {
        let verified = call(&["verify", "bad/guesses", "--seed", "1"]).expect(3)?;
        verified.says("FAIL bad/guesses seed=1: not deterministic: two runs have the hashes ")?;
        verified.says("the first record that differs is ")?.says("  first ")?.says("  second ")?.says("guess n=")?;
        verified.says("\n         n: ")?.says("a clock finer than a second, hash order, entropy, or ")?;
        Ok(())
    }),
    ("a_payload_that_differs_behind_its_cut_is_shown_where_it_does", || {
        let verified = call(&["verify", "bad/mails", "--seed", "1"]).expect(3)?;
        verified.says("\n         payload, at byte 40")?.says("\"…xxxxx")?;
        Ok(())
    }),
    ("a_clock_in_whole_seconds_is_no_false_ok", || {
        let verified = call(&["verify", "bad/dates", "--seed", "1"]).expect(3)?;
        verified.says("\n         date: ")?.says("leak  the wall clock in whole seconds")?;
        check(!verified.out.contains("cannot tell"), &verified.out)
    }),
    ("hash_order_is_found_and_what_cannot_be_told_is_said", || {
        let verified = call(&["verify", "bad/hashes", "--seed", "1"]).expect(3)?;
        verified.says("\n         set, at byte ")?.says("With `stormglass::hold_clock_and_entropy!();`")?;
        Ok(())
    }),
    ("a_thread_that_a_run_starts_is_named", || {
        let verified = call(&["verify", "bad/threads", "--seed", "1"]).expect(3)?;
        verified.says("leak  a thread: the run starts `late`, ")?;
        Ok(())
    }),
    ("who_hangs_has_failed_and_who_is_at_work_has_not", || {
        call(&["run", "bad/hangs", "--seed", "1"]).expect(1)?.says("liveness: n1 did not finish in 5s")?;
        let slow = call(&["run", "bad/is-slow", "--seed", "1"]).expect(4)?;
        slow.says("n1 was still at work: it takes more than a `duration` of 5s")?;
        Ok(())
    }),
    ("a_violation_is_a_violation", || {
        call(&["run", "bad/violates", "--seed", "1"]).expect(1)?.says("FAIL bad/violates seed=1 at 0.55")?;
        let ran = call(&["run", "bad/violates", "--seed", "1", "--json"]).expect(1)?.json()?;
        check(ran["violation"]["invariant"] == "order" && ran["violation"]["message"] == "2 came before 1", &ran)?;
        call(&["verify", "bad/violates", "--seed", "1"]).expect(0)?.says("both came to the same: FAIL bad/violates")?;
        Ok(())
    }),
    ("a_violation_that_is_expected_must_come", || {
        let ran = call(&["run", "bad/expected", "--seed", "1"]).expect(0)?;
        ran.says("PASS bad/expected seed=1: violation as expected: order: 2 came before 1\n")?;
        call(&["run", "bad/missing", "--seed", "1"]).expect(1)?.says("did not come: order")?;
        Ok(())
    }),
    ("an_error_of_a_host_is_in_the_records", || {
        let shown = call(&["show", "bad/fails", "--seed", "1"]);
        shown.says("n1  ended with an error: the disk is full")?;
        Ok(())
    }),
    ("what_a_host_prints_is_not_taken_for_a_message", || {
        let ran = call(&["run", "bad/prints", "--seed", "1", "--json"]).expect(0)?;
        ran.json()?;
        check(ran.err.contains("half a linehalf a line"), &ran.err)
    }),
    ("a_process_that_dies_is_a_result", || {
        call(&["run", "bad/aborts", "--seed", "1"]).expect(1)?.says("died while n1 ran (signal: 6 (SIGABRT)")?;
        call(&["run", "bad/exits", "--seed", "1"]).expect(1)?.says("died while n1 ran (exit status: 7)")?;
        call(&["run", "bad/recurses", "--seed", "1"]).expect(1)?.says("died while n1 ran (signal: 6 (SIGABRT)")?;
        Ok(())
    }),
    ("a_sweep_goes_on_after_whatever_happens", || {
        let sims = ["bad/aborts", "bad/panics", "bad/loops", "bad/violates-now-and-then", "bad/good"];
        let mut args = vec!["sweep"];
        args.extend(sims);
        args.extend(["--seeds", "0..4", "--jobs", "2", "--stall", "1s", "--keep-going"]);
        let swept = call(&args).expect(1)?;
        swept.says("FAIL bad/aborts seeds 0..=3")?.says("PASS bad/good seeds 0..=3")?.says("20 runs in ")?;
        args.extend(["--json", "-"]);
        let swept = call(&args).expect(1)?.json()?;
        let failed: Vec<_> =
            swept["sims"].as_array().ok_or("no sims")?.iter().map(|sim| sim["failed"].as_u64()).collect();
        check(failed[..3] == [Some(4); 3] && failed[4] == Some(0), &failed)
    }),
    ("a_run_that_eats_memory_is_ended_and_named", || {
        let ran = call(&["run", "bad/eats", "--seed", "1", "--memory", "200MiB"]).expect(1)?;
        ran.says("FAIL bad/eats seed=1 at 0.")?
            .says("memory: the process of the run took more than 200MiB while n1 ran\n")?;
        let swept = call(&["sweep", "bad/eats", "bad/good", "--seeds", "0..2", "--keep-going", "--memory", "200MiB"]);
        swept.expect(1)?.says("FAIL bad/eats seeds 0..=1")?.says("PASS bad/good seeds 0..=1")?;
        call(&["run", "bad/eats", "--seed", "1", "--memory", "8GiB"]).expect(0)?.says("PASS bad/eats seed=1")?;
        Ok(())
    }),
    ("a_failing_seed_that_is_not_deterministic_is_told_from_a_failure", || {
        let swept = call(&["sweep", "bad/guesses-and-violates", "--seeds", "0..9"]).expect(3)?;
        let name = std::env::current_exe()?.file_name().ok_or("no name")?.to_string_lossy().into_owned();
        swept.says("NOT DETERMINISTIC bad/guesses-and-violates seed=0: run again, it came to something else: ")?;
        swept.says(&format!("{name} verify bad/guesses-and-violates --seed 0\n"))?.says("after 1 of 9 runs")?;
        Ok(())
    }),
    ("workers_do_not_outlive_the_command", || {
        let mut child = command(&["run", "bad/loops", "--stall", "600s"]).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        // The options are printed before the run begins.
        BufReader::new(out).lines().take(2).for_each(drop);
        let worker = loop {
            if let Some(worker) = children(child.id())?.first() {
                break *worker;
            }
            check(child.try_wait()?.is_none(), &"it ended")?;
        };
        child.kill()?;
        child.wait()?;
        // Nothing tells the worker but the end of its input.
        while is_alive(worker) {
            std::hint::spin_loop();
        }
        Ok(())
    }),
];

struct Called {
    code: i32,
    out: String,
    err: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own file"));
    command.args(args).env("STORMGLASS_TEST_CLI", "1").env_remove("STORMGLASS_SEED").stdin(Stdio::null());
    command
}

fn call(args: &[&str]) -> Called {
    let output = command(args).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Called { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

impl Called {
    fn expect(self, code: i32) -> Result<Self, Failed> {
        if self.code == code {
            return Ok(self);
        }
        Err(format!("exit code {} is not {code}\n--- out\n{}--- err\n{}", self.code, self.out, self.err).into())
    }

    fn says(&self, text: &str) -> Result<&Self, Failed> {
        if self.out.contains(text) { Ok(self) } else { Err(format!("`{text}` is not in\n{}", self.out).into()) }
    }

    fn json(&self) -> Result<Value, Failed> {
        Ok(serde_json::from_str(&self.out)?)
    }
}

fn check(holds: bool, what: &impl std::fmt::Debug) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{what:?}").into()) }
}

/// The child processes of a process, from its own list of them.
fn children(process: u32) -> Result<Vec<u32>, Failed> {
    let list = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    Ok(list.split_whitespace().filter_map(|id| id.parse().ok()).collect())
}

/// Whether a process runs: one that is dead and not yet waited for does not.
fn is_alive(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}
