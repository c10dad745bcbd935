#!/usr/bin/env bash
# Every test: Rust's own, then the real clients and the crash tests against the built binary.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tests/setup.sh
if command -v cargo-nextest >/dev/null 2>&1; then
  cargo nextest run --locked --workspace --no-fail-fast
else
  cargo test --locked --workspace --no-fail-fast
fi
cargo build --locked -p dhow
cd tests && ../.venv/bin/python -m pytest "$@"
