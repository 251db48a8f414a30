# SPDX-License-Identifier: MIT
# find_package(funnel CONFIG [COMPONENTS tbb]) gives funnel::funnel and, by component, funnel::tbb.
include("${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake")
if(funnel_missing)
  set(funnel_FOUND FALSE)
  set(funnel_NOT_FOUND_MESSAGE "${funnel_missing}")
  return()
endif()
include("${CMAKE_CURRENT_LIST_DIR}/funnelTargets.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/components.cmake")
