# SPDX-License-Identifier: MIT
# exports/ is built and installed, then exports_user/ finds it; or both find what they need in the
# folders of builds.
set(prefix "${work}/moved here")
set(funnel_prefix "${work}/funnel")
set(arguments "")
if(way STREQUAL "find_package")
  install_moved(${funnel_build} "${work}/funnel")
  set(arguments -DFIND_FUNNEL=ON "-DCMAKE_PREFIX_PATH=${work}/funnel")
elseif(way STREQUAL "build_folders")
  set(funnel_prefix ${funnel_build})
  set(prefix ${work}/library)
  set(arguments -DFIND_FUNNEL=ON -DCMAKE_PREFIX_PATH=${funnel_build})
elseif(way STREQUAL "installs_funnel")
  set(arguments -DFUNNEL_INSTALL=ON)
endif()
configure(${here}/exports ${work}/library ${arguments})
run(${CMAKE_COMMAND} --build ${work}/library)
if(NOT way STREQUAL "build_folders")
  install_moved(${work}/library "${prefix}")
endif()

set(brought FALSE)
if(EXISTS "${prefix}/include/funnel")
  set(brought TRUE)
endif()
if(NOT way STREQUAL "installs_funnel" AND brought)
  message(FATAL_ERROR "the library's installation brought funnel's headers unasked")
endif()
if(way STREQUAL "add_subdirectory")
  # funnel comes separately, out of the same build.
  install_moved(${work}/library "${work}/funnel" --component funnel)
endif()

configure(${here}/exports_user ${work}/program "-Dpage_ROOT=${prefix}"
          "-Dfunnel_ROOT=${funnel_prefix}")
run(${CMAKE_COMMAND} --build ${work}/program)
run(${work}/program/exports_user)
