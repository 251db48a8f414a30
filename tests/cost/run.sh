#!/bin/sh
# SPDX-License-Identifier: MIT
# Counts the instructions that mmr and dpp take beside a plain eager scan (plain_scan.hpp), for x86-64-v3,
# with callgrind, and ends with 1 where a case takes more than 1.5 times as many.
#
#     tests/cost/run.sh            scores that tie and that are bunched, and copies, in two minutes
#     tests/cost/run.sh all        every kind
#     tests/cost/run.sh KIND...    of those in rerank_cost.cpp
set -eu
cd "$(dirname "$0")/../.."
kinds=${*:-tied bunched copies_tied identical_tied}
[ "$kinds" = all ] && kinds="easy tied levels bunched saturated correlated copies copies_tied identical identical_tied near near_tied scaled_tied few flat"
for command in valgrind "${CXX:-g++}"; do
  command -v "$command" >/dev/null || { echo "tests/cost/run.sh needs $command" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2086
"${CXX:-g++}" -std=c++20 -O3 -DNDEBUG -march=x86-64-v3 -w -Iinclude ${FUNNEL_COST_FLAGS:-} \
  -isystem "${EIGEN_INCLUDE:-/usr/include/eigen3}" tests/cost/rerank_cost.cpp -o "$work/rerank_cost"
cd "$work"
# shellcheck disable=SC2086
valgrind --tool=callgrind ./rerank_cost $kinds >log 2>&1 || { cat log; exit 1; }
# Each dump says its case and its sum.
for dump in callgrind.out.*.*; do
  sed -n 's/^desc: Trigger: Client Request: \(.*\)/\1/p; s/^summary: \(.*\)/\1/p; s/^totals: \(.*\)/\1/p' "$dump" |
    head -n 2 | tr '\n' ' '
  echo
done | sort -k 6,6r -k 1,2 -k 3,5n | awk '
  NF == 7 && $6 == "plain" { plain[$1, $3, $4, $5] = $7 }
  NF == 7 && $6 == "funnel" {
    if (!cases++) printf "%-4s %-15s %6s %3s %6s %12s %12s  ratio\n", "", "data", "n", "k", "window", "instructions", "plain scan"
    ratio = $7 / plain[$1, $3, $4, $5]
    printf "%-4s %-15s %6d %3d %6d %12d %12d  %5.2f%s\n", $1, $2, $3, $4, $5, $7, plain[$1, $3, $4, $5], ratio,
      (ratio > 1.5 ? "  more than 1.5" : "")
    if (ratio > 1.5) bad = 1
  }
  END { if (!cases) print "no case was counted"; exit bad || !cases }'
