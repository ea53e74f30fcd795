#!/usr/bin/env bash
# Makes .github/report.png again: the page of a run, as a browser shows it. The run and its hash are written into the
# picture, and a test compares them with what the run is today. Needs what the test of the pages needs: node, a Chromium
# and `npm ci --prefix tests/page`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
run=(raft/cloudflare-2020@no-pre-vote --seed 7)
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cargo run --quiet --bin stormglass -- report "${run[@]}" -o "$folder/run.html"
node tests/page/picture.mjs "$chromium" "$folder/run.html" .github/report.png "${run[*]}"
