#!/bin/sh
# SPDX-License-Identifier: MIT
# headers_alone.sh <include directory> <compiler> [<flag>...]
#
# Compiles each public header alone, warnings being errors, and prints the seconds of processor time
# that reading it takes; fails where one needs another included before it, or takes more than its
# budget. Processor time, and the better of two measurements where the first is above the budget: a
# busy machine must not fail this. Headers of adapters need their packages: their tests include them.
# Those of detail/ are not for users.
set -eu

if [ "$1" = --one ]; then
  header=$3
  cd "$2"
  shift 3
  budget=3
  # These read the headers of several folders below them.
  case $header in
    funnel/funnel.hpp) budget=15 ;;
    funnel/training/* | funnel/io/saved_model.hpp) budget=7 ;;
    funnel/features/fit_schema.hpp | funnel/features/request_encoder.hpp) budget=6 ;;
    funnel/features/feature_* | funnel/data/logged_rows.hpp | funnel/data/funnel_log*) budget=4.5 ;;
  esac
  lines=$(mktemp)
  trap 'rm -f "$lines"' EXIT
  # In a shell of its own, whose only child is the compiler. The second line of `times` is of the
  # children; in a pipe it would be of the pipe's.
  measure() (
    "$@" -std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fsyntax-only -I . \
      -include "$header" -x c++ /dev/null || exit 1
    times >"$lines"
    tr ms '  ' <"$lines" | awk 'NR == 2 { printf "%.2f", 60 * ($1 + $3) + $2 + $4 }'
  )
  above() { awk "BEGIN { exit !($1 > $budget) }"; }
  seconds=$(measure "$@")
  if above "$seconds"; then
    again=$(measure "$@")
    seconds=$(printf '%s\n%s\n' "$seconds" "$again" | sort -n | head -n 1)
  fi
  verdict=
  ! above "$seconds" || verdict="more than $budget s"
  printf '%6.2f  %s  %s\n' "$seconds" "$header" "$verdict"
  exit 0
fi

script=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
include=$1
shift
headers=$(cd "$include" && find funnel -name '*.hpp' ! -path 'funnel/adapters/*' ! -path '*/detail/*')
table=$(printf '%s\n' $headers |
  xargs -P "$(nproc)" -I '{}' sh "$script" --one "$include" '{}' "$@" | sort -rn)
printf 'seconds  header\n%s\n' "$table"
printf '%s\n' "$table" | awk '{ sum += $1 } END { printf "%6.2f  together\n", sum }'
[ "$(printf '%s\n' "$table" | wc -l)" -eq "$(printf '%s\n' $headers | wc -l)" ]
! printf '%s\n' "$table" | grep 'more than' >&2
