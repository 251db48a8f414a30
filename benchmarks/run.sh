#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds and runs the benchmarks beside the systems they are compared with, and writes
# docs/performance.md and its plots: benchmarks/run.sh [options]
#
#   --quick         one short round, to see that everything works
#   --rounds N      rounds; 5 unless told
#   --filter REGEX  only workloads whose name matches
#   --json FILE     also writes {"<workload>": {"funnel_us": .., "roofline": .., "<peer>_us": ..}}
#   --out FILE      the page, docs/performance.md unless told; plots go beside it
#   --avx2          also funnel built for x86-64-v3 (AVX2 and FMA), in columns of its own
#   --cpu-time      times of the processor, not of the wall: for a look on a busy machine
#   --no-install    nothing is installed; what isn't there is left out
#
# Installs what it needs on Debian and Ubuntu, and the peers in Python below build/. A peer that can't
# be installed is named and left out.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/benchmarks
venv=$root/build/peers
avx2=
install=yes
for option in "$@"; do  # the others are for report.py, which also refuses unknown ones
  case $option in
    --help) sed -n '3,16s/^# \{0,1\}//p' "$0" && exit ;;
    --avx2) avx2=yes ;;
    --no-install) install= ;;
  esac
done

(
  cd "$root"
  . cmake/ensure_packages.sh
  if [ "$install" ]; then
    ensure_packages $funnel_packages libbenchmark-dev python3
    for package in libopenblas-dev libtorch-dev libdnnl-dev python3-venv; do
      (ensure_packages $package) || echo "benchmarks/run.sh: going on without $package" >&2
    done
    [ -x "$venv/bin/pip" ] || python3 -m venv "$venv" || echo "benchmarks/run.sh: no Python peers" >&2
    # One by one: what one of them lacks is no reason to miss the others.
    for package in numpy matplotlib onnx onnxruntime faiss-cpu usearch implicit pyversity \
      onednn-devel-cpu-gomp; do
      [ ! -x "$venv/bin/pip" ] || "$venv/bin/pip" -q install --disable-pip-version-check $package ||
        echo "benchmarks/run.sh: going on without $package of PyPI" >&2
    done
  fi
  ensure_cmake
  # oneDNN of PyPI is newer than Debian's.
  cmake --preset release -B "$build" -DFUNNEL_BUILD_EXAMPLES=OFF -DFUNNEL_BUILD_PEERS=ON \
    -Ddnnl_ROOT="$venv" | grep 'funnel:' || true
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
peers=
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import numpy' 2>/dev/null; then
  python=$venv/bin/python
  peers="--python-peers"
fi
exec "$python" "$root/benchmarks/report.py" --build "$build" --data "$build/data" $peers \
  ${avx2:+--avx2-build "$build-avx2"} "$@"
