#!/usr/bin/env bash
# All studies, one after the other; arguments go to each: --quick, --out FOLDER, --lockstep FILE.
# The figures of docs/results.md: scripts/studies/all.sh --out docs/results
set -euo pipefail
folder=$(dirname "${BASH_SOURCE[0]}")
for study in bandwidth hop_latency chips scaling link_load energy_cost racks growth; do
  start=$SECONDS
  /usr/bin/python3 -B "$folder/$study.py" "$@"
  echo "$study: all of it in $((SECONDS - start)) s"
done
