#!/bin/sh
# SPDX-License-Identifier: MIT
# cmake/archive.sh [<folder>]
#
# Writes funnel-<version>.tar.gz of the commit that is checked out into the folder (default: build/release),
# tries it as a user would, and prints its SHA-256. The same commit gives the same bytes, with the
# same git and gzip. CONTRIBUTING.md says what comes before and after.
set -eu
cd "$(dirname "$0")/.."
. cmake/ensure_packages.sh
folder=${1:-build/release}

refuse() {
  echo "cmake/archive.sh: $1" >&2
  exit 1
}

ensure_packages git g++ cmake ninja-build libeigen3-dev libxsimd-dev
ensure_cmake

# What would make a wrong release.
version=$(sed -n 's/^#define FUNNEL_VERSION "\(.*\)"$/\1/p' include/funnel/core/version.hpp)
changes=$(git status --porcelain) || refuse "this is no git repository"
[ -z "$changes" ] || refuse "the tree has changes that are not committed:
$changes"
grep -Eq "^## \[$version\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
  refuse "CHANGELOG.md has no dated heading for $version, expected \"## [$version] - <date>\""
tagged=$(git rev-parse -q --verify "refs/tags/v$version^{commit}" || true)
[ -z "$tagged" ] || [ "$tagged" = "$(git rev-parse HEAD)" ] ||
  refuse "the tag v$version is on another commit: check it out"
cmake -D root="$PWD" -P tests/docs/repository.cmake || refuse "the version differs from file to file"
cmake -D root="$PWD" -D release=ON -P tests/docs/performance.cmake ||
  refuse "docs/performance.md is stale: run benchmarks/run.sh"

# The bytes follow from the commit alone: times are the commit's, gzip -n writes neither name nor time.
name=funnel-$version
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git -c tar.umask=0022 -c core.autocrlf=false -c core.attributesFile=/dev/null \
  archive --format=tar --prefix="$name/" HEAD >"$work/$name.tar"
gzip -9n "$work/$name.tar"

# As a user would: unpack, install, and build a program with what was installed.
tar -xzf "$work/$name.tar.gz" -C "$work"
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2 && refuse "the archive does not work: $*"; }; }
quietly cmake -G Ninja -S "$work/$name" -B "$work/build" \
  -D BUILD_TESTING=OFF -D FUNNEL_BUILD_EXAMPLES=OFF -D FUNNEL_BUILD_BENCHMARKS=OFF
quietly cmake --install "$work/build" --prefix "$work/prefix"
mkdir "$work/user"
cat >"$work/user/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES CXX)
find_package(funnel $version EXACT CONFIG REQUIRED)
add_executable(user main.cpp)
target_link_libraries(user PRIVATE funnel::funnel)
END
cat >"$work/user/main.cpp" <<END
#include <funnel/funnel.hpp>
static_assert(FUNNEL_VERSION == std::string_view("$version"));
int main() { return funnel::matrix<float>(2, 3).rows() == 2 ? 0 : 1; }
END
quietly cmake -G Ninja -S "$work/user" -B "$work/user/build" -D CMAKE_PREFIX_PATH="$work/prefix"
quietly cmake --build "$work/user/build"
quietly "$work/user/build/user"

mv "$work/$name.tar.gz" "$folder"
echo "$folder/$name.tar.gz"
sha256sum "$folder/$name.tar.gz" | cut -d ' ' -f 1
