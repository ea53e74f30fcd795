//! Every case in `seeds/`, a test each, through the command: it gives its verdict and its hash.
//!
//! The hashes were made by an optimised build; this test is mostly run in one that is not, so both must agree.

use std::path::Path;
use std::process::Command;

datatest_stable::harness! {
    { test = case, root = "seeds", pattern = r"^[^/]+\.toml$" },
}

fn case(path: &Path) -> datatest_stable::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_stormglass")).arg("replay").arg(path).output()?;
    if output.status.success() {
        return Ok(());
    }
    let texts = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Err(format!("{}\n{}", output.status, texts.concat()).into())
}
