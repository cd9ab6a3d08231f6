#!/usr/bin/env bash
# From a plain clone to a running machine: installs what is missing, builds, and lets the eight
# chips of a GroqNode, one MPI process each, tell a story with the built-in model.
# Arguments are added to the command: scripts/quickstart.sh --report report.json --timeline trace.json
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

say "packages"
scripts/install.sh
say "build (preset release)"
build --target lockstep lockstep-chip
say "8 chips, one process each: the first run of a model on a GroqNode"
allow_mpi_as_root
command=(build/release/bin/lockstep run --model models/story --topology groqnode
         --prompt "Once upon a time" --tokens 60 "$@")
printf '$'
for word in "${command[@]}"; do
  if [[ "$word" == *[^A-Za-z0-9_./=-]* ]]; then printf ' "%s"' "$word"; else printf ' %s' "$word"; fi
done
printf '\n'
exec "${command[@]}"
