# SPDX-License-Identifier: MIT
# cmake -D nm=<nm> -D objects=<object files> -P symbols.cmake
#
# No two objects define the same function. (Tables of numbers are the same in all.)
cmake_minimum_required(VERSION 3.25)

set(shared "")
foreach(object IN LISTS objects)
  execute_process(COMMAND ${nm} --defined-only --extern-only --format=posix --demangle ${object}
                  OUTPUT_VARIABLE listed COMMAND_ERROR_IS_FATAL ANY)
  # What brackets and semicolons would do to a list.
  string(REGEX REPLACE "[][;]" "." listed "${listed}")
  string(REPLACE "\n" ";" lines "${listed}")
  foreach(line IN LISTS lines)
    if(NOT line MATCHES "^(.+) [TW] [0-9a-f]")
      continue()
    endif()
    set(symbol "${CMAKE_MATCH_1}")
    if(symbol MATCHES "^__")  # the compiler's own
      continue()
    endif()
    string(SHA1 key "${symbol}")
    if(DEFINED seen_${key})
      list(APPEND shared "${symbol}\n    in ${seen_${key}}\n    and ${object}")
    endif()
    set(seen_${key} ${object})
  endforeach()
endforeach()
if(shared)
  list(JOIN shared "\n" text)
  message(FATAL_ERROR "Units built for different instruction sets share\n${text}")
endif()
