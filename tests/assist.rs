//! What a shell, a manual's reader and whoever reports a bug want of the command.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn call(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    let output = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// The names of all calls that `--help` shows.
fn calls() -> Vec<String> {
    let (_, help, _) = call(Path::new("."), &["--help"]);
    let listed = help.split("Commands:\n").nth(1).expect("a list").split("\n\n").next().expect("its end");
    let name = |line: &str| {
        line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split(' ').next().map(str::to_owned)
    };
    listed.lines().filter_map(name).filter(|name| name != "help").collect()
}

#[test]
fn the_version_says_the_commit() {
    let git = Command::new("git").args(["log", "-1", "--format=%h %cs", "--abbrev=9"]).output();
    let commit =
        git.ok().filter(|output| output.status.success()).map(|output| String::from_utf8(output.stdout).unwrap());
    let Some(commit) = commit else { return println!("skipped: these sources are in no git repository") };
    let version = format!("{} ({})", env!("CARGO_PKG_VERSION"), commit.trim());
    for (program, path) in [
        ("stormglass", env!("CARGO_BIN_EXE_stormglass")),
        ("tcp-echo", env!("CARGO_BIN_EXE_tcp-echo")),
        ("udp-echo", env!("CARGO_BIN_EXE_udp-echo")),
        ("raft-node", env!("CARGO_BIN_EXE_raft-node")),
        ("load-balancer", env!("CARGO_BIN_EXE_load-balancer")),
    ] {
        let output = Command::new(path).arg("--version").output().expect("it starts");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{program} {version}\n"));
    }
}

#[test]
fn shells_complete_every_call() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script, _) = call(Path::new("."), &["completions", shell]);
        assert_eq!(code, 0, "{shell}");
        calls().iter().for_each(|name| assert!(script.contains(name.as_str()), "{shell} does not complete `{name}`"));
    }
    let (code, _, error) = call(Path::new("."), &["completions", "sh"]);
    assert!(code == 2 && error.contains("[possible values: bash, elvish, fish, powershell, zsh]"), "{error}");
}

#[test]
fn bash_takes_the_completions() {
    let (_, script, _) = call(Path::new("."), &["completions", "bash"]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("completions"), script).unwrap();
    let ask = "source ./completions; COMP_WORDS=(stormglass verif); COMP_CWORD=1; _stormglass stormglass verif stormglass; \
               echo ${COMPREPLY[@]}";
    let Ok(output) = Command::new("bash").args(["-c", ask]).current_dir(folder.path()).output() else {
        return println!("skipped: there is no bash");
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "verify", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn there_is_a_page_of_the_manual_for_every_call() {
    let folder = tempfile::tempdir().unwrap();
    let (code, page, _) = call(folder.path(), &["man"]);
    assert!(code == 0 && page.contains(".TH stormglass 1") && page.contains(r"stormglass\-verify(1)"), "{page}");
    let (code, written, _) = call(folder.path(), &["man", "-o", "."]);
    assert_eq!(code, 0);
    for name in calls() {
        let page = fs::read_to_string(folder.path().join(format!("stormglass-{name}.1"))).expect(&name);
        assert!(page.contains(".SH SYNOPSIS") && written.contains(&format!("stormglass-{name}.1")), "{page}");
    }
    let (code, _, error) = call(folder.path(), &["man", "-o", "nowhere"]);
    assert!(code == 2 && error.contains("there is no directory nowhere"), "{code} {error}");
}
