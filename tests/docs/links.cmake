# SPDX-License-Identifier: MIT
# cmake -D root=<the repository> -P links.cmake
#
# Every link of a page to another page leads somewhere.
cmake_minimum_required(VERSION 3.25)

file(GLOB pages ${root}/*.md ${root}/docs/*.md)
set(broken "")
foreach(page IN LISTS pages)
  file(READ ${page} text)
  # Brackets would join the elements of the list below.
  string(REPLACE "](" "\n@" text "${text}")
  string(REGEX REPLACE "[][;]" "" text "${text}")
  string(REGEX MATCHALL "\n@[A-Za-z0-9_./-]+[.]md" links "${text}")
  cmake_path(GET page PARENT_PATH folder)
  foreach(link IN LISTS links)
    string(SUBSTRING "${link}" 2 -1 link)
    if(NOT EXISTS ${folder}/${link})
      list(APPEND broken "${page}: there is no ${link}")
    endif()
  endforeach()
endforeach()
if(broken)
  list(JOIN broken "\n" text)
  message(FATAL_ERROR "\n${text}\n")
endif()
