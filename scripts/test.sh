#!/usr/bin/env bash
# Installs what is missing, builds everything (preset release) and runs all tests. Arguments go to
# ctest: scripts/test.sh -L unit, scripts/test.sh -R Tokenizer. With CI=true only failures and
# ctest's closing lines are printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

say "packages"
scripts/install.sh
count=$(job_count)
say "build (preset release, $count at once)"
build
say "tests"
allow_mpi_as_root
run=(ctest --test-dir build/release --output-on-failure --no-tests=error
     --parallel "$(nproc)" "$@")
if [[ "${CI:-}" != true ]]; then exec "${run[@]}"; fi
# Lines of tests that start or pass say nothing; all others stay. The exit code is ctest's.
"${run[@]}" 2>&1 |
  sed -E '/^ +Start +[0-9]+: /d; /Test +#[0-9]+: .* (Passed|\.\.\.+ +Passed) +[0-9.]+ sec$/d'
