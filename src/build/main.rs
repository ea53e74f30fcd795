//! Tells the crate which commit it is built from: `STORMGLASS_VERSION` is `0.1.0 (0387e3e 2026-11-30)`, or the bare version
//! where nobody knows.

use std::fs;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/build/main.rs");
    let version = std::env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let commit = of_package().or_else(of_checkout);
    let shown = commit.map_or_else(|| version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=STORMGLASS_VERSION={shown}");
}

/// The commit that `cargo package` wrote down.
fn of_package() -> Option<String> {
    let info = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    println!("cargo::rerun-if-changed=.cargo_vcs_info.json");
    let hash = info.split("\"sha1\"").nth(1)?.split('"').nth(1)?;
    Some(hash.chars().take(9).collect())
}

/// The commit that is checked out, if these sources are at the top of a repository: else it is somebody else's.
fn of_checkout() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(".").ok()? {
        return None;
    }
    // A commit changes what the branch points to, another branch changes HEAD.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name])?;
        if fs::exists(&path).unwrap_or(false) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["log", "-1", "--format=%h %cs", "--abbrev=9"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
