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

.PHONY: demo test deps build lake kube check unit slow cluster prove prove-local bench picture help

demo: deps ## Install what is missing, build, start everything, run the loop, stay up. ONCE=1: end after it and write build/demo.json.
	@$(GO) run ./cmd/towpath-demo $(if $(ONCE),--once)

test: deps build kube unit cluster slow ## Every test but the long proofs (prove), the cluster ones included.
	@echo "All suites passed."

deps: ## Install the host packages that are missing (root, Debian).
	@./scripts/deps.sh

build: lake ## bin/towpath, bin/towpath-agent, bin/towpath-hook and bin/towpath-lake.
	@mkdir -p $(BIN)
	@echo "building towpath and towpath-agent"
	@$(GO) build -ldflags '$(LD)' -o $(BIN)/ ./cmd/towpath ./cmd/towpath-agent ./cmd/towpath-hook

# The engine of logs and traces links DuckDB, so it alone of this module is built with cgo.
lake: export CGO_ENABLED = 1
lake: ## bin/towpath-lake.
	@mkdir -p $(BIN)
	@$(GO) build -ldflags '$(LD)' -o $(BIN)/ ./cmd/towpath-lake

kube: export CGO_ENABLED = 1
kube: ## bin/towpath-kube and the upstream programs under bin/kube (about 12 minutes cold on two cores).
	@mkdir -p $(BIN)/kube
	@echo "building the embedded Kubernetes $(KUBE_VERSION) (cold: about 12 minutes on two cores)"
	@cd kube && $(GO) build -tags seccomp -ldflags '-s -w' -o $(BIN)/kube/ tool
	@cd kube && $(GO) build -tags seccomp -ldflags '$(KUBE_LD)' -o $(BIN)/towpath-kube .

# The slow suites drive the built programs one at a time, so that none starves another.
SLOW := ./internal/policy/enforce/live ./internal/scenario ./internal/web/browser ./internal/e2e
GOTEST := $(GO) test -vet=off

unit: export TOWPATH_KUBE_BIN = $(BIN)/kube
unit: ## Unit and store tests, the latter on SQLite and on a private PostgreSQL; the registry's conformance suite; the sample's own tests.
	@$(GO) run ./internal/store/storetest/pgrun -- $(GOTEST) $$($(GO) list ./... | grep -vE '/internal/(policy/enforce/live|scenario|web/browser|e2e)$$')
	@CGO_ENABLED=1 $(GOTEST) ./internal/monitor/lake/... ./internal/monitor/query ./cmd/towpath-lake
	@$(GOTEST) -v -run 'Agrees|Documentation' ./internal/monitor/kql/oracle ./internal/monitor/kql/exec ./internal/pipeline/compile | grep -o 'NOT RUN.*' || true
	@cd examples/shop && $(GOTEST) ./...

slow: export TOWPATH_BIN = $(BIN)
slow: build kube ## Scenarios on the built programs, the browser, and deployments on a live cluster.
	@$(GOTEST) -count=1 -p 1 -timeout 40m $(SLOW)

# Each of these lives on one cluster for minutes; `make test` has the shorter ones beside them.
PROVE ?= TestNineSteps|TestSessions|TestManySessions|TestTunnel|TestSaves|TestFaults|TestCleanDeploys|TestPodinfo

prove: export TOWPATH_BIN = $(BIN)
prove: build kube ## The long proofs on a live cluster: the nine steps, sessions in trouble, seeded faults, clean deployments, somebody else's chart. ARGS='-deploys 50 -sessions 50 -upload 1024 -faults all' for the numbers of docs/benchmarks.md.
	@$(GOTEST) -tags prove -count=1 -timeout 90m -v -run '$(PROVE)' ./internal/e2e $(if $(ARGS),-args $(ARGS))

prove-local: export TOWPATH_BIN = $(BIN)
prove-local: build kube ## Local runs with containers, by a real Podman (root; apt-get install podman netavark).
	@$(GOTEST) -tags prove -count=1 -v -run TestPodman ./internal/local/engine

cluster: export CGO_ENABLED = 1
cluster: kube ## The embedded cluster by itself, end to end.
	@cd kube && TOWPATH_BIN=$(BIN) $(GOTEST) -tags seccomp -count=1 -p 1 -timeout 30m ./...

check: ## Format, vet, generated code, import rules.
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	@$(GO) vet ./...
	@$(GO) run github.com/a-h/templ/cmd/templ@v0.3.977 generate -path internal/web >/dev/null
	@git diff --exit-code --stat -- 'internal/web/**/*_templ.go' || { echo 'generated pages are stale: commit what `make check` wrote'; exit 1; }
	@$(GO) test -vet=off ./internal/arch

bench: build ## The measurements of docs/benchmarks.md.
	@./scripts/bench.sh

picture: ## The pictures of the Path in the README, from the real page.
	@$(GO) run ./scripts/picture

help: ## This list.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
