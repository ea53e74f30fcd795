//! The command over the systems that come with it.

use std::process::ExitCode;

fn main() -> ExitCode {
    stormglass::cli::main(stormglass::systems::all())
}
