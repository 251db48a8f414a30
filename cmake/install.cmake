# SPDX-License-Identifier: MIT
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Headers only: nothing depends on the architecture, so the package lives under share/.
set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/funnel")
set(pc_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")

# A library that links funnel and is exported needs funnel in an export set, installed or not. So the
# rules are always there, and FUNNEL_INSTALL=OFF only takes them out of a plain `cmake --install`.
set(how COMPONENT funnel)
if(NOT FUNNEL_INSTALL)
  list(APPEND how EXCLUDE_FROM_ALL)
endif()

install(TARGETS funnel EXPORT funnel FILE_SET HEADERS ${how} FILE_SET adapters ${how})
install(EXPORT funnel NAMESPACE funnel:: DESTINATION "${package_dir}" FILE funnelTargets.cmake ${how})
# The build folder is a package as well, for those who name it in CMAKE_PREFIX_PATH or export from theirs.
export(EXPORT funnel NAMESPACE funnel:: FILE "${PROJECT_BINARY_DIR}/funnelTargets.cmake")
set(package_files funnelConfig.cmake dependencies.cmake components.cmake ${component_files})
foreach(file IN LISTS package_files)
  configure_file(cmake/${file} "${PROJECT_BINARY_DIR}/${file}" COPYONLY)
endforeach()
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/funnelConfigVersion.cmake"
  # Before 1.0 a minor release may break its users.
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
list(TRANSFORM package_files PREPEND "${PROJECT_BINARY_DIR}/")
install(FILES ${package_files} "${PROJECT_BINARY_DIR}/funnelConfigVersion.cmake"
        DESTINATION "${package_dir}" ${how})

# Relative to the file itself, as the package may be moved.
cmake_path(ABSOLUTE_PATH pc_dir BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}" OUTPUT_VARIABLE pc_full)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR BASE_DIRECTORY "${pc_full}"
           OUTPUT_VARIABLE funnel_pc_include)
configure_file(cmake/funnel.pc.in "${PROJECT_BINARY_DIR}/funnel.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/funnel.pc" DESTINATION "${pc_dir}" ${how})
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/licenses/funnel" ${how})
