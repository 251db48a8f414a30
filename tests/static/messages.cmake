# SPDX-License-Identifier: MIT
# cmake -D root=<include/funnel> -P messages.cmake
#
# Every std::invalid_argument has a text of one form: "funnel::<function>: <argument> is <value>,
# expected <what is right>". A call of `fail` whose text is written out says what is expected, and
# the checks are those of core/detail/checks.hpp: no other header defines them again.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/mistakes.cmake)

# Calls that throw something else, or pass on what they are given. Path: reason.
set(exceptions
    "core/error: defines fail"
    "core/detail/checks: passes on what its callers expect"
    "data/csv: its own fail throws format_error, whose texts begin with file, line and column"
    "data/kuairand: calls the fail of csv_reader")

set(excepted "")
foreach(exception IN LISTS exceptions)
  string(REGEX REPLACE ":.*" "" path "${exception}")
  list(APPEND excepted ${path})
  if(NOT EXISTS ${root}/${path}.hpp)
    mistake("there is no ${path}.hpp, of the exceptions in ${CMAKE_CURRENT_LIST_FILE}")
  endif()
endforeach()

file(GLOB_RECURSE headers RELATIVE ${root} ${root}/*.hpp)
foreach(header IN LISTS headers)
  string(REGEX REPLACE "[.]hpp$" "" path ${header})
  file(READ ${root}/${header} text)
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  # What CMake's lists would take apart.
  string(REPLACE "[" "(" text "${text}")
  string(REPLACE "]" ")" text "${text}")
  string(REPLACE ";" "@" text "${text}")
  if(NOT path STREQUAL "core/detail/checks" AND text MATCHES
     "\n *(inline |constexpr )?[a-z_:]+ (check_(that|size|rows|cols|shape|each|offsets)|require_[a-z_]+)\\(")
    mistake("${header} defines ${CMAKE_MATCH_2}, which is for core/detail/checks.hpp")
  endif()
  # Of a header with an exception, the calls of detail::fail alone.
  set(name "[^A-Za-z0-9_.](detail::)?fail\\(")
  if(path MATCHES "^core/" AND path IN_LIST excepted)
    continue()
  elseif(path IN_LIST excepted)
    set(name "detail::fail\\(")
  endif()
  string(REGEX MATCHALL "${name}[^@]*@" calls "${text}")  # to the end of the statement
  foreach(call IN LISTS calls)
    if(NOT call MATCHES "expected")
      string(REGEX REPLACE "[ \n]+" " " call "${call}")
      mistake("${header} does not say what is expected:${call}")
    endif()
  endforeach()
endforeach()

fail_on_mistakes()
