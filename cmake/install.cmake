# SPDX-License-Identifier: MIT
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Headers only: nothing depends on the architecture, so the package lives under share/.
set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/funnel")

install(TARGETS funnel EXPORT funnel FILE_SET HEADERS FILE_SET optional)
install(EXPORT funnel NAMESPACE funnel:: DESTINATION "${package_dir}" FILE funnelTargets.cmake)
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/funnelConfigVersion.cmake"
  # Before 1.0 a minor release may break its users.
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES cmake/funnelConfig.cmake cmake/dependencies.cmake cmake/component_tbb.cmake
              "${PROJECT_BINARY_DIR}/funnelConfigVersion.cmake" DESTINATION "${package_dir}")
