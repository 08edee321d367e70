# make demo and make test need nothing but Go.

GO := go
TOOL := $(GO) tool -modfile=tools/go.mod

# The race detector needs a C compiler. Without one the tests run without it.
RACE := $(if $(shell command -v cc 2>/dev/null || command -v gcc 2>/dev/null),-race)

FUZZTIME ?= 1m

.PHONY: help demo build test portable wine fuzz bench lab soak packages image lint fmt clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run a relay, a web server and a forwarder for each protocol, in one process
	$(GO) run ./cmd/relay demo

build: ## build the command, as bin/relay
	$(GO) build -o bin/relay ./cmd/relay

# RERUN is empty but in the gate; .ci/run says why.
RERUN ?=
TESTSUM = $(TOOL) gotestsum --format=pkgname --format-hide-empty-pkg --hide-summary=skipped $(RERUN)

# The slowest packages come first, or the last to start would be the last to end.
test: ## run every test, and list those that are left out, with what they need
	@mkdir -p bin
	$(TESTSUM) --jsonfile=bin/test.jsonl --post-run-command='.ci/leftout bin/test.jsonl' \
		--packages='./interop ./internal/conformance ./...' -- $(RACE) -shuffle=on -timeout=15m

portable: ## test connections on Linux with what macOS and the BSDs have in place of event loops
	.ci/portable

wine: ## test the Windows build with this system's; needs Debian's wine64 and gcc-mingw-w64-x86-64-win32
	$(GO) test -tags wine -count=1 -timeout=10m ./internal/wine

fuzz: ## run every fuzz target, for FUZZTIME=1m each
	FUZZTIME=$(FUZZTIME) .ci/fuzz

bench: ## measure Relay, HAProxy, rathole, others and no relay at all, into bin/bench; BENCH="-rounds 1" takes less time
	mkdir -p bin/bench
	$(GO) -C bench run . -json $(CURDIR)/bin/bench/figures.json -svg $(CURDIR)/bin/bench -markdown $(CURDIR)/bin/bench/figures.md $(BENCH)

# Rows wait most of the time, so more of them run at once than there are processors.
LABFLAGS := -count=1 -parallel=15 -p=1
LABPACKAGES = $(sort $(dir $(shell grep -rlE --include='*_test.go' '^//go:build.*\blab\b' .)))
ROOT = @[ "$$(id -u)" = 0 ] || { echo "only root can make networks: sudo env PATH=\"\$$PATH\" make $@"; exit 1; }

lab: ## run the real command in networks that fail; LAB=-short takes less time; needs root
	$(ROOT)
	mkdir -p bin && rm -f bin/lab.jsonl
	LAB_REPORT=$(CURDIR)/bin/lab.jsonl $(TESTSUM) --packages='$(LABPACKAGES)' -- -tags lab $(LABFLAGS) -timeout=60m $(LAB)

SOAK ?= 30m
SOAK_SEED ?= 1

soak: ## run all protocols at once under one fault after the other, for SOAK=30m; needs root
	$(ROOT)
	mkdir -p bin && rm -f bin/soak.jsonl
	SOAK=$(SOAK) SOAK_SEED=$(SOAK_SEED) LAB_REPORT=$(CURDIR)/bin/soak.jsonl $(GO) test -tags lab,soak $(LABFLAGS) -timeout=0 -v -run TestSoak ./internal/lab

packages: ## make deb, rpm and apk, in bin/packages; ARCHS=amd64 makes fewer
	deploy/packages/build

image: ## make the container image relay:latest, with Docker; BUILD="podman build --format docker" makes it with that
	deploy/image/build

lint: ## run the linters
	$(TOOL) golangci-lint run ./...
	$(GO) mod tidy -diff

fmt: ## format the code
	$(TOOL) golangci-lint fmt ./...

clean: ## remove bin
	rm -rf bin
