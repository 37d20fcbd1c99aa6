# The commands of README.md. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup tools servers build console transforms package limit demo demo-cluster test chaos soak lint bench bench-quick bench-decode swap recovery clean

TARGET := $(or $(CARGO_TARGET_DIR),target)
WASMILL := $(TARGET)/release/wasmill
CLUSTER := tests/cluster/cluster.py
# On servers of its own: it restarts them.
CHAOS := $(CLUSTER) run --datanodes 2 --replication 2 -- tests/chaos/chaos.py --wasmill $(WASMILL)
# A package of its own: its checker would change the features of what wasmtime and arrow are built with.
MODEL := --manifest-path tests/model/Cargo.toml --target-dir $(TARGET)/model
CONSOLE := host/console/dist/index.html
# The first three make the main job; `make build` builds all that ship.
TRANSFORMS := $(notdir $(patsubst %/Cargo.toml,%,$(wildcard transforms/*/Cargo.toml)))

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what this machine lacks (apt-get, rustup; only what is missing)
	@tests/cluster/system.sh

# First of all: what it installs, the others use.
tools:
	@tests/cluster/system.sh tests

servers: setup
	@$(CLUSTER) fetch

build: setup console ## the wasmill binary with its console, and the shipped transforms
	cargo build --release -p wasmill
	@$(MAKE) --no-print-directory transforms

# The binary answers /console with how to build it where Node is not there. Built only when something changed: the binary that
# holds it would be compiled anew each time.
console: $(CONSOLE)
$(CONSOLE): $(wildcard host/console/src/* host/console/*.*)
	@if command -v npm >/dev/null; then \
	    cd host/console && npm ci --no-audit --no-fund && npm run build; \
	else \
	    echo "npm was not found: wasmill is built without its console" >&2; \
	fi

transforms:
	@for name in $(TRANSFORMS); do \
	    $(WASMILL) transform build transforms/$$name -o target/transforms/$${name//-/_}.wasm; \
	done

package: build ## a tarball and a Debian package, in target/package
	host/deploy/package.sh $(WASMILL) target/transforms target/package

demo: build ## a million simulated events through three transforms into Parquet, without any server
	@rm -rf target/demo
	$(WASMILL) run host/pipelines/demo.toml
	$(WASMILL) table ls host/pipelines/demo.toml
	$(WASMILL) table head host/pipelines/demo.toml

demo-cluster: build servers ## the same on a real Kafka and a real HDFS, fetched and started here
	@WASMILL=$(WASMILL) tests/cluster/demo.sh

lint: setup ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo fmt --manifest-path tests/model/Cargo.toml --check
	cargo clippy --release $(MODEL) --all-targets -- -D warnings

test: tools servers lint build ## all tests, on real servers; CI runs exactly this
	python3 -m unittest discover -s tests/cluster
	"$$($(CLUSTER) venv)" -m unittest discover -s tests/chaos
	WASMILL=$(WASMILL) "$$($(CLUSTER) venv)" -m unittest discover -s tests/deploy
	cargo test --release --workspace --no-run
	$(CLUSTER) run --registry -- cargo test --release --workspace
	$(CLUSTER) run --kafka --connect -- env WASMILL=$(abspath $(WASMILL)) "$$($(CLUSTER) venv)" -m unittest discover -s tests/connect
	WASMILL=$(WASMILL) $(CLUSTER) run --kerberos --ticket-seconds 20 -- "$$($(CLUSTER) venv)" -m unittest discover -s tests/secured
	cd tests/console && npm ci --no-audit --no-fund && WASMILL=$(abspath $(WASMILL)) npm test
	$(CHAOS) --minutes 2

chaos: build servers ## ten minutes of faults on a real Kafka and HDFS, checked independently (MINUTES=10 SEED=...)
	$(CHAOS) --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) --results

soak: ## a hundred thousand simulated runs, the model's large worlds, random guests and modules (some twenty minutes)
	WASMILL_RUNS=100000 WASMILL_LENGTHS=drawn cargo test --release --workspace exactly_once_whatever_fails
	WASMILL_FUZZ_SECONDS=60 cargo test --release --workspace --lib transform::tests::fuzz
	cargo run --release $(MODEL) -- large

limit:
	cargo build --release -p wasmill-tests --example in_memory_limit

bench: build limit servers ## CPU, memory and speed of the main job beside Spark and Flink; swaps; time to recover (some 30 minutes)
	$(CLUSTER) run --kafka-heap 1g -- tests/benches/bench.py --wasmill $(WASMILL)
	@# A goal that one of them misses does not keep the others from running.
	@$(MAKE) --no-print-directory --keep-going swap recovery bench-decode

swap: build servers ## what a swap of transforms costs while events flow, and how long from upload to live
	$(CLUSTER) run --namenode-heap 512m -- tests/benches/swap.py --wasmill $(WASMILL)

recovery: build servers ## how long a start, a hand-over and a take-over take
	$(CLUSTER) run --namenode-heap 512m -- tests/benches/recovery.py --wasmill $(WASMILL)

bench-decode: setup ## CPU per event of each decoder beside arrow-json and Spark, without any server (some 5 minutes)
	cargo build --release -p wasmill-tests --example decode
	tests/benches/decode.py --program $(TARGET)/release/examples/decode

bench-quick: build limit servers ## the same in two minutes: a quarter of the events, no peers
	$(CLUSTER) run -- tests/benches/bench.py --wasmill $(WASMILL) --quick

clean: ## remove what was built (not the downloads in tests/.cache)
	cargo clean
	rm -rf target
