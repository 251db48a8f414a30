# SPDX-License-Identifier: MIT
# cmake -D root=<the repository> [-D release=ON] -P performance.cmake
#
# docs/performance.md says which commit it measured and has a digest of each folder it depends on, and
# what README.md and the other pages say about speed stands on it. Where folders have changed since, it is
# stale: that is told, and fails only where a release is prepared.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/mistakes.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../../benchmarks/digest.cmake)

file(READ ${root}/docs/performance.md page)

if(page MATCHES "\n[|] commit [|] ([0-9a-f]+)([^|\n]*)[|]")
  set(commit ${CMAKE_MATCH_1})
  set(beside "${CMAKE_MATCH_2}")
else()
  set(commit "no commit")
  mistake("docs/performance.md does not say which commit it measured")
endif()

# Folders whose digest is another one, is missing, or is of a folder that is gone.
funnel_measured_digests(${root} now)
string(REGEX MATCHALL "\nmeasured [^\n]+" then "${page}")
list(TRANSFORM then REPLACE "\nmeasured " "")
if(NOT then)
  mistake("docs/performance.md has no digest of what it measured")
endif()
set(changed ${now} ${then})
foreach(line IN LISTS now)
  if(line IN_LIST then)
    list(REMOVE_ITEM changed ${line})
  endif()
endforeach()
list(TRANSFORM changed REPLACE " .*" "")
list(REMOVE_DUPLICATES changed)
list(SORT changed)

# What earlier pages said stands there too, and is no longer claimed.
string(REGEX REPLACE "\n## What changed [^#]*" "" page "${page}")

# A time, a rate or a ratio: 1.21x, 896 µs, 117 GB/s, 2 times faster.
set(figure "[0-9][0-9.,]*( ?(µs|us|ms|GB/s|GFLOP/s)|x| times (faster|slower|as))")
file(GLOB others ${root}/README.md ${root}/docs/*.md)
list(REMOVE_ITEM others ${root}/docs/performance.md)
foreach(other IN LISTS others)
  file(READ ${other} text)
  string(REGEX REPLACE "[][;]" " " text "${text}")  # they would join the elements of the list below
  string(REGEX MATCHALL "[^A-Za-z0-9_.]${figure}[^A-Za-z0-9_*]" found "\n${text}\n")
  foreach(words IN LISTS found)
    string(REGEX MATCH "${figure}" words "${words}")
    string(REPLACE "." "[.]" exactly "${words}")
    if(NOT page MATCHES "[^0-9.,]${exactly}")
      cmake_path(RELATIVE_PATH other BASE_DIRECTORY ${root})
      mistake("${other} says \"${words}\", which does not stand on docs/performance.md")
    endif()
  endforeach()
endforeach()

if(release AND changed)
  list(JOIN changed ", " names)
  mistake("docs/performance.md measured ${commit}; changed since: ${names}")
endif()
if(release AND beside MATCHES "changes")
  mistake("docs/performance.md measured ${commit} with changes that are not committed")
endif()
if(release AND page MATCHES "for a look only|differ or are missing")
  mistake("docs/performance.md says itself that it is not to be relied on")
endif()
fail_on_mistakes()
if(changed)
  list(JOIN changed ", " names)
  message(NOTICE "docs/performance.md is stale: it measured ${commit}; changed since: ${names}")
endif()
