#!/usr/bin/env bash
# The measurements of docs/benchmarks.md, one after the other. Each block names its own command. Takes about half an hour on
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
run 'Secret engine' 'go test ./internal/source/secret -run "^$" -bench Scan'
run 'Push protection on 50 MB' 'go test ./internal/source/protect -run "^$" -bench "WholePush" -benchtime 3x'
run 'A review, evaluator and admission policy' 'go test ./internal/policy/vap -run "^$" -bench Review -benchtime 200x'
run 'Ten thousand pods in the audit' 'go test ./internal/policy/audit -run "^$" -bench Pods/10000 -benchtime 1x'
run 'Admission and verdicts on a live cluster' 'TOWPATH_BIN=$PWD/bin go test ./internal/policy/enforce/live -run "^$" -bench . -benchtime 1x'
run 'Lake: storing, size, has, timechart' 'CGO_ENABLED=1 go test ./internal/monitor/lake -run "^$" -bench Lake -benchtime 1x -timeout 20m'
run 'Queries beside plain DuckDB' 'TOWPATH_BENCH_LINES=1000000 CGO_ENABLED=1 go test ./internal/monitor/query -run "^$" -bench . -benchtime 3x'
run 'KQL: cost of a compile' 'go test ./internal/monitor/kql/bind -run "^$" -bench Bind'
run 'OTLP, samples, tailer' 'go test ./internal/monitor/otlp ./internal/monitor/metric ./internal/monitor/tail -run "^$" -bench . -benchtime 1x'
run 'Hop through the router' 'go test ./internal/agent/router -run "^$" -bench Hop -benchtime 2000x'
live() { run "$1" "TOWPATH_BIN=\$PWD/bin go test -tags prove ./internal/e2e -v -timeout 30m -run '$2' -args $3 | grep -E '_test.go:[0-9]+: |^---'"; }
live 'Session start; save to seen of a small and a large service, --run and --sync' 'TestSaves$' '-saves 20'
live 'A thousand requests at once, two developers on one service' 'TestSessionsApart$' '-requests 1000'
live 'Fifty sessions on fifty services' 'TestManySessions$' '-sessions 50'
live 'A gibibyte through router and tunnel' 'TestTunnel$' '-upload 1024'
run 'git push to serving with everything on (the steps of build/demo.json)' 'make demo ONCE=1 >/dev/null && cat build/demo.json'
