// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <type_traits>

// g++ 12 warns thousands of times about undefined lanes in its own AVX-512 intrinsics. It uses the
// diagnostic settings of the place where an intrinsic, or a function that calls it, is defined.
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

/// Scalar code, one value at a time, in standard C++: the reference that every kernel is tested
/// against, and the fallback without SIMD.
struct scalar_arch {};

/// The best instruction set that the compiler's flags allow: the default of every `class Arch`
/// parameter. It is `scalar_arch` if xsimd has no registers of floats and doubles for the target.
#ifdef XSIMD_NO_SUPPORTED_ARCHITECTURE
using default_arch = scalar_arch;
#else
using default_arch =
    std::conditional_t<xsimd::types::has_simd_register<double, xsimd::default_arch>::value,
                       xsimd::default_arch, scalar_arch>;
#endif

}  // namespace funnel
