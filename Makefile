# What a newcomer needs is demo and test; neither needs anything but Go.

GO := go
TOOL := $(GO) tool -modfile=tools/go.mod

# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(if $(shell command -v cc 2>/dev/null || command -v gcc 2>/dev/null),-race)

FUZZTIME ?= 1m

.PHONY: demo build test portable wine fuzz bench lab soak lint fmt clean

demo: ## a relay, a web server and a forwarder for each protocol, in one process
	$(GO) run ./cmd/relay demo

build: ## the command, at bin/relay
	$(GO) build -o bin/relay ./cmd/relay

test: ## every test; at the end, which were left out, and how to have them
	$(TOOL) gotestsum --format=pkgname -- $(RACE) -shuffle=on -timeout=15m ./...

portable: ## the tests of connections, with what macOS and the BSDs have in place of event loops
	.ci/portable

wine: ## the Windows build beside this system's; needs Debian's wine64 and gcc-mingw-w64-x86-64-win32
	$(GO) test -tags wine -count=1 -timeout=10m ./internal/wine

fuzz: ## every fuzz target, for FUZZTIME=1m each
	FUZZTIME=$(FUZZTIME) .ci/fuzz

bench: ## Relay beside HAProxy, ssh -R and no relay at all; BENCH="-rounds 1" for less; see bin/bench
	mkdir -p bin/bench
	$(GO) -C bench run . -json $(CURDIR)/bin/bench/figures.json -svg $(CURDIR)/bin/bench -markdown $(CURDIR)/bin/bench/figures.md $(BENCH)

# Rows wait most of the time, so that more of them run than there are processors.
LABFLAGS := -count=1 -parallel=15 -p=1
LABPACKAGES = $(sort $(dir $(shell grep -rlE --include='*_test.go' '^//go:build.*\blab\b' .)))
ROOT = @[ "$$(id -u)" = 0 ] || { echo "it makes networks, for which it has to be root: sudo env PATH=\"\$$PATH\" make $@"; exit 1; }

lab: ## what fails around Relay, in networks that are made for it; LAB=-short for less; needs root
	$(ROOT)
	mkdir -p bin && rm -f bin/lab.jsonl
	LAB_REPORT=$(CURDIR)/bin/lab.jsonl $(GO) test -tags lab $(LABFLAGS) -timeout=60m $(LAB) $(LABPACKAGES)

SOAK ?= 30m
SOAK_SEED ?= 1

soak: ## all protocols at once under one fault after the other, for SOAK=30m; needs root
	$(ROOT)
	mkdir -p bin && rm -f bin/soak.jsonl
	SOAK=$(SOAK) SOAK_SEED=$(SOAK_SEED) LAB_REPORT=$(CURDIR)/bin/soak.jsonl $(GO) test -tags lab,soak $(LABFLAGS) -timeout=0 -v -run TestSoak ./internal/lab

lint: ## what .ci/run checks beside the tests
	$(TOOL) golangci-lint run ./...
	$(GO) mod tidy -diff

fmt: ## the layout that lint wants
	$(TOOL) golangci-lint fmt ./...

clean:
	rm -rf bin
