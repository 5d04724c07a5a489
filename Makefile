# The two commands that matter stand first; `make help` lists the others.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
GO ?= go
BIN := $(CURDIR)/bin
export CGO_ENABLED := 0

KUBE_VERSION := v1.37.2
KUBE_LD := -s -w -X k8s.io/component-base/version.gitVersion=$(KUBE_VERSION) -X k8s.io/component-base/version.gitMajor=1 \
	-X k8s.io/component-base/version.gitMinor=37 -X k8s.io/component-base/version.gitTreeState=clean
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LD := -s -w -X main.version=$(VERSION)

.PHONY: demo test deps build kube check unit scenarios cluster browser bench help

demo: deps ## Install what is missing, build, start everything, run the loop, stay up. ONCE=1: end after it and write build/demo.json.
	@$(GO) run ./cmd/towpath-demo $(if $(ONCE),--once)

test: deps build kube unit scenarios cluster browser ## Every test, the cluster ones included.
	@echo "All suites passed."

deps: ## Install the host packages that are missing (root, Debian).
	@./scripts/deps.sh

build: ## bin/towpath, bin/towpath-agent and bin/towpath-hook.
	@mkdir -p $(BIN)
	@echo "building towpath and towpath-agent"
	@$(GO) build -ldflags '$(LD)' -o $(BIN)/ ./cmd/towpath ./cmd/towpath-agent ./cmd/towpath-hook

kube: export CGO_ENABLED = 1
kube: ## bin/towpath-kube and the upstream programs under bin/kube (about 12 minutes cold on two cores).
	@mkdir -p $(BIN)/kube
	@echo "building the embedded Kubernetes $(KUBE_VERSION) (cold: about 12 minutes on two cores)"
	@cd kube && $(GO) build -tags seccomp -ldflags '-s -w' -o $(BIN)/kube/ tool
	@cd kube && $(GO) build -tags seccomp -ldflags '$(KUBE_LD)' -o $(BIN)/towpath-kube .

unit: ## Unit and store tests, the latter on SQLite and on a private PostgreSQL.
	@TOWPATH_KUBE_BIN=$(BIN)/kube $(GO) run ./internal/store/storetest/pgrun -- $(GO) test ./...
	@cd examples/shop && $(GO) test ./...

scenarios: build ## testdata/script/*.txtar on the built binaries.
	@TOWPATH_BIN=$(BIN) $(GO) test -count=1 ./testdata/...

cluster: export CGO_ENABLED = 1
cluster: kube ## The embedded cluster, end to end.
	@cd kube && TOWPATH_BIN=$(BIN) $(GO) test -tags seccomp -vet=off -count=1 -timeout 20m ./...

browser: build ## The main way through the UI in headless Chromium.
	@TOWPATH_BIN=$(BIN) $(GO) test -count=1 ./internal/web/browser/...

check: ## Format, vet, generated code, import rules.
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	@$(GO) vet ./...
	@$(GO) test ./internal/arch

bench: build ## The measurements of docs/benchmarks.md.
	@./scripts/bench.sh

help: ## This list.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
