#!/usr/bin/env bash
# The measurements of docs/benchmarks.md, one after the other. Each block names its own command. Takes about ten minutes on
# two idle cores; figures from a busy machine mean nothing. `make demo ONCE=1` measures the loop itself (build/demo.json).
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 TOWPATH_KUBE_BIN=$PWD/bin/kube
run() { printf '\n## %s\n$ %s\n' "$1" "$2"; bash -c "$2" | grep -vE '^(goos|goarch|pkg|PASS)' || true; }

run 'Git against git http-backend' 'go test ./internal/source -run "^$" -bench . -benchtime 20x'
run 'Registry against distribution v3' 'go test ./internal/registry/bench -run "^$" -bench .'
run 'Pipeline engine: step overhead, first output, logs' 'go test ./internal/pipeline -run "^$" -bench . -benchtime 3x'
run 'Trace at a million events' 'go test ./internal/evidence -run "^$" -bench Trace -events 1000000 -benchtime 20x'
run 'New advisory on 1,000 images' 'go test ./internal/registry/supply/scan -run "^$" -bench NewAdvisory -benchtime 3x'
run 'Idle memory without the cluster' './scripts/idle.sh'
