#!/usr/bin/env bash
# The lanes beside bare turmoil and madsim, in one run: benches/lanes.sh [ROUNDS [SIMULATED SECONDS]]
# It builds a package of its own, so that madsim is no dependency of the project; that needs the crates' registry.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/lanes"
# A set RUSTFLAGS would override the package's own.
unset RUSTFLAGS
cargo build --release --locked --quiet
printf '%s, %s\n' "$(uname -sm)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)"
exec target/release/lanes "$@"
