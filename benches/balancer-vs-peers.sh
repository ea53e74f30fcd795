#!/bin/bash
# Our load balancer beside HAProxy, nginx and the least that a proxy made of hyper can do (examples/http-proxy.rs):
# GETs of 64 bytes over 32 connections, kept alive on both sides, over three backends (examples/http-backend.rs).
#
# Proxy CPU is the user and system time of the proxy's process for each request, and the figure to compare: on a small
# shared machine requests per second swing by a factor. Load, proxy and backends share one CPU. The proxies' rounds
# alternate, so that other load on the machine falls on all of them, and ratios are medians of the rounds' own ratios.
# Then ours and HAProxy with a thread for each of two CPUs, everything on both of them, against one thread and everything
# on one: what both lose there is the machine's, whose load and backends take the same CPUs.
#
# Needs wrk, haproxy and nginx (Debian has them), and taskset.
# Usage: benches/balancer-vs-peers.sh [ROUNDS] [SECONDS PER ROUND]; 9 rounds of 2 s take 3 minutes. CPUS=2,3 takes those
# two CPUs instead of 0 and 1, PORT=30000 the nine ports from there on instead of 28080.
set -eu
cd "$(dirname "$0")/.."
rounds=${1:-9} seconds=${2:-2} cpus=${CPUS:-0,1} port=${PORT:-28080}
cpu=${cpus%%,*}
for tool in wrk haproxy nginx taskset; do
    PATH=$PATH:/usr/sbin command -v $tool >/dev/null || { echo "$tool is missing: install it first" >&2; exit 1; }
done
PATH=$PATH:/usr/sbin
export RUSTFLAGS="${RUSTFLAGS:---cfg tokio_unstable}"
cargo build --profile dist --quiet --bin load-balancer --example http-backend --example http-proxy
release=${CARGO_TARGET_DIR:-target}/dist
scratch=$(mktemp -d)
processes=()
trap '[ ${#processes[@]} = 0 ] || kill "${processes[@]}" 2>/dev/null || true; wait; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

backends=("127.0.0.1:$((port + 5))" "127.0.0.1:$((port + 6))" "127.0.0.1:$((port + 7))")
declare -A process address
# start NAME PORT COMMAND...: a process on the CPU of all, whose port answers when this returns.
start() {
    local name=$1 on=$2
    shift 2
    taskset -c "${on_cpus:-$cpu}" "$@" >>"$scratch/output" 2>&1 &
    process[$name]=$! address[$name]="http://127.0.0.1:$on/"
    processes+=($!)
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$on") 2>/dev/null; then return; fi
        sleep 0.05
    done
    cat "$scratch/output" >&2
    echo "$name does not listen on port $on" >&2
    exit 1
}

cat >"$scratch/haproxy.cfg" <<END
global
    nbthread 1
defaults
    mode http
    option forwardfor
    http-reuse always
    timeout connect 1s
    timeout client 30s
    timeout server 30s
listen all
    bind 127.0.0.1:$((port + 1))
    balance roundrobin
    server b1 ${backends[0]} check
    server b2 ${backends[1]} check
    server b3 ${backends[2]} check
END
cat >"$scratch/nginx.conf" <<END
daemon off;
master_process off;
pid $scratch/nginx.pid;
error_log $scratch/nginx.log;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path $scratch; proxy_temp_path $scratch; fastcgi_temp_path $scratch;
    uwsgi_temp_path $scratch; scgi_temp_path $scratch;
    upstream all {
        server ${backends[0]}; server ${backends[1]}; server ${backends[2]};
        keepalive 64; keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:$((port + 2));
        location / {
            proxy_pass http://all;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host \$host;
            proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
        }
    }
}
END
for number in 0 1 2; do start "backend-$number" $((port + 5 + number)) "$release/examples/http-backend" "${backends[$number]}"; done
urls=()
for backend in "${backends[@]}"; do urls+=(--backend "http://$backend"); done
start haproxy $((port + 1)) haproxy -db -f "$scratch/haproxy.cfg"
start nginx $((port + 2)) nginx -c "$scratch/nginx.conf"
start hyper $((port + 3)) "$release/examples/http-proxy" "127.0.0.1:$((port + 3))" "${backends[@]}"
start ours "$port" "$release/load-balancer" --listen "127.0.0.1:$port" "${urls[@]}"
proxies="ours haproxy nginx hyper"

kib() { awk '/^VmRSS:/ { print $2 }' "/proc/${process[$1]}/status"; }
# cpu_us PROCESS: the time that it has had on any CPU.
ticks_per_second=$(getconf CLK_TCK)
cpu_us() { sed 's/.*) //' "/proc/$1/stat" | awk -v hz="$ticks_per_second" '{ printf "%d", ($12 + $13) * 1000000 / hz }'; }

# measure NAME CPUS THREADS: one round; its requests a second, proxy CPU in µs a request and 99th percentile in µs are
# appended to a file.
measure() {
    local name=$1 before after
    before=$(cpu_us "${process[$name]}")
    taskset -c "$2" wrk -t "$3" -c 32 -d "${seconds}s" --latency "${address[$name]}" >"$scratch/wrk"
    after=$(cpu_us "${process[$name]}")
    awk -v cpu=$((after - before)) '
        $1 == "99%" { p99 = $2 ~ /us$/ ? $2 + 0 : $2 ~ /ms$/ ? $2 * 1000 : $2 * 1000000 }
        $2 == "requests" && $3 == "in" { requests = $1 }
        $1 == "Requests/sec:" { rate = $2 }
        /Socket errors|Non-2xx/ { print "wrk: " $0 >"/dev/stderr"; exit 1 }
        END { print rate, cpu / requests, p99 }' "$scratch/wrk" >>"$scratch/$name$4"
}
# median FILE COLUMN
median() { awk -v column="$2" '{ print $column }' "$1" | sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
# ratio FILE FILE COLUMN: the median of the rounds' ratios.
ratio() { paste -d ' ' "$1" "$2" | awk -v column="$3" '{ print $column / $(column + 3) }' | sort -n |
    awk '{ value[NR] = $1 } END { printf "%.2f", value[int((NR + 1) / 2)] }'; }

for name in $proxies; do kib "$name" >"$scratch/$name-idle"; done
# A round that does not count: connections are opened, code is paged in.
for name in $proxies; do measure "$name" "$cpu" 1 -warm; done
for round in $(seq "$rounds"); do
    for name in $proxies; do measure "$name" "$cpu" 1 ""; done
    echo "round $round of $rounds" >&2
done

printf '%-8s %9s %10s %8s | %8s %8s %8s | %s\n' proxy req/s 'CPU µs' 'p99 µs' req/s CPU p99 'KiB idle, loaded'
for name in $proxies; do
    printf '%-8s %9.0f %9.1f %8.0f | %8s %8s %8s | %6d %6d\n' "$name" \
        "$(median "$scratch/$name" 1)" "$(median "$scratch/$name" 2)" "$(median "$scratch/$name" 3)" \
        "$(ratio "$scratch/$name" "$scratch/haproxy" 1)" "$(ratio "$scratch/$name" "$scratch/haproxy" 2)" \
        "$(ratio "$scratch/$name" "$scratch/haproxy" 3)" "$(cat "$scratch/$name-idle")" "$(kib "$name")"
done
echo 'CPU: of the proxy, a request; the columns in the middle are over those of HAProxy'

if [ "$cpus" = "$cpu" ]; then exit; fi
# Everything on both CPUs: the kernel moves backends and load to where there is room.
backends_on() { for number in 0 1 2; do taskset -cp "$1" "${process[backend-$number]}" >/dev/null; done; }
sed -e 's/nbthread 1/nbthread 2/' -e "s/:$((port + 1))/:$((port + 8))/" "$scratch/haproxy.cfg" >"$scratch/haproxy-two.cfg"
on_cpus=$cpus start ours-two $((port + 4)) "$release/load-balancer" --threads 2 --listen "127.0.0.1:$((port + 4))" "${urls[@]}"
on_cpus=$cpus start haproxy-two $((port + 8)) haproxy -db -f "$scratch/haproxy-two.cfg"
for round in $(seq "$rounds"); do
    backends_on "$cpus"
    for name in ours haproxy; do measure $name-two "$cpus" 2 ""; done
    backends_on "$cpu"
    for name in ours haproxy; do measure $name "$cpu" 1 -one; done
    echo "round $round of $rounds on two CPUs" >&2
done
for name in ours haproxy; do
    printf '%s, two threads on two CPUs over one on one: %s times the requests a second, %s times the CPU a request (%.0f and %.0f req/s)\n' \
        $name "$(ratio "$scratch/$name-two" "$scratch/$name-one" 1)" "$(ratio "$scratch/$name-two" "$scratch/$name-one" 2)" \
        "$(median "$scratch/$name-two" 1)" "$(median "$scratch/$name-one" 1)"
done
printf 'on two CPUs ours over HAProxy: %s times the requests a second, %s times the CPU a request\n' \
    "$(ratio "$scratch/ours-two" "$scratch/haproxy-two" 1)" "$(ratio "$scratch/ours-two" "$scratch/haproxy-two" 2)"
