# SPDX-License-Identifier: MIT
# cmake -D root=<the repository> -P benchmarks/digest.cmake
#
# Prints a digest of each folder that docs/performance.md depends on, a line "<folder> <digest>" each:
# the library, the benchmarks and their peers. Lines of code that are only a comment don't count, nor do
# the version and page.py, which writes the page. tests/docs/performance.cmake includes this.
cmake_minimum_required(VERSION 3.25)

function(funnel_measured_digests root result)
  file(GLOB_RECURSE files RELATIVE ${root} ${root}/include/funnel/* ${root}/benchmarks/*)
  list(FILTER files INCLUDE REGEX "\\.(hpp|cpp|py|sh|txt)$")
  list(REMOVE_ITEM files benchmarks/page.py include/funnel/core/version.hpp)
  list(SORT files)
  set(folders "")
  foreach(file IN LISTS files)
    cmake_path(GET file PARENT_PATH folder)
    list(APPEND folders ${folder})
    file(READ ${root}/${file} text)
    string(REPLACE "\r\n" "\n" text "${text}")
    if(file MATCHES "pp$")
      string(REGEX REPLACE "\n[ \t]*//[^\n]*" "" text "${text}")
    endif()
    string(SHA256 digest "${text}")
    string(APPEND of_${folder} "${file} ${digest}\n")
  endforeach()
  list(REMOVE_DUPLICATES folders)
  set(lines "")
  foreach(folder IN LISTS folders)
    string(SHA256 digest "${of_${folder}}")
    string(SUBSTRING ${digest} 0 16 digest)
    list(APPEND lines "${folder} ${digest}")
  endforeach()
  set(${result} ${lines} PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  funnel_measured_digests(${root} lines)
  list(JOIN lines "\n" text)
  execute_process(COMMAND ${CMAKE_COMMAND} -E echo "${text}")
endif()
