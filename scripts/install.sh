#!/usr/bin/env bash
# Installs the Debian 12 packages that Lockstep needs: scripts/packages.txt, with --dev also
# scripts/packages-dev.txt. What is installed already is left alone; if everything is, nothing is
# asked of apt, the network or sudo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

lists=(scripts/packages.txt)
for argument in "$@"; do
  case "$argument" in
    --dev) lists+=(scripts/packages-dev.txt) ;;
    -h | --help) echo "usage: scripts/install.sh [--dev]"; exit 0 ;;
    *) fail "unknown argument '$argument'; usage: scripts/install.sh [--dev]" ;;
  esac
done

mapfile -t wanted < <(sed -e 's/#.*//' -e 's/[[:space:]]*//g' -e '/^$/d' "${lists[@]}")
command -v dpkg-query >/dev/null || fail "this is no Debian; install by hand what these provide:" \
  "${wanted[*]}"

declare -A installed=()
while read -r name status; do
  if [[ "$status" == installed ]]; then installed[$name]=1; fi
done < <(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n')
missing=()
for package in "${wanted[@]}"; do
  if [[ -z "${installed[$package]:-}" ]]; then missing+=("$package"); fi
done
if ((${#missing[@]} == 0)); then
  say "all ${#wanted[@]} packages are installed"
  exit 0
fi

say "installing ${#missing[@]} packages: ${missing[*]}"
as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || fail "not root and no sudo here; as root run:" \
    "apt-get update && apt-get install --no-install-recommends ${missing[*]}"
  as_root=(sudo)
fi
# With CI=true the output is shown only if it fails.
apt() {
  local command=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get
                 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@") output
  if [[ "${CI:-}" != true ]]; then "${command[@]}"; return; fi
  output=$("${command[@]}" 2>&1) || { printf '%s\n' "$output" >&2; return 1; }
}
apt update || fail "apt-get update failed (message above)"
apt install --yes --no-install-recommends "${missing[@]}" ||
  fail "apt-get could not install: ${missing[*]} (message above)"
