# SPDX-License-Identifier: MIT
# find_package(funnel CONFIG [COMPONENTS tbb]) gives funnel::funnel and, by component, funnel::tbb.
include("${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake")
if(funnel_missing)
  set(funnel_FOUND FALSE)
  set(funnel_NOT_FOUND_MESSAGE "${funnel_missing}")
  return()
endif()
include("${CMAKE_CURRENT_LIST_DIR}/funnelTargets.cmake")

foreach(component IN LISTS funnel_FIND_COMPONENTS)
  set(funnel_${component}_FOUND FALSE)
  include("${CMAKE_CURRENT_LIST_DIR}/component_${component}.cmake" OPTIONAL)
  if(TARGET funnel::${component})
    set(funnel_${component}_FOUND TRUE)
  elseif(funnel_FIND_REQUIRED_${component})
    set(funnel_FOUND FALSE)
    set(funnel_NOT_FOUND_MESSAGE
        "component ${component}: there is none of this name, or its package was not found")
  endif()
endforeach()
