#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds and runs all tests: tests/run.sh [preset], one of CMakePresets.json with tests; `tests` unless
# told. Installs what is missing on Debian and Ubuntu; needs nothing done before and can be repeated.
set -eu
cd "$(dirname "$0")/.."
. cmake/ensure_packages.sh
preset=${1:-tests}

ensure_packages $funnel_packages
ensure_cmake
jobs=$(nproc)
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" --parallel "$jobs"
ctest --preset "$preset" --parallel "$jobs" </dev/null
