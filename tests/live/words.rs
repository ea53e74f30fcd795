//! What is said: verdicts, errors, and what becomes of a run that is ended from outside.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::{Stage, passes, skip};

fn script(hosts: &str, rest: &str) -> String {
    format!("about = 'x'\nsystem = 'live'\nduration = '2s'\n[live.hosts]\n{hosts}\n{rest}")
}

#[track_caller]
fn comes_to(script: &str, exit: i64, reason: &str) {
    let Some(stage) = Stage::new(script) else { return };
    let result = stage.run(&[]);
    let said = result["violation"]["message"].as_str().or(result["reason"].as_str()).unwrap_or_default();
    assert_eq!(result["exit_code"].as_i64(), Some(exit), "{result:#}");
    assert!(said.contains(reason), "`{said}` is not `{reason}`");
}

#[test]
fn a_process_that_dies_by_itself_is_found() {
    comes_to(&script("a = 'sleep 0.1; echo bye; exit 7'", ""), 1, "a exited with code 7: its last line was `bye`");
    let expected = "[[live.expect]]\nhost = 'a'\nexit = 7\n";
    comes_to(&script("a = 'sleep 0.1; exit 7'\nb = { run = 'sleep 0.2', workload = true }", expected), 0, "");
    comes_to(
        &script("a = 'sleep 0.1; exit 8'\nb = { run = 'sleep 0.2', workload = true }", expected),
        1,
        "the exit code of a is 8, expected = 7",
    );
    comes_to(
        &script("a = 'sleep 9'\nb = { run = 'sleep 0.2', workload = true }", expected),
        1,
        "it did not end by itself",
    );
}

#[test]
fn a_run_in_which_nothing_was_tried_says_nothing() {
    comes_to(&script("a = 'sleep 9'", ""), 4, "no work was completed");
    comes_to(
        &script("a = { run = 'echo oh; exit 3', ready = { port = 80 } }", ""),
        4,
        "a exited with code 3 before it was ready: its last line was `oh`",
    );
    let inert = "[[step]]\nat = '100ms'\npartition = [['a'], ['b']]\nfor = '100ms'\n";
    comes_to(&script("a = { run = 'sleep 0.5', workload = true }\nb = 'sleep 9'", inert), 4, "was inert");
}

#[test]
fn limits_are_kept() {
    comes_to(
        &script("a = { run = 'sleep 9', workload = true, time = '200ms' }", ""),
        1,
        "a ran for longer than the 200ms that it may",
    );
    comes_to(&script("a = { run = 'sleep 9', workload = true }", ""), 1, "a did not finish in 2s");
    let hungry =
        "a = { run = 'x=$(head -c 60000000 /dev/zero | tr \"\\\\0\" x); sleep 9', workload = true, memory = '20MiB' }";
    comes_to(&script(hungry, ""), 1, "and may take 20MiB");
}

#[test]
fn a_probe_from_outside_sees_through_a_partition() {
    let server = "a = { run = 'cd {dir} && echo well >health && exec python3 -m http.server 80', ready = { url = 'http://localhost/health' } }\nb = 'sleep 9'";
    if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
        skip("there is no python3");
        return;
    }
    let cut = "[[step]]\nat = '0s'\npartition = [['a'], ['b']]\nmay_be_inert = true\n";
    let probe = |path: &str, body: &str| {
        format!("[[live.expect]]\nprobe = 'http://a{path}'\nat = '300ms'\nbody = '{body}'\n{cut}")
    };
    comes_to(&script(server, &probe("/health", "^well")), 0, "");
    comes_to(
        &script(server, &probe("/health", "^ill")),
        1,
        "the answer of http://a:80/health is \"well\", expected `^ill` in it",
    );
    comes_to(&script(server, &probe("/none", "")), 1, "is status 404, expected = 200");
}

#[track_caller]
fn refused(script: &str, place: &str, message: &str) {
    let stage = Stage::without_a_look(script);
    for call in ["live", "run"] {
        let output = stage.call(&[call, "it.toml", "--seed", "1"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("it.toml:{place}: ")) && said.contains(message), "{said}");
    }
}

#[test]
fn mistakes_are_pointed_at() {
    refused(&script("", ""), "4:7", "there are no hosts");
    refused(&script("a = { rum = 'x' }", ""), "5:7", "did you mean `run`?");
    refused(&script("A_b = 'x'", ""), "5:1", "`A_b` cannot be a host's name");
    refused(&script("a = { run = 'x', ready = { port = 1, line = 'x' } }", ""), "5:18", "one of `port`, `line`, `url`");
    refused(
        &script("a = 'x'", "[[live.expect]]\nhost = 'a'\nline = '(x'"),
        "8:1",
        "`(x` is no regular expression: unclosed group",
    );
    refused(&script("server = 'x'", "[[live.expect]]\nhost = 'sever'\nexit = 0"), "7:1", "did you mean `server`?");
    refused(
        &script("a = 'x'", "[[live.expect]]\nhost = 'a'\nexit = 0\nstatus = 200"),
        "9:1",
        "`status` says nothing without `probe`",
    );
    refused(
        &script("a = 'x'", "[[step]]\nat = '1s'\ndisk = { sync = '5ms' }"),
        "8:1",
        "the disks of real processes are this machine's",
    );
    refused(
        &script("a = 'x'\nb = 'y'", "[[step]]\nat = '1s'\ndrop = { message = 'Vote' }"),
        "9:20",
        "no packet is called `Vote`",
    );
    refused(&script("a = { run = 'x', memory = '0B' }", ""), "5:18", "no program runs without memory");
    refused(&script("a = { run = 'x', time = '0s' }", ""), "5:18", "no program runs in no time");
    refused(&script("a = 'x'", "[network.tcp]\ntries = 3"), "6:10", "the TCP of real processes is the kernel's");
}

#[test]
fn an_ordinary_command_says_what_makes_such_a_run() {
    let stage = Stage::without_a_look(&script("a = 'true'", ""));
    for call in [
        &["run", "it.toml", "--seed", "1"][..],
        &["verify", "it.toml", "--seed", "1"],
        &["show", "it.toml", "--seed", "1"],
    ] {
        let output = stage.call(call);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{call:?}: {said}");
        assert!(
            said.contains("its hosts are real processes") && said.contains("`stormglass live`"),
            "{call:?}: {said}"
        );
    }
}

/// The processes whose command line has this word in it.
fn processes(word: &str) -> usize {
    let entries = fs::read_dir("/proc").expect("there is /proc");
    let lines = entries.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
}

#[track_caller]
#[allow(clippy::disallowed_methods, reason = "processes come and go in real time")]
fn soon(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("not soon: {what}");
}

#[test]
fn nothing_is_left_of_a_run_that_was_ended_and_the_next_one_says_so() {
    // A time that nobody else sleeps for names its processes.
    let Some(stage) = Stage::new(
        &script("a = 'sleep 98765 & sleep 98765; true'\nb = 'sleep 98765; true'", "").replace("'2s'", "'60s'"),
    ) else {
        return;
    };
    let begin = || {
        let mut command = stage.command(&["live", "it.toml", "--seed", "1"]);
        let run = command.env("TMPDIR", stage.folder.path()).stdout(Stdio::piped()).spawn().expect("it can be called");
        soon("its processes are there", || processes("sleep\098765") == 3);
        run
    };
    let left = || {
        fs::read_dir(stage.folder.path())
            .expect("a folder")
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("stormglass-live-"))
            .count()
    };

    let mut run = begin();
    signal(run.id(), "TERM");
    assert_eq!(run.wait().expect("it ends").code(), Some(130));
    let mut said = String::new();
    run.stdout.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
    assert!(said.contains("INTERRUPTED"), "{said}");
    assert_eq!((processes("sleep\098765"), left()), (0, 0));

    let mut run = begin();
    run.kill().expect("it is there");
    run.wait().expect("it ends");
    soon("its processes are gone", || processes("sleep\098765") == 0);
    assert_eq!(left(), 1);
    let output = stage
        .command(&["live", "probe.toml", "--seed", "1"])
        .env("TMPDIR", stage.folder.path())
        .output()
        .expect("it can be called");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("was left by a live run that was killed, and is removed"), "{said}");
    assert_eq!(left(), 0);
}

fn signal(process: u32, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status();
    assert!(sent.expect("there is `kill`").success());
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

#[test]
fn a_user_without_rights_has_live_runs_too_where_user_namespaces_are_allowed() {
    let Some(stage) = Stage::new(&script(
        "a = { run = 'id -u; sleep 0.1', workload = true }",
        "[[live.expect]]\nhost = 'a'\nline = '^0$'\n",
    )) else {
        return;
    };
    if !is_root() {
        return passes(&stage.run(&[]));
    }
    let Some(output) = arranged(&stage, OPEN_TUN, AS_NOBODY) else { return };
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if said.contains("or unprivileged user namespaces, and") {
        skip(&said);
        return;
    }
    assert!(output.status.success() && said.contains("PASS it.toml"), "{said}");
}

/// A TUN device that anybody may open, as most systems have it.
const OPEN_TUN: &str = "rm -f tun && mknod tun c 10 200 && chmod 666 tun && mount --bind tun /dev/net/tun";
/// How a user without rights calls the command.
const AS_NOBODY: &str = "exec setpriv --reuid=65534 --regid=65534 --clear-groups ./stormglass live it.toml --seed 1";
/// How root of a user namespace does who may have no other, and has not what root may. The kernel's own limit is everybody's:
/// it is not touched.
const IN_THE_LAST_NAMESPACE: &str = "exec unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces || exit 99; \
                                     exec setpriv --bounding-set=-all ./stormglass live it.toml --seed 1'";

/// The script's run by such a call, after root has arranged this in mounts of its own; `None`, with the reason printed, where
/// root may not.
fn arranged(stage: &Stage, arranged: &str, call: &str) -> Option<Output> {
    // A copy of the program where that user can read it.
    let program = stage.path("stormglass");
    fs::copy(super::STORMGLASS, &program).expect("it can be copied");
    let open = |path: &std::path::Path| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755));
    open(stage.folder.path()).and_then(|()| open(&program)).expect("it is ours");
    let script = format!("if {arranged}; then {call}; fi; exit 99");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).current_dir(stage.folder.path());
    let Ok(output) = command.output() else {
        skip("there is no `unshare`");
        return None;
    };
    if output.status.code() == Some(99) {
        skip(&format!("`{arranged}` fails: {}", String::from_utf8_lossy(&output.stderr)));
        return None;
    }
    Some(output)
}

#[test]
fn a_refusal_says_what_is_missing_and_what_will_do() {
    let Some(stage) = Stage::new(&script("a = { run = 'true', workload = true }", "")) else { return };
    if !is_root() {
        skip("only root can take away what is there");
        return;
    }
    let will_do = "root or unprivileged user namespaces will do";
    let no_tun = ("mount -t tmpfs none /dev/net", AS_NOBODY);
    let not_for_all = (&*format!("{OPEN_TUN} && chmod 600 tun"), AS_NOBODY);
    let no_namespaces = (OPEN_TUN, IN_THE_LAST_NAMESPACE);
    for ((arrange, call), missing) in [
        (no_tun, ["/dev/net/tun cannot be opened: No such file", will_do]),
        (not_for_all, ["/dev/net/tun cannot be opened: Permission denied", will_do]),
        (
            no_namespaces,
            ["or unprivileged user namespaces, and these are refused", "user.max_user_namespaces forbids more"],
        ),
    ] {
        let Some(output) = arranged(&stage, arrange, call) else { continue };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arrange}: {said}");
        assert!(said.contains("no live run can be made here"), "{arrange}: {said}");
        assert!(missing.iter().all(|words| said.contains(words)), "{arrange}: {said}");
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_run() {
    let stage = Stage::without_a_look(&script("a = { run = 'true', workload = true }", ""));
    for (options, reason) in [
        (&["-o", "no/it.jsonl"][..], "there is no directory no"),
        (&["--junit", "no/it.xml"], "there is no directory no"),
        (&["-o", "it.txt"], "`.jsonl` its records"),
        (&["--shrink", "-o", "small.toml", "--json"], "cannot be used with"),
        (&["--shrink"], "say where, with `--output FILE.toml`"),
        (&["--lines", "--json"], "cannot be used with"),
    ] {
        let output = stage.call(&[&["live", "it.toml", "--seed", "1"], options].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{options:?}: {said}");
        assert!(said.contains(reason), "{options:?}: {said}");
    }
}
