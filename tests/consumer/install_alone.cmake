# SPDX-License-Identifier: MIT
# As a distribution packages funnel: configured without tests, nothing built, installed.
configuration(command ${funnel_source} ${work}/build -DBUILD_TESTING=OFF -DFUNNEL_BUILD_EXAMPLES=OFF
              -DFUNNEL_BUILD_BENCHMARKS=OFF)
run(${command})
if(EXISTS ${work}/build/tests)
  message(FATAL_ERROR "BUILD_TESTING=OFF, and there are tests")
endif()
install_moved(${work}/build "${work}/moved here")
foreach(file include/funnel/funnel.hpp include/funnel/adapters/tbb.hpp
             include/funnel/adapters/detail/hnsw_graph.hpp share/pkgconfig/funnel.pc
             share/licenses/funnel/LICENSE share/cmake/funnel/funnelConfig.cmake)
  if(NOT EXISTS "${work}/moved here/${file}")
    message(FATAL_ERROR "${file} is not installed")
  endif()
endforeach()
