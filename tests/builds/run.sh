#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/builds/run.sh [<configuration>...], or --list, which names them
#
# The builds that users have and the presets lack: each configuration compiles at most 12 sources
# into build/builds/<configuration>, runs what it made, and says in one line how that went. Without
# arguments all of them. JOBS is how many compilers run at a time. Installs what is missing on Debian
# and Ubuntu.
set -u
cd "$(dirname "$0")/../.."
. cmake/ensure_packages.sh
root=$PWD
jobs=${JOBS:-$(nproc)}
all="debug no-rtti cxx23 libcxx generic v3 strict aarch64 mingw scalar refused"

if [ "${1-}" = --list ]; then echo "$all" && exit; fi

# begin <compiler> <flags>: starts the list of what is built. Warnings are errors.
begin() {
  compiler=$1
  flags="-std=c++20 $2"
  # g++ collects its garbage less often: a tenth to a seventh of its time.
  case $compiler in *clang*) ;; *) flags="$flags --param ggc-min-heapsize=1000000 --param ggc-min-expand=100" ;; esac
  runner=
  suffix=
  skipped=
  libraries=-lCatch2WithMain
  warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
  third="-isystem /usr/include/eigen3"
  cat >"$out/build.ninja" <<EOF
builddir = $out
rule compile
  command = $compiler \$flags -MD -MF \$out.d -c \$in -o \$out
  depfile = \$out.d
  deps = gcc
rule link
  command = $compiler \$flags \$in \$libraries -o \$out
rule run
  command = { timeout 600 \$runner \$in \$words >\$out.log 2>&1 </dev/null || { tail -n 60 \$out.log; false; }; } && touch \$out
EOF
}

# Another target than this machine has no library of Catch2, and /usr/include is not its own: its
# tests get a main of their own, and a folder with the headers we need alone.
foreign() {
  mkdir -p build/builds/third
  ln -sfn /usr/include/eigen3/Eigen build/builds/third/Eigen
  ln -sfn /usr/include/xsimd build/builds/third/xsimd
  ln -sfn /usr/include/catch2 build/builds/third/catch2
  third="-isystem build/builds/third"
  own_main
}
own_main() {
  printf '#define CATCH_CONFIG_MAIN\n#include "support/catch.hpp"\n' >"$out/main.cpp"
  compiled "$out/main.cpp" "$flags -w $third"
  libraries=$object
}

# compiled <source> <flags>: adds it to the list; `object` is what will become of it.
compiled() {
  object=$(echo "${1%.cpp}.o" | tr / _)
  object=$out/$object
  printf 'build %s: compile %s\n  flags = -Iinclude -Itests %s %s\n' "$object" "$1" "$include" "$2" >>"$out/build.ninja"
}

# program <name> <words> <source>...: a program that is run with these words.
program() {
  binary=$out/$1$suffix
  words=$2
  shift 2
  objects=
  for source in "$@"; do
    compiled "$source" "$flags $warnings $third"
    objects="$objects $object"
  done
  {
    printf 'build %s: link%s %s\n' "$binary" "$objects" "$needs"
    printf '  flags = %s\n  libraries = %s\n' "$flags" "$links"
    printf 'build %s.done: run %s\n  runner = %s\n  words = %s\n' "$binary" "$binary" "$runner" "$words"
  } >>"$out/build.ninja"
}

# folders <name>...: the tests of a folder in one source and one program, which spares reading the
# headers again. Each test has a namespace of its own, for the names that several use.
folders() {
  for folder in "$@"; do
    unit=$out/$folder.cpp
    {
      printf '#define FUNNEL_SHARED_DATA "%s/../shared/data"\n' "$root"
      cat tests/"$folder"/*_test.cpp | grep '^#include' | grep -v tbb | sort -ru
      for test in tests/"$folder"/*_test.cpp; do
        name=$(basename "$test" .cpp)
        printf 'namespace %s {\n#include "%s"\n}\n' "$name" "${test#tests/}"
      done
    } >"$unit.new"
    cmp -s "$unit.new" "$unit" || mv "$unit.new" "$unit"
    needs=
    links=$libraries
    case $libraries in *.o) needs=$libraries links= ;; esac
    include=-Itests/$folder
    program "${folder}_test" "$skipped" "$unit"
    include=
  done
}

examples() {
  needs=
  links=
  for example in "$@"; do program "$example" "" "examples/$example/main.cpp"; done
}

# unlinked <source>: compiled, and that is all.
unlinked() { compiled "$1" "$flags $warnings $third"; }

# All headers in the other order than users write, where a name of one could hide another's.
backwards() {
  (cd include && find funnel -name '*.hpp' ! -path '*/detail/*' ! -path '*/adapters/*' | sort -r) |
    sed 's/.*/#include <&>/' >"$out/backwards.cpp"
  unlinked "$out/backwards.cpp"
}

finish() { ninja -f "$out/build.ninja" -j "$jobs" --quiet; }

# The configurations.

debug() {
  begin g++ "-g -O0 -D_GLIBCXX_DEBUG"
  own_main
  backwards
  examples custom_ranker rerank_only
  folders core simd nn optim loss diversity
  finish
}
no_rtti() {
  begin g++ "-O1 -fno-rtti"
  examples custom_ranker rerank_only
  finish
}
cxx23() {
  begin g++ "-O1 -std=c++23"
  examples custom_ranker rerank_only
  folders core simd nn optim metrics
  finish
}
libcxx() {
  ensure_packages clang-19 libc++-19-dev libc++abi-19-dev
  begin clang++-19 "-O1 -stdlib=libc++"
  own_main
  examples custom_ranker rerank_only
  folders core simd nn optim index diversity data retrieval
  finish
}
generic() {
  begin g++ "-O1"
  folders core simd nn optim index diversity
  finish
}
v3() {
  begin g++ "-O1 -march=x86-64-v3"
  folders core simd nn optim index diversity
  finish
}
aarch64() {
  ensure_packages g++-aarch64-linux-gnu qemu-user
  begin aarch64-linux-gnu-g++ "-O1"
  foreign
  flags="$flags -static"
  runner=qemu-aarch64
  # Minutes on the emulator, for the same kernels as the other requests.
  skipped="'~serving: requests of a real log*'"
  folders simd nn optim index diversity retrieval sequence preranking ranking serving
  finish
}
mingw() {
  ensure_packages g++-mingw-w64-x86-64-posix wine64
  begin x86_64-w64-mingw32-g++-posix "-O1"
  foreign
  flags="$flags -static"
  runner=/usr/lib/wine/wine64
  suffix=.exe
  # std::fma of mingw-w64 rounds twice: gelu of the scalar twin is 4.4 ulp off instead of 4.
  skipped="'~activation: within its bound of the exact value - double'"
  examples custom_ranker rerank_only
  # Not the folders whose tests take memory away: mingw-w64 has no std::aligned_alloc.
  folders core simd
  finish
}
# x86-64 as a machine that xsimd knows no instruction set of.
scalar() {
  begin g++ "-O1 -U__SSE__ -U__SSE2__"
  examples custom_ranker rerank_only
  needs=
  links=
  program no_simd "" tests/builds/no_simd.cpp
  folders simd nn optim index diversity ranking
  finish
}
# Our headers under the flags of careful users. (-Weverything of clang++ warns of what C++20 code
# cannot be without; the rest of it holds.)
strict() {
  ensure_packages clang
  begin g++ "-O2"
  warnings="$warnings -Wsign-conversion -Wuseless-cast -Wold-style-cast -Wcast-qual
    -Wdouble-promotion -Wnull-dereference -Wformat=2 -Wundef -Wextra-semi -Wredundant-decls
    -Wduplicated-cond -Wlogical-op -Wnon-virtual-dtor"
  warnings=$(echo $warnings)
  examples custom_ranker rerank_only
  unlinked tests/builds/all_headers.cpp
  finish || return 1
  begin clang++ "-O1"
  warnings="-Weverything -Werror -Wno-c++98-compat -Wno-c++98-compat-pedantic -Wno-padded
    -Wno-float-equal -Wno-global-constructors -Wno-exit-time-destructors -Wno-weak-vtables
    -Wno-switch-enum -Wno-covered-switch-default -Wno-documentation-unknown-command
    -Wno-double-promotion -Wno-unsafe-buffer-usage -Wno-ctad-maybe-unsupported
    -Wno-shadow-uncaptured-local -Wno-shadow-field-in-constructor -Wno-unused-member-function
    -Wno-missing-prototypes -Wno-missing-variable-declarations -Wno-unknown-warning-option"
  warnings=$(echo $warnings)
  unlinked tests/builds/all_headers.cpp
  finish
}
# Each refused flag with each public header alone: the compiler's first error is our sentence.
refused() {
  ensure_packages clang
  find include/funnel -name '*.hpp' ! -path '*/detail/*' | sort >"$out/headers"
  echo include/funnel/funnel.hpp >"$out/one_header"
  everywhere="-ffast-math|-Ofast|-ffinite-math-only|-fno-exceptions"
  by_gcc="-funsafe-math-optimizations|-freciprocal-math|-fassociative-math -fno-signed-zeros -fno-trapping-math"
  IFS='|'
  for flag in $everywhere $by_gcc; do
    unset IFS
    refuses g++ "$flag" "$out/headers" || return 1
  done
  IFS='|'
  for flag in $everywhere; do
    unset IFS
    refuses clang++ "$flag" "$out/one_header" || return 1
  done
  # What is not refused, so that the above cannot pass by itself.
  for compiler in g++ clang++; do
    ! refuses $compiler "-O2 -fno-rtti" "$out/one_header" >/dev/null 2>&1 || return 1
  done
}
# refuses <compiler> <flags> <file with names of headers>
refuses() {
  xargs -P "$jobs" -n 1 sh -c '
    said=$($0 -std=c++20 -E -Wfatal-errors -Iinclude -isystem /usr/include/eigen3 -x c++ "$1" 2>&1 >/dev/null)
    first=$(echo "$said" | grep "error:" | head -n 1)
    case $first in
      *"funnel does not support"*) ;;
      *) echo "$0: $1 is not refused in words, but: $first" && exit 255 ;;
    esac' "$1 $2" <"$3"
}

run() {
  include=
  failed=
  for configuration in ${*:-$all}; do
    case " $all " in
      *" $configuration "*) ;;
      *) echo "tests/builds/run.sh: there is no configuration $configuration, but: $all" >&2 && exit 2 ;;
    esac
    out=build/builds/$configuration
    mkdir -p "$out"
    began=$(date +%s)
    verdict=ok
    $(echo "$configuration" | tr - _) || { verdict=FAILED && failed="$failed $configuration"; }
    printf 'build %s: %s, %d s\n' "$configuration" "$verdict" $(($(date +%s) - began))
  done
  [ -z "$failed" ]
}
run "$@"; exit
