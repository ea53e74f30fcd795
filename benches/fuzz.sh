#!/bin/sh
# Everything that reads what others wrote, under libFuzzer, guided by coverage: each reader for some seconds.
#
#   benches/fuzz.sh [SECONDS] [READER…]
#
# Needs a C++ compiler, for libFuzzer, and nothing but stable Rust: the sanitizer's counters come from LLVM's own pass.
# What it finds lies in benches/fuzz/target/fuzz/READER/, one file each, and
# `READER=script benches/fuzz/target/HOST/debug/fuzz FILE` shows it again.
set -eu
cd "$(dirname "$0")/fuzz"

seconds=${1:-60}
[ $# -gt 0 ] && shift
readers=${*:-script case sweep balancer-file framing datagram datagram-with-key hard-state}

command -v c++ > /dev/null || { echo "needs a C++ compiler, such as g++" >&2; exit 2; }
flags='--cfg tokio_unstable -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1'
# Build scripts and macros are not counted: for them there is nothing that the counters would be told to.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$(echo $flags) cargo build --quiet --target "$host"
program=target/$host/debug/fuzz

status=0
for reader in $readers; do
    corpus=target/fuzz/$reader/corpus
    mkdir -p "$corpus"
    case $reader in
        script) find ../../sims -name '*.toml' -exec cp {} "$corpus" \; ;;
        case) cp ../../seeds/*.toml "$corpus" ;;
        sweep) cp ../../tests/reading/sweep.json "$corpus" ;;
        balancer-file) cp ../../tests/reading/balancer.toml "$corpus" ;;
        framing) printf 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n' > "$corpus/chunked" ;;
    esac
    echo "== $reader, ${seconds} s"
    READER=$reader "$program" "$corpus" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
        -artifact_prefix="target/fuzz/$reader/" -print_final_stats=1 > "target/fuzz/$reader/log" 2>&1 || status=1
    grep -E '^stat::number_of_executed_units|ERROR|SUMMARY|panicked' "target/fuzz/$reader/log" || true
done
exit $status
