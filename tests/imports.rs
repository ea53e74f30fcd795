//! Who may import whom, and how long a file may be: read from the sources, so that the picture in the crate's docs
//! stays true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const LINES_MAX: usize = 500;

/// What files whose path begins with `of` may name of this crate beside their own module. The first rule that fits a
/// file is the one that holds for it. An entry of `may` allows a module and all below it.
struct Rule {
    of: &'static str,
    may: &'static [&'static str],
    says: &'static str,
}

const HOSTS: &str = "hosts know net, disk, rng and the sink of their events, never what tests them";
const TESTBED: &str = "sim knows the trait System, never a host, nor explore, report or cli";
const CLIS: &str = "a host's command line knows its host, the seams and what binaries share";
const BINARIES: &str = "the services' binaries are hosts, what they share and net::real";

const HOST_MAY: &[&str] =
    &["net", "disk", "rng", "events", "watched", "pages", "service::parse_duration", "planted_bugs"];
const RAFT_MAY: &[&str] =
    &["net", "disk", "rng", "events", "consensus", "watched", "pages", "service::parse_duration", "planted_bugs"];
const CLI_MAY: &[&str] = &["net", "disk", "rng", "events", "watched", "pages", "service", "VERSION"];

const RAFT_CLI_MAY: &[&str] = &["net", "disk", "rng", "events", "consensus", "watched", "pages", "service", "VERSION"];

const RULES: &[Rule] = &[
    Rule { of: "echo/cli/", may: CLI_MAY, says: CLIS },
    Rule { of: "echo/", may: HOST_MAY, says: HOSTS },
    Rule { of: "raft/cli/", may: RAFT_CLI_MAY, says: CLIS },
    Rule { of: "raft/", may: RAFT_MAY, says: HOSTS },
    Rule { of: "balancer/cli/", may: CLI_MAY, says: CLIS },
    Rule { of: "balancer/", may: HOST_MAY, says: HOSTS },
    Rule { of: "net/", may: &[], says: "the seam is ground: it knows nothing of the testbed" },
    Rule { of: "sockets/", may: &["sim::socket"], says: "sockets by tokio's names are the system's or the testbed's" },
    Rule { of: "disk/", may: &[], says: "the seam is ground: it knows nothing of the testbed" },
    Rule {
        of: "service.rs",
        may: &["events", "net"],
        says: "what binaries share knows the real sockets, never a host",
    },
    Rule { of: "pages/", may: &["net"], says: "pages know the seam, never a host" },
    Rule { of: "build/", may: &[], says: "the build script stands alone" },
    Rule { of: "watched.rs", may: &[], says: "a value that is waited for knows nobody" },
    Rule { of: "rng.rs", may: &[], says: "randomness knows nobody" },
    Rule { of: "held.rs", may: &["rng"], says: "clock and entropy of a run know no run" },
    Rule { of: "events.rs", may: &[], says: "the sink knows nobody" },
    Rule { of: "consensus/", may: &["events"], says: "what any Raft tells knows no Raft" },
    Rule { of: "planted.rs", may: &[], says: "a list of bugs knows nobody" },
    Rule { of: "figure.rs", may: &[], says: "figures are plain data" },
    Rule { of: "model/", may: &[], says: "the search knows models by their trait" },
    Rule { of: "script/", may: &[], says: "scripts are plain data" },
    Rule { of: "tcp/", may: &[], says: "TCP is a pure core: it knows neither turmoil nor the testbed" },
    Rule {
        of: "sim/",
        may: &["script", "rng", "events", "held", "net", "disk", "figure", "model", "tcp"],
        says: TESTBED,
    },
    Rule {
        of: "check/",
        may: &["echo", "raft", "balancer", "consensus", "events", "sim::Breach", "sim::trace"],
        says: "check knows hosts' events and the trace, never faults or scripts",
    },
    Rule {
        of: "systems/",
        may: &[
            "echo",
            "raft",
            "balancer",
            "consensus",
            "check",
            "net",
            "disk",
            "rng",
            "events",
            "watched",
            "figure",
            "model",
            "script",
            "sim",
            "live::Live",
        ],
        says: "a system is where a host meets the testbed, not the command",
    },
    Rule {
        of: "live/",
        may: &["script", "sim", "report::json::quoted", "report::style", "rng", "events"],
        says: "live knows systems by their trait, and the engine of packets' fates, never a host, explore or cli",
    },
    Rule {
        of: "report/",
        may: &["script", "sim", "events"],
        says: "report knows traces and verdicts, never hosts, explore or cli",
    },
    Rule {
        of: "explore/",
        may: &["figure", "held", "report", "script", "sim", "rng", "events"],
        says: "explore knows traces and verdicts, never hosts or cli",
    },
    Rule {
        of: "cli/",
        may: &["explore", "figure", "live", "model", "report", "script", "sim", "rng", "VERSION"],
        says: "cli knows systems by their trait, never a host",
    },
    Rule {
        of: "testing.rs",
        may: &["explore", "held", "report", "script", "sim", "rng", "systems"],
        says: "testing knows systems by their trait, never a host",
    },
    Rule { of: "guide/", may: &[], says: "the guide is prose" },
    Rule { of: "bin/stormglass.rs", may: &["cli", "systems"], says: "the command is cli over the systems" },
    Rule {
        of: "bin/",
        may: &["echo", "raft", "balancer", "service", "net", "rng", "events", "VERSION"],
        says: BINARIES,
    },
    Rule { of: "lib.rs", may: &[], says: "lib.rs is the map" },
];

/// The implementations of the seams, and who alone may name them, whatever their rule says. A host's `cli`, and
/// what all of them share, serve its binary.
const IMPLEMENTATIONS: [&str; 4] = ["net::real", "sim::net", "disk::real", "sim::disk"];
const BEHIND_THE_SEAM: [&str; 9] =
    ["bin/", "service.rs", "echo/cli/", "raft/cli/", "balancer/cli/", "net/", "disk/", "sim/", "systems/"];

/// Names of other crates and where alone they may stand.
const FOREIGN: [(&str, &[&str], &str); 4] = [
    ("tokio::net", &["net/real.rs", "sockets/"], "net/real.rs and the sockets of tokio's names alone name tokio::net"),
    (
        "tokio::sync::watch",
        &["raft/cli/", "balancer/cli/", "watched.rs"],
        "it draws from tokio's own generator: crate::watched",
    ),
    // The watching side of the command lets Ctrl-C end it.
    (
        "tokio::signal",
        &["net/signals.rs", "explore/wall.rs"],
        "signals are for binaries, never for hosts or the testbed",
    ),
    ("turmoil", &["sim/"], "sim/ alone names turmoil"),
];

#[derive(Debug, PartialEq)]
struct Offence {
    file: String,
    line: usize,
    path: String,
    rule: &'static str,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: names {}, but {}", self.file, self.line, self.path, self.rule)
    }
}

/// What a file, named from `src/`, says that it may not.
fn offences(file: &str, text: &str) -> Vec<Offence> {
    let Some(rule) = RULES.iter().find(|rule| file.starts_with(rule.of)) else {
        let rule = "it is in no rule of tests/imports.rs: add one";
        return vec![Offence { file: file.to_owned(), line: 1, path: "a module".to_owned(), rule }];
    };
    let mut found = Vec::new();
    for (line, path) in paths(file, text) {
        let mut offend = |rule| found.push(Offence { file: file.to_owned(), line, path: path.join("::"), rule });
        match path.strip_prefix(&["crate".to_owned()]) {
            Some(own) if !own.is_empty() => {
                let is_seam = IMPLEMENTATIONS.iter().any(|name| is_in(own, name));
                let may = file.starts_with(&own[0]) || rule.may.iter().any(|name| is_in(own, name));
                if !may || (is_seam && !BEHIND_THE_SEAM.iter().any(|of| file.starts_with(of))) {
                    offend(rule.says);
                }
            }
            _ => {
                let foreign = FOREIGN.iter().filter(|(name, ..)| is_in(&path, name));
                foreign
                    .filter(|(_, only, _)| !only.iter().any(|of| file.starts_with(of)))
                    .for_each(|(.., says)| offend(says));
            }
        }
    }
    found
}

fn is_in(path: &[String], name: &str) -> bool {
    let mut own = path.iter();
    name.split("::").all(|part| own.next().is_some_and(|own| own == part))
}

/// All paths that a file names, with their lines: those within this crate begin with `crate`, whether they were
/// written so, or with `self`, `super` or, in a binary, the crate's name.
fn paths(file: &str, text: &str) -> Vec<(usize, Vec<String>)> {
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let module: Vec<String> = module.split('/').map(str::to_owned).collect();
    let mut found = Vec::new();
    let tokens = TokenStream::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let is_binary = file.starts_with("bin/");
    read(tokens, &module, &mut |line, path| found.push((line, absolute(path, is_binary))));
    found
}

fn absolute(mut path: Vec<String>, is_binary: bool) -> Vec<String> {
    if is_binary && path[0] == "stormglass" {
        "crate".clone_into(&mut path[0]);
    }
    path
}

/// Tells every path among tokens of the module `module`.
fn read(tokens: TokenStream, module: &[String], tell: &mut dyn FnMut(usize, Vec<String>)) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut place = 0;
    while place < tokens.len() {
        match (&tokens[place], tokens.get(place + 1), tokens.get(place + 2)) {
            (TokenTree::Ident(word), Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) if *word == "mod" => {
                let inner = [module, &[name.to_string()]].concat();
                read(body.stream(), &inner, tell);
                place += 3;
            }
            (TokenTree::Ident(_), ..) => place = path(&tokens, place, &[], module, tell),
            (TokenTree::Group(group), ..) => {
                read(group.stream(), module, tell);
                place += 1;
            }
            _ => place += 1,
        }
    }
}

/// Tells the path, or the tree of paths, that begins at `place` behind `before`, and returns where it ends.
fn path(
    tokens: &[TokenTree],
    mut place: usize,
    before: &[String],
    module: &[String],
    tell: &mut dyn FnMut(usize, Vec<String>),
) -> usize {
    let mut path = before.to_vec();
    let (first, line) = (place, tokens[place].span().start().line);
    loop {
        match &tokens[place] {
            TokenTree::Ident(word) => push(&mut path, &word.to_string(), module),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let tree: Vec<TokenTree> = group.stream().into_iter().collect();
                let mut inner = 0;
                while inner < tree.len() {
                    let is_comma = matches!(&tree[inner], TokenTree::Punct(punct) if punct.as_char() == ',');
                    inner = if is_comma { inner + 1 } else { self::path(&tree, inner, &path, module, tell) };
                }
                return place + 1;
            }
            _ => break,
        }
        place += 1;
        let colon = |place: usize| matches!(tokens.get(place), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        if !(colon(place) && colon(place + 1) && place + 2 < tokens.len()) {
            break;
        }
        place += 2;
    }
    let end = place.max(first + 1);
    tell(line, path);
    // A star, or what else is no word, is passed over.
    if matches!(tokens.get(end), Some(TokenTree::Punct(punct)) if punct.as_char() == '*') { end + 1 } else { end }
}

fn push(path: &mut Vec<String>, word: &str, module: &[String]) {
    let is_own = path.first().is_some_and(|first| first == "crate");
    match word {
        "self" if path.is_empty() => *path = [&["crate".to_owned()], module].concat(),
        "super" if path.is_empty() => *path = [&["crate".to_owned()], &module[..module.len() - 1]].concat(),
        "super" if is_own => drop(path.pop()),
        "self" => {}
        _ => path.push(word.to_owned()),
    }
}

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(&root).expect("it is in src").display().to_string().replace('\\', "/");
    found.iter().map(|path| (name(path), fs::read_to_string(path).expect("a source can be read"))).collect()
}

#[test]
fn nobody_imports_what_is_not_theirs_to_know() {
    let sources = sources();
    assert!(sources.len() > 50, "{} sources", sources.len());
    let found: Vec<_> = sources.iter().flat_map(|(file, text)| offences(file, text)).map(|o| o.to_string()).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// A file's top-level module.
fn floor(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// The top-level modules that each one imports from, by what the sources name.
fn floors(sources: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    // The crate's root declares all of them, the binaries stand above it, and the build script beside it.
    let sources = sources.iter().filter(|(file, _)| !["lib", "bin", "build"].contains(&floor(file)));
    let names: BTreeSet<&str> = sources.clone().map(|(file, _)| floor(file)).collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> =
        names.iter().map(|name| (String::from(*name), BTreeSet::new())).collect();
    for (file, text) in sources {
        for (_, path) in paths(file, text) {
            let [root, module, ..] = path.as_slice() else { continue };
            if root == "crate" && module != floor(file) && names.contains(module.as_str()) {
                edges.get_mut(floor(file)).expect("it is a name").insert(module.clone());
            }
        }
    }
    edges
}

/// A way from a module back to itself, if there is one: what imports nobody is taken off until nothing more can be.
fn circle(mut edges: BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    while let Some(ground) = edges.iter().find(|(_, imports)| imports.is_empty()).map(|(name, _)| name.clone()) {
        edges.remove(&ground);
        edges.values_mut().for_each(|imports| _ = imports.remove(&ground));
    }
    // Whoever is left imports somebody who is left.
    let mut way = vec![edges.keys().next()?.clone()];
    loop {
        let next = edges[way.last()?].first()?.clone();
        if let Some(begin) = way.iter().position(|name| *name == next) {
            way.drain(..begin);
            way.push(next);
            return Some(way);
        }
        way.push(next);
    }
}

#[test]
fn no_top_level_module_is_in_a_circle() {
    let edges = floors(&sources());
    assert!(edges.len() > 15 && edges["sim"].contains("net") && edges["systems"].contains("sim"), "{edges:?}");
    let found = circle(edges).map(|way| way.join(" -> "));
    assert_eq!(found, None, "modules import each other in a circle");
}

#[test]
fn a_circle_is_found_however_long_it_is() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let mut sources = vec![
        file("a/mod.rs", "use crate::b::X;"),
        file("b.rs", "fn f() { crate::c::g() }"),
        file("c/deep/er.rs", "mod tests { use super::super::super::super::d::{Y, Z}; }"),
        file("d.rs", "use crate::e;"),
        file("e.rs", "// crate::a"),
        file("lib.rs", "pub mod a; pub use crate::a::X;"),
    ];
    assert_eq!(circle(floors(&sources)), None);
    sources.push(file("d/more.rs", "use crate::b;"));
    assert_eq!(circle(floors(&sources)).expect("there is one").join(" "), "b c d b");
}

#[test]
fn no_source_is_longer_than_a_person_reads_in_one_go() {
    let long = |(file, text): &(String, String)| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("src/{file} has {lines} lines, more than {LINES_MAX}"))
    };
    let found: Vec<_> = sources().iter().filter_map(long).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[track_caller]
fn offends(file: &str, text: &str, expected: &[(usize, &str)]) {
    let found = offences(file, text);
    let found: Vec<_> = found.iter().map(|offence| (offence.line, offence.path.as_str())).collect();
    assert_eq!(found, expected, "{file}: {text}");
}

#[test]
fn the_checker_finds_what_each_rule_forbids() {
    for (file, text, path) in [
        ("echo/tcp.rs", "use crate::sim::Host;", "crate::sim::Host"),
        ("echo/tcp.rs", "use crate::sim::net::SimNet;", "crate::sim::net::SimNet"),
        ("echo/tcp.rs", "use crate::net::{Net, real::RealNet};", "crate::net::real::RealNet"),
        ("echo/tcp.rs", "use super::super::check::echo;", "crate::check::echo"),
        ("echo/tcp.rs", "use turmoil::net::TcpStream;", "turmoil::net::TcpStream"),
        ("echo/tcp.rs", "use tokio::{io, net::TcpStream};", "tokio::net::TcpStream"),
        ("echo/mod.rs", "use super::script::Script;", "crate::script::Script"),
        ("echo/tcp.rs", "use crate::service::Stdout;", "crate::service::Stdout"),
        ("raft/driver.rs", "use crate::echo::tcp;", "crate::echo::tcp"),
        ("raft/status.rs", "use crate::net::real::RealNet;", "crate::net::real::RealNet"),
        ("raft/cli/mod.rs", "use crate::echo::cli::Screen;", "crate::echo::cli::Screen"),
        ("service.rs", "use crate::echo::Event;", "crate::echo::Event"),
        ("net/real.rs", "use crate::sim::Host;", "crate::sim::Host"),
        ("net/mod.rs", "fn f(s: tokio::net::UdpSocket) {}", "tokio::net::UdpSocket"),
        ("net/real.rs", "fn f(s: turmoil::Sim<'static>) {}", "turmoil::Sim"),
        ("sim/world.rs", "use crate::systems::echo::Echo;", "crate::systems::echo::Echo"),
        ("sim/world.rs", "use crate::echo::Event;", "crate::echo::Event"),
        ("sim/world.rs", "use crate::report::style;", "crate::report::style"),
        ("sim/world.rs", "use tokio::signal;", "tokio::signal"),
        ("check/echo.rs", "use crate::script::Chaos;", "crate::script::Chaos"),
        ("check/echo.rs", "use crate::sim::{Breach, faults};", "crate::sim::faults"),
        ("report/show.rs", "use crate::explore::Ran;", "crate::explore::Ran"),
        ("explore/pool.rs", "use crate::cli::main;", "crate::cli::main"),
        ("explore/pool.rs", "mod t { use super::super::super::echo; }", "crate::echo"),
        ("cli/run.rs", "f!(crate::echo::tcp);", "crate::echo::tcp"),
        ("bin/tcp-echo.rs", "use stormglass::sim::run;", "crate::sim::run"),
        ("bin/stormglass.rs", "use stormglass::echo::tcp;", "crate::echo::tcp"),
        ("explore/pool.rs", "use crate::net::real::RealNet;", "crate::net::real::RealNet"),
        ("rng.rs", "use crate::sim::Host;", "crate::sim::Host"),
        ("live/judge.rs", "use crate::explore::Ran;", "crate::explore::Ran"),
        ("live/judge.rs", "use turmoil::Sim;", "turmoil::Sim"),
        ("echo/tcp.rs", "use tokio::sync::watch;", "tokio::sync::watch"),
    ] {
        offends(file, text, &[(1, path)]);
    }
    offends("novel/mod.rs", "", &[(1, "a module")]);
}

#[test]
fn the_checker_tells_every_line_and_reads_no_prose() {
    offends(
        "echo/tcp.rs",
        "\nuse a::B;\n\nuse crate::{sim::X, net::Net, cli};",
        &[(4, "crate::sim::X"), (4, "crate::cli")],
    );
    let fine = "//! Over turmoil, or tokio::net.\n// crate::sim\n/* crate::sim */\nconst A: &str = \"crate::sim\";\n\
                const B: &str = r#\"turmoil::net\"#;\nuse crate::net::Net;\nuse super::client::Client;\n\
                mod tests { use super::*; use crate::echo::event; }";
    offends("echo/tcp.rs", fine, &[]);
    offends("echo/tcp.rs", "use crate::service::parse_duration;", &[]);
    offends("raft/cli/mod.rs", "use crate::service;", &[]);
    offends("net/real.rs", "use tokio::net::TcpStream;", &[]);
    offends("sim/net.rs", "use turmoil::net::TcpStream; use crate::sim::shared::Shared;", &[]);
    offends("systems/echo.rs", "use crate::sim::net::SimNet;", &[]);
    offends("raft/cli/local.rs", "use crate::net::real::RealNet; use super::super::server::serve;", &[]);
}
