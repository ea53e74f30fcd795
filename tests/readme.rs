//! What the README and the guide show is what comes.
//!
//! Every command of their `console` blocks is run, and what it prints is compared with what they show, but for wall-clock
//! times; a block that is not run has a comment before it that says why. `STORMGLASS_BLESS=1 cargo test readme` writes what
//! comes into the pages.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const README: &str = include_str!("../README.md");
const COMMANDS: &str = include_str!("../src/guide/commands.md");
const CHECKS: &str = include_str!("../src/guide/checks.md");
const FIGURES: &str = include_str!("../src/guide/figures.md");

/// The lines that a page shows after `$ call`, up to the end of the block.
fn shown(page: &'static str, call: &str) -> Vec<&'static str> {
    let start = format!("$ {call}\n");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no page shows `{call}`"));
    let block = rest.split("\n```").next().expect("a block has an end");
    block.lines().take_while(|line| !line.starts_with("$ ")).collect()
}

fn stormglass(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stormglass"))
        .args(args)
        .current_dir(ROOT)
        .env_remove("STORMGLASS_SEED")
        .output()
        .expect("the binary runs");
    String::from_utf8(output.stdout).expect("text")
}

/// A folder as a checkout is, for commands that write files.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["sims", "seeds"] {
            std::os::unix::fs::symlink(Path::new(ROOT).join(name), folder.path().join(name)).expect("a link");
        }
        Self(folder)
    }

    /// What a line of shell prints, with this build's programs on its path.
    fn shell(&self, line: &str) -> String {
        let programs = Path::new(env!("CARGO_BIN_EXE_stormglass")).parent().expect("a folder");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).current_dir(self.0.path()).stdin(Stdio::null()).env("PATH", path);
        let output = shell.env_remove("STORMGLASS_SEED").env("NO_COLOR", "1").output().expect("there is bash");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// A line without its wall-clock time, which is another one each time.
fn steady(line: &str) -> String {
    if line.contains(" times real time") {
        return "a pace".to_owned();
    }
    let mut words: Vec<&str> = line.split(' ').collect();
    for place in 1..words.len() {
        if words[place - 1] == "in" && words[place].parse::<f64>().is_ok() {
            words[place] = "T";
        }
    }
    words.join(" ").trim_end().to_owned()
}

/// What a page shows, with what its commands print now. Blocks that are not run stay as they are.
fn run_again(page: &str) -> String {
    let checkout = Checkout::new();
    let mut made = String::new();
    let mut lines = page.lines().peekable();
    let mut before = "";
    while let Some(line) = lines.next() {
        made.push_str(line);
        made.push('\n');
        if line == "```console" && !before.starts_with("<!-- not run: ") {
            while let Some(command) = lines.next_if(|line| *line != "```") {
                let call = command.strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {command}"));
                let printed = checkout.shell(call);
                assert!(!printed.is_empty(), "`{call}` prints nothing");
                let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
                let mut shown = Vec::new();
                while let Some(line) = lines.next_if(|line| *line != "```" && !line.starts_with("$ ")) {
                    shown.push(line);
                }
                let is_same = shown.iter().map(|line| steady(line)).eq(printed.iter().map(|line| steady(line)));
                made.push_str(command);
                made.push('\n');
                for line in if is_same { shown } else { printed } {
                    made.push_str(line);
                    made.push('\n');
                }
            }
        }
        before = line;
    }
    made
}

#[test]
fn what_is_shown_is_what_comes() {
    let mut pages = vec![Path::new(ROOT).join("README.md")];
    for entry in fs::read_dir(Path::new(ROOT).join("src/guide")).expect("the guide") {
        pages.push(entry.expect("an entry").path());
    }
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    let mut run = 0;
    for path in pages {
        let page = fs::read_to_string(&path).expect("a page");
        let made = run_again(&page);
        run += page.matches("\n$ ").count();
        if made != page && std::env::var_os("STORMGLASS_BLESS").is_some() {
            fs::write(&path, &made).expect("a page can be written");
        } else {
            let difference = page.lines().zip(made.lines()).find(|(shown, comes)| shown != comes);
            assert!(made == page, "{}: (shown, comes) {difference:?}", path.display());
        }
    }
    assert!(run > 10, "{run} commands are shown");
}

/// The README's first command is run as it stands by whoever tries it; here, what it comes to.
#[test]
fn the_first_two_commands_are_the_run_and_the_tests() {
    let block = README.split("```sh\n").nth(1).expect("a block").split("```").next().expect("its end");
    let commands: Vec<&str> = block.lines().map(|line| line.split('#').next().unwrap_or(line).trim()).collect();
    assert_eq!(commands, ["cargo run -- run echo/tcp-loss --seed 7", "cargo test"]);
    assert!(README.lines().count() <= 200, "{} lines", README.lines().count());
}

/// On a code host a page's links lead to files beside it, in rustdoc to documentation; `cargo doc` holds the latter true.
#[test]
fn the_links_of_the_guide_lead_somewhere() {
    let guide = Path::new(ROOT).join("src/guide");
    let documented = fs::read_to_string(guide.join("links.md")).expect("links");
    let pages: Vec<_> = fs::read_dir(&guide).expect("the guide").map(|entry| entry.expect("an entry").path()).collect();
    let mut links = 0;
    for path in pages.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let page = fs::read_to_string(path).expect("a page");
        assert!(!page.contains("](crate::"), "{}: only rustdoc understands `](crate::`", path.display());
        for rest in page.split("][").skip(1) {
            let label = rest.split(']').next().unwrap_or(rest);
            let line = |text: &str| {
                text.lines().find_map(|line| line.strip_prefix(&format!("[{label}]: ")).map(str::to_owned))
            };
            let target = line(&page).unwrap_or_else(|| panic!("{}: `{label}` leads nowhere", path.display()));
            let file = target.split('#').next().unwrap_or(&target);
            assert!(file.starts_with("http") || guide.join(file).exists(), "{}: there is no {file}", path.display());
            assert!(line(&documented).is_some(), "links.md does not have `{label}`");
            links += 1;
        }
    }
    for link in README.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let file = link.split('#').next().unwrap_or(link);
        assert!(link.starts_with("http") || Path::new(ROOT).join(file).exists(), "README: there is no {file}");
        links += 1;
    }
    assert!(links > 40, "{links} links");
}

/// Measuring takes a minute, so what is compared is what is known before.
#[test]
fn the_figure_is_shown_as_it_is_published() {
    let output = stormglass(&["figure", "availsim", "--trials", "1"]);
    let shown = shown(FIGURES, "stormglass figure availsim");
    let is_known = |line: &&str| {
        let rows = ["  source ", "  fitted ", "  published ", "  within "];
        line.contains("  raft/") || line.contains(" p50  ") || rows.iter().any(|row| line.starts_with(row))
    };
    let known: Vec<&str> = output.lines().filter(is_known).collect();
    assert_eq!(known.len(), 10, "{output}");
    assert_eq!(shown.iter().copied().filter(is_known).collect::<Vec<_>>(), known);
    assert!(shown.contains(&"PASS availsim: 8 of 8 bounds hold"));
}

#[test]
fn the_script_is_the_file() {
    let script = include_str!("../sims/echo/tcp-server-crash.toml");
    assert!(README.contains(script), "the README shows another sims/echo/tcp-server-crash.toml");
}

#[test]
fn every_call_is_listed_and_none_else() {
    let help = stormglass(&["--help"]);
    let calls = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let calls: Vec<&str> =
        calls.map_while(|line| line.split_whitespace().next()).filter(|call| *call != "help").collect();
    assert!(calls.len() >= 7, "{help}");
    for call in calls {
        assert!(COMMANDS.contains(&format!("| `stormglass {call}")), "the page of commands does not list `{call}`");
    }
}

/// The scripts that failures were shrunk to are kept, and their runs are cases of their own.
#[test]
fn the_shrunk_failures_are_as_shown() {
    let kept = |bug: &str| {
        let path = format!("{}/seeds/shrunk/{bug}.toml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    assert!(CHECKS.contains(kept("stale-vote-counted").trim_end()), "the guide shows another stale-vote-counted.toml");
    let mut counted = 0;
    for row in CHECKS.lines().filter(|line| line.contains(" to ") && line.contains("  raft/")) {
        let bug = row.split_whitespace().next().expect("a name");
        // The row is of the day on which the ledger was run; the script may have been made smaller since.
        assert!(kept(bug).contains("system "), "{bug} has no script");
        counted += 1;
    }
    assert!(counted >= 15, "{counted} bugs are shown");
}
