# SPDX-License-Identifier: MIT
# funnel::tbb: funnel and oneTBB, for <funnel/core/tbb.hpp>. Absent where oneTBB is. The build tree
# and the installed package read this same file.
if(NOT TARGET funnel::tbb)
  find_package(TBB QUIET CONFIG GLOBAL)
  if(TBB_FOUND)
    add_library(funnel::tbb INTERFACE IMPORTED GLOBAL)
    target_link_libraries(funnel::tbb INTERFACE funnel::funnel TBB::tbb)
  endif()
endif()
