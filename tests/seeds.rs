//! Every case in `seeds/`, a test each, through the command: it gives its verdict and its hash.
//!
//! Cases of planted bugs are skipped in a build without them, which must say so: see `cargo test --features planted-bugs`.
//!
//! The hashes were made by an optimised build; this test is mostly run in one that is not, so both must agree.

use std::path::Path;
use std::process::Command;

datatest_stable::harness! {
    { test = case, root = "seeds", pattern = r"^[^/]+\.toml$" },
}

fn case(path: &Path) -> datatest_stable::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_stormglass")).arg("replay").arg(path).output()?;
    let is_skipped = !cfg!(feature = "planted-bugs") && std::fs::read_to_string(path)?.contains("\nbug ");
    if output.status.code() == Some(if is_skipped { 4 } else { 0 }) {
        return Ok(());
    }
    let texts = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Err(format!("{}\n{}", output.status, texts.concat()).into())
}
