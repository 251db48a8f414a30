// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/arch.hpp>

/// Calls `test(arch)` for the scalar twin and for register widths the compiler's flags allow.
template <class Test>
void for_each_arch(Test&& test) {
  test(funnel::scalar_arch{});
  test(funnel::default_arch{});
#if XSIMD_WITH_SSE2
  test(xsimd::sse2{});
#endif
#if XSIMD_WITH_AVX2
  test(xsimd::avx2{});
#endif
#if XSIMD_WITH_FMA3_AVX2
  test(xsimd::fma3<xsimd::avx2>{});
#endif
#if XSIMD_WITH_AVX512F
  test(xsimd::avx512f{});
#endif
}
