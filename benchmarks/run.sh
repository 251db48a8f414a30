#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds and runs the benchmarks of funnel and of the libraries it is compared with (peers), and
# writes docs/performance.md and its plots: benchmarks/run.sh [options]
#
#   --quick         one short round, to check that everything works
#   --rounds N      number of rounds (default: 8); results of fewer rounds are not reliable
#   --min-time S    seconds per case and round (default: .03)
#   --filter REGEX  only workloads whose name matches
#   --out FILE      the page (default: docs/performance.md); plots go to the same folder
#   --results FILE  the measurements (default: build/benchmarks/results.json); benchmarks/page.py
#                   can write the page from them again
#   --avx2          also measures funnel built for x86-64-v3 (AVX2 and FMA), in separate columns
#   --cpu-time      measures CPU time instead of wall time, for a quick look on a busy machine
#   --no-install    installs nothing; missing peers are left out
#
# Installs what it needs on Debian and Ubuntu, and the Python peers in build/peers (a virtual
# environment, which may also be moved or linked there). A peer that cannot be installed is reported
# and left out. Exits with 1, after writing the page, if the results of a peer differ.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/benchmarks
venv=$root/build/peers
results=$build/results.json
page=$root/docs/performance.md
avx2=
install=yes
measure=
while [ $# -gt 0 ]; do
  case $1 in
    --help) sed -n '3,20s/^# \{0,1\}//p' "$0" && exit ;;
    --avx2) avx2=yes ;;
    --no-install) install= ;;
    --out) page=$2 && shift ;;
    --results) results=$2 && shift ;;
    --quick | --cpu-time) measure="$measure $1" ;;
    --rounds | --min-time) measure="$measure $1 $2" && shift ;;
    --filter) filter=$2 && shift ;;
    *) echo "benchmarks/run.sh: no option $1; --help lists them" >&2 && exit 2 ;;
  esac
  shift
done

(
  cd "$root"
  . cmake/ensure_packages.sh
  if [ "$install" ]; then
    ensure_packages $funnel_packages libbenchmark-dev python3
    for package in libtorch-dev libopenblas0-pthread libxsmm-dev python3-venv; do
      (ensure_packages $package) || echo "benchmarks/run.sh: going on without $package" >&2
    done
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv" || echo "benchmarks/run.sh: no Python peers" >&2
    # One by one, so that one failure does not prevent the others.
    for package in numpy scipy matplotlib onnx onnxruntime openvino faiss-cpu usearch implicit pyversity \
      onednn-devel-cpu-gomp scipy-openblas32; do
      [ ! -x "$venv/bin/python" ] ||
        "$venv/bin/python" -m pip -q install --disable-pip-version-check $package ||
        echo "benchmarks/run.sh: going on without $package of PyPI" >&2
    done
    # Fallback: Debian's packages, which are older.
    [ -e "$venv/lib/libdnnl.so" ] || (ensure_packages libdnnl-dev) || true
    [ -e "$(echo "$venv"/lib/python3*/site-packages/scipy_openblas32)" ] ||
      (ensure_packages libopenblas-dev) || true
  fi
  ensure_cmake
  cmake --preset release -B "$build" -DFUNNEL_BUILD_EXAMPLES=OFF -DFUNNEL_BUILD_PEERS=ON \
    -DFUNNEL_PEERS="$venv" | grep 'funnel:' || true
  cmake --build "$build" --parallel "$(nproc)"
  if [ "$avx2" ]; then
    cmake --preset release -B "$build-avx2" -DFUNNEL_BUILD_EXAMPLES=OFF \
      -DCMAKE_CXX_FLAGS=-march=x86-64-v3 >/dev/null
    cmake --build "$build-avx2" --parallel "$(nproc)"
  fi
  mkdir -p "$build/data"
  "$build/benchmarks/peers/export_workloads" "$build/data"
)

python=python3
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import numpy' 2>/dev/null; then
  python=$venv/bin/python
  measure="$measure --python-peers"
fi
rm -f "$results"
status=0
"$python" "$root/benchmarks/measure.py" --build "$build" --data "$build/data" --results "$results" \
  --filter "${filter:-.}" ${avx2:+--avx2-build "$build-avx2"} $measure || status=$?
[ -e "$results" ] && "$python" "$root/benchmarks/page.py" "$results" --out "$page"
exit $status
