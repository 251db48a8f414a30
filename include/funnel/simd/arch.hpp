// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <type_traits>

// g++ 12 takes the undefined lanes of its own AVX-512 intrinsics for a mistake, thousands of times.
// It asks at the place where an intrinsic is defined, or one of its callers is.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#ifdef __AVX512F__
#include <immintrin.h>
#endif
#include <xsimd/xsimd.hpp>
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#pragma GCC diagnostic pop
#endif

namespace funnel {

/// One value at a time, in standard C++: the twin every kernel is tested against and the fallback
/// without SIMD.
struct scalar_arch {};

/// The instruction set the compiler's flags allow: the default of every `class Arch` parameter.
/// `scalar_arch` where xsimd has none for floats and doubles.
#ifdef XSIMD_NO_SUPPORTED_ARCHITECTURE
using default_arch = scalar_arch;
#else
using default_arch =
    std::conditional_t<xsimd::types::has_simd_register<double, xsimd::default_arch>::value,
                       xsimd::default_arch, scalar_arch>;
#endif

}  // namespace funnel
