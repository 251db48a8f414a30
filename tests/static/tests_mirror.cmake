# SPDX-License-Identifier: MIT
# cmake -D root=<the repository> -P tests_mirror.cmake
#
# Each public header <folder>/<name>.hpp has its test, tests/<folder>/<name>_test.cpp, and each test in
# a folder of that name its header, public or in detail/. Exceptions are listed here. What the pages
# name below tests/ exists.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/mistakes.cmake)

# Headers without a test of their own: path without .hpp, then the tests of what is in them.
set(tested_elsewhere
    "calibration/platt_scaling: calibration/platt_test.cpp calibration/fit_bias_test.cpp"
    "core/id_lists: nn/embedding_test.cpp"
    "core/ids: index/flat_index_test.cpp" # names of types
    "core/version: docs/repository.cmake consumer/two_copies.cmake"
    "data/simulator_options: data/simulator_test.cpp"
    "data/funnel_log_reader: data/funnel_log_test.cpp"
    "data/funnel_names: data/funnel_log_test.cpp"
    "features/encoded_log: features/fit_schema_test.cpp features/request_encoder_test.cpp"
    "features/feature_kinds: features/schema_test.cpp"
    "features/schema_options: features/schema_test.cpp"
    "index/scored_item: index/flat_index_test.cpp"
    "index/vector_index: static/index_concepts.cpp"
    "io/parameter_map: io/load_parameters_test.cpp"
    "nn/context: static/nn_concepts.cpp"
    "serving/stage_call: serving/cascade_test.cpp"
    "serving/stage_options: serving/cascade_test.cpp"
    "training/train_options: training/train_test.cpp"
    "simd/arch: simd/pack_test.cpp archs/main.cpp")

# Tests of more than one header: path without _test.cpp.
set(of_several_headers
    "crossing/allocation" # every layer of crossing/, in serving
    "data/allocation" # sparse_matrix_builder, which another test runs with the thread sanitizer
    "index/flat_index_changes" # flat_index, at length against a map
    "loss/finite" # every loss, at the ends of the numbers
    "loss/step_rows" # every loss, on parts of a batch
    "ranking/whole_ranker" # layers of ranking/, sequence/ and loss/ in one model
    "retrieval/two_tower_serving" # a two_tower, its training and an index
    "sequence/allocation" # sim_attention and the layers below it, in serving
    "serving/allocation" # a whole request
    "serving/batch" # a whole request
    "serving/replayed_log" # encoded rows of a log and of a request
    "training/killed_runs" # train and model_file, in processes that are killed
    "training/what_a_loss_sees") # train, and losses and layers that compare rows

set(excused "")
foreach(entry IN LISTS tested_elsewhere)
  string(REGEX MATCH "^([^:]*): (.*)$" entry "${entry}")
  set(header ${CMAKE_MATCH_1})
  separate_arguments(tests UNIX_COMMAND "${CMAKE_MATCH_2}")
  list(APPEND excused ${header})
  if(NOT EXISTS ${root}/include/funnel/${header}.hpp)
    mistake("${CMAKE_CURRENT_LIST_FILE} lists ${header}.hpp, which is not there")
  elseif(EXISTS ${root}/tests/${header}_test.cpp)
    mistake("${CMAKE_CURRENT_LIST_FILE} lists ${header}.hpp, which has a test of its own")
  endif()
  foreach(test IN LISTS tests)
    if(NOT EXISTS ${root}/tests/${test})
      mistake("${header}.hpp is to be tested in tests/${test}, which is not there")
    endif()
  endforeach()
endforeach()

file(GLOB headers RELATIVE ${root}/include/funnel ${root}/include/funnel/*/*.hpp)
list(TRANSFORM headers REPLACE "[.]hpp$" "")
set(folders "")
foreach(header IN LISTS headers)
  cmake_path(GET header PARENT_PATH folder)
  list(APPEND folders ${folder})
  if(NOT EXISTS ${root}/tests/${header}_test.cpp AND NOT header IN_LIST excused)
    mistake("${header}.hpp has no tests/${header}_test.cpp, and is not among those tested elsewhere in ${CMAKE_CURRENT_LIST_FILE}")
  endif()
endforeach()
list(REMOVE_DUPLICATES folders)

foreach(test IN LISTS of_several_headers)
  if(NOT EXISTS ${root}/tests/${test}_test.cpp)
    mistake("${CMAKE_CURRENT_LIST_FILE} lists tests/${test}_test.cpp, which is not there")
  endif()
endforeach()
foreach(folder IN LISTS folders)
  file(GLOB tests RELATIVE ${root}/tests/${folder} ${root}/tests/${folder}/*_test.cpp)
  list(TRANSFORM tests REPLACE "_test[.]cpp$" "")
  foreach(test IN LISTS tests)
    if(NOT EXISTS ${root}/include/funnel/${folder}/${test}.hpp
       AND NOT EXISTS ${root}/include/funnel/${folder}/detail/${test}.hpp
       AND NOT ${folder}/${test} IN_LIST of_several_headers)
      mistake("tests/${folder}/${test}_test.cpp belongs to no header, and is not among those of several in ${CMAKE_CURRENT_LIST_FILE}")
    endif()
  endforeach()
endforeach()

# `tests/...` in a page, and names of tests without their folder.
file(GLOB pages RELATIVE ${root} ${root}/docs/*.md)
foreach(page IN LISTS pages ITEMS README.md CONTRIBUTING.md)
  file(READ ${root}/${page} text)
  string(REGEX REPLACE "[][;]" " " text "${text}")
  string(REGEX MATCHALL "(^|[^A-Za-z0-9_/.-])tests/[A-Za-z0-9_/.*-]*" named "${text}")
  list(TRANSFORM named REPLACE "^.?tests/" "tests/")
  list(TRANSFORM named REPLACE "[./]+$" "")
  list(REMOVE_DUPLICATES named)
  foreach(path IN LISTS named)
    file(GLOB found ${root}/${path})
    if(NOT found)
      mistake("${page} names ${path}, which is not there")
    endif()
  endforeach()
  string(REGEX MATCHALL "[^A-Za-z0-9_/>][a-z0-9_]+_test[.]cpp" named "${text}")
  list(TRANSFORM named REPLACE "^[^a-z0-9_]" "")
  list(REMOVE_DUPLICATES named)
  foreach(name IN LISTS named)
    file(GLOB found ${root}/tests/*/${name})
    if(NOT found)
      mistake("${page} names ${name}, which is nowhere in tests/")
    endif()
  endforeach()
endforeach()

fail_on_mistakes()
