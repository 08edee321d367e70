# What a newcomer needs is demo and test; neither needs anything but Go.

GO := go
TOOL := $(GO) tool -modfile=tools/go.mod

# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(if $(shell command -v cc 2>/dev/null || command -v gcc 2>/dev/null),-race)

.PHONY: demo build test bench lint fmt clean

demo: ## a relay, a web server and a forwarder for each protocol, in one process
	$(GO) run ./cmd/relay demo

build: ## the command, at bin/relay
	$(GO) build -o bin/relay ./cmd/relay

test: ## every test; at the end, which were left out, and how to have them
	$(TOOL) gotestsum --format=pkgname -- $(RACE) -shuffle=on -timeout=15m ./...

bench: ## Relay beside HAProxy, ssh -R and no relay at all; BENCH="-rounds 1" for less; see bin/bench
	mkdir -p bin/bench
	$(GO) -C bench run . -json $(CURDIR)/bin/bench/figures.json -svg $(CURDIR)/bin/bench -markdown $(CURDIR)/bin/bench/figures.md $(BENCH)

lint: ## what .ci/run checks beside the tests
	$(TOOL) golangci-lint run ./...
	$(GO) mod tidy -diff

fmt: ## the layout that lint wants
	$(TOOL) golangci-lint fmt ./...

clean:
	rm -rf bin
