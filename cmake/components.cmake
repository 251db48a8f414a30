# SPDX-License-Identifier: MIT
# What find_package(funnel COMPONENTS ...) asked for. Read by the installed package, and by find_package
# where the project itself brings funnel (FetchContent with OVERRIDE_FIND_PACKAGE).
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
