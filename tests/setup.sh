#!/usr/bin/env bash
# Installs what the tests need: Debian packages (real clients, tools for the tests that cut power,
# networks and clocks) and a Python venv in .venv. Safe to run again; does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

# Runs what needs a registry, and says which one when that fails.
from() {
  local registry=$1
  shift
  "$@" && return
  echo "tests/setup.sh: failed: $*" >&2
  echo "tests/setup.sh: the tests need packages from $registry. Make it reachable (a proxy, a mirror in" \
    "its client's own settings) and run this again; what is installed already is kept." >&2
  exit 1
}

packages=()
need() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
need rclone rclone
need s3cmd s3cmd
need chromium chromium
need mkfs.ext4 e2fsprogs
need debugfs e2fsprogs
need mkfs.xfs xfsprogs
command -v cc >/dev/null 2>&1 || packages+=(gcc libc6-dev)
need ip iproute2
need nft nftables
need faketime faketime
need openssl openssl
need haproxy haproxy
need pebble pebble
# Clients of tests/test_sdks.py.
need restic restic
need node nodejs
need npm npm
need ruby ruby
need go golang-go
for name in ruby-aws-sdk-s3 golang-github-aws-aws-sdk-go-v2-dev golang-github-minio-minio-go-v7-dev; do
  dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q "ok installed" || packages+=("$name")
done
need python3 python3
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
if ((${#packages[@]})); then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  from "Debian's archive (apt)" $sudo apt-get update -qq
  from "Debian's archive (apt)" $sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

stamp=.venv/.installed-$(cksum <tests/requirements.txt | cut -d' ' -f1)
if [ ! -e "$stamp" ]; then
  rm -rf .venv
  python3 -m venv .venv
  from "Python's index (pip)" .venv/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
  touch "$stamp"
fi

# Clients that want other packages than those above, and JavaScript's.
stamp=.venv-sdks/.installed-$(cksum <tests/sdks/requirements.txt | cut -d' ' -f1)
if [ ! -e "$stamp" ]; then
  rm -rf .venv-sdks
  python3 -m venv .venv-sdks
  from "Python's index (pip)" .venv-sdks/bin/pip install -q --disable-pip-version-check -r tests/sdks/requirements.txt
  touch "$stamp"
fi
stamp=.node-sdks/.installed-$(cat tests/sdks/package*.json | cksum | cut -d' ' -f1)
if [ ! -e "$stamp" ]; then
  rm -rf .node-sdks
  mkdir .node-sdks
  cp tests/sdks/package*.json .node-sdks
  from "npm's registry" npm ci --prefix .node-sdks --loglevel=error --no-audit --no-fund --ignore-scripts \
    --fetch-retries=1
  touch "$stamp"
fi

# cargo-nextest runs each test in a process of its own; `cargo test` serves where it is missing.
command -v cargo-nextest >/dev/null 2>&1 || echo "cargo-nextest is not installed: cargo test will be used" >&2
