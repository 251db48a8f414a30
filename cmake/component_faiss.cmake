# SPDX-License-Identifier: MIT
# funnel::faiss: funnel and Faiss, for <funnel/adapters/faiss.hpp>. Absent where Faiss is, or OpenMP, which
# the package of Faiss uses and does not find by itself.
if(NOT TARGET funnel::faiss)
  if(NOT TARGET faiss)
    find_package(faiss 1.7.3 QUIET CONFIG GLOBAL)
  endif()
  if(TARGET faiss AND NOT TARGET OpenMP::OpenMP_CXX)
    find_package(OpenMP QUIET COMPONENTS CXX GLOBAL)
  endif()
  if(TARGET faiss AND TARGET OpenMP::OpenMP_CXX)
    add_library(funnel::faiss INTERFACE IMPORTED GLOBAL)
    target_link_libraries(funnel::faiss INTERFACE funnel::funnel faiss)
  endif()
endif()
