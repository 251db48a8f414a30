// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

/// Version of the library. CMake reads it from here.
#define FUNNEL_VERSION "0.2.0"

namespace funnel {

inline constexpr int version_major = 0;
inline constexpr int version_minor = 2;
inline constexpr int version_patch = 0;

}  // namespace funnel
