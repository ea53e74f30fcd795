#!/bin/sh
# Our echo servers against the Go servers of the post, on loopback: messages per second and their ratios.
#
# "go" is the post's server, its TCP half extended to many lines; like the post's it prints what it receives.
# "go-quiet" is the same without printing. "tokio" and "blocking" (examples/echo-bare.rs) do nothing but echo: what a
# runtime can do on this machine, and the least that any server can. The rounds of the servers alternate, and medians are
# compared, so that other load on the machine falls on all of them. All CPUs are used; with ECHO_CPU=0 the server and the
# load share that one, and what is compared is the work that a message costs, the load's own included, and not how long
# an idle CPU takes to wake up.
#
# Needs Go, and taskset for ECHO_CPU. Usage: benches/echo-vs-go.sh [ROUNDS] [SECONDS PER ROUND]; 7 rounds of 1 s take 2 minutes.
set -eu
cd "$(dirname "$0")/.."
rounds=${1:-7} seconds=${2:-1}
export RUSTFLAGS="${RUSTFLAGS:---cfg tokio_unstable}"
cargo build --profile dist --quiet --bins --example echo-load --example echo-bare
release=${CARGO_TARGET_DIR:-target}/dist
scratch=$(mktemp -d)
server='' reader=''
stop_server() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$reader" ] || kill "$reader" 2>/dev/null || true
    wait
    server='' reader=''
}
trap 'stop_server; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
go build -o "$scratch/echo-go" benches/echo-vs-go/server.go
mkfifo "$scratch/stdout"
pin=${ECHO_CPU:+taskset -c $ECHO_CPU}

# measure NAME PROTOCOL CLIENTS COMMAND...: one round, appended to the file of the three.
measure() {
    name=$1 protocol=$2 clients=$3
    shift 3
    $pin "$@" >"$scratch/stdout" 2>/dev/null &
    server=$!
    exec 3<"$scratch/stdout"
    read -r _ _ addr <&3
    # The server's further output is read, as a terminal or a log would.
    cat <&3 >/dev/null &
    reader=$!
    exec 3<&-
    $pin "$release/examples/echo-load" "$protocol" "$addr" --clients "$clients" --seconds "$seconds" \
        >>"$scratch/$name-$protocol-$clients"
    stop_server
}

median() { sort -n "$1" | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

for round in $(seq "$rounds"); do
    for case in tcp-1 tcp-16 udp-1; do
        protocol=${case%-*} clients=${case#*-}
        measure ours "$protocol" "$clients" "$release/$protocol-echo" serve --listen 127.0.0.1:0
        measure go "$protocol" "$clients" "$scratch/echo-go" "$protocol"
        measure go-quiet "$protocol" "$clients" "$scratch/echo-go" "$protocol" quiet
        measure tokio "$protocol" "$clients" "$release/examples/echo-bare" tokio "$protocol"
        measure blocking "$protocol" "$clients" "$release/examples/echo-bare" blocking "$protocol"
    done
    echo "round $round of $rounds" >&2
done

printf '%-8s %7s | %8s %8s %8s %8s %8s | %7s %9s %9s %11s | %6s\n' protocol clients ours/s go/s quiet/s tokio/s block/s \
    ours/go tokio/go block/go ours/tokio target
for case in tcp-1:1.9 tcp-16:1.3 udp-1:1.7; do
    target=${case#*:} case=${case%:*}
    set --
    for name in ours go go-quiet tokio blocking; do set -- "$@" "$(median "$scratch/$name-$case")"; done
    awk -v p="${case%-*}" -v c="${case#*-}" -v o="$1" -v g="$2" -v q="$3" -v t="$4" -v b="$5" -v target="$target" 'BEGIN {
        printf "%-8s %7d | %8d %8d %8d %8d %8d | %7.2f %9.2f %9.2f %11.2f | %6.1f\n",
            p, c, o, g, q, t, b, o / g, t / g, b / g, o / t, target }'
done
