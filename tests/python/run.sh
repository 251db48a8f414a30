#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/python/run.sh: files between C++ and Python. What the library writes is read by the reference
# reader of safetensors, and what Python writes by the library, for every type; models trained in PyTorch
# are scored in C++ (examples/model_files) and back. Installs what is missing on Debian and Ubuntu:
# PyTorch, and safetensors and xxhash from PyPI in build/python/venv.
set -eu
cd "$(dirname "$0")/../.."
. cmake/ensure_packages.sh
out=build/python
flags="-std=c++20 -O1 -march=native -Iinclude -isystem /usr/include/eigen3"

ensure_packages g++ libeigen3-dev libxsimd-dev python3-torch python3-numpy python3-venv
mkdir -p "$out/files" "$out/models" "$out/fresh"
# The system's Python has PyTorch; another one in PATH may not.
[ -x "$out/venv/bin/python" ] || /usr/bin/python3 -m venv --system-site-packages "$out/venv"
python=$out/venv/bin/python
"$python" -c 'import safetensors, xxhash' 2>/dev/null ||
  "$python" -m pip -q install --disable-pip-version-check safetensors xxhash

# shellcheck disable=SC2086  # flags is a list of words
{
  ${CXX:-g++} $flags tests/python/files.cpp -o "$out/program"
  ${CXX:-g++} $flags -Wno-maybe-uninitialized examples/model_files/main.cpp -o "$out/model_files"
}
fuzzed=build/fuzz/new/safetensors
[ -d "$fuzzed" ] || fuzzed=
find tests/fuzz/corpus/safetensors tests/fuzz/corpus/model_file $fuzzed -type f -print0 |
  xargs -0 "$python" -B tests/python/check_files.py "$out/program" "$out/files"

example=examples/model_files
"$out/model_files" "$example/files" "$out/models"
"$python" -B "$example/read_files.py" "$out/models"
"$python" -B "$example/write_files.py" "$out/fresh"
"$out/model_files" "$out/fresh" "$out/fresh"
"$python" -B "$example/read_files.py" "$out/fresh"
