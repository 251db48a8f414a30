#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the example `short_video_feed` at full speed and runs it on the built-in simulator; arguments
# are passed on. Installs what is missing on Debian and Ubuntu; needs nothing done before and can be
# repeated.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/cmake/ensure_packages.sh"

ensure_packages g++ cmake ninja-build libeigen3-dev libxsimd-dev libtbb-dev
ensure_cmake
(
  cd "$root"
  cmake --preset release >/dev/null
  cmake --build --preset release --parallel "$(nproc)" --target short_video_feed
)
exec "$root/build/release/examples/short_video_feed" "$@" </dev/null
