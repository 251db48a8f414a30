# SPDX-License-Identifier: MIT
# What every user of funnel needs. The build tree and the installed package read this same file;
# where something is missing, `funnel_missing` says what, and the reader reports it its own way.
#
# Both packages are found without a version and checked here: their version files refuse a newer
# major version, which works as well.
set(funnel_missing "")

find_package(Eigen3 QUIET CONFIG GLOBAL)
if(NOT Eigen3_FOUND)
  set(funnel_missing "Eigen 3.4 or newer was not found (Debian and Ubuntu: libeigen3-dev)")
elseif(Eigen3_VERSION VERSION_LESS 3.4)
  set(funnel_missing "Eigen 3.4 or newer is needed, ${Eigen3_VERSION} was found in ${Eigen3_DIR}")
endif()

# Debian's exported xsimd target asks the linker for a library that does not exist (-lxtl), so only
# the include directory is taken.
if(NOT TARGET funnel::xsimd)
  find_package(xsimd QUIET CONFIG)
  find_path(funnel_xsimd_include_dir xsimd/xsimd.hpp HINTS ${xsimd_INCLUDE_DIRS})
  mark_as_advanced(funnel_xsimd_include_dir)
  if(NOT funnel_xsimd_include_dir)
    set(funnel_missing "xsimd 8.1 or newer was not found (Debian and Ubuntu: libxsimd-dev)")
  else()
    file(STRINGS "${funnel_xsimd_include_dir}/xsimd/config/xsimd_config.hpp" funnel_xsimd_version
         REGEX "^#define XSIMD_VERSION_(MAJOR|MINOR) ")
    string(REGEX REPLACE "[^0-9]+([0-9]+)[^0-9]+([0-9]+).*" "\\1.\\2" funnel_xsimd_version
                         "${funnel_xsimd_version}")
    if(funnel_xsimd_version VERSION_LESS 8.1)
      set(funnel_missing "xsimd 8.1 or newer is needed, ${funnel_xsimd_version} was found in "
                         "${funnel_xsimd_include_dir}")
      string(CONCAT funnel_missing ${funnel_missing})
    else()
      add_library(funnel::xsimd INTERFACE IMPORTED GLOBAL)
      target_include_directories(funnel::xsimd INTERFACE "${funnel_xsimd_include_dir}")
    endif()
  endif()
endif()
