# What the other scripts share; sourced by them from the root of the tree, never run by itself.

say() { printf '== %s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Compilers to run at once: one a processor, but at least 1 GiB of free memory for each.
# LOCKSTEP_JOBS overrides it.
job_count() {
  if [[ -n "${LOCKSTEP_JOBS:-}" ]]; then
    [[ "$LOCKSTEP_JOBS" =~ ^[1-9][0-9]*$ ]] ||
      fail "LOCKSTEP_JOBS must be a number above 0, it is '$LOCKSTEP_JOBS'"
    echo "$LOCKSTEP_JOBS"
    return
  fi
  local processors by_memory
  processors=$(nproc)
  by_memory=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
  if ((by_memory < 1)); then by_memory=1; fi
  echo $((processors < by_memory ? processors : by_memory))
}

# Open MPI refuses to run as root unless told twice. Containers have no other user.
allow_mpi_as_root() {
  if ((EUID == 0)); then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
}

# build [--target NAME...]: configures and builds preset release. With CI=true the output is shown
# only if something fails.
build() {
  local log=build/release/build.log count
  count=$(job_count)
  mkdir -p build/release
  if [[ "${CI:-}" != true ]]; then
    cmake --preset release
    cmake --build --preset release --parallel "$count" "$@"
    return
  fi
  if ! { cmake --preset release &&
         cmake --build --preset release --parallel "$count" "$@"; } >"$log" 2>&1; then
    grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking|Generating)|^-- ' "$log" | tail -n 200 >&2 || true
    fail "the build failed; everything it said: $log"
  fi
}
