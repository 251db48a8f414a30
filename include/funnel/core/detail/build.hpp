// SPDX-License-Identifier: MIT
#pragma once

// What a build must offer. Every public header includes this one, so that a build which would
// compute something else, or cannot compile, is refused in one sentence.

// A sentence stays on one line.
// clang-format off
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "funnel does not support -ffast-math, -Ofast or -ffinite-math-only: NaN and infinity are part of its results. Compile without them."
#endif
#if defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)  // g++; clang++ does not tell
#error "funnel does not support -funsafe-math-optimizations, -fassociative-math or -freciprocal-math: the order of its sums is part of its results. Compile without them."
#endif
#if !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#error "funnel does not support -fno-exceptions: bad input is reported by exceptions. Compile with exceptions."
#endif
// clang-format on

/// On a function or a lambda: inlined whatever it costs. What holds registers in an array needs it:
/// an array that a call sees lives in memory.
#if defined(__GNUC__)
#define FUNNEL_INLINE __attribute__((always_inline))
#else
#define FUNNEL_INLINE
#endif
