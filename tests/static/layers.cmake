# SPDX-License-Identifier: MIT
# cmake -D root=<include/funnel> -D optional=<headers left out of funnel.hpp> -D examples=<examples>
#       -P layers.cmake
#
# Reads the include lines of every header and fails where one reaches up, sideways or into another
# folder's detail/, names xsimd outside simd/, or is missing from funnel.hpp; and where an example
# uses what is in detail.
cmake_minimum_required(VERSION 3.25)

# Each folder may include what stands in the rows above its own. One place to add a folder.
set(layers
    "core"
    "simd"
    "nn metrics"
    "loss"
    "features retrieval sequence preranking ranking calibration fusion diversity audience"
    "training serving data io")

set(below "")
foreach(layer IN LISTS layers)
  separate_arguments(folders UNIX_COMMAND "${layer}")
  foreach(folder IN LISTS folders)
    set(allowed_${folder} ${folder} ${below})
  endforeach()
  list(APPEND below ${folders})
endforeach()

set(mistakes "")
macro(mistake text)
  list(APPEND mistakes "${text}")
endmacro()

file(GLOB_RECURSE headers RELATIVE ${root} ${root}/*.hpp)
list(SORT headers)
set(public "")
foreach(header IN LISTS headers)
  if(header STREQUAL "funnel.hpp")
    continue()
  endif()
  string(REGEX MATCH "^[^/]*" folder ${header})
  if(NOT DEFINED allowed_${folder})
    mistake("${header}: the layers in ${CMAKE_CURRENT_LIST_FILE} don't know its folder")
    continue()
  endif()
  file(STRINGS ${root}/${header} includes REGEX "^[ \t]*#[ \t]*include")
  foreach(include IN LISTS includes)
    if(include MATCHES "<funnel/([^/>]*)/?([^>]*)>")
      set(other ${CMAKE_MATCH_1})
      set(rest ${CMAKE_MATCH_2})
      if(NOT other IN_LIST allowed_${folder})
        mistake("${header}: ${folder} must not include ${other} (${include})")
      elseif(rest MATCHES "^detail/" AND NOT other STREQUAL folder)
        mistake("${header}: ${other}/detail belongs to ${other} alone (${include})")
      endif()
    elseif(NOT include MATCHES "<")
      mistake("${header}: own headers are included as <funnel/...> (${include})")
    endif()
  endforeach()
  if(NOT folder STREQUAL "simd")
    file(STRINGS ${root}/${header} named REGEX "xsimd")
    if(named)
      mistake("${header}: only simd/ names xsimd (${named})")
    endif()
  endif()
  if(NOT header MATCHES "/detail/" AND NOT "${root}/${header}" IN_LIST optional)
    list(APPEND public ${header})
  endif()
endforeach()

# funnel.hpp: every public header, sorted, nothing else.
file(STRINGS ${root}/funnel.hpp listed REGEX "^#include")
list(TRANSFORM listed REPLACE "^#include <funnel/(.*)>$" "\\1")
if(NOT listed STREQUAL public)
  foreach(header IN LISTS public)
    if(NOT header IN_LIST listed)
      mistake("funnel.hpp does not include <funnel/${header}>")
    endif()
  endforeach()
  foreach(header IN LISTS listed)
    if(NOT header IN_LIST public)
      mistake("funnel.hpp includes ${header}, which is no public header (or needs an optional package)")
    endif()
  endforeach()
  if(NOT mistakes)
    mistake("funnel.hpp is not sorted, or names a header twice")
  endif()
endif()

# Examples show what users may use: public headers and public names.
file(GLOB_RECURSE sources ${examples}/*.hpp ${examples}/*.cpp)
foreach(source IN LISTS sources)
  file(STRINGS ${source} inner REGEX "detail::|/detail/")
  if(inner)
    mistake("${source}: what is in detail is not for users (${inner})")
  endif()
endforeach()

if(mistakes)
  list(JOIN mistakes "\n" text)
  message(FATAL_ERROR "\n${text}\n")
endif()
