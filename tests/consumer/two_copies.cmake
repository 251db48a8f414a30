# SPDX-License-Identifier: MIT
# Two parts of a project add funnel, and a third finds the installed one: all get the first. A copy of
# another minor version is refused.
install_moved(${funnel_build} "${work}/funnel")
configure(${here}/two_copies ${work}/build -DOTHER_FUNNEL=${funnel_source} -DFIND_FUNNEL=ON
          "-DCMAKE_PREFIX_PATH=${work}/funnel")
run(${CMAKE_COMMAND} --build ${work}/build)

set(version_header include/funnel/core/version.hpp)
file(COPY ${funnel_source}/CMakeLists.txt DESTINATION ${work}/other)
file(READ ${funnel_source}/${version_header} text)
string(REGEX REPLACE "(#define FUNNEL_VERSION \"?)[0-9]+" "\\199" text "${text}")
file(WRITE ${work}/other/${version_header} "${text}")
configuration(command ${here}/two_copies ${work}/refused -DOTHER_FUNNEL=${work}/other)
try(${command})
if(NOT failed OR NOT said MATCHES "already uses")
  message(FATAL_ERROR "two versions of funnel in one project are accepted:\n${said}")
endif()
