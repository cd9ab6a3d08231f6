#!/usr/bin/env bash
# From a plain clone to a running machine: installs what is missing, builds, starts a controller on a
# free port, submits a job that lets the eight chips of a GroqNode, one MPI process each, tell a
# story with the built-in model, shows its text as it comes and its report, and stops everything.
# Arguments are added to the job: scripts/quickstart.sh --temperature 0.8 --seed 5
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

say "packages"
scripts/install.sh
say "build (preset release)"
build --target lockstep lockstep-chip lockstep-job lockstepd
bin=build/release/bin
state=$(mktemp -d)
controller=

stop() {
  if [[ -n "$controller" ]]; then
    kill -TERM "$controller" 2>/dev/null || true
    wait "$controller" || true
  fi
  rm -rf "$state"
}
trap stop EXIT

say "a controller on a free port of this host"
allow_mpi_as_root
"$bin/lockstepd" --state "$state/jobs" --listen 127.0.0.1:0 --address-file "$state/address" \
  2>"$state/log" &
controller=$!
until [[ -s "$state/address" ]]; do
  kill -0 "$controller" 2>/dev/null || { cat "$state/log" >&2; fail "lockstepd did not start"; }
  sleep 0.1
done
LOCKSTEP_SERVER=$(<"$state/address")
export LOCKSTEP_SERVER
echo "$LOCKSTEP_SERVER"

say "a job: 8 chips, one process each"
command=("$bin/lockstep" generate --model story --topology groqnode
         --prompt "Once upon a time" --tokens 60 --report "$@")
printf '$'
for word in "${command[@]}"; do
  if [[ "$word" == *[^A-Za-z0-9_./=-]* ]]; then printf ' "%s"' "$word"; else printf ' %s' "$word"; fi
done
printf '\n'
"${command[@]}"
stop
trap - EXIT
say "everything is stopped"
