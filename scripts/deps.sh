#!/usr/bin/env bash
# Installs the Debian packages that building, running and testing Towpath need and that are missing.
set -euo pipefail
# command or file that shows that a package is there : package
need=(
  gcc:gcc g++:g++ pkg-config:pkg-config git:git nft:nftables ip:iproute2 iptables:iptables conntrack:conntrack
  curl:curl ssh:openssh-client pgrep:procps mount:mount useradd:passwd
  /usr/include/seccomp.h:libseccomp-dev /usr/lib/postgresql/15/bin/postgres:postgresql chromium:chromium promtool:prometheus
)
missing=()
for n in "${need[@]}"; do
  what=${n%%:*} package=${n#*:}
  if [[ $what == /* ]]; then [[ -e $what ]] || missing+=("$package"); else PATH=$PATH:/usr/sbin:/sbin command -v "$what" >/dev/null || missing+=("$package"); fi
done
[[ ${#missing[@]} -eq 0 ]] && exit 0
if ! command -v apt-get >/dev/null || [[ $(id -u) -ne 0 ]]; then
  cat >&2 <<MSG
Towpath needs these packages, which are not here: ${missing[*]}

  On Debian 12, as root:    apt-get install ${missing[*]}
  Without root, or elsewhere (macOS): the embedded Kubernetes cannot run here. Build with \`make build\` and use a
  cluster that you already have:  bin/towpath up --kubeconfig FILE
MSG
  exit 1
fi
echo "installing ${missing[*]}"
log=$(mktemp)
# The programs are wanted, not their services (PostgreSQL, Prometheus): while apt installs, invoke-rc.d and
# deb-systemd-invoke are told 101, "not allowed", by the policy script that Debian asks (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
policy=/usr/sbin/policy-rc.d own=
cleanup() { rm -f "$log"; [[ -z $own ]] || rm -f "$policy"; }
trap cleanup EXIT
if [[ ! -e $policy && ! -L $policy ]]; then
  own=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }
