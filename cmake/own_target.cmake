# SPDX-License-Identifier: MIT
# What every test, example and benchmark of this repository links and is told.
function(funnel_own_target target)
  target_link_libraries(${target} PRIVATE funnel::funnel)
  if(TARGET funnel::tbb)
    target_link_libraries(${target} PRIVATE funnel::tbb)
    target_compile_definitions(${target} PRIVATE FUNNEL_HAS_TBB)
  endif()
  # g++ 12 takes the undefined lanes of its own AVX-512 intrinsics for a mistake, thousands of times
  # (fixed in 13). clang++ and newer ones still look for ours.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized -Wno-uninitialized)
  endif()
endfunction()
