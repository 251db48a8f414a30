# SPDX-License-Identifier: MIT
# cmake -D case=<case> -D way=<way> ... -P consume.cmake; tests/consumer/CMakeLists.txt names them.
cmake_minimum_required(VERSION 3.25)

set(here ${CMAKE_CURRENT_LIST_DIR})
set(work "${funnel_build}/consumer/${name}")
file(REMOVE_RECURSE "${work}")
file(MAKE_DIRECTORY "${work}")

# Both leave what was printed in `said`; `run` ends the test where the command fails.
function(try)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
  set(failed "${failed}" PARENT_SCOPE)
  set(said "${said}" PARENT_SCOPE)
endfunction()
function(run)
  try(${ARGV})
  if(failed)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}\n${said}")
  endif()
  set(said "${said}" PARENT_SCOPE)
endfunction()
# cmake for a source folder, in a folder to build in; the command alone, for `try` or `run`.
function(configuration result source build)
  set(${result} ${CMAKE_COMMAND} -G ${generator} -S ${source} -B ${build} -D
                CMAKE_CXX_COMPILER=${compiler} -D FUNNEL_SOURCE_DIR=${funnel_source} ${ARGN}
      PARENT_SCOPE)
endfunction()
function(configure source build)
  configuration(command ${source} ${build} ${ARGN})
  run(${command})
endfunction()
# Installs what is built in a folder, then moves it: a package must not remember where it was put.
function(install_moved build to)
  run(${CMAKE_COMMAND} --install ${build} --prefix "${work}/installed here" ${ARGN})
  file(RENAME "${work}/installed here" "${to}")
endfunction()

include(${here}/${case}.cmake)
