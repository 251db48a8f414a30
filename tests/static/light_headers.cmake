# SPDX-License-Identifier: MIT
# cmake -D root=<include/funnel> -D compiler=... -D "folders=<include folders>" -P light_headers.cmake
#
# Asks the preprocessor what headers read: these do without xsimd, and all but core/eigen.hpp without
# Eigen, as docs/design.md promises.
cmake_minimum_required(VERSION 3.25)

set(without_xsimd
    "^(calibration|core|data|evaluation|fusion|metrics)/"
    "^features/[a-eg-qs-z][a-z_]*[.]hpp$" # all but fit_schema, request_encoder and feature_inputs
    "^features/(feature_kinds|feature_state|rate_counters|row_batch)[.]hpp$"
    "^io/(load_parameters|model_file|model_writer|npy|parameter_map|safetensors|safetensors_writer|tensor)[.]hpp$"
    "^diversity/(slate_rule|similarity)[.]hpp$"
    "^nn/(initialization|parameter)[.]hpp$"
    "^optim/schedule[.]hpp$"
    "^index/(item_filter|scored_item|vector_index)[.]hpp$"
    "^sequence/(category_index|sampling)[.]hpp$"
    "^serving/(cascade|model_slot|stage_call|stage_options)[.]hpp$")

# Fails where one of `headers` reads a file whose path matches `pattern`.
list(TRANSFORM folders PREPEND -I)
function(expect_unread headers pattern)
  set(text "")
  foreach(header IN LISTS headers)
    string(APPEND text "#include <funnel/${header}>\n")
  endforeach()
  set(source light_headers.cpp)
  file(WRITE ${source} "${text}")
  execute_process(COMMAND ${compiler} -std=c++20 -M ${folders} ${source} OUTPUT_VARIABLE read
                  COMMAND_ERROR_IS_FATAL ANY)
  if(NOT read MATCHES "${pattern}")
    return()
  endif()
  list(LENGTH headers count)
  if(count EQUAL 1)
    message(FATAL_ERROR "${headers} must not read ${CMAKE_MATCH_0}")
  endif()
  foreach(header IN LISTS headers)
    expect_unread("${header}" "${pattern}")
  endforeach()
endfunction()

file(STRINGS ${root}/funnel.hpp headers REGEX "^#include")
list(TRANSFORM headers REPLACE "^#include <funnel/(.*)>$" "\\1")
list(REMOVE_ITEM headers core/eigen.hpp)
expect_unread("${headers}" "[^ ]*/Eigen/[^ ]*")

set(light "")
foreach(header IN LISTS headers)
  foreach(rule IN LISTS without_xsimd)
    if(header MATCHES "${rule}")
      list(APPEND light ${header})
    endif()
  endforeach()
endforeach()
expect_unread("${light}" "[^ ]*/xsimd/[^ ]*")
