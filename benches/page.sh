#!/usr/bin/env bash
# How long the page of a very long run takes to open, and each frame of a zoom through it: 734,171 records, of a balancer
# under chaos, or the pages that are given. Needs node, a Chromium and `npm ci --prefix tests/page`. A frame is to take 50 ms
# at the most in 95 of 100, and the page is to be open in 3 s, on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
pages=("$@")
if [ ${#pages[@]} -eq 0 ]; then
    pages=(target/large-run.html)
    if [ ! -e "${pages[0]}" ]; then
        echo "makes ${pages[0]}, which takes minutes"
        cargo run --quiet --release --bin stormglass -- report balancer/chaos --seed 3 \
            --set balancer.rate=460 --set balancer.load_for=93s --set duration=150s --set chaos.until=80s -o "${pages[0]}"
    fi
fi
node tests/page/frames.mjs "$chromium" "${pages[@]}"
