#!/usr/bin/env bash
# What a new user waits for: benches/first-minute.sh [COMMIT-ISH]
#
# A fresh clone with an empty target, and the README's two commands one after the other, timed. The registry is warm: crates
# are fetched before. Then what the crate costs as a library: how many crates, and how long they take to build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset RUSTFLAGS CARGO_TARGET_DIR
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

git clone --quiet . "$folder/stormglass"
git -C "$folder/stormglass" checkout --quiet "$(git rev-parse "${1:-HEAD}")"
cd "$folder/stormglass"
cargo fetch --locked --quiet

seconds() {
    local start=$EPOCHREALTIME
    "$@" >"$folder/out" 2>&1 || { cat "$folder/out"; exit 1; }
    printf '%s\n' "$EPOCHREALTIME - $start" | bc
}

printf '%s processors, %s\n' "$(nproc)" "$(cargo --version)"
# The two commands are those of the README, read from it.
mapfile -t commands < <(sed -n '/^```sh$/,/^```$/ { /^cargo/ { s/ *#.*//; p } }' README.md | head -2)
for command in "${commands[@]}"; do
    read -ra words <<<"$command"
    printf '%8.1f s  %s\n' "$(seconds "${words[@]}")" "$command"
done

mkdir "$folder/library" && cd "$folder/library"
cargo init --quiet --lib --name library --vcs none
cargo add --quiet --path "$folder/stormglass" stormglass --no-default-features
cp "$folder/stormglass/Cargo.lock" .
cargo generate-lockfile --quiet --offline 2>/dev/null || cargo fetch --quiet
crates=$(cargo tree --edges normal --prefix none --package stormglass | sed 's/ (.*//' | sort -u | wc -l)
printf '%8.1f s  as a library without default features, %s crates\n' "$(seconds cargo build --quiet)" "$crates"
