# Dhow: `make run` starts a cloud, `make test` runs every test.

.PHONY: run build test soak lint bench-peers bench-accounts bench-tls bench-policies bench-access bench-console fuzz clean

# Builds the release binary and starts one region in ./dhow-data.
run: build
	./target/release/dhow up

build:
	cargo build --release --locked -p dhow

# Installs what the tests need (Debian packages, a Python venv) and runs all of them.
test:
	bash tests/run.sh

# Cuts the power CUTS times (400) under work, then first starts at every call; needs root. SEED
# repeats a run. Takes about an hour; not part of `make test`.
CUTS ?= 400
soak:
	bash tests/setup.sh
	cargo build --locked -p dhow
	cd tests && ../.venv/bin/python soak.py --cuts $(CUTS) $(if $(SEED),--seed $(SEED))

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo xtask tidy

# Measures Dhow beside SeaweedFS and nginx in one run; writes docs/benchmarks.md.
bench-peers:
	bash scripts/bench-peers.sh

# Measures how accounts share a region: goodput of many connections, and a second account's p99.
bench-accounts: build
	bash tests/setup.sh
	.venv/bin/python scripts/bench_accounts.py

# Measures TLS: large GETs beside nginx with the same cipher, small ones beside clear text.
bench-tls: build
	bash tests/setup.sh
	.venv/bin/python scripts/bench_tls.py

# Measures what policies cost: small GETs and PUTs with and without them.
bench-policies: build
	bash tests/setup.sh
	.venv/bin/python scripts/bench_policies.py

# Measures access control: requests with and without it, how soon a change reaches fourteen regions,
# and the memory of 10,000 users.
bench-access: build
	bash tests/setup.sh
	.venv/bin/python scripts/bench_access.py

# Measures the web console: pages of a bucket of ten million objects (five minutes to store), what a
# first visit weighs, and the memory of fourteen regions.
bench-console: build
	bash tests/setup.sh
	.venv/bin/python scripts/bench_console.py

clean:
	cargo clean
	rm -rf .venv .venv-sdks .node-sdks

# Runs every fuzz target for FUZZ_SECONDS each (60); needs a nightly toolchain.
fuzz:
	bash scripts/fuzz.sh
