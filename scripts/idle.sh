#!/usr/bin/env bash
# Starts a server without a cluster, lets it rest for 20 seconds and prints the memory of its processes: Pss, in KiB.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d); trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT
head -c 30 /dev/urandom | base64 >"$dir/token"
TOWPATH_KUBE_BIN=$PWD/bin/kube bin/towpath serve --data "$dir/data" --listen 127.0.0.1:0 --cluster none --admin-token-file "$dir/token" >"$dir/out" 2>"$dir/err" &
server=$!
for _ in $(seq 100); do grep -q ^ready "$dir/out" && break; sleep 0.1; done
sleep 20
total=0
tree=("$server"); for ((i = 0; i < ${#tree[@]}; i++)); do mapfile -t kids < <(pgrep -P "${tree[i]}" || true); tree+=("${kids[@]}"); done
for p in "${tree[@]}"; do
  kib=$(awk '/^Pss:/ {print $2}' "/proc/$p/smaps_rollup"); total=$((total + kib))
  printf '%-16s %8d KiB\n' "$(cat "/proc/$p/comm")" "$kib"
done
printf '%-16s %8d KiB\n' total "$total"
