# SPDX-License-Identifier: MIT
# cmake -D way=<find_package, add_subdirectory or include_path> ... -P consume.cmake
cmake_minimum_required(VERSION 3.25)

set(work "${funnel_build}/consumer/${way}")
set(program "${work}/build/consumer")
file(REMOVE_RECURSE "${work}")
file(MAKE_DIRECTORY "${work}/build")

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(failed)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}\n${said}")
  endif()
endfunction()

if(way STREQUAL "include_path")
  list(TRANSFORM folders PREPEND -I)
  run(${compiler} -std=c++20 ${folders} ${CMAKE_CURRENT_LIST_DIR}/main.cpp -o ${program})
else()
  if(way STREQUAL "find_package")
    # Installed, then moved: the package must not remember where it was put.
    run(${CMAKE_COMMAND} --install ${funnel_build} --prefix ${work}/installed)
    file(RENAME "${work}/installed" "${work}/moved here")
    set(where "-DCMAKE_PREFIX_PATH=${work}/moved here")
  else()
    set(where "-DFUNNEL_SOURCE_DIR=${funnel_source}")
  endif()
  run(${CMAKE_COMMAND} -G ${generator} -S ${CMAKE_CURRENT_LIST_DIR}/${way} -B ${work}/build
      -DCMAKE_CXX_COMPILER=${compiler} ${where})
  run(${CMAKE_COMMAND} --build ${work}/build)
endif()
run(${program})
