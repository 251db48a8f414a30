# SPDX-License-Identifier: MIT
# cmake -D root=<the repository> -D folder=<to write in> -P performance_test.cmake
#
# What performance.cmake says about small repositories made here.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/mistakes.cmake)
include(${root}/benchmarks/digest.cmake)

set(made ${folder}/performance)

# The page of what stands there now, with a commit.
function(write_page text)
  funnel_measured_digests(${made} lines)
  list(TRANSFORM lines PREPEND "measured ")
  list(JOIN lines "\n" lines)
  file(WRITE ${made}/docs/performance.md "# Performance\n\n| commit | 0123456789ab${text} |\n\n${lines}\n")
endfunction()

# Runs the check with options, and looks for whether it fails and for what it says.
function(expect case status said)
  execute_process(COMMAND ${CMAKE_COMMAND} -D root=${made} ${ARGN} -P ${root}/tests/docs/performance.cmake
                  RESULT_VARIABLE result ERROR_VARIABLE text)
  string(REGEX REPLACE "[ \n]+" " " text "${text}")
  if((status STREQUAL "fails" AND result EQUAL 0) OR (status STREQUAL "passes" AND NOT result EQUAL 0))
    mistake("${case}: should be one that ${status}; it said: ${text}")
  elseif((said AND NOT text MATCHES "${said}") OR (NOT said AND text))
    mistake("${case}: should say \"${said}\"; it said: ${text}")
  endif()
endfunction()

file(REMOVE_RECURSE ${made})
file(WRITE ${made}/include/funnel/core/a.hpp "// about a\nint a;\n  // about b\nint b;\n")
file(WRITE ${made}/include/funnel/nn/b.hpp "int b;\n")
file(WRITE ${made}/benchmarks/run.sh "#!/bin/sh\n")
file(WRITE ${made}/README.md "Fast.\n")
write_page("")
expect("a page of what is there" passes "")
expect("and for a release" passes "" -D release=ON)

file(WRITE ${made}/include/funnel/core/a.hpp "// about a\nint a;\n  // more about b\nint b;\n")
expect("a changed comment" passes "" -D release=ON)
file(WRITE ${made}/include/funnel/nn/b.hpp "int c;\n")
expect("a changed folder" passes "is stale: it measured 0123456789ab; changed since: include/funnel/nn $")
expect("and for a release" fails "changed since: include/funnel/nn" -D release=ON)
file(REMOVE_RECURSE ${made}/include/funnel/nn)
expect("a folder that is gone" passes "changed since: include/funnel/nn $")
file(WRITE ${made}/benchmarks/peers/x_bench.py "new\n")
expect("a new folder" passes "changed since: benchmarks/peers, include/funnel/nn $")

write_page(", with changes")
expect("uncommitted changes" passes "")
expect("and for a release" fails "not committed" -D release=ON)
write_page(" |\n\nFewer than 8 rounds: for a look only.\n\n|")
expect("a quick page" passes "")
expect("and for a release" fails "not to be relied on" -D release=ON)

write_page(" |\n\n## What changed against 0.1\n\n2.3x\n\n## MMoE\n\n| `mmoe` | 1.21x (1.20-1.22) | 896 µs |\n|")
file(WRITE ${made}/README.md "1.21x in 896 µs, on 1000x64 and 64 x 32, in v1.2\n")
expect("figures that stand on the page" passes "")
foreach(claim "2.3x of it" "1.2x" "[96 µs]" "95 µs" "3 times faster;" "117 GB/s")
  file(WRITE ${made}/README.md "Fast: ${claim}\n")
  expect("README with ${claim}" fails "README.md says")
  file(WRITE ${made}/README.md "Fast.\n")
  file(WRITE ${made}/docs/nn.md "Fast: ${claim}\n")
  expect("a page with ${claim}" fails "docs/nn.md says")
  file(REMOVE ${made}/docs/nn.md)
endforeach()

file(WRITE ${made}/docs/performance.md "# Performance\n\nmeasured benchmarks 0123\n")
expect("a page without a commit" fails "which commit")
file(WRITE ${made}/docs/performance.md "# Performance\n\n| commit | 0123456789ab |\n")
expect("a page without a digest" fails "no digest")
file(WRITE ${made}/docs/performance.md "# Performance\n\n| commit | unknown |\n\nmeasured benchmarks 0123\n")
expect("a page of an unknown commit" fails "which commit")

fail_on_mistakes()
