# SPDX-License-Identifier: MIT
# What every user of funnel needs: the targets funnel::eigen and funnel::xsimd. The build tree and the
# installed package read this same file; where something is missing, `funnel_missing` says what, and
# the reader reports it its own way.
#
# A dependency is taken from the first of these that has it:
#
#   1. a target of the project: Eigen3::Eigen; xsimd or xsimd::xsimd
#   2. the variable Eigen3_INCLUDE_DIR or xsimd_INCLUDE_DIR
#   3. what the project points at: FetchContent with OVERRIDE_FIND_PACKAGE, <package>_DIR,
#      <package>_ROOT, CMAKE_PREFIX_PATH, CMAKE_INCLUDE_PATH; first as a package, then as mere headers
#   4. the system
#
# Versions are read from the headers: the packages' version files refuse a newer major version, which
# works as well.
set(funnel_missing "")

# The version that the macros <prefix>_<part> of a header say, as a.b.c; empty if they can't be read.
function(funnel_read_version result directories headers prefix parts)
  set(${result} "" PARENT_SCOPE)
  foreach(directory IN LISTS directories)
    # A source tree wraps its folders like this.
    string(REGEX REPLACE "^\\$<BUILD_(LOCAL_)?INTERFACE:(.*)>$" "\\2" directory "${directory}")
    foreach(header IN LISTS headers)
      if(NOT EXISTS "${directory}/${header}")
        continue()
      endif()
      set(version "")
      foreach(part IN LISTS parts)
        file(STRINGS "${directory}/${header}" line REGEX "^# *define +${prefix}_${part} +[0-9]+")
        string(REGEX MATCH "${part} +([0-9]+)" line "${line}")
        if(line)
          list(APPEND version "${CMAKE_MATCH_1}")
        endif()
      endforeach()
      if(version)
        list(JOIN version "." version)
        set(${result} "${version}" PARENT_SCOPE)
        return()
      endif()
    endforeach()
  endforeach()
endfunction()

# funnel_dependency(<name> PACKAGE <p> TARGETS <t>... HEADER <h> SUFFIXES <s>...
#                   VERSION_HEADERS <v>... VERSION_PREFIX <macro> VERSION_PARTS <part>...
#                   MINIMUM <version> DEBIAN <package>)
# makes funnel::<name>, or adds a sentence to funnel_missing. funnel_<name>_found says what was taken.
function(funnel_dependency name)
  if(TARGET funnel::${name})
    return()
  endif()
  cmake_parse_arguments(
    arg "" "PACKAGE;HEADER;VERSION_PREFIX;MINIMUM;DEBIAN"
    "TARGETS;SUFFIXES;VERSION_HEADERS;VERSION_PARTS" ${ARGN})
  set(package ${arg_PACKAGE})

  macro(funnel_fail sentence)
    if(funnel_missing)
      string(APPEND funnel_missing "; ")
    endif()
    set(funnel_missing "${funnel_missing}${sentence}" PARENT_SCOPE)
  endmacro()

  set(target "")
  unset(directories)
  macro(funnel_take_target)
    foreach(candidate IN LISTS arg_TARGETS)
      if(NOT target AND TARGET ${candidate})
        set(target ${candidate})
      endif()
    endforeach()
  endmacro()

  funnel_take_target()
  if(NOT target AND ${package}_INCLUDE_DIR)
    set(directories "${${package}_INCLUDE_DIR}")
    if(NOT EXISTS "${directories}/${arg_HEADER}")
      funnel_fail("${package}_INCLUDE_DIR is ${directories}, which has no ${arg_HEADER}")
      return()
    endif()
  endif()
  set(of_project NO_SYSTEM_ENVIRONMENT_PATH NO_CMAKE_SYSTEM_PATH)
  set(of_system "")
  foreach(places of_project of_system)
    if(NOT target AND NOT directories)
      find_package(${package} QUIET CONFIG GLOBAL ${${places}})
      funnel_take_target()
    endif()
    if(NOT target AND NOT directories)
      find_path(directories ${arg_HEADER} HINTS ${${package}_ROOT} $ENV{${package}_ROOT}
                PATH_SUFFIXES ${arg_SUFFIXES} NO_CACHE ${${places}})
    endif()
  endforeach()

  if(target)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    set(place "the target ${target}")
    if(directories)
      string(APPEND place " (${directories})")
    endif()
  else()
    set(place "${directories}")
  endif()
  funnel_read_version(version "${directories}" "${arg_VERSION_HEADERS}" ${arg_VERSION_PREFIX}
                      "${arg_VERSION_PARTS}")

  if(NOT target AND NOT directories)
    funnel_fail("${package} ${arg_MINIMUM} or newer was not found (Debian and Ubuntu: ${arg_DEBIAN})")
  elseif(version AND version VERSION_LESS arg_MINIMUM)
    funnel_fail("${package} ${arg_MINIMUM} or newer is needed, ${version} was found: ${place}")
  else()
    add_library(funnel::${name} INTERFACE IMPORTED GLOBAL)
    set(imported FALSE)
    set(links "")
    if(target)
      get_target_property(imported ${target} IMPORTED)
      get_target_property(links ${target} INTERFACE_LINK_LIBRARIES)
    endif()
    # Debian's xsimd asks the linker for a library that does not exist, -lxtl: only its include
    # directories are of use.
    if(target AND NOT (imported AND "xtl" IN_LIST links AND NOT TARGET xtl))
      target_link_libraries(funnel::${name} INTERFACE ${target})
      # Those of an imported target are system directories already.
      if(NOT imported)
        set(directories $<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>)
      endif()
    endif()
    if(directories)
      target_include_directories(funnel::${name} SYSTEM INTERFACE "${directories}")
    endif()
    set(funnel_${name}_found "${package} ${version}: ${place}" PARENT_SCOPE)
  endif()
endfunction()

funnel_dependency(
  eigen
  PACKAGE Eigen3 TARGETS Eigen3::Eigen HEADER Eigen/Core SUFFIXES include/eigen3 include eigen3
  VERSION_HEADERS Eigen/src/Core/util/Macros.h Eigen/Version
  VERSION_PREFIX EIGEN VERSION_PARTS WORLD_VERSION MAJOR_VERSION MINOR_VERSION
  MINIMUM 3.4 DEBIAN libeigen3-dev)
funnel_dependency(
  xsimd
  PACKAGE xsimd TARGETS xsimd xsimd::xsimd HEADER xsimd/xsimd.hpp SUFFIXES include
  VERSION_HEADERS xsimd/config/xsimd_config.hpp
  VERSION_PREFIX XSIMD_VERSION VERSION_PARTS MAJOR MINOR PATCH
  MINIMUM 8.1 DEBIAN libxsimd-dev)
