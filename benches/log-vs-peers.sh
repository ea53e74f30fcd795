#!/bin/bash
# Our replicated store beside etcd and a store over openraft 0.9.25 (benches/log): three nodes of each on loopback, one
# system at a time, 1 and then 64 clients, each of which writes 100 bytes, waits for the answer, and goes on. Written to the
# leader; what is acknowledged is on the disk of two nodes, but for "openraft, memory", which syncs nothing.
#
# CPU is the user and system time of all three nodes for each write, and what swings least on a shared machine. Nodes and
# load share all CPUs. The systems' rounds alternate; figures are medians of the rounds, and each begins with an empty disk.
#
# Needs etcd (Debian's etcd-server). The data lies in TMPDIR: it has to be on a disk whose syncs are worth measuring.
# Usage: benches/log-vs-peers.sh [ROUNDS] [SECONDS A ROUND]; 5 rounds of 5 s take 5 minutes. PORT=30000 takes the nine
# ports from there on instead of 29080. RAFT_NODE=path measures that binary instead of one that is built.
set -eu
cd "$(dirname "$0")/.."
rounds=${1:-5} seconds=${2:-5} port=${PORT:-29080}
command -v etcd >/dev/null || { echo "etcd is missing: install it first" >&2; exit 1; }
if [ -z "${RAFT_NODE:-}" ]; then
    RUSTFLAGS="${RUSTFLAGS:---cfg tokio_unstable}" cargo build --profile dist --quiet --bin raft-node
    RAFT_NODE=${CARGO_TARGET_DIR:-target}/dist/raft-node
fi
log_target=${LOG_TARGET_DIR:-benches/log/target}
env -u RUSTFLAGS cargo build --release --locked --quiet --manifest-path benches/log/Cargo.toml --target-dir "$log_target"
log=$log_target/release
scratch=$(mktemp -d)
processes=()
stop() {
    [ ${#processes[@]} = 0 ] || kill "${processes[@]}" 2>/dev/null || true
    wait "${processes[@]}" 2>/dev/null || true
    processes=()
}
trap 'stop; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

at() { echo "127.0.0.1:$((port + $1))"; }
join() { local IFS=,; echo "$*"; }
# start COMMAND...: a node, whose output is kept.
start() {
    "$@" >>"$scratch/output" 2>&1 &
    processes+=($!)
}
start_node() {
    case $1 in
    ours) start "$RAFT_NODE" --id "$2" --listen "$(at "$2")" --peers "1=$(at 1),2=$(at 2),3=$(at 3)" --data "$scratch/data/$2" \
        --kv "$(at $(($2 + 3)))" --status "$(at $(($2 + 6)))" ;;
    etcd) start etcd --name "n$2" --data-dir "$scratch/data/$2" --log-level error \
        --listen-peer-urls "http://$(at "$2")" --initial-advertise-peer-urls "http://$(at "$2")" \
        --listen-client-urls "http://$(at $(($2 + 3)))" --advertise-client-urls "http://$(at $(($2 + 3)))" \
        --initial-cluster "n1=http://$(at 1),n2=http://$(at 2),n3=http://$(at 3)" ;;
    openraft*)
        local sync=()
        [ "$1" = openraft-memory ] || sync=(--sync "$scratch/data/$2")
        start "$log/openraft-store" --id "$2" --peers "$(at 1),$(at 2),$(at 3)" --listen "$(at $(($2 + 3)))" "${sync[@]}" ;;
    esac
}
# measure SYSTEM: one round, with 1 and with 64 clients; its figures are appended to a file for each.
measure() {
    local id clients protocol=http status=()
    mkdir -p "$scratch/data"
    : >"$scratch/output"
    for id in 1 2 3; do start_node "$1" "$id"; done
    [ "$1" != etcd ] || protocol=etcd
    [ "$1" != ours ] || status=(--status "$(join "$(at 7)" "$(at 8)" "$(at 9)")")
    for clients in 1 64; do
        "$log/load" --protocol $protocol --servers "$(join "$(at 4)" "$(at 5)" "$(at 6)")" "${status[@]}" \
            --pids "$(join "${processes[@]}")" --clients $clients --seconds "$seconds" >>"$scratch/$1-$clients" ||
            { tail -5 "$scratch/output" >&2; exit 1; }
    done
    stop
    rm -rf "$scratch/data"
}
# median FILE COLUMN
median() { awk -v column="$2" '{ print $column }' "$1" | sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

systems="ours etcd openraft openraft-memory"
for round in $(seq "$rounds"); do
    for system in $systems; do measure $system; done
    echo "round $round of $rounds" >&2
done

sync_us() { dd if=/dev/zero of="$scratch/synced" bs=512 count=500 oflag=dsync 2>&1 | awk '/copied/ { print $(NF - 3) * 1000000 / 500 }'; }
printf 'this disk: %.0f µs a synced write of 512 bytes\n' "$(sync_us)"
printf '%-16s %8s %9s %9s %9s %9s %7s\n' system clients writes/s 'p50 ms' 'p99 ms' 'CPU µs' failed
for clients in 1 64; do
    for system in $systems; do
        file=$scratch/$system-$clients
        printf '%-16s %8d %9.0f %9.2f %9.2f %9.0f %7d\n' $system $clients "$(median "$file" 1)" "$(median "$file" 2)" \
            "$(median "$file" 3)" "$(median "$file" 4)" "$(awk '{ sum += $5 } END { print sum }' "$file")"
    done
done
