#!/usr/bin/env bash
# Every test: Rust's own, then the real clients and the crash tests against the built binary.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tests/setup.sh
report="$PWD/target/nextest/default/junit.xml"
rm -f "$report"
slowest="$PWD/tests/slowest.py"
# Last of all, below the slowest tests that pytest lists by itself, and also after a failure.
trap 'if [ -f "$report" ]; then python3 "$slowest" "$report"; fi' EXIT
if command -v cargo-nextest >/dev/null 2>&1; then
  cargo nextest run --locked --workspace --no-fail-fast
else
  cargo test --locked --workspace --no-fail-fast
fi
# With the same targets as above, so that no crate is built again with other features.
cargo build --locked --workspace --bins --tests
# Two files of tests at a time: most of them wait for something. A file runs in one process.
cd tests && ../.venv/bin/python -m pytest -n 2 --dist loadfile "$@"
