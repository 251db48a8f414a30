# SPDX-License-Identifier: MIT
# funnel::tbb: funnel and oneTBB, for <funnel/adapters/tbb.hpp>. Absent where oneTBB is. The build tree
# and the installed package read this same file.
if(NOT TARGET funnel::tbb)
  if(NOT TARGET TBB::tbb)
    find_package(TBB QUIET CONFIG GLOBAL)
  endif()
  if(TARGET TBB::tbb)
    add_library(funnel::tbb INTERFACE IMPORTED GLOBAL)
    target_link_libraries(funnel::tbb INTERFACE funnel::funnel TBB::tbb)
  endif()
endif()
