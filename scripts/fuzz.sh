#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS each (60). Needs a nightly toolchain; cargo-fuzz is
# installed from the registry when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-fuzz >/dev/null 2>&1 || cargo install --locked cargo-fuzz
for target in signature chunked signed_chunks post_form xml list_token records frames policy; do
  echo "== $target"
  mkdir -p "fuzz/corpus/$target"
  seeds=()
  [ -d "fuzz/seeds/$target" ] && seeds=("fuzz/seeds/$target")
  # New inputs go to the first folder; the seeds stay as they are.
  cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "${seeds[@]}" -- \
    -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=512 \
    -timeout=5 -max_len=4096
done
