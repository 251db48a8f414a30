#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/fuzz/run.sh [seconds] [target...]: builds tests/fuzz/<target>.cpp (default: all of them) with
# libFuzzer and the address and undefined-behavior sanitizers, and runs each for so many seconds
# (default: 10; 0 runs the inputs of the corpus once each). As many targets run in parallel as there
# are processors. Prints a line for each target; the exit status is 1 if one found something.
#
# tests/fuzz/corpus/<target> is only read. Inputs that reach new code go to build/fuzz/new/<target>,
# where the next run starts from them too; inputs that break something go to build/fuzz/found/<target>.
# CXX names another clang++; CXXFLAGS is added to the flags.
set -u
cd "$(dirname "$0")/../.."
out=build/fuzz

# One target, in a shell of its own: run.sh build|run <target> [seconds]
case ${1-} in
  build)
    mkdir -p "$out/bin" "$out/log"
    # shellcheck disable=SC2086  # CXXFLAGS is a list of words
    ${CXX:-clang++} -std=c++20 -O1 -g1 -D_GLIBCXX_ASSERTIONS \
      -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
      -Iinclude -Itests -isystem /usr/include/eigen3 ${CXXFLAGS-} "tests/fuzz/$2.cpp" \
      -o "$out/bin/$2" >"$out/log/$2" 2>&1 || rm -f "$out/bin/$2"
    exit 0
    ;;
  run)
    target=$2
    log=$out/log/$target
    found=$out/found/$target
    new=$out/new/$target
    [ -x "$out/bin/$target" ] || {
      cat "$log" && echo "does not compile" >"$out/log/$target.verdict"
      exit 0
    }
    mkdir -p "$found" "$new"
    corpus=
    if [ -d "tests/fuzz/corpus/$target" ]; then corpus=tests/fuzz/corpus/$target; fi
    limit=-max_total_time=$3
    if [ "$3" = 0 ]; then limit=-runs=0; fi
    # shellcheck disable=SC2086  # no corpus is no word
    if "$out/bin/$target" "$limit" -timeout=30 -rss_limit_mb=2048 -print_final_stats=1 \
      "-artifact_prefix=$found/" "$new" $corpus >"$log" 2>&1; then
      runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
      echo "ok: $runs inputs" >"$log.verdict"
    else
      tail -n 40 "$log"
      echo "FOUND: see $log and $found/" >"$log.verdict"
    fi
    exit 0
    ;;
esac

seconds=${1:-10}
case $seconds in
  *[!0-9]*) echo "usage: tests/fuzz/run.sh [seconds] [target...]" >&2 && exit 2 ;;
esac
[ $# = 0 ] || shift
if [ $# = 0 ]; then
  for source in tests/fuzz/*.cpp; do
    if [ -e "$source" ]; then set -- "$@" "$(basename "$source" .cpp)"; fi
  done
fi
for target in "$@"; do
  [ -e "tests/fuzz/$target.cpp" ] || { echo "there is no tests/fuzz/$target.cpp" >&2 && exit 2; }
done
[ $# -gt 0 ] || { echo "no fuzz targets" && exit 0; }

jobs=$(nproc)
mkdir -p "$out/log"
rm -f "$out"/log/*.verdict
printf '%s\n' "$@" | xargs -n 1 -P "$jobs" ./tests/fuzz/run.sh build
printf '%s\n' "$@" | xargs -I '{}' -P "$jobs" ./tests/fuzz/run.sh run '{}' "$seconds"

failed=0
for target in "$@"; do
  verdict=$(cat "$out/log/$target.verdict" 2>/dev/null || echo "did not end")
  printf '%-24s %s\n' "$target" "$verdict"
  case $verdict in ok:*) ;; *) failed=1 ;; esac
done
exit $failed
