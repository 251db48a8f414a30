# SPDX-License-Identifier: MIT
# cmake -D root=<the repository> -P layers.cmake
#
# Reads the include lines of every header and fails where one reaches up, sideways or into the detail/
# of another folder, names a package that is not its own, or is missing from funnel.hpp; where an example
# uses what is in detail/; and where docs/design.md lists other layers than this file.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/mistakes.cmake)

# The layers, bottom to top. A folder may include itself and what stands in the rows above its own. The
# one place to add a folder.
set(layers
    "core"
    "simd metrics"
    "nn"
    "optim loss sequence index crossing"
    "features"
    "retrieval preranking ranking calibration fusion diversity"
    "data io"
    "evaluation"
    "training serving"
    "adapters")

# The tools that the folders above them are made of: their detail/ is for the whole library.
set(shared_detail core simd nn)

# Who may include a package that is not the standard library: paths of headers, then of what they include.
set(packages
    "^core/eigen[.]hpp$=^Eigen/"
    "^core/matrix[.]hpp$=^sys/mman[.]h$"
    "^io/detail/(mapped|replaced)_file[.]hpp$=^(fcntl|unistd|sys/mman|sys/stat)[.]h$"
    "^data/detail/(appended|spill)_file[.]hpp$=^(fcntl|unistd|sys/file)[.]h$"
    "^simd/=^(xsimd/|immintrin[.]h$)"
    "^adapters/=.")

set(headers_of ${root}/include/funnel)
set(below "")
foreach(layer IN LISTS layers)
  separate_arguments(folders UNIX_COMMAND "${layer}")
  foreach(folder IN LISTS folders)
    set(allowed_${folder} ${folder} ${below})
  endforeach()
  list(APPEND below ${folders})
endforeach()

foreach(folder IN LISTS below)
  if(NOT IS_DIRECTORY ${headers_of}/${folder})
    mistake("${CMAKE_CURRENT_LIST_FILE} lists ${folder}, which is not there")
  endif()
endforeach()

file(GLOB_RECURSE headers RELATIVE ${headers_of} ${headers_of}/*.hpp)
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
  file(STRINGS ${headers_of}/${header} includes REGEX "^[ \t]*#[ \t]*include")
  foreach(include IN LISTS includes)
    if(include MATCHES "<funnel/([^/>]*)/?([^>]*)>")
      set(other ${CMAKE_MATCH_1})
      set(rest ${CMAKE_MATCH_2})
      if(NOT other IN_LIST allowed_${folder})
        mistake("${header}: ${folder} must not include ${other} (${include})")
      elseif(rest MATCHES "^detail/" AND NOT other STREQUAL folder AND NOT other IN_LIST shared_detail)
        mistake("${header}: ${other}/detail belongs to ${other} alone (${include})")
      endif()
    elseif(include MATCHES "<(.*[/.].*)>")
      set(other ${CMAKE_MATCH_1})
      set(known FALSE)
      foreach(rule IN LISTS packages)
        string(REGEX MATCH "^(.*)=(.*)$" rule "${rule}")
        set(includes_it "${CMAKE_MATCH_2}")
        if(header MATCHES "${CMAKE_MATCH_1}" AND other MATCHES "${includes_it}")
          set(known TRUE)
        endif()
      endforeach()
      if(NOT known)
        mistake("${header}: a package is named in adapters/ alone, xsimd in simd/, Eigen in core/eigen.hpp (${include})")
      endif()
    elseif(NOT include MATCHES "<")
      mistake("${header}: own headers are included as <funnel/...> (${include})")
    endif()
  endforeach()
  if(NOT folder STREQUAL "simd")
    file(STRINGS ${headers_of}/${header} named REGEX "xsimd")
    if(named)
      mistake("${header}: only simd/ names xsimd (${named})")
    endif()
  endif()
  if(NOT header MATCHES "/detail/" AND NOT folder STREQUAL "adapters")
    list(APPEND public ${header})
  endif()
endforeach()

# funnel.hpp: every public header, sorted, nothing else.
file(STRINGS ${headers_of}/funnel.hpp listed REGEX "^#include")
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
  get_property(mistakes GLOBAL PROPERTY mistakes)
  if(NOT mistakes)
    mistake("funnel.hpp is not sorted, or names a header twice")
  endif()
endif()

# An adapter has its component, and a component its adapter.
file(GLOB adapters RELATIVE ${headers_of}/adapters ${headers_of}/adapters/*.hpp)
list(TRANSFORM adapters REPLACE "[.]hpp$" "")
file(GLOB components RELATIVE ${root}/cmake ${root}/cmake/component_*.cmake)
list(TRANSFORM components REPLACE "^component_(.*)[.]cmake$" "\\1")
if(NOT adapters STREQUAL components)
  mistake("include/funnel/adapters has ${adapters}, cmake/component_*.cmake has ${components}")
endif()

# docs/design.md lists the same layers: `1. `core``, `2. `simd`, `metrics``, ...
file(STRINGS ${root}/docs/design.md documented REGEX "^[0-9]+[.] `[a-z]+`[`a-z, ]*$")
list(TRANSFORM documented REPLACE "^[0-9]+[.] " "")
list(TRANSFORM documented REPLACE "[`,]" "")
if(NOT documented STREQUAL layers)
  list(JOIN documented " | " documented)
  list(JOIN layers " | " expected)
  mistake("docs/design.md lists the layers ${documented}, expected ${expected}")
endif()

# Examples show what users may use: public headers and public names.
file(GLOB_RECURSE sources ${root}/examples/*.hpp ${root}/examples/*.cpp)
foreach(source IN LISTS sources)
  file(STRINGS ${source} inner REGEX "detail::|/detail/")
  if(inner)
    mistake("${source}: what is in detail is not for users (${inner})")
  endif()
endforeach()

fail_on_mistakes()
