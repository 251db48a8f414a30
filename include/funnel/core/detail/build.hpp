// SPDX-License-Identifier: MIT
#pragma once

// Requirements on the build. Every public header includes this one. A build that would compute
// different results, or that cannot compile, stops with a one-sentence error.

// Each message stays on one line.
// clang-format off
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "funnel does not support -ffast-math, -Ofast or -ffinite-math-only: NaN and infinity are part of its results. Compile without them."
#endif
#if defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)  // only g++ defines these
#error "funnel does not support -funsafe-math-optimizations, -fassociative-math or -freciprocal-math: the order of its sums is part of its results. Compile without them."
#endif
#if !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#error "funnel does not support -fno-exceptions: bad input is reported by exceptions. Compile with exceptions."
#endif
// clang-format on

/// Forces inlining of a function or a lambda. Code that keeps SIMD registers in an array needs it:
/// an array that is passed to a real call lives in memory.
#if defined(__GNUC__)
#define FUNNEL_INLINE __attribute__((always_inline))
#else
#define FUNNEL_INLINE
#endif
