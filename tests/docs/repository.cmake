# SPDX-License-Identifier: MIT
# cmake -D root=<the repository> -P repository.cmake
#
# What stands in two places is the same in both: the version (version.hpp, CITATION.cff, SECURITY.md and
# the newest dated heading of CHANGELOG.md), the steps of CI (.ci/run and the workflow's matrix), and the
# names of headers in README.md and docs/.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/mistakes.cmake)

# The version.
file(READ ${root}/include/funnel/core/version.hpp text)
string(REGEX MATCH "#define FUNNEL_VERSION \"([0-9]+)\\.([0-9]+)\\.([0-9]+)\"" line "${text}")
set(version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${CMAKE_MATCH_3}")
set(minor_version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
foreach(part "major = ${CMAKE_MATCH_1}" "minor = ${CMAKE_MATCH_2}" "patch = ${CMAKE_MATCH_3}")
  if(NOT text MATCHES "version_${part};")
    mistake("version.hpp: FUNNEL_VERSION is ${version}, but not version_${part}")
  endif()
endforeach()

file(READ ${root}/CITATION.cff text)
string(REGEX MATCH "\nversion: *\"?([0-9.]+)" line "${text}")
if(NOT CMAKE_MATCH_1 STREQUAL version)
  mistake("CITATION.cff says version ${CMAKE_MATCH_1}, version.hpp ${version}")
endif()
string(REGEX MATCH "\ndate-released: *\"?([0-9-]+)" line "${text}")
set(date "${CMAKE_MATCH_1}")

file(READ ${root}/CHANGELOG.md text)
if(text MATCHES "\n## \\[([0-9.]+)\\] - ([0-9-]+)\n")  # the first is the newest
  if(NOT CMAKE_MATCH_1 STREQUAL version)
    mistake("CHANGELOG.md: the newest release is ${CMAKE_MATCH_1}, version.hpp says ${version}")
  elseif(NOT CMAKE_MATCH_2 STREQUAL date)
    mistake("CHANGELOG.md: ${version} is of ${CMAKE_MATCH_2}, CITATION.cff says ${date}")
  endif()
endif()

file(READ ${root}/SECURITY.md text)
if(NOT text MATCHES "\n[|] ([0-9.]+) [|] yes [|]\n" OR NOT CMAKE_MATCH_1 STREQUAL minor_version)
  mistake("SECURITY.md: the supported version is not ${minor_version}, which version.hpp says")
endif()

# The steps of CI. A release's archive has no workflow.
set(workflow ${root}/.github/workflows/ci.yml)
if(EXISTS ${workflow})
  file(STRINGS ${root}/.ci/run line REGEX "^all=")
  string(REGEX REPLACE "^all=\"|\"$" "" steps "${line}")
  file(STRINGS ${root}/tests/builds/run.sh line REGEX "^all=")
  string(REGEX REPLACE "^all=\"|\"$" "" builds "${line}")
  string(REPLACE "$builds" "${builds}" steps "${steps}")
  separate_arguments(steps)
  file(STRINGS ${workflow} lines REGEX "^ *- { steps: ")
  set(run "")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^ *- { steps: ([^,]*),.*" "\\1" line "${line}")
    separate_arguments(line)
    list(APPEND run ${line})
  endforeach()
  list(SORT steps)
  list(SORT run)
  list(JOIN steps " " steps)
  list(JOIN run " " run)
  if(NOT run STREQUAL steps)
    mistake("ci.yml runs \"${run}\", .ci/run has \"${steps}\"")
  endif()
endif()

# Headers, as `core/top_k.hpp` or `funnel/core/top_k.hpp`.
file(GLOB pages ${root}/README.md ${root}/docs/*.md)
foreach(page IN LISTS pages)
  file(READ ${page} text)
  string(REGEX MATCHALL "`(funnel/)?[a-z_]+(/detail)?/[a-z0-9_]+[.]hpp`" names "${text}")
  list(REMOVE_DUPLICATES names)
  foreach(name IN LISTS names)
    string(REGEX REPLACE "^`(funnel/)?|`$" "" name "${name}")
    if(NOT EXISTS ${root}/include/funnel/${name})
      cmake_path(RELATIVE_PATH page BASE_DIRECTORY ${root} OUTPUT_VARIABLE where)
      mistake("${where}: there is no header ${name}")
    endif()
  endforeach()
endforeach()

fail_on_mistakes()
